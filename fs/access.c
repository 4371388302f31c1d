/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/access.h"

#include <pthread.h>
#include <string.h>
#include "common/log.h"
#include "common/stats.h"
#include "fs/caller.h"

static const char BUILTIN[] = "caller any is local\n"
			      "allow local to any with list\n";

struct policy_slot {
	char *file; /* NULL: built-in */
	pthread_mutex_t lock;
	struct policy *current; /* protected by lock */
	uint64_t begun, loaded; /* protected by lock: reloads: the last one, and the one in force */
};

/* REASON is set on an error only. */
static int load(const char *file, struct policy **out, char reason[ACCESS_REASON_SIZE])
{
	struct policy_error error;
	int r;

	if (file)
		r = policy_load(file, NULL, out, &error);
	else
		r = policy_parse("built-in policy", BUILTIN, sizeof(BUILTIN) - 1, NULL, out,
				 &error);
	if (r < 0) {
		policy_error_format(&error, reason, ACCESS_REASON_SIZE);
		log_error("%s", reason);
	}
	return r;
}

int policy_load_or_builtin(const char *file, struct policy **out)
{
	char reason[ACCESS_REASON_SIZE];

	return load(file, out, reason);
}

int policy_slot_new(const char *file, struct policy_slot **out)
{
	struct policy_slot *slot = calloc(1, sizeof(*slot));
	int r;

	if (!slot)
		return -ENOMEM;
	pthread_mutex_init(&slot->lock, NULL);
	if (file) {
		/* Absolute: a daemon changes to the root directory, and SIGHUP reads it again. */
		slot->file = realpath(file, NULL);
		if (!slot->file) {
			r = log_error_errno(-errno, "%s", file);
			policy_slot_free(slot);
			return r;
		}
	}
	r = policy_load_or_builtin(slot->file, &slot->current);
	if (r < 0) {
		policy_slot_free(slot);
		return r;
	}
	*out = slot;
	return 0;
}

void policy_slot_free(struct policy_slot *slot)
{
	if (!slot)
		return;
	policy_unref(slot->current);
	pthread_mutex_destroy(&slot->lock);
	free(slot->file);
	free(slot);
}

struct policy *policy_slot_get(struct policy_slot *slot)
{
	struct policy *policy;

	pthread_mutex_lock(&slot->lock);
	policy = policy_ref(slot->current);
	pthread_mutex_unlock(&slot->lock);
	return policy;
}

int policy_slot_reload(struct policy_slot *slot, char reason[ACCESS_REASON_SIZE])
{
	char unread[ACCESS_REASON_SIZE];
	struct policy *loaded, *old;
	uint64_t number;
	int r;

	pthread_mutex_lock(&slot->lock);
	number = ++slot->begun;
	pthread_mutex_unlock(&slot->lock);
	r = load(slot->file, &loaded, reason ? reason : unread);
	stats_add(r < 0 ? STAT_RELOADS_FAILED : STAT_RELOADS, 1);
	if (r < 0) {
		log_error("the old policy stays in force");
		return r;
	}
	pthread_mutex_lock(&slot->lock);
	old = loaded;
	/* One that began later, and so read what is newer, may have overtaken this one. */
	if (number > slot->loaded) {
		old = slot->current;
		slot->current = loaded;
		slot->loaded = number;
	}
	pthread_mutex_unlock(&slot->lock);
	policy_unref(old);
	log_info("policy %s loaded", slot->file ? slot->file : "(built-in)");
	return 0;
}

const char *policy_slot_file(const struct policy_slot *slot)
{
	return slot->file;
}

const char *access_origin(const struct policy *policy, fuse_req_t request)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct caller caller;

	caller_of_request(fs->callers, policy, request, &caller);
	return policy_origin_of(policy, &caller.who, NULL);
}

/* May WHO look up views of UID, of whatever origin? Root, too, has to be known. */
static bool is_broker(const struct policy *policy, const struct policy_caller *who, uid_t uid)
{
	if (!who->identified)
		return false;
	return who->uid == 0 || (who->uid == uid && policy_is_broker(policy, who, NULL));
}

bool access_finds_view(const struct policy *policy, fuse_req_t request, uid_t uid,
		       const char *origin)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct caller caller;
	const char *own;

	caller_of_request(fs->callers, policy, request, &caller);
	if (is_broker(policy, &caller.who, uid))
		return true;
	own = caller.who.uid == uid ? policy_origin_of(policy, &caller.who, NULL) : NULL;
	return own && !strcmp(own, origin);
}
