/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grant, deny, revoke: what a user answers for an origin of its own, durable before it is acknowledged, and obeyed by the
 * next open. grants: a list of that.
 */
#include <string.h>
#include <time.h>
#include "fs/origins/answers.h"
#include "fs/origins/grants.h"
#include "fs/origins/view.h"
#include "fs/session.h"

#define FOR_MAX ((json_int_t)100 * 365 * 24 * 3600)

/* A service is confined if it has its origin from where it runs: as a process of its user it would have another. */
static bool is_confined(const struct operation *operation, const char *origin)
{
	struct policy_caller user = operation->caller;
	const char *of_user;

	user.cgroup = user.unit = NULL;
	of_user = policy_origin_of(operation->policy, &user, NULL);
	return !of_user || strcmp(of_user, origin) != 0;
}

/* May the caller, who is who it is, speak for its user at all? */
static int check_speaks(struct operation *operation)
{
	const char *origin = policy_origin_of(operation->policy, &operation->caller, NULL);

	if (origin && policy_origin_is_web(origin))
		return operation_fail(operation, -EPERM, "%s is a web origin: it does not answer for its user",
				      origin);
	if (operation->privileged)
		return 0;
	if (!operation->caller.identified)
		return operation_fail(operation, -EPERM, "who you are cannot be found out");
	if (!origin)
		return operation_fail(operation, -EPERM,
				      "the policy gives you no origin: you do not answer for your user");
	if (is_confined(operation, origin))
		return operation_fail(operation, -EPERM,
				      "%s is the origin of a confined service: it does not answer for its user",
				      origin);
	return 0;
}

int answers_authorise(struct operation *operation, bool anybody, uid_t *uid)
{
	json_t *named = json_object_get(operation->request, "uid");
	json_int_t number = json_integer_value(named);
	int r;

	r = check_speaks(operation);
	if (r < 0)
		return r;
	if (!named) {
		*uid = anybody && operation->privileged ? ANSWERS_ANYBODY : operation->caller.uid;
		return 0;
	}
	if (!json_is_integer(named) || number < 0 || number >= (json_int_t)ANSWERS_ANYBODY)
		return operation_fail(operation, -EINVAL, "\"uid\" is no number of a user");
	if ((uid_t)number != operation->caller.uid && !operation->privileged)
		return operation_fail(operation, -EPERM,
				      "only root and the owner of the store answer for another user");
	*uid = (uid_t)number;
	return 0;
}

void answers_about(json_t *line, const struct store_about *about)
{
	char text[DIGEST_NAME_SIZE];

	if (*about->set) {
		json_object_set_new(line, "set", json_string(about->set));
		return;
	}
	digest_name_format(&about->digest, text);
	json_object_set_new(line, "digest", json_string(text));
}

/* ---- what the request says ---- */

static int take_origin(struct operation *operation, struct store_grant *grant)
{
	const char *text = json_string_value(json_object_get(operation->request, "origin"));
	char origin[POLICY_ORIGIN_SIZE];
	int r = text ? policy_origin_parse(text, origin) : -EINVAL;

	_Static_assert(sizeof(grant->origin) >= POLICY_ORIGIN_SIZE, "every origin fits");
	if (r < 0)
		return operation_fail(operation, r, "not an origin: %s", text ? text : "");
	strcpy(grant->origin, origin);
	return 0;
}

/* A digest or a set. KNOWN: the policy must have that set. */
static int take_about(struct operation *operation, bool known, struct store_about *about)
{
	const char *text = json_string_value(json_object_get(operation->request, "about"));

	if (text && digest_name_parse(text, &about->digest) == 0)
		return 0;
	if (!text || !*text || strlen(text) >= sizeof(about->set))
		return operation_fail(operation, -EINVAL, "not a digest, nor the name of a set: %s",
				      text ? text : "");
	if (known && !policy_has_set(operation->policy, text))
		return operation_fail(operation, -ENOENT,
				      "not a digest, and the policy has no set of that name: %s", text);
	strcpy(about->set, text);
	return 0;
}

static int take_time(struct operation *operation, struct store_grant *grant)
{
	json_t *span = json_object_get(operation->request, "for");

	grant->made = time(NULL);
	if (!span)
		return 0;
	if (!json_is_integer(span) || json_integer_value(span) < 1 || json_integer_value(span) > FOR_MAX)
		return operation_fail(operation, -EINVAL, "\"for\" is not a number of seconds");
	grant->until = grant->made + json_integer_value(span);
	return 0;
}

/* ---- answering ---- */

