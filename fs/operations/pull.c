/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects into the store ahead of their use. Root and the owner may pull any; other users what the policy lets
 * their own origin fetch, and of what it does not they learn nothing: denied and unknown give the same answer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "common/clock.h"
#include "fs/names/naming.h"
#include "fs/objects/knowledge.h"
#include "fs/objects/probe.h"
#include "fs/objects/pull.h"
#include "fs/objects/separate.h"
#include "fs/operations/operations.h"
#include "fs/origins/view.h"
#include "fs/requests/ops.h"
#include "fs/session.h"

#define WAIT_NS	   50000000 /* between two looks for room */
#define SILENCE_MS 3000	    /* nothing comes for that long: why? */

struct pulling {
	struct operation *operation;
	const char *text; /* the object, as it was asked for, or its name */
	bool is_name;
	bool pin;
	bool single; /* it is the only one: its failure is that of the operation */
	size_t n, failed; /* objects that were tried, those that did not come */
	int error;	  /* of the first of them */
	bool trusted; /* may pull any */
	const char *origin; /* of who may not; NULL: none, so nothing is allowed */
	const struct view *view; /* the caller's */
	uint64_t present;	 /* as it was told last, */
	int64_t since_ms;	 /* and since when it is that */
};

#define PROBLEM_SIZE (FETCH_NAME_SIZE + FETCH_MESSAGE_SIZE + 2)

/* What the first source that did not answer as it should said last; for root and the owner. False: nothing. */
static bool source_problem(const struct pulling *pulling, char out[PROBLEM_SIZE])
{
	struct fetch *fetch = pulling->operation->fs->fetch;

	for (unsigned int i = 0; pulling->trusted && i < fetch_source_count(fetch); i++) {
		struct fetch_source_state state;

		fetch_source_state(fetch, i, &state);
		if (!state.last_error[0])
			continue;
		snprintf(out, PROBLEM_SIZE, "%s: %s", state.name, state.last_error);
		return true;
	}
	return false;
}

/* Who waits for long hears of what. */
static int tell_progress(void *arg, uint64_t present, uint64_t size)
{
	struct pulling *pulling = arg;
	char problem[PROBLEM_SIZE];
	int64_t now = clock_ms();
	bool stuck;

	if (present != pulling->present || !pulling->since_ms)
		pulling->since_ms = now;
	pulling->present = present;
	stuck = now - pulling->since_ms >= SILENCE_MS && source_problem(pulling, problem);
	return pulling->operation->emit(pulling->operation,
					json_pack("{s:s, s:I, s:I, s:s*}", "name", pulling->text, "progress",
						  (json_int_t)present, "of", (json_int_t)size, "waiting",
						  stuck ? problem : NULL));
}

/* May it be fetched for the caller, as far as DIGESTS tell? COMPLETE: it is here. */
static bool may_pull(const struct pulling *pulling, const struct digest_pair *digests, bool complete)
{
	struct operation *operation = pulling->operation;
	struct policy_decision decision;
	const struct view *view;

	if (pulling->trusted)
		return true;
	decision = policy_decide(operation->policy, pulling->origin, digests);
	if (decision.verdict == POLICY_ASK &&
	    view_of(operation->fs->views, operation->caller.uid, pulling->origin, &view) == 0)
		decision = view_decide(operation->fs, view, digests);
	return decision.verdict == POLICY_ALLOW && (complete || !decision.cached);
}

/* As an open of the caller's: it is charged with it, by its quota, and has it in use until leave(). */
static int use(const struct pulling *pulling, struct object *object, uint32_t *number)
{
	struct operation *operation = pulling->operation;
	struct policy_decision decision = { 0 };
	struct digest_pair digests = object_digests(object);
	struct store_uses due;
	int r, written;

	*number = pulling->view->number;
	if (!pulling->trusted)
		decision = policy_decide(operation->policy, pulling->origin, &digests);
	r = store_object_use(object->store, *number, decision.quota, &due);
	written = store_record_uses(operation->store, &due);
	if (r == 0 && written < 0)
		store_object_unuse(object->store, *number);
	return r < 0 ? r : written;
}

