/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fits. The room of an object is its size in whole blocks, taken at once before its file is made and given
 * back when the object is removed.
 *
 * Files are sparse, so what the disk says is free has been promised in part to objects still being
 * filled: the difference of size and st_blocks is asked for when the next one wants to begin, which is
 * seldom.
 */
#include "store/internal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <utlist.h>
#include "common/log.h"
#include "store/bare.h"

static struct filling *filling_new(uint64_t id, const struct digest_name *name, uint64_t size)
{
	struct filling *filling = calloc(1, sizeof(*filling));

	if (filling)
		*filling = (struct filling){.id = id, .size = room_of(size), .name = *name};
	return filling;
}

static int add_filling(struct store *store, uint64_t id, const struct digest_name *name,
		       uint64_t size)
{
	struct filling *filling = filling_new(id, name, size);

	if (!filling)
		return -ENOMEM;
	pthread_mutex_lock(&store->lock);
	HASH_ADD(hh, store->filling, id, sizeof(filling->id), filling);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

static int count_record(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
			size_t len)
{
	struct account_loading *loading = arg;
	struct store *store = loading->store;
	struct resident *resident;
	struct record record;
	struct digest_name name;
	int r;

	if (key_len != 9 || schema_get_record(value, len, &record) < 0)
		return log_error_errno(-EIO, "%s: a record cannot be understood", store->path);
	r = accounts_know(loading, schema_get_u64(key + 1), &record);
	if (r == 0 && !record.file && !record.pinned)
		r = bare_load(store, schema_get_u64(key + 1));
	if (r < 0 || !record.file)
		return r;
	resident = calloc(1, sizeof(*resident));
	if (!resident)
		return -ENOMEM;
	resident->id = schema_get_u64(key + 1);
	resident->size = record.size;
	resident->pinned = record.pinned;
	resident->gated = record.gated;
	resident_add(store, resident);
	name = record_name(&record);
	return record.complete ? 0 : add_filling(store, resident->id, &name, record.size);
}

static int count_use(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
		     size_t len)
{
	struct store *store = arg;
	struct resident *resident = key_len == 9 ? resident_find(store, schema_get_u64(key + 1)) : NULL;

	if (resident && schema_get_time(value, len, &resident->last_use) < 0)
		return log_error_errno(-EIO, "%s: a time cannot be understood", store->path);
	return 0;
}

/* Bytes that objects being filled, and arrivals, will still want of the disk. Claimed: reserving. */
static uint64_t promised(struct store *store)
{
	uint64_t sum = 0;

	/* Nobody else takes one out or adds one while we have the claim, so the list may be walked.
	 */
	for (struct filling *filling = store->filling; filling; filling = filling->hh.next) {
		char path[STORE_FILE_PATH_SIZE];
		struct stat st;
		uint64_t there = 0;

		store_file_path(&filling->name, path);
		if (fstatat(store->objects_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
			there = (uint64_t)st.st_blocks * 512;
		if (there < filling->size)
			sum += filling->size - there;
	}
	for (struct arrival *arrival = store->arrivals; arrival; arrival = arrival->next) {
		struct stat st;

		if (fstat(arrival->fd, &st) == 0 && (uint64_t)st.st_blocks * 512 < arrival->room)
			sum += arrival->room - (uint64_t)st.st_blocks * 512;
	}
	return sum;
}

/* Bytes of the disk that nobody was promised, and how many were. Claimed: reserving. */
static int disk_free(struct store *store, uint64_t *free_bytes, uint64_t *promises)
{
	struct statvfs fs;
	uint64_t there;

	if (fstatvfs(store->objects_fd, &fs) < 0)
		return log_error_errno(-errno, "%s: free space cannot be told", store->path);
	there = (uint64_t)fs.f_bavail * fs.f_frsize;
	*promises = promised(store);
	*free_bytes = there > *promises ? there - *promises : 0;
	return 0;
}

/* Nobody else is here yet. */
static int load_all(struct store *store)
{
	struct schema_key objects = schema_key(SCHEMA_OBJECT), opened = schema_key(SCHEMA_OPENED);
	struct account_loading loading = {.store = store};
	int r;

	r = db_scan(store->db, &objects, objects.len, count_record, &loading);
	if (r == 0)
		r = db_scan(store->db, &opened, opened.len, count_use, store);
	residents_sort(store);
	if (r == 0)
		r = accounts_load(&loading);
	if (r == 0)
		r = own_load(store);
	free(loading.known);
	return r;
}

int room_load(struct store *store, const struct store_options *options)
{
	uint64_t free_bytes, promises;
	int r;

	r = load_all(store);
	if (r < 0)
		return r;
	store->limit = options->size;
	/* It may have been more the last time. */
	if (options->size && !options->keep_all && store_shrink(store, options->size) < 0)
		log_warning("%s: what is pinned takes more than the store's size", store->path);
	if (options->size)
		return 0;
	/*
	 * Half of what would be free if the store were empty, so that restarts do not let it creep
	 * over the whole disk.
	 */
	r = disk_free(store, &free_bytes, &promises);
	if (r < 0)
		return r;
	store->limit = (free_bytes + store->taken) / 2;
	return 0;
}

/*
 * Do SIZE bytes fit, or would they, if ALL_GONE, without all that may go? ARRIVAL: they are written, and have had room.
 * Claimed: reserving.
 */
static int fits(struct store *store, uint64_t size, const struct arrival *arrival, bool all_gone)
{
	uint64_t free_bytes, promises, used, gone;
	int r;

	pthread_mutex_lock(&store->lock);
	gone = all_gone ? store->taken - store->held : 0;
	used = store->taken - gone + store->incoming - (arrival ? arrival->room : 0);
	pthread_mutex_unlock(&store->lock);
	if (used > store->limit || size > store->limit - used)
		return -ENOSPC;
	r = disk_free(store, &free_bytes, &promises);
	if (r < 0)
		return r;
	free_bytes += gone;
	if (free_bytes < store->keep_free)
		return -ENOSPC;
	return arrival || size <= free_bytes - store->keep_free ? 0 : -ENOSPC;
}

/*
 * TAKE the room for SIZE bytes, of which the claim keeps others off; objects go until it fits. Nothing goes for
 * what would not fit even then.
 */
static int take_room(struct store *store, uint64_t size, const struct arrival *arrival,
		     void (*take)(struct store *store, void *arg), void *arg)
{
	int r;

	do {
		store_claim(store, &store->reserving);
		r = fits(store, size, arrival, false);
		if (r == 0) {
			pthread_mutex_lock(&store->lock);
			take(store, arg);
			pthread_mutex_unlock(&store->lock);
		} else if (r == -ENOSPC && fits(store, size, arrival, true) == 0) {
			r = -EAGAIN;
		}
		store_unclaim(store, &store->reserving);
		if (r == -EAGAIN && evict_oldest(store) < 0)
			r = -ENOSPC;
	} while (r == -EAGAIN);
	return r;
}

/* Locked, claimed: reserving. */
static void hand_on(struct store *store, struct arrival *arrival)
{
	if (!arrival->room)
		return;
	DL_DELETE(store->arrivals, arrival);
	store->incoming -= arrival->room;
	arrival->room = 0;
}

struct expected {
	struct arrival *arrival;
	uint64_t room;
};

static void expect(struct store *store, void *arg)
{
	const struct expected *expected = arg;

	if (!expected->room)
		return;
	expected->arrival->room = expected->room;
	store->incoming += expected->room;
	DL_APPEND(store->arrivals, expected->arrival);
}

int room_expect(struct store *store, struct arrival *arrival, uint64_t size)
{
	struct expected expected = {arrival, room_of(size)};

	return take_room(store, expected.room, NULL, expect, &expected);
}

void room_unexpect(struct store *store, struct arrival *arrival)
{
	store_claim(store, &store->reserving);
	pthread_mutex_lock(&store->lock);
	hand_on(store, arrival);
	pthread_mutex_unlock(&store->lock);
	store_unclaim(store, &store->reserving);
}

struct newcomer {
	struct resident *resident;
	struct filling *filling;
	struct arrival *arrival;
};

static void take_in(struct store *store, void *arg)
{
	struct newcomer *newcomer = arg;

	resident_add(store, steal_pointer(newcomer->resident));
	HASH_ADD(hh, store->filling, id, sizeof(newcomer->filling->id), newcomer->filling);
	newcomer->filling = NULL;
	if (newcomer->arrival)
		hand_on(store, newcomer->arrival);
}

int room_reserve(struct store_object *object, uint64_t size, struct arrival *arrival)
{
	struct newcomer newcomer = {
		.resident = calloc(1, sizeof(*newcomer.resident)),
		.filling = filling_new(object->id, &object->name, size),
		.arrival = arrival,
	};
	int r = -ENOMEM;

	if (newcomer.resident && newcomer.filling) {
		newcomer.resident->id = object->id;
		newcomer.resident->size = size;
		newcomer.resident->pinned = object->record.pinned;
		newcomer.resident->gated = object->record.gated;
		newcomer.resident->last_use = (int64_t)time(NULL);
		newcomer.resident->open = true;
		r = take_room(object->store, room_of(size), arrival, take_in, &newcomer);
	}
	free(newcomer.resident);
	free(newcomer.filling);
	return r;
}

struct change {
	uint64_t id, to;
};

static void resize(struct store *store, void *arg)
{
	const struct change *change = arg;
	struct resident *resident = resident_find(store, change->id);
	struct filling *filling;

	if (resident)
		resident_set(store, resident, change->to, resident->open, resident->pinned);
	HASH_FIND(hh, store->filling, &change->id, sizeof(change->id), filling);
	if (filling)
		filling->size = room_of(change->to);
}

int room_resize(struct store *store, uint64_t id, uint64_t from, uint64_t to)
{
	struct change change = {id, to};

	if (room_of(to) > room_of(from))
		return take_room(store, room_of(to) - room_of(from), NULL, resize, &change);
	store_claim(store, &store->reserving);
	pthread_mutex_lock(&store->lock);
	resize(store, &change);
	pthread_mutex_unlock(&store->lock);
	store_unclaim(store, &store->reserving);
	return 0;
}

void room_settle(struct store *store, uint64_t id)
{
	struct filling *filling;

	store_claim(store, &store->reserving);
	pthread_mutex_lock(&store->lock);
	HASH_FIND(hh, store->filling, &id, sizeof(id), filling);
	if (filling)
		HASH_DEL(store->filling, filling);
	pthread_mutex_unlock(&store->lock);
	store_unclaim(store, &store->reserving);
	free(filling);
}

void room_unsettle(struct store *store, uint64_t id, const struct digest_name *name, uint64_t size)
{
	store_claim(store, &store->reserving);
	if (add_filling(store, id, name, size) < 0)
		log_warning("%s: no memory to count what is to be written", store->path);
	store_unclaim(store, &store->reserving);
}

void room_release(struct store *store, uint64_t id)
{
	struct resident *resident;

	room_settle(store, id);
	pthread_mutex_lock(&store->lock);
	resident = resident_remove(store, id);
	pthread_mutex_unlock(&store->lock);
	free(resident);
}

int store_shrink(struct store *store, uint64_t bytes)
{
	uint64_t taken;
	int r = 0;

	for (;;) {
		pthread_mutex_lock(&store->lock);
		taken = store->taken;
		pthread_mutex_unlock(&store->lock);
		if (r < 0 || taken <= bytes)
			return r;
		r = evict_oldest(store);
	}
}

void store_usage(struct store *store, struct store_usage *out)
{
	pthread_mutex_lock(&store->lock);
	*out = (struct store_usage){store->used, store->limit, HASH_COUNT(store->residents),
				    HASH_COUNT(store->residents) - HASH_COUNT(store->filling),
				    store->pinned, store->gated, store->gated_objects};
	pthread_mutex_unlock(&store->lock);
}
