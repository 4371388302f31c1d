/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who goes when there is no room: the object that was used longest ago, as a whole, its name only (whoever
 * still maps it keeps the bytes). Never one that is open, or pinned.
 *
 * Nobody waits for a victim: the one who evicts may hold the claim of an object of its own. An object that
 * somebody opens in between is left alone; who comes later waits for the outcome, so that what was opened does not
 * turn out to be gone.
 *
 * What a view released to keep to its quota, and no other view uses, goes in the same way.
 */
#include "store/internal.h"

#include <time.h>
#include <utlist.h>
#include "common/log.h"
#include "common/stats.h"

/* The oldest that may go. Claimed: evicting, so that it goes once. */
static int choose(struct store *store, uint64_t *id)
{
	struct resident *resident;
	int r = -ENOSPC;

	pthread_mutex_lock(&store->lock);
	DL_FOREACH (store->oldest, resident) {
		if (resident->open || resident->pinned)
			continue;
		*id = resident->id;
		r = 0;
		break;
	}
	pthread_mutex_unlock(&store->lock);
	return r;
}

bool evict_claim(struct store_object *object)
{
	struct store *store = object->store;
	bool alone;

	pthread_mutex_lock(&store->lock);
	alone = object->refs == 1;
	if (alone) {
		object->exclusives++;
		object->changing = true;
		object->leaving = true;
	}
	pthread_mutex_unlock(&store->lock);
	return alone;
}

/* Has it a file, and has nobody else opened or pinned it? Then it is claimed. */
static bool claim_unused(struct store_object *object)
{
	struct store *store = object->store;
	struct resident *resident;
	bool may_go;

	if (!evict_claim(object))
		return false;
	pthread_mutex_lock(&store->lock);
	resident = resident_find(store, object->id);
	may_go = resident && !resident->pinned;
	pthread_mutex_unlock(&store->lock);
	if (!may_go)
		evict_unclaim(object);
	return may_go;
}

void evict_unclaim(struct store_object *object)
{
	pthread_mutex_lock(&object->store->lock);
	object->leaving = false;
	pthread_mutex_unlock(&object->store->lock);
	object_unclaim(object);
}

static void report(const struct store_object *object, bool abandoned)
{
	stats_add(STAT_EVICTED, 1);
	stats_add(STAT_EVICTED_BYTES, (int64_t)object->record.size);
	log_info("%s: %s (%llu bytes) %s", object->store->path, object_label(object).text,
		 (unsigned long long)object->record.size,
		 abandoned ? "is not used any more" : "made room");
}

/* ABANDONED: only if no view uses it. -EAGAIN: it cannot be read. */
static int evict(struct store *store, uint64_t id, bool abandoned)
{
	struct store_object *object;
	int r;

	r = store_object_open(store, id, &object);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		/* One that cannot be read must not keep all others from going: it is the last now. */
		pthread_mutex_lock(&store->lock);
		resident_touch(store, id, (int64_t)time(NULL));
		pthread_mutex_unlock(&store->lock);
		return -EAGAIN;
	}
	if (claim_unused(object)) {
		if (!abandoned || !accounts_use(store, id)) /* and nobody begins to: it is claimed */
			r = object_erase(object);
		if (r == 0 && object->removed)
			report(object, abandoned);
		evict_unclaim(object);
	}
	store_object_close(object);
	return r;
}

int evict_oldest(struct store *store)
{
	struct store_usage usage;
	uint64_t id, tries;
	int r;

	store_usage(store, &usage);
	store_claim(store, &store->evicting);
	for (tries = 0, r = -EAGAIN; r == -EAGAIN && tries <= usage.objects; tries++) {
		r = choose(store, &id);
		if (r == 0)
			r = evict(store, id, false);
	}
	store_unclaim(store, &store->evicting);
	return r == -EAGAIN ? -ENOSPC : r;
}

int evict_unused(struct store *store, uint64_t id)
{
	int r;

	store_claim(store, &store->evicting);
	r = evict(store, id, true);
	store_unclaim(store, &store->evicting);
	return r;
}
