/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why does a digest open, or not? A line for each thing that has a say in it, in the order in which they have it, as an
 * object with a topic, a text, and members for programs; the last one, "result", says what comes of it.
 *
 *	caller ─► origin, broker ─► what a name stands for ─► every line of the policy looked at ─► decision ─► what was granted
 *	       ─► what the view uses, and may ─► the object here, and whether it shares it ─► the sources ─► result
 *
 * Nobody is told more than the view itself would show: what the store has, and which sources there are, is for root, the
 * owner of the store, and whoever the policy lets open it in a view that hides nothing; how the sources did is for root and
 * the owner.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "fs/objects/object.h"
#include "fs/operations/explaining.h"
#include "fs/objects/probe.h"
#include "fs/origins/view.h"

/* Takes over MORE, an object that the topic and the text go before; NULL: nothing more. */
int explain_say(struct operation *operation, const char *topic, json_t *more, const char *format, ...)
{
	char text[1024];
	va_list args;
	json_t *line;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	line = json_pack("{s:s, s:s}", "topic", topic, "text", text);
	if (!line) /* a name in it is no UTF-8 */
		line = json_pack("{s:s, s:s}", "topic", topic, "text", "(not to be written as text)");
	if (more)
		json_object_update(line, more);
	json_decref(more);
	return operation->emit(operation, line);
}

/* ---- the object and the sources ---- */

static int say_object(struct operation *operation, const struct store_info *info)
{
	char text[DIGEST_NAME_SIZE];

	operation_object_name(info, text);
	return explain_say(operation, "object",
			   json_pack("{s:s, s:s, s:I, s:I, s:b}", "name", text, "state",
				     operation_state(info), "present", (json_int_t)info->present, "size",
				     (json_int_t)info->size, "attested", info->digests.has_fsverity),
			   "%s: %s, %" PRIu64 " of %" PRIu64 " bytes here, %s", text,
			   operation_state(info), info->present, info->size,
			   info->digests.has_fsverity ? "attested" : "unattested");
}

/* What has been fetched, and how it went, is what others did: a counter that moves is a fetch that somebody makes. */
static int say_source_names(struct operation *operation)
{
	struct fetch *fetch = operation->fs->fetch;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < fetch_source_count(fetch); i++) {
		struct fetch_source_state state;

		fetch_source_state(fetch, i, &state);
		if (!state.configured)
			continue;
		r = explain_say(operation, "source", json_pack("{s:s}", "name", state.name), "%s", state.name);
	}
	return r;
}

static int say_sources(struct operation *operation, const char *last_error)
{
	struct fetch *fetch = operation->fs->fetch;
	int r = 0;

	if (last_error && *last_error)
		r = explain_say(operation, "last error", NULL, "%s", last_error);
	for (unsigned int i = 0; r == 0 && i < fetch_source_count(fetch); i++) {
		struct fetch_source_state state;
		char alone[64] = "";

		fetch_source_state(fetch, i, &state);
		if (state.alone_ms)
			snprintf(alone, sizeof(alone), ", and left alone for %" PRId64 " s more", state.alone_ms / 1000);
		r = explain_say(operation, "source", json_pack("{s:s}", "name", state.name),
				"%s: %" PRIu64 " requests, %" PRIu64 " bytes, %" PRIu64
				" errors, %" PRIu64 " lies%s%s%s",
				state.name, state.requests, state.bytes, state.errors, state.lies, alone,
				state.last_error[0] ? "; last: " : "", state.last_error);
	}
	return r;
}

static int say_state(struct explaining *explaining)
{
	struct operation *operation = explaining->operation;
	_cleanup_free_ char *last_error = NULL;
	int r;

	if (explaining->known)
		r = say_object(operation, &explaining->info);
	else
		r = explain_say(operation, "object", NULL, "unknown here");
	if (r != 0)
		return r;
	if (!operation->fs)
		return explain_say(operation, "daemon", NULL, "none has this store");
	if (!operation->privileged)
		return say_source_names(operation);
	if (explaining->known)
		last_error = object_last_error(operation->fs, explaining->info.id);
	if (!last_error)
		last_error = probe_last_error(operation->fs, &explaining->name);
	return say_sources(operation, last_error);
}

