/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fits. The room of an object is its size, taken whole before its file is made and given
 * back when the object is removed.
 *
 *	used = sum of the sizes of the records that have a file
 *
 * `used` is not kept on disk: it is summed over the records at open (100,000 of them take about 0.1
 * s), so no crash can make it wrong. Files are sparse, so what the disk says is free has been
 * promised in part to objects still being filled: the difference of size and st_blocks is asked for
 * when the next one wants to begin, which is seldom.
 */
#include "store/internal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "common/log.h"

static int add_filling(struct store *store, uint64_t id, const struct digest_name *name,
		       uint64_t size)
{
	struct filling *filling = calloc(1, sizeof(*filling));

	if (!filling)
		return -ENOMEM;
	filling->id = id;
	filling->size = size;
	filling->name = *name;
	pthread_mutex_lock(&store->lock);
	HASH_ADD(hh, store->filling, id, sizeof(filling->id), filling);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

static int count_record(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
			size_t len)
{
	struct store *store = arg;
	struct record record;
	struct digest_name name;
	int r;

	if (key_len != 9 || schema_get_record(value, len, &record) < 0)
		return log_error_errno(-EIO, "%s: a record cannot be understood", store->path);
	if (!record.file)
		return 0;
	store->used += record.size;
	store->count++;
	name = record_name(&record);
	if (record.complete)
		return 0;
	r = add_filling(store, schema_get_u64(key + 1), &name, record.size);
	return r;
}

/* Bytes that objects being filled will still want of the disk. Claimed: reserving. */
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

int room_load(struct store *store, uint64_t size_option)
{
	struct schema_key objects = schema_key(SCHEMA_OBJECT);
	uint64_t free_bytes, promises;
	int r;

	r = db_scan(store->db, &objects, objects.len, count_record, store);
	if (r < 0)
		return r;
	store->limit = size_option;
	if (size_option)
		return 0;
	/*
	 * Half of what would be free if the store were empty, so that restarts do not let it creep
	 * over the whole disk.
	 */
	r = disk_free(store, &free_bytes, &promises);
	if (r < 0)
		return r;
	store->limit = (free_bytes + store->used) / 2;
	return 0;
}

/* Claimed: reserving. */
static int fits(struct store *store, uint64_t size, bool written)
{
	uint64_t free_bytes, promises;
	bool within;
	int r;

	pthread_mutex_lock(&store->lock);
	within = store->used <= store->limit && size <= store->limit - store->used;
	pthread_mutex_unlock(&store->lock);
	if (!within)
		return -ENOSPC;
	r = disk_free(store, &free_bytes, &promises);
	if (r < 0)
		return r;
	if (free_bytes < store->keep_free)
		return -ENOSPC;
	return written || size <= free_bytes - store->keep_free ? 0 : -ENOSPC;
}

int room_check(struct store *store, uint64_t size, bool written)
{
	int r;

	store_claim(store, &store->reserving);
	r = fits(store, size, written);
	store_unclaim(store, &store->reserving);
	return r;
}

static int reserve(struct store *store, uint64_t id, const struct digest_name *name, uint64_t size,
		   bool written)
{
	int r = fits(store, size, written);

	if (r < 0)
		return r;
	r = add_filling(store, id, name, size);
	if (r < 0)
		return r;
	pthread_mutex_lock(&store->lock);
	store->used += size;
	store->count++;
	pthread_mutex_unlock(&store->lock);
	return 0;
}

int room_reserve(struct store *store, uint64_t id, const struct digest_name *name, uint64_t size,
		 bool written)
{
	int r;

	store_claim(store, &store->reserving);
	r = reserve(store, id, name, size, written);
	store_unclaim(store, &store->reserving);
	return r;
}

int room_resize(struct store *store, uint64_t id, uint64_t from, uint64_t to)
{
	struct filling *filling;
	int r = 0;

	store_claim(store, &store->reserving);
	if (to > from)
		r = fits(store, to - from, false);
	if (r == 0) {
		pthread_mutex_lock(&store->lock);
		store->used += to - from;
		HASH_FIND(hh, store->filling, &id, sizeof(id), filling);
		if (filling)
			filling->size = to;
		pthread_mutex_unlock(&store->lock);
	}
	store_unclaim(store, &store->reserving);
	return r;
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

void room_release(struct store *store, uint64_t id, uint64_t size)
{
	room_settle(store, id);
	pthread_mutex_lock(&store->lock);
	store->used -= size;
	store->count--;
	pthread_mutex_unlock(&store->lock);
}

void store_usage(struct store *store, struct store_usage *out)
{
	pthread_mutex_lock(&store->lock);
	*out = (struct store_usage){store->used, store->limit, store->count};
	pthread_mutex_unlock(&store->lock);
}