static json_t *grant_line(const struct store_grant *grant, const char *answer)
{
	json_t *line = json_pack("{s:I, s:s, s:s}", "uid", (json_int_t)grant->uid, "origin",
				 grant->origin, "answer", answer);

	if (line)
		answers_about(line, &grant->about);
	return line;
}

static json_t *dated_line(const struct store_grant *grant)
{
	json_t *line = grant_line(grant, grant->refused ? "deny" : "grant");

	json_object_set_new(line, "made", json_integer((json_int_t)grant->made));
	json_object_set_new(line, "until",
			    grant->until ? json_integer((json_int_t)grant->until) : json_null());
	return line;
}

/* The store has it: whoever asks next is told, and who waits. */
static int make_known(struct operation *operation, uid_t uid, const char *origin)
{
	struct weightfs *fs = operation->fs;
	int r;

	if (!fs)
		return 0;
	r = views_answered(fs->views, uid, origin);
	session_forget_names(fs);
	return r < 0 ? operation_fail(operation, r, "the answer is written down, but cannot be read again: %s",
				      strerror(-r)) : 0;
}

/* TAKEN: it is a no, which counts in memory whether or not the disk has it. */
static int fail_to_write(struct operation *operation, int error, const struct store_grant *grant, bool taken)
{
	if (taken && operation->fs && make_known(operation, grant->uid, grant->origin) == 0 && error != -E2BIG)
		return operation_fail(operation, error, "the answer cannot be written down: %s; it holds until the "
				      "daemon ends", strerror(-error));
	if (error == -E2BIG)
		return operation_fail(operation, error, "a user may have %d answers, and these are given: "
				      "revoke some", STORE_GRANTS_MAX);
	return operation_fail(operation, error, "the answer cannot be written down: %s", strerror(-error));
}

static int answer(struct operation *operation, bool refused)
{
	struct store_grant grant = {.refused = refused};
	int r;

	r = answers_authorise(operation, false, &grant.uid);
	if (r == 0)
		r = take_origin(operation, &grant);
	if (r == 0)
		r = take_about(operation, true, &grant.about);
	if (r == 0)
		r = take_time(operation, &grant);
	if (r < 0)
		return r;
	r = store_grant_put(operation->store, &grant);
	if (r < 0)
		return fail_to_write(operation, r, &grant, refused);
	r = make_known(operation, grant.uid, grant.origin);
	return r < 0 ? r : operation->emit(operation, dated_line(&grant));
}

int operation_grant(struct operation *operation)
{
	return answer(operation, false);
}

int operation_deny(struct operation *operation)
{
	return answer(operation, true);
}

int operation_revoke(struct operation *operation)
{
	bool all = !json_object_get(operation->request, "about");
	struct store_grant grant = {.uid = 0};
	size_t dropped;
	json_t *line;
	int r;

	r = answers_authorise(operation, false, &grant.uid);
	if (r == 0)
		r = take_origin(operation, &grant);
	if (r == 0 && !all)
		r = take_about(operation, false, &grant.about);
	if (r < 0)
		return r;
	r = store_grant_drop(operation->store, grant.uid, grant.origin, all ? NULL : &grant.about, &dropped);
	if (r < 0)
		return fail_to_write(operation, r, &grant, true);
	if (dropped == 0)
		return operation_fail(operation, -ENOENT, "%s: nothing of that was answered", grant.origin);
	r = make_known(operation, grant.uid, grant.origin);
	if (r < 0)
		return r;
	line = json_pack("{s:I, s:s, s:s, s:I}", "uid", (json_int_t)grant.uid, "origin", grant.origin,
			 "answer", "revoke", "revoked", (json_int_t)dropped);
	if (line && !all)
		answers_about(line, &grant.about);
	return operation->emit(operation, line);
}

/* ---- listing ---- */

static int list_user(struct operation *operation, uid_t uid)
{
	_cleanup_free_ struct store_grant *grants = NULL;
	int64_t now = time(NULL);
	size_t n;
	int r;

	r = store_grants(operation->store, uid, &grants, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (!grants_is_over(&grants[i], now))
			r = operation->emit(operation, dated_line(&grants[i]));
	}
	return r;
}

int operation_grants(struct operation *operation)
{
	_cleanup_free_ uid_t *uids = NULL;
	size_t n = 0;
	uid_t uid;
	int r;

	r = answers_authorise(operation, true, &uid);
	if (r < 0)
		return r;
	if (uid != ANSWERS_ANYBODY)
		return list_user(operation, uid);
	r = store_grant_users(operation->store, &uids, &n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = list_user(operation, uids[i]);
	return r;
}