/* ---- the decision ---- */

static int step(void *arg, const struct policy_step *looked)
{
	struct operation *operation = arg;

	return explain_say(operation, "line",
			   json_pack("{s:s, s:i, s:s, s:b}", "file", looked->where.file, "line",
				     (int)looked->where.line, "statement", looked->statement,
				     "matched", looked->matched),
			   "%s:%u: %s: %s", looked->where.file, looked->where.line,
			   looked->statement, looked->matched ? "matches" : "no match");
}

static const char *verdict_name(const struct policy_decision *decision)
{
	return decision->verdict == POLICY_DENY ? "deny" :
	       decision->verdict == POLICY_ASK  ? "ask" :
	       decision->cached			? "allow what is cached" :
						  "allow";
}

int explain_where(struct operation *operation, const char *topic, const char *what,
		  const struct policy_where *where)
{
	if (!where->file)
		return explain_say(operation, topic, json_pack("{s:s}", topic, what),
				   "%s (no line matches)", what);
	return explain_say(operation, topic,
			   json_pack("{s:s, s:s, s:i}", topic, what, "file", where->file, "line",
				     (int)where->line),
			   "%s (%s:%u)", what, where->file, where->line);
}

/* Of the object as it is known by DIGESTS: each line that was looked at, and what comes of it. */
static int say_decision(struct explaining *explaining, const struct digest_pair *digests)
{
	struct operation *operation = explaining->operation;
	int r;

	r = policy_explain(operation->policy, explaining->origin, digests, step, operation);
	if (r != 0)
		return r;
	explaining->decision = policy_decide(operation->policy, explaining->origin, digests);
	r = explain_where(operation, "decision", verdict_name(&explaining->decision),
			  &explaining->decision.where);
	return r == 0 && explaining->decision.verdict == POLICY_ASK ? explain_grants(explaining, digests) : r;
}

/* As LOOKUP does: by the name alone first, then by all that is known of what it names. */
static int decide(struct explaining *explaining)
{
	struct operation *operation = explaining->operation;
	struct digest_pair pair = digest_pair_of(&explaining->name);
	struct digest_name other;
	char text[DIGEST_NAME_SIZE];
	int r;

	r = say_decision(explaining, &pair);
	/* What the view hides, the state of objects others fetched, is not told here either. */
	explaining->may_know =
		operation->privileged ||
		(explaining->decision.verdict == POLICY_ALLOW && !explaining->decision.cached &&
		 !policy_origin_is_web(explaining->origin));
	if (r != 0 || !explaining->may_know)
		return r;
	r = store_lookup(operation->store, &explaining->name, &explaining->info);
	explaining->known = r == 0;
	if (r < 0 && r != -ENOENT)
		return operation_fail(operation, r, "the store cannot be read");
	/* What somebody had with his credential is not told of. */
	if (explaining->known && explaining->info.gated && !explaining->decision.named &&
	    !operation->privileged && !explain_owns(explaining))
		explaining->known = false;
	if (!explaining->known || explaining->decision.verdict != POLICY_ALLOW ||
	    !explaining->info.digests.has_sha256 || !explaining->info.digests.has_fsverity)
		return 0;
	other = (struct digest_name){ DIGEST_FSVERITY, explaining->info.digests.fsverity };
	if (explaining->name.kind == DIGEST_FSVERITY)
		other = (struct digest_name){ DIGEST_SHA256, explaining->info.digests.sha256 };
	digest_name_format(&other, text);
	r = explain_say(operation, "also", json_pack("{s:s}", "name", text), "%s, so once more:", text);
	if (r == 0)
		r = say_decision(explaining, &explaining->info.digests);
	explaining->may_know =
		operation->privileged || explaining->decision.verdict == POLICY_ALLOW;
	return r;
}

