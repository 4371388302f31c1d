/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/view.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>
#include "common/log.h"
#include "fs/origins/access.h"
#include "fs/origins/grants.h"
#include "fs/session.h"

struct entry {
	struct view view;
	struct grants *grants;
	UT_hash_handle by_number;
};

struct views {
	struct store *store;
	pthread_rwlock_t lock;
	struct entry *entries; /* protected by lock; entries themselves are constant */
	uint64_t answered;     /* protected by lock: how often somebody did */
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

static void free_entry(struct entry *entry)
{
	if (!entry)
		return;
	grants_free(entry->grants);
	free(entry);
}

void views_free(struct views *views)
{
	struct entry *entry, *next;

	if (!views)
		return;
	HASH_ITER(by_number, views->entries, entry, next) {
		HASH_DELETE(by_number, views->entries, entry);
		free_entry(entry);
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

static int make(uint32_t number, uid_t uid, const char *origin, struct entry **out)
{
	struct entry *made = calloc(1, sizeof(*made));
	int r = made ? grants_new(&made->grants) : -ENOMEM;

	if (r < 0) {
		free(made);
		return r;
	}
	made->view.number = number;
	made->view.uid = uid;
	made->view.web = policy_origin_is_web(origin);
	snprintf(made->view.origin, sizeof(made->view.origin), "%s", origin);
	*out = made;
	return 0;
}

/*
 * MADE, or what another thread came with first. NULL: somebody answered since there were ANSWERED, so what MADE has may
 * be old.
 */
static struct entry *insert_made(struct views *views, struct entry *made, uint64_t answered)
{
	struct entry *entry;

	pthread_rwlock_wrlock(&views->lock);
	HASH_FIND(by_number, views->entries, &made->view.number, sizeof(made->view.number), entry);
	if (!entry && views->answered == answered) {
		HASH_ADD(by_number, views->entries, view.number, sizeof(made->view.number), made);
		entry = made;
	}
	pthread_rwlock_unlock(&views->lock);
	return entry;
}

static uint64_t count_answered(struct views *views)
{
	uint64_t answered;

	pthread_rwlock_rdlock(&views->lock);
	answered = views->answered;
	pthread_rwlock_unlock(&views->lock);
	return answered;
}

/* NULL: no memory. */
static const struct view *insert(struct views *views, uint32_t number, uid_t uid,
				 const char *origin)
{
	struct entry *made, *entry = NULL;

	if (make(number, uid, origin, &made) < 0)
		return NULL;
	if (made->view.web && store_view_apart(views->store, number) < 0) {
		free_entry(made);
		return NULL;
	}
	while (!entry) {
		uint64_t answered = count_answered(views);

		/* Where it cannot be read, nothing is granted. */
		if (grants_load(made->grants, views->store, uid, origin, grants_now()) < 0)
			log_warning("what uid %u answered for %s does not count", uid,
				    view_label(&made->view));
		entry = insert_made(views, made, answered);
	}
	if (entry != made)
		free_entry(made);
	return &entry->view;
}

int views_answered(struct views *views, uid_t uid, const char *origin)
{
	struct entry *entry, *next, *found = NULL;

	pthread_rwlock_wrlock(&views->lock);
	views->answered++;
	HASH_ITER(by_number, views->entries, entry, next) {
		if (entry->view.uid == uid && !strcmp(entry->view.origin, origin))
			found = entry;
	}
	pthread_rwlock_unlock(&views->lock);
	/* Entries stay; a view has one number. */
	return found ? grants_load(found->grants, views->store, uid, origin, grants_now()) : 0;
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

/* What is over leaves the disk: it shall not hold again, should the clock be set back before the next start. */
struct ending {
	struct work work;
	struct weightfs *fs;
	struct store_grant grant;
};

static void end(struct work *work)
{
	struct ending *ending = container_of(work, struct ending, work);

	if (store_grant_end(ending->fs->store, &ending->grant) < 0)
		log_warning("an answer of uid %u that is over stays on the disk", ending->grant.uid);
	session_forget_names(ending->fs);
	free(ending);
}

static void end_later(struct weightfs *fs, const struct view *view, const struct store_grant *expired)
{
	struct ending *ending = calloc(1, sizeof(*ending));

	if (!ending)
		return;
	ending->work.run = end;
	ending->fs = fs;
	ending->grant = *expired;
	ending->grant.uid = view->uid;
	snprintf(ending->grant.origin, sizeof(ending->grant.origin), "%s", view->origin);
	workqueue_submit(fs->records, &ending->work);
}

/* DECISION is to ask: what was answered? */
static void fold_in(struct weightfs *fs, const struct view *view, const struct policy *policy,
		    const struct digest_pair *digests, struct policy_decision *decision)
{
	const struct entry *entry = container_of(view, struct entry, view);
	struct grants_said said = grants_ask(entry->grants, policy, digests, grants_now());

	if (said.answer == GRANTS_YES) {
		decision->verdict = POLICY_ALLOW;
		decision->wait_ms = said.seconds * 1000;
	} else if (said.answer == GRANTS_NO) {
		decision->wait_ms = VIEW_REFUSED;
	}
	if (said.expired.until)
		end_later(fs, view, &said.expired);
}

struct policy_decision view_decide(struct weightfs *fs, const struct view *view,
				   const struct digest_pair *digests)
{
	struct policy *policy = policy_slot_get(fs->policy);
	struct policy_decision decision = policy_decide(policy, view->origin, digests);

	if (decision.verdict == POLICY_ASK)
		fold_in(fs, view, policy, digests, &decision);
	/* The line it names lives with a policy that may be gone in a moment. */
	decision.where = (struct policy_where){ 0 };
	policy_unref(policy);
	return decision;
}

int view_refusal(const struct policy_decision *decision)
{
	return decision->verdict == POLICY_ALLOW ? 0 : decision->verdict == POLICY_ASK ? -EACCES : -ENOENT;
}

static bool is_local(const char *origin)
{
	return !policy_origin_is_web(origin);
}

int view_own(struct store *store, const struct view *view, const struct digest_name *name, uint64_t *id)
{
	if (view->web)
		return store_owns(store, view->number, name, id);
	return store_user_owns(store, view->uid, is_local, name, id);
}

bool view_owns(struct weightfs *fs, const struct view *view, const struct store_info *info)
{
	const struct digest_pair *digests = &info->digests;
	const struct digest_name names[] = { { DIGEST_SHA256, digests->sha256 },
					     { DIGEST_FSVERITY, digests->fsverity } };
	const bool known[] = { digests->has_sha256, digests->has_fsverity };
	uint64_t id;

	/* By the name that it had when it was fetched; another may have become known since. */
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (known[i] && view_own(fs->store, view, &names[i], &id) == 0 && id == info->id)
			return true;
	}
	return false;
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
