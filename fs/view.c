/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/view.h"

#include <pthread.h>
#include <stdio.h>
#include <uthash.h>
#include "fs/access.h"

struct entry {
	struct view view;
	UT_hash_handle by_number;
};

struct views {
	struct store *store;
	pthread_rwlock_t lock;
	struct entry *entries; /* protected by lock; entries themselves are constant */
};

int views_new(struct store *store, struct views **out)
{
	struct views *views = calloc(1, sizeof(*views));

	if (!views)
		return -ENOMEM;
	views->store = store;
	pthread_rwlock_init(&views->lock, NULL);
	*out = views;
	return 0;
}

void views_free(struct views *views)
{
	struct entry *entry, *next;

	if (!views)
		return;
	HASH_ITER(by_number, views->entries, entry, next) {
		HASH_DELETE(by_number, views->entries, entry);
		free(entry);
	}
	pthread_rwlock_destroy(&views->lock);
	free(views);
}

static const struct view *find(struct views *views, uint32_t number)
{
	struct entry *entry;

	pthread_rwlock_rdlock(&views->lock);
	HASH_FIND(by_number, views->entries, &number, sizeof(number), entry);
	pthread_rwlock_unlock(&views->lock);
	return entry ? &entry->view : NULL;
}

/* Two threads may come with the same view: the first entry stays. NULL: no memory. */
static const struct view *insert(struct views *views, uint32_t number, uid_t uid,
				 const char *origin)
{
	struct entry *made = calloc(1, sizeof(*made)), *entry;

	if (!made)
		return NULL;
	made->view.number = number;
	made->view.uid = uid;
	made->view.web = policy_origin_is_web(origin);
	snprintf(made->view.origin, sizeof(made->view.origin), "%s", origin);
	pthread_rwlock_wrlock(&views->lock);
	HASH_FIND(by_number, views->entries, &number, sizeof(number), entry);
	if (!entry) {
		HASH_ADD(by_number, views->entries, view.number, sizeof(number), made);
		entry = steal_pointer(made);
	}
	pthread_rwlock_unlock(&views->lock);
	free(made);
	return &entry->view;
}

int view_of(struct views *views, uid_t uid, const char *origin, const struct view **out)
{
	const struct view *view;
	uint32_t number;
	int r;

	r = store_view(views->store, uid, origin, &number);
	if (r < 0)
		return r;
	view = find(views, number);
	if (!view)
		view = insert(views, number, uid, origin);
	if (!view)
		return -ENOMEM;
	*out = view;
	return 0;
}

const struct view *view_get(struct views *views, uint32_t number)
{
	const struct view *view = find(views, number);
	_cleanup_free_ char *origin = NULL;
	uid_t uid;

	if (view)
		return view;
	if (store_view_get(views->store, number, &uid, &origin) < 0)
		return NULL;
	return insert(views, number, uid, origin);
}

struct policy_decision view_decide(struct weightfs *fs, const struct view *view,
				   const struct digest_pair *digests)
{
	struct policy *policy = policy_slot_get(fs->policy);
	struct policy_decision decision = policy_decide(policy, view->origin, digests);

	/* The line it names lives with a policy that may be gone in a moment. */
	decision.where = (struct policy_where){ 0 };
	policy_unref(policy);
	return decision;
}

int view_refusal(const struct policy_decision *decision)
{
	return decision->verdict == POLICY_ALLOW ? 0 : decision->verdict == POLICY_ASK ? -EACCES : -ENOENT;
}

bool view_owns(struct weightfs *fs, const struct view *view, const struct store_info *info)
{
	struct digest_name name = digest_pair_name(&info->digests);
	uint64_t id;

	return store_owns(fs->store, view->number, &name, &id) == 0 && id == info->id;
}

struct policy_probes view_probes(struct weightfs *fs, const struct view *view)
{
	struct policy *policy = policy_slot_get(fs->policy);
	struct policy_probes probes = policy_probes(policy, view->origin);

	policy_unref(policy);
	return probes;
}

uint64_t view_quota(struct weightfs *fs, const struct view *view)
{
	struct policy *policy = policy_slot_get(fs->policy);
	uint64_t quota = policy_quota(policy, view->origin);

	policy_unref(policy);
	return quota;
}
