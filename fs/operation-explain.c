/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why does a digest open, or not? Caller → origin → the deciding line → the object → the sources. Only the policy
 * is shown to those whose view hides the rest.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "fs/object.h"
#include "fs/operations.h"
#include "fs/probe.h"

static int say(struct operation *operation, const char *topic, const char *format, ...)
	printf_like(3, 4);

static int say(struct operation *operation, const char *topic, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return operation->emit(operation, json_pack("{s:s, s:s}", "topic", topic, "text", text));
}

static int say_where(struct operation *operation, const char *topic, const char *what,
		     const struct policy_where *where)
{
	if (!where->file)
		return say(operation, topic, "%s (no line matches)", what);
	return say(operation, topic, "%s (%s:%u)", what, where->file, where->line);
}

static int say_object(struct operation *operation, const struct store_info *info)
{
	char text[DIGEST_NAME_SIZE];

	operation_object_name(info, text);
	return say(operation, "object", "%s: %s, %" PRIu64 " of %" PRIu64 " bytes here, %s", text,
		   operation_state(info), info->present, info->size,
		   info->digests.has_fsverity ? "attested" : "unattested");
}

static int say_sources(struct operation *operation, const char *last_error)
{
	struct fetch *fetch = operation->fs->fetch;
	int r;

	if (last_error && *last_error) {
		r = say(operation, "last error", "%s", last_error);
		if (r != 0)
			return r;
	}
	for (unsigned int i = 0; i < fetch_source_count(fetch); i++) {
		struct fetch_source_state state;

		fetch_source_state(fetch, i, &state);
		r = say(operation, "source",
			"%s: %" PRIu64 " requests, %" PRIu64 " bytes, %" PRIu64 " errors, %" PRIu64
			" lies%s%s",
			state.name, state.requests, state.bytes, state.errors, state.lies,
			state.last_error[0] ? "; last: " : "", state.last_error);
		if (r != 0)
			return r;
	}
	return 0;
}

static int explain_state(struct operation *operation, const struct digest_name *name)
{
	_cleanup_free_ char *last_error = NULL;
	struct store_info info = { 0 };
	int r;

	r = store_lookup(operation->store, name, &info);
	if (r == 0)
		r = say_object(operation, &info);
	else if (r == -ENOENT)
		r = say(operation, "object", "unknown here");
	if (r != 0)
		return r;
	if (!operation->fs)
		return say(operation, "daemon", "none has this store");
	if (info.id)
		last_error = object_last_error(operation->fs, info.id);
	if (!last_error)
		last_error = probe_last_error(operation->fs, name);
	return say_sources(operation, last_error);
}

static struct policy_decision decide(struct operation *operation, const char *origin,
				     const struct digest_name *name)
{
	struct digest_pair pair = digest_pair_of(name);
	struct policy_decision decision = policy_decide(operation->policy, origin, &pair);
	struct store_info info;

	/* As LOOKUP does: the name alone first, then all that is known of what it names. */
	if (decision.verdict == POLICY_ALLOW && store_lookup(operation->store, name, &info) == 0)
		decision = policy_decide(operation->policy, origin, &info.digests);
	return decision;
}

int operation_explain(struct operation *operation)
{
	json_t *digests = json_object_get(operation->request, "digests");
	const char *text = json_string_value(json_array_get(digests, 0));
	const char *asked = json_string_value(json_object_get(operation->request, "origin"));
	struct policy_decision decision;
	struct policy_where where = { 0 };
	struct digest_name name;
	const char *origin;
	int r;

	if (!text || digest_name_parse(text, &name) < 0)
		return operation_fail(operation, -EINVAL, "not a digest: %s", text ? text : "");
	r = say(operation, "caller", "uid %u, gid %u", operation->caller.uid,
		operation->caller.gid);
	if (r != 0)
		return r;
	origin = policy_origin_of(operation->policy, &operation->caller, &where);
	if (asked && (!origin || strcmp(origin, asked))) {
		/* Whose view the path lies in; others' views are the owner's to look into. */
		if (!operation->privileged)
			return operation_fail(operation, -EPERM, "it is in a view of %s", asked);
		origin = asked;
		r = say(operation, "origin", "%s (its view)", origin);
	} else {
		r = say_where(operation, "origin", origin ? origin : "none", &where);
	}
	if (r != 0 || !origin)
		return r;
	decision = decide(operation, origin, &name);
	r = say_where(operation, "decision",
		      decision.verdict == POLICY_DENY ? "deny" :
		      decision.verdict == POLICY_ASK  ? "ask" :
		      decision.cached	? "allow what is cached" :
					  "allow",
		      &decision.where);
	/* What the view hides, the state of objects others fetched, is not told here either. */
	if (r != 0 || (!operation->privileged && (decision.verdict != POLICY_ALLOW || decision.cached ||
						  policy_origin_is_web(origin))))
		return r;
	return explain_state(operation, &name);
}