static int pull_id(struct pulling *pulling, uint64_t id)
{
	const struct pull_watch watch = { tell_progress, pulling };
	struct operation *operation = pulling->operation;
	struct object *object;
	uint32_t number;
	int r;

	uid_t uid = pulling->view->uid;

	r = object_get(operation->fs, id, &object);
	if (r < 0)
		return r;
	r = use(pulling, object, &number);
	if (r < 0) {
		object_put(object);
		return r;
	}
	/* First, so that it does not make room for others as soon as it has come. */
	if (r == 0 && pulling->pin && !object->view)
		r = store_object_pin(object->store, true);
	if (r == 0)
		r = pull_object(object, uid, &watch);
	/* What is being finished is open, and makes no room before that is over. */
	while (r == -ENOSPC && atomic_load(&operation->fs->finishing) > 0) {
		nanosleep(&(struct timespec){ .tv_nsec = WAIT_NS }, NULL);
		r = tell_progress(pulling, 0, store_object_size(object->store));
		if (r == 0)
			r = pull_object(object, uid, &watch);
	}
	store_object_unuse(object->store, number);
	object_put(object);
	return r;
}

/* The reason, as somebody wants to read it. MORE: what sources said, or NULL. */
static int say_why(struct pulling *pulling, int error, const char *more)
{
	const char *reason = error == -ENOENT	 ? "not found" :
			     error == -ENOSPC	 ? "there is no room for it in the store" :
			     error == -EDQUOT	 ? "it does not fit the quota" :
			     error == -ENODATA	 ? "the daemon is offline, and not all of it is here" :
			     error == -ETIMEDOUT ? "nothing came for a long time" :
			     error == -EIO	 ? "no source gave what is right, or the store failed" :
						   strerror(-error);
	bool told = more && *more && (error == -EIO || error == -ETIMEDOUT || error == -ENOENT);

	return operation_fail(pulling->operation, error, "%s: %s%s%s", pulling->text, reason,
			      told ? ": " : "", told ? more : "");
}

static int fail(struct pulling *pulling, const struct digest_name *name, uint64_t id, int error)
{
	struct weightfs *fs = pulling->operation->fs;
	_cleanup_free_ char *more = NULL;
	char problem[PROBLEM_SIZE];

	if (error == -EPIPE || error == -ECANCELED)
		return error; /* nobody listens */
	if (id)
		more = object_last_error(fs, id);
	/* What is unknown must look like what is denied. */
	if (!more && (error != -ENOENT || pulling->trusted))
		more = probe_last_error(fs, name);
	if (error == -ETIMEDOUT && (!more || !*more) && source_problem(pulling, problem))
		return say_why(pulling, error, problem);
	return say_why(pulling, error, more);
}

static int say_done(struct pulling *pulling, const struct store_info *info, uint64_t before)
{
	struct operation *operation = pulling->operation;
	char text[DIGEST_NAME_SIZE];

	operation_object_name(info, text);
	return operation->emit(operation,
			       json_pack("{s:s, s:I, s:I, s:b, s:s*, s:s*}", "name", text, "size",
					 (json_int_t)info->size, "fetched",
					 (json_int_t)(info->size - before), "pinned", pulling->pin,
					 "path", pulling->is_name ? pulling->text : NULL, "mountpoint",
					 pulling->is_name ? session_mountpoint() : NULL));
}

/*
 * What the caller's view has under NAME: that of the store, or one of its own of what others shall not have. FIND: it is looked
 * for, if it is not there.
 */
static int locate(struct pulling *pulling, const struct digest_name *name, bool find,
		  struct store_info *out)
{
	const struct pull_watch watch = { tell_progress, pulling };
	const struct view *view = pulling->view;
	struct weightfs *fs = pulling->operation->fs;
	struct digest_pair pair = digest_pair_of(name);
	struct policy_decision decision = view_decide(fs, view, &pair);
	bool apart;
	int r;

	r = store_lookup(fs->store, name, out);
	apart = knowledge_is_gated(fs, view->uid, name, r == 0 ? out : NULL) && !decision.named;
	if (apart)
		r = ops_find_apart(fs, view, name, out);
	if (r != -ENOENT || !find)
		return r;
	r = pull_find(fs, view->uid, apart ? view->number : 0, name, &watch);
	if (r != 0)
		return r;
	return apart ? ops_find_apart(fs, view, name, out) : store_lookup(fs->store, name, out);
}

