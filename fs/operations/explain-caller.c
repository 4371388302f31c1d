/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "fs/operations/explaining.h"

#define GROUPS_SHOWN 64

/* ---- who asks ---- */

/* "1, 2, 3" */
static void format_groups(const struct policy_caller *caller, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < caller->n_groups && i < GROUPS_SHOWN && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%u", i > 0 ? ", " : "",
					 caller->groups[i]);
	if (caller->n_groups > GROUPS_SHOWN && used < size)
		snprintf(out + used, size - used, ", ...");
}

static json_t *caller_value(const struct policy_caller *caller, pid_t pid)
{
	json_t *value = json_pack("{s:I, s:I}", "uid", (json_int_t)caller->uid, "gid",
				  (json_int_t)caller->gid);
	json_t *groups = json_array();

	for (size_t i = 0; i < caller->n_groups; i++)
		json_array_append_new(groups, json_integer(caller->groups[i]));
	json_object_set_new(value, "groups", groups);
	if (pid)
		json_object_set_new(value, "pid", json_integer(pid));
	return value;
}

static int say_caller(struct operation *operation, const struct policy_caller *caller, pid_t pid)
{
	char process[32] = "", groups[GROUPS_SHOWN * 12 + 8];
	int r;

	if (pid)
		snprintf(process, sizeof(process), "pid %d, ", (int)pid);
	format_groups(caller, groups, sizeof(groups));
	r = explain_say(operation, "caller", caller_value(caller, pid), "%suid %u, gid %u%s%s", process,
			caller->uid, caller->gid, groups[0] ? ", groups " : "", groups);
	if (r == 0 && !caller->identified)
		r = explain_say(operation, "caller", NULL, "cannot be identified, and matches no line");
	if (r != 0 || !policy_needs_cgroup(operation->policy))
		return r;
	return explain_say(operation, "cgroup",
			   json_pack("{s:s?, s:s?}", "cgroup", caller->cgroup, "unit", caller->unit),
			   "%s, unit %s", caller->cgroup ? caller->cgroup : "none that counts",
			   caller->unit ? caller->unit : "none");
}

/* The groups of the request, to be freed. */
static int take_groups(const json_t *list, gid_t **out)
{
	gid_t *groups = calloc(json_array_size(list) + 1, sizeof(*groups));
	const json_t *value;
	size_t i;

	if (!groups)
		return -ENOMEM;
	json_array_foreach(list, i, value)
		groups[i] = (gid_t)json_integer_value(value);
	*out = groups;
	return 0;
}

/* ---- as which origin ---- */

/* As it may look up views: its own uid's, of any origin; root those of all. */
static bool is_broker(const struct operation *operation, struct policy_where *where)
{
	return operation->caller.identified &&
	       (operation->caller.uid == 0 ||
		policy_is_broker(operation->policy, &operation->caller, where));
}

static int say_broker(struct operation *operation, const struct policy_caller *caller)
{
	struct policy_where where = { 0 };

	if (caller->identified && caller->uid == 0)
		return explain_say(operation, "broker", json_pack("{s:b}", "broker", 1), "yes, as root");
	if (!policy_is_broker(operation->policy, caller, &where))
		return explain_say(operation, "broker", json_pack("{s:b}", "broker", 0), "no");
	return explain_say(operation, "broker",
			   json_pack("{s:b, s:s, s:i}", "broker", 1, "file", where.file, "line",
				     (int)where.line),
			   "yes (%s:%u)", where.file, where.line);
}

static int say_origin(struct explaining *explaining, const char *asked)
{
	struct operation *operation = explaining->operation;
	struct policy_where where = { 0 };
	const char *own = policy_origin_of(operation->policy, &explaining->caller, &where);

	explaining->origin = own;
	if (!asked || (own && !strcmp(own, asked)))
		return explain_where(operation, "origin", own ? own : "none", &where);
	/* Whose view a path lies in, or who else is meant; others' views are the owner's to look into. */
	if (!operation->privileged && !is_broker(operation, NULL))
		return operation_fail(operation, -EPERM,
				      "%s: only for root, the owner of the store and brokers", asked);
	explaining->origin = asked;
	return explain_say(operation, "origin", json_pack("{s:s}", "origin", asked), "%s (its view)", asked);
}

/* What the view uses, without making one. -ENOMEM. */
static int find_account(const struct explaining *explaining, struct store_account *out)
{
	struct store *store = explaining->operation->store;
	_cleanup_free_ struct store_account *accounts = NULL;
	size_t n = 0;
	int r = store_accounts(store, &accounts, &n);

	*out = (struct store_account){ 0 };
	for (size_t i = 0; r == 0 && i < n; i++) {
		_cleanup_free_ char *origin = NULL;
		uid_t uid;

		if (store_view_get(store, accounts[i].view, &uid, &origin) == 0 &&
		    uid == explaining->caller.uid && !strcmp(origin, explaining->origin))
			*out = accounts[i];
	}
	return r;
}

int explain_caller(struct explaining *explaining)
{
	struct operation *operation = explaining->operation;
	const json_t *uid = json_object_get(operation->request, "uid");
	const json_t *gid = json_object_get(operation->request, "gid");
	const json_t *origin = json_object_get(operation->request, "origin");
	bool another = json_is_integer(uid) && json_integer_value(uid) != operation->caller.uid;
	_cleanup_free_ gid_t *groups = NULL;
	int r = 0;

	if (another && !operation->privileged)
		return operation_fail(operation, -EPERM,
				      "another user: only for root and the owner of the store");
	explaining->caller = operation->caller;
	if (another) {
		const json_t *list = json_object_get(operation->request, "groups");

		r = take_groups(list, &groups);
		explaining->caller = (struct policy_caller){
			.identified = true,
			.uid = (uid_t)json_integer_value(uid),
			.gid = (gid_t)json_integer_value(gid),
			.groups = groups,
			.n_groups = json_array_size(list),
		};
	}
	if (r == 0)
		r = say_caller(operation, &explaining->caller, another ? 0 : operation->pid);
	if (r == 0)
		r = say_origin(explaining, json_string_value(origin));
	if (r == 0)
		r = say_broker(operation, &explaining->caller);
	if (r == 0 && explaining->origin)
		r = find_account(explaining, &explaining->account);
	/* They live only here. */
	explaining->caller.groups = NULL;
	explaining->caller.n_groups = 0;
	return r;
}
