/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bare records: nothing of the object is here but what was told of it, by a catalog, an import or a source, when somebody
 * looked it up. They take no room, so nothing else bounds how many there are, and whoever looks up invented names
 * makes one each time.
 *
 *	unused     at the end of its list when it is made, looked up, or closed
 *	used       found to be used by a view when it should have gone
 *
 * Of either so many stay, then those go that were looked up longest ago; of the used ones with the charges, as when an
 * object goes for its room. None that is open, and none that was made or looked up a moment ago: who does that is about
 * to open it. Whoever comes later is told that the node is stale, and looks it up again.
 *
 * In memory only (about 100 bytes each); after a start all are old, in the order of their ids. What is open or
 * pinned, or got a file, is not counted: it is again when it is closed without.
 */
#include "store/bare.h"

#include <utlist.h>
#include "common/clock.h"
#include "common/log.h"

#define GRACE_MS  2000 /* from a LOOKUP to its OPEN it is less, also on a busy machine */
#define USED_MORE 4    /* as many times more of those that views use */
#define BEFORE_ALL (INT64_MIN / 2)

enum list {
	UNUSED,
	USED,
	N_LISTS,
};

struct bare {
	uint64_t id;
	int64_t since; /* clock_ms(); BEFORE_ALL: it was here at the start */
	enum list list;
	struct bare *prev, *next;
	UT_hash_handle hh;
};

struct bares {
	size_t max[N_LISTS];
	int64_t grace_ms;
	struct bare *table, *oldest[N_LISTS]; /* protected by the store's lock, as all below */
	size_t n[N_LISTS];
};

int bares_new(const struct store_options *options, struct bares **out)
{
	struct bares *bares = calloc(1, sizeof(*bares));

	if (!bares)
		return -ENOMEM;
	bares->max[UNUSED] = options->bare_max ? options->bare_max : STORE_BARE_MAX;
	bares->max[USED] = USED_MORE * bares->max[UNUSED];
	bares->grace_ms = options->bare_ms ? options->bare_ms : GRACE_MS;
	*out = bares;
	return 0;
}

void bares_free(struct bares *bares)
{
	struct bare *bare, *next;

	if (!bares)
		return;
	HASH_ITER (hh, bares->table, bare, next) {
		HASH_DEL(bares->table, bare);
		free(bare);
	}
	free(bares);
}

/* ---- with the lock ---- */

static struct bare *find(struct bares *bares, uint64_t id)
{
	struct bare *bare;

	HASH_FIND(hh, bares->table, &id, sizeof(id), bare);
	return bare;
}

static void enlist(struct bares *bares, struct bare *bare, enum list list)
{
	bare->list = list;
	DL_APPEND(bares->oldest[list], bare);
	bares->n[list]++;
}

static void delist(struct bares *bares, struct bare *bare)
{
	DL_DELETE(bares->oldest[bare->list], bare);
	bares->n[bare->list]--;
}

static struct bare *make(struct bares *bares, uint64_t id, int64_t since)
{
	struct bare *bare = calloc(1, sizeof(*bare));

	if (!bare)
		return NULL;
	bare->id = id;
	bare->since = since;
	HASH_ADD(hh, bares->table, id, sizeof(bare->id), bare);
	enlist(bares, bare, UNUSED);
	return bare;
}

int bare_load(struct store *store, uint64_t id)
{
	return make(store->bares, id, BEFORE_ALL) ? 0 : -ENOMEM;
}

void bare_add(struct store *store, uint64_t id)
{
	struct bare *bare = find(store->bares, id);
	int64_t now = clock_ms();

	if (!bare) {
		bare = make(store->bares, id, now);
		return;
	}
	bare->since = now;
	delist(store->bares, bare);
	enlist(store->bares, bare, UNUSED);
}

void bare_touch(struct store *store, uint64_t id)
{
	struct bare *bare = find(store->bares, id);

	if (!bare)
		return;
	bare->since = clock_ms();
	delist(store->bares, bare);
	enlist(store->bares, bare, bare->list);
}

void bare_remove(struct store *store, uint64_t id)
{
	struct bare *bare = find(store->bares, id);

	if (!bare)
		return;
	delist(store->bares, bare);
	HASH_DEL(store->bares->table, bare);
	free(bare);
}

/* The oldest of LIST, if it is old enough. */
static struct bare *oldest(struct bares *bares, enum list list)
{
	struct bare *bare = bares->oldest[list];

	return bare && bare->since + bares->grace_ms <= clock_ms() ? bare : NULL;
}

/* Which list is too long, with one that may go; -1: none. */
static int too_long(struct bares *bares)
{
	for (int list = 0; list < N_LISTS; list++) {
		if (bares->n[list] > bares->max[list] && oldest(bares, list))
			return list;
	}
	return -1;
}

/* ---- without ---- */

void bare_released(struct store *store, uint64_t id)
{
	struct bare *bare;

	pthread_mutex_lock(&store->lock);
	bare = find(store->bares, id);
	if (bare && bare->list == USED) {
		delist(store->bares, bare);
		enlist(store->bares, bare, UNUSED);
	}
	pthread_mutex_unlock(&store->lock);
}