/* The object of the store that ID, a separate one that is complete, becomes, or itself; what is pinned is that. */
static int await_published(const struct pulling *pulling, const struct digest_name *name, uint64_t id, struct store_info *out)
{
	struct weightfs *fs = pulling->operation->fs;
	struct store_object *object;
	uint64_t heir;
	int r;

	while (!(heir = separate_heir(fs, id)) && atomic_load(&fs->finishing) > 0)
		nanosleep(&(struct timespec){ .tv_nsec = WAIT_NS }, NULL);
	heir = heir ? heir : separate_heir(fs, id);
	/* It stays apart from what is pinned. */
	if (!heir && !pulling->pin && store_lookup(fs->store, name, out) == 0 && out->pinned && !out->complete)
		return separate_find(fs, pulling->view->number, name, out);
	if (!heir)
		return -EIO; /* logged */
	r = store_object_open(fs->store, heir, &object);
	if (r < 0)
		return r;
	if (pulling->pin)
		r = store_object_pin(object, true);
	if (r == 0)
		store_object_info(object, out);
	store_object_close(object);
	return r;
}

static int pull_found(struct pulling *pulling, const struct digest_name *name, bool find)
{
	struct operation *operation = pulling->operation;
	struct store_info info;
	uint64_t id, before;
	int r;

	r = locate(pulling, name, find, &info);
	/* Once more, with all that is known of it now. */
	if (r == 0 && !may_pull(pulling, &info.digests, info.complete))
		r = -ENOENT;
	if (r < 0)
		return fail(pulling, name, 0, r);
	id = info.id;
	before = info.present;
	r = pull_id(pulling, id);
	if (r == 0)
		r = info.separate ? await_published(pulling, name, id, &info) :
				    store_lookup(operation->store, name, &info);
	/* Somebody removed it as soon as it had come. */
	if (r == 0 && !info.complete)
		r = -ESTALE;
	return r == 0 ? say_done(pulling, &info, before) : fail(pulling, name, id, r);
}

static int pull_digest(struct pulling *pulling, const struct digest_name *name)
{
	struct digest_pair pair = digest_pair_of(name);

	/* `cached` is for what is here: whether it is may be looked at then, as a LOOKUP does. */
	if (!may_pull(pulling, &pair, true))
		return fail(pulling, name, 0, -ENOENT);
	return pull_found(pulling, name, may_pull(pulling, &pair, false));
}

/* ---- several ---- */

/* Each is tried, and a failure (R, and the operation's message) is told as a line. Other than 0: there is no use in going on. */
static int go_on(struct pulling *pulling, int r)
{
	struct operation *operation = pulling->operation;

	pulling->n++;
	if (r == 0 || r == -EPIPE || r == -ECANCELED || pulling->single)
		return r;
	pulling->failed++;
	pulling->error = pulling->error ? pulling->error : r;
	return operation->emit(operation, json_pack("{s:s, s:s, s:i}", "name", pulling->text, "failed",
						    operation->message, "errno", -r));
}

static int pull_digests(struct pulling *pulling, json_t *digests)
{
	struct operation *operation = pulling->operation;
	struct digest_name name;
	json_t *value;
	size_t index;
	int r = 0;

	json_array_foreach(digests, index, value) {
		const char *text = json_string_value(value);

		if (!text || digest_name_parse(text, &name) < 0)
			return operation_fail(operation, -EINVAL, "not a digest: %s", text ? text : "");
		pulling->text = text;
		pulling->is_name = false;
		r = go_on(pulling, pull_digest(pulling, &name));
		if (r != 0)
			break;
	}
	return r;
}

static int pull_files(struct pulling *pulling, const struct named_list *list)
{
	int r = 0;

	pulling->single = pulling->single && list->n == 1;
	for (size_t i = 0; i < list->n && r == 0; i++) {
		pulling->text = list->files[i].name;
		pulling->is_name = true;
		r = go_on(pulling, pull_digest(pulling, &list->files[i].digest));
	}
	return r;
}

