/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/names/visible.h"

#include <pthread.h>
#include <string.h>
#include <uthash.h>
#include "fs/origins/policy-slot.h"

/* Objects that are looked at by those who must not wait: some microseconds each. */
#define AT_ONCE 64
/* Who looked at more than this remembers what came of it. */
#define DEAR	 32
#define KEPT_MAX 65536

bool visible_any(struct weightfs *fs, const struct view *view)
{
	struct policy *policy = policy_slot_get(fs->policy);
	bool any = policy_opens(policy, view->origin);

	policy_unref(policy);
	return any;
}

/* ---- objects ---- */

static bool is_denied(const struct policy_decision *decision)
{
	return decision->verdict == POLICY_DENY;
}

bool visible_object(struct weightfs *fs, const struct view *view, const struct catalog_set *set,
		    const struct catalog *catalog, const struct verify_object *object,
		    struct visible *out, struct visible *why)
{
	const struct digest_pair *digests = &object->digests;
	struct visible found = { .name = digest_pair_name(digests) };
	struct digest_pair pair = digest_pair_of(&found.name);

	found.decision = view_decide(fs, view, &pair);
	/* A policy may name it by its other digest, and it is found by that in hash/, too. */
	if (is_denied(&found.decision) && digests->has_sha256 && digests->has_fsverity) {
		found.name = (struct digest_name){ DIGEST_FSVERITY, digests->fsverity };
		pair = digest_pair_of(&found.name);
		found.decision = view_decide(fs, view, &pair);
	}
	/* What is denied by either is. */
	if (!is_denied(&found.decision) && digests->has_sha256 && digests->has_fsverity) {
		struct policy_decision decision = view_decide(fs, view, digests);

		if (is_denied(&decision))
			found.decision = decision;
	}
	if (why)
		*why = found;
	if (is_denied(&found.decision) || catalog_set_contradicts(set, catalog, object))
		return false;
	*out = found;
	return true;
}

/* ---- what is remembered ---- */

/* Names are known by their place: as long as their set is there, the address of a catalog is as good as its name. */
struct verdict_key {
	const struct catalog *catalog;
	struct verify_span names;
	uint32_t view, listed;
};

struct verdict {
	struct verdict_key key;
	bool visible;
	UT_hash_handle hh;
};

/* What it holds for. */
struct stamp {
	uint64_t changes, generation;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* protected by lock: of STAMP */
static struct verdict *verdicts;
static struct stamp stamp;

/* With the lock held. */
static void forget_all(void)
{
	struct verdict *verdict, *next;

	HASH_ITER(hh, verdicts, verdict, next) {
		HASH_DELETE(hh, verdicts, verdict);
		free(verdict);
	}
}

static bool same(const struct stamp *a, const struct stamp *b)
{
	return a->changes == b->changes && a->generation == b->generation;
}

static bool remembered(const struct stamp *of, const struct verdict_key *key, bool *visible)
{
	struct verdict *verdict = NULL;

	pthread_mutex_lock(&lock);
	if (same(of, &stamp))
		HASH_FIND(hh, verdicts, key, sizeof(*key), verdict);
	if (verdict)
		*visible = verdict->visible;
	pthread_mutex_unlock(&lock);
	return verdict;
}

static void remember(const struct stamp *of, const struct verdict_key *key, bool visible)
{
	struct verdict *made = calloc(1, sizeof(*made)), *there;

	if (!made)
		return;
	made->visible = visible;
	made->key = *key;
	pthread_mutex_lock(&lock);
	if (of->changes > stamp.changes || of->generation > stamp.generation ||
	    HASH_COUNT(verdicts) >= KEPT_MAX) {
		forget_all();
		stamp = *of;
	}
	HASH_FIND(hh, verdicts, key, sizeof(*key), there);
	if (same(of, &stamp) && !there)
		HASH_ADD(hh, verdicts, key, sizeof(made->key), made);
	else
		free(made);
	pthread_mutex_unlock(&lock);
}

void visible_free(void)
{
	pthread_mutex_lock(&lock);
	forget_all();
	stamp = (struct stamp){ 0 };
	pthread_mutex_unlock(&lock);
}

/* ---- folders ---- */

struct walk {
	struct weightfs *fs;
	const struct view *view;
	const struct catalog_set *set;
	const struct catalog *catalog;
	unsigned int mode;
	size_t looked_at;
};

static int look(void *arg, const char *name, const struct verify_object *object)
{
	struct walk *walk = arg;
	struct visible visible;

	if (walk->looked_at++ >= AT_ONCE && !(walk->mode & VISIBLE_PATIENT))
		return -EAGAIN;
	if (atomic_load_explicit(&walk->fs->stopping, memory_order_relaxed))
		return -EAGAIN;
	if (!visible_object(walk->fs, walk->view, walk->set, walk->catalog, object, &visible, NULL))
		return 0;
	return !(walk->mode & VISIBLE_LISTED) ||
	       (visible.decision.list && view_refusal(&visible.decision) == 0);
}

int visible_names(struct weightfs *fs, const struct view *view, const struct catalog_set *set,
		  const struct catalog *catalog, const struct verify_span *names, unsigned int mode)
{
	struct walk walk = { fs, view, set, catalog, mode, 0 };
	struct stamp now = { atomic_load(&fs->changes), catalog_set_generation(set) };
	struct verdict_key key = { catalog, *names, view->number, mode & VISIBLE_LISTED };
	bool visible;
	int r;

	/* What is quickly looked at is not remembered. */
	if (names->n > DEAR && remembered(&now, &key, &visible))
		return visible;
	r = verify_catalog_each(catalog->entries, names, look, &walk);
	if (r >= 0 && walk.looked_at > DEAR)
		remember(&now, &key, r);
	return r;
}

int visible_folders(struct weightfs *fs, const struct view *view, const struct catalog_set *set,
		    const struct folders *folders, unsigned int mode)
{
	int r = folders->kind == FOLDERS_CATALOGS || folders->kind == FOLDERS_REPOS;

	for (size_t i = 0; i < folders->n && r == 0; i++)
		r = visible_names(fs, view, set, folders->at[i].catalog, &folders->at[i].names, mode);
	return r;
}