static int some(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	return 1;
}

/*
 * What there seldom is of such a record goes only if it is there: thousands of deleted ranges would make all reads slow.
 */
static int erase_all(struct store *store, struct db_batch *batch, const struct schema_key *prefix)
{
	int r = db_scan(store->db, prefix, prefix->len, some, NULL);

	if (r > 0)
		db_batch_delete_all(batch, prefix);
	return r < 0 ? r : 0;
}

/* Claimed: the object, which is bare. Not synced: should a crash bring it back, it goes another time. */
static int erase(struct store_object *object)
{
	struct schema_key chunks = schema_key_id(SCHEMA_PRESENCE, object->id);
	struct schema_key users = schema_key_id(SCHEMA_USER, object->id);
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct store *store = object->store;
	int r;

	record_erase_own(&batch, object->id, &object->record);
	r = erase_all(store, &batch, &chunks);
	if (r == 0)
		r = erase_all(store, &batch, &users);
	if (r < 0)
		return r;
	store_claim(store, &store->naming);
	r = db_write(store->db, &batch, false);
	if (r == 0) {
		pthread_mutex_lock(&store->lock);
		object->removed = true;
		pthread_mutex_unlock(&store->lock);
		accounts_forget(store, object->id);
	}
	store_unclaim(store, &store->naming);
	return r;
}

/* Claimed: the object, which nobody else has. Is it still as it was when it was CHOSEN? */
static bool may_go(struct store_object *object, const struct bare *chosen)
{
	struct store *store = object->store;
	struct bare *bare;
	bool may;

	/* Nobody begins to use it: it is claimed. */
	if (chosen->list == UNUSED && accounts_use(store, object->id))
		return false;
	pthread_mutex_lock(&store->lock);
	bare = find(store->bares, object->id);
	may = bare && bare->since == chosen->since && !object->removed && !object->record.file && !object->record.pinned;
	pthread_mutex_unlock(&store->lock);
	return may;
}

/* Claimed: evicting. True: it went. */
static bool forget(struct store *store, const struct bare *chosen)
{
	struct store_object *object;
	bool gone = false;
	int r;

	r = store_object_open(store, chosen->id, &object);
	if (r < 0) {
		/* It is gone, or cannot be read: that must not keep the others here. */
		pthread_mutex_lock(&store->lock);
		bare_remove(store, chosen->id);
		pthread_mutex_unlock(&store->lock);
		return false;
	}
	if (evict_claim(object)) {
		r = may_go(object, chosen) ? erase(object) : -EBUSY;
		gone = r == 0;
		if (r < 0 && r != -EBUSY)
			log_debug("%s: the record of %s stays", store->path, object_label(object).text);
		evict_unclaim(object);
	}
	store_object_close(object); /* if it is here it is the last one now */
	return gone;
}

/* One of LIST that may go, by value. What is open is not counted until it is closed. */
static bool choose(struct store *store, enum list list, struct bare *out)
{
	struct store_object *object;
	struct bare *bare;

	pthread_mutex_lock(&store->lock);
	while ((bare = oldest(store->bares, list))) {
		HASH_FIND(hh, store->objects, &bare->id, sizeof(bare->id), object);
		if (!object)
			break;
		bare_remove(store, bare->id);
	}
	if (bare)
		*out = *bare;
	pthread_mutex_unlock(&store->lock);
	return bare;
}

/* A view uses it: should that end before it is in its list, it goes as one of those. */
static void set_aside(struct store *store, const struct bare *chosen)
{
	struct bare *bare;

	pthread_mutex_lock(&store->lock);
	bare = find(store->bares, chosen->id);
	if (bare && bare->list == UNUSED && bare->since == chosen->since) {
		delist(store->bares, bare);
		enlist(store->bares, bare, USED);
	}
	pthread_mutex_unlock(&store->lock);
}

/* The oldest of LIST goes, or is set aside. -ENOENT: there is none; 1: it went. */
static int take_oldest(struct store *store, enum list list)
{
	struct bare chosen;
	int r = 0;

	store_claim(store, &store->evicting);
	if (!choose(store, list, &chosen))
		r = -ENOENT;
	else if (list == UNUSED && accounts_use(store, chosen.id))
		set_aside(store, &chosen);
	else
		r = forget(store, &chosen);
	store_unclaim(store, &store->evicting);
	return r;
}

bool bares_sweep(struct store *store, unsigned int n)
{
	int list;

	for (;; n--) {
		pthread_mutex_lock(&store->lock);
		list = too_long(store->bares);
		pthread_mutex_unlock(&store->lock);
		if (list < 0 || n == 0)
			return list >= 0;
		if (take_oldest(store, list) == -ENOENT)
			return false;
	}
}

uint64_t store_forget_bare(struct store *store)
{
	uint64_t gone = 0;
	size_t n;
	int r = 0;

	pthread_mutex_lock(&store->lock);
	n = store->bares->n[UNUSED];
	pthread_mutex_unlock(&store->lock);
	for (; n > 0 && r >= 0; n--) {
		r = take_oldest(store, UNUSED);
		gone += r > 0;
	}
	return gone;
}