/* Why NAME stands for nothing: its catalog may be what is missing. */
static int say_no_name(struct operation *operation, const struct catalog_set *set, const char *name)
{
	_cleanup_free_ char *label = strndup(name, strcspn(name, "/"));
	json_t *list = catalogs_status(operation->fs->catalogs), *catalog;
	const char *problem = NULL;
	bool here, configured = false;
	size_t index;

	here = label && catalog_set_named(set, operation->caller.uid, label);
	json_array_foreach(list, index, catalog) {
		if (!label || strcmp(json_string_value(json_object_get(catalog, "name")), label) != 0)
			continue;
		configured = true;
		problem = json_string_value(json_object_get(catalog, "problem"));
	}
	if (here || !label)
		operation_fail(operation, -ENOENT, "%s: no catalog has such a name", name);
	else if (configured)
		operation_fail(operation, -ENOENT, "%s: catalog %s is not here%s%s (weightfs catalog list)", name, label,
			       problem ? ": " : " yet", problem ? problem : "");
	else
		operation_fail(operation, -ENOENT, "%s: no catalog is called %s, nor was anything imported as that", name,
			       label);
	json_decref(list);
	return -ENOENT;
}

/* A file, or all in a folder, as the caller's catalogs name them. */
static int pull_name(struct pulling *pulling, const char *name)
{
	struct operation *operation = pulling->operation;
	struct catalog_set *set = catalogs_get(operation->fs->catalogs);
	struct named_list list = { 0 };
	int r;

	r = naming_find(set, operation->caller.uid, name, &list);
	/* As `import` prints it. */
	if (r == -ENOENT && !strncmp(name, "name/", strlen("name/")))
		r = naming_find(set, operation->caller.uid, name + strlen("name/"), &list);
	if (r == 0) {
		r = pull_files(pulling, &list);
	} else {
		pulling->text = name;
		r = go_on(pulling, r == -ENOENT ? say_no_name(operation, set, name) :
						  operation_fail(operation, r, "%s: %s", name, strerror(-r)));
	}
	catalog_set_unref(set);
	named_list_clear(&list);
	return r;
}

static int pull_names(struct pulling *pulling, json_t *names)
{
	json_t *value;
	size_t index;
	int r = 0;

	json_array_foreach(names, index, value) {
		if (!json_is_string(value))
			return operation_fail(pulling->operation, -EINVAL, "a name is no string");
		r = pull_name(pulling, json_string_value(value));
		if (r != 0)
			break;
	}
	return r;
}

/*
 * "digests" and "names" are pinned if that is asked for; "imported" are names that are pinned if the caller may.
 */
static int pull_all(struct pulling *pulling)
{
	json_t *request = pulling->operation->request;
	json_t *digests = json_object_get(request, "digests"), *names = json_object_get(request, "names"),
	       *imported = json_object_get(request, "imported");
	size_t n = json_array_size(digests) + json_array_size(names) + json_array_size(imported);
	int r;

	if (n == 0)
		return operation_fail(pulling->operation, -EINVAL, "no object is named");
	pulling->single = n == 1;
	pulling->pin = json_is_true(json_object_get(request, "pin"));
	r = pull_digests(pulling, digests);
	if (r == 0)
		r = pull_names(pulling, names);
	pulling->pin = pulling->trusted;
	if (r == 0)
		r = pull_names(pulling, imported);
	if (r != 0 || pulling->failed == 0)
		return r;
	return operation_fail(pulling->operation, pulling->error, "%zu of %zu objects did not come",
			      pulling->failed, pulling->n);
}

int operation_pull(struct operation *operation)
{
	struct pulling pulling = { .operation = operation };
	uint32_t number;
	int r;

	r = operation_view(operation, &number);
	pulling.view = r == 0 ? view_get(operation->fs->views, number) : NULL;
	if (!pulling.view)
		return operation_fail(operation, r < 0 ? r : -EIO, "the caller has no view");
	pulling.trusted = operation->privileged;
	if (pulling.trusted)
		return pull_all(&pulling);
	if (json_is_true(json_object_get(operation->request, "pin")))
		return operation_fail(operation, -EPERM,
				      "pinning is only for root and the owner of the store");
	pulling.origin = policy_origin_of(operation->policy, &operation->caller, NULL);
	/* Web origins run no commands. */
	if (pulling.origin && policy_origin_is_web(pulling.origin))
		pulling.origin = NULL;
	return pull_all(&pulling);
}