/* ---- what comes of it ---- */

struct result {
	const char *error; /* the errno's name; NULL: it opens */
	const char *text;
};

static struct result result_here(const struct explaining *explaining)
{
	const struct weightfs *fs = explaining->operation->fs;
	bool offline = !fs || fs->offline;

	if (explaining->apart && offline)
		return (struct result){ "ENOENT", "the view does not have it, and nothing is fetched" };
	if (explaining->apart)
		return (struct result){ NULL, "it opens if a source has it" };
	if (explaining->known && explaining->info.complete)
		return (struct result){ NULL, "it opens" };
	if (explaining->decision.cached)
		return (struct result){ "ENOENT", "not all of it is here, and nothing is fetched" };
	if (offline && !explaining->known && !explaining->told)
		return (struct result){ "ENOENT", "it is unknown here, and nothing is fetched" };
	if (offline && (!explaining->known || !explaining->info.digests.has_fsverity ||
			explaining->info.lacks_front))
		return (struct result){ "ENODATA", "not all of it is here, and nothing is fetched" };
	if (offline)
		return (struct result){ NULL, "it opens; what is not here cannot be read" };
	if (explaining->known || explaining->told)
		return (struct result){ NULL, "it opens; what is not here is fetched" };
	if (fetch_source_count(fs->fetch) == 0)
		return (struct result){ "ENOENT", "it is unknown here, and there is no source" };
	return (struct result){ NULL, "it opens if a source has it" };
}

static int say_result(const struct explaining *explaining)
{
	struct result result = { NULL, "the policy lets it open" };

	if (!explaining->origin)
		result = (struct result){ "ENOENT", "without an origin nothing is there" };
	else if (explaining->absent)
		result = (struct result){ "ENOENT", explaining->absent };
	else if (!explaining->has_name)
		result.text = "objects are looked up as this origin";
	else if (explaining->decision.verdict == POLICY_DENY)
		result = (struct result){ "ENOENT", "denied: as if it did not exist" };
	else if (explaining->decision.verdict == POLICY_ASK)
		result = (struct result){ "EACCES", explaining->decision.wait_ms == VIEW_REFUSED ?
							    "the user said no" :
							    "somebody has to grant it first" };
	else if (explaining->may_know)
		result = result_here(explaining);
	return explain_say(explaining->operation, "result",
			   json_pack("{s:b, s:s?}", "opens", !result.error, "errno", result.error),
			   "%s%s%s", result.error ? result.error : "", result.error ? ": " : "",
			   result.text);
}

int operation_explain(struct operation *operation)
{
	json_t *digests = json_object_get(operation->request, "digests");
	const char *text = json_string_value(json_array_get(digests, 0));
	const char *path = json_string_value(json_object_get(operation->request, "path"));
	struct explaining explaining = { .operation = operation };
	int r;

	/* An empty array: what "path" stands for, or only who it is. */
	if (!json_is_array(digests) || (json_array_size(digests) > 0 && !text))
		return operation_fail(operation, -EINVAL, "not a digest");
	explaining.has_name = text;
	if (text && digest_name_parse(text, &explaining.name) < 0)
		return operation_fail(operation, -EINVAL, "not a digest: %s", text);
	r = explain_caller(&explaining);
	if (r == 0 && explaining.origin && path)
		r = explain_name(&explaining, path);
	if (r == 0 && explaining.origin && explaining.has_name)
		r = decide(&explaining);
	if (r == 0 && explaining.origin)
		r = explain_limits(&explaining);
	if (r == 0 && explaining.origin && explaining.has_name && explaining.may_know)
		r = explain_trust(&explaining);
	if (r == 0 && explaining.origin && explaining.has_name && explaining.may_know)
		r = explain_sharing(&explaining);
	if (r == 0 && explaining.origin && explaining.has_name && explaining.may_know)
		r = say_state(&explaining);
	return r == 0 ? say_result(&explaining) : r;
}
