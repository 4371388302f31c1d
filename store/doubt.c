/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects whose records were lost, or are not to be believed.
 *
 *	doubtful ──settle──► complete       doubtful ──suspect──► partial, all hints       ──discard──► gone
 *
 * While an object is doubtful none of its chunks is present. Its front may have been lost for good; then a source has
 * to give it again before anybody can check a hint.
 */
#include "store/internal.h"

#include <sys/stat.h>
#include "common/log.h"

void store_doubts(const struct store *store, struct store_doubts *out)
{
	*out = store->doubts;
}

/* With the exclusive claim: RECORD, and what else is in BATCH. */
static int put_record(struct store_object *object, struct db_batch *batch,
		      const struct record *record)
{
	int r;

	record_put(batch, object->id, record);
	r = db_write(object->store->db, batch, false);
	if (r == 0)
		object_set_record(object, record);
	return r;
}

static int settle(struct store_object *object, const struct digest_pair *digests, const void *front,
		  size_t len)
{
	struct record record = object->record;
	int fd = atomic_load(&object->fd);
	struct stat st;
	int r;

	if (record.complete)
		return 0;
	r = record_merge(&record.digests, digests);
	if (r < 0 || !record.digests.has_fsverity || fd < 0 || fstat(fd, &st) < 0 ||
	    (uint64_t)st.st_size != record.size)
		return -EINVAL;
	r = object_sync(object);
	if (r < 0)
		return r;
	record_set_complete(&record);
	record.told &= !digests->has_sha256;
	map_fill(atomic_load(&object->map), STORE_PRESENT);
	return object_commit(object, &record, front, len);
}

int store_object_settle(struct store_object *object, const struct digest_pair *digests,
			const void *front, size_t len)
{
	int r;

	object_claim(object);
	r = settle(object, digests, front, len);
	object_unclaim(object);
	return r;
}

/* Every chunk that begins in, or is touched by, the data between BEGIN and END. */
static void hint(struct store_object *object, struct db_batch *batch, uint64_t begin, uint64_t end)
{
	static const uint8_t no_boot[STORE_BOOT_ID_SIZE];
	struct map *map = atomic_load(&object->map);

	for (uint64_t chunk = begin / CHUNK_SIZE; chunk * CHUNK_SIZE < end; chunk++) {
		struct schema_key key = schema_key_id(SCHEMA_PRESENCE, object->id);

		if (chunk >= map->chunks || map_get(map, chunk) == STORE_HINT)
			continue;
		schema_key_u64(&key, chunk);
		db_batch_put(batch, &key, no_boot, sizeof(no_boot));
		map_set(map, chunk, STORE_HINT);
	}
}

/* Where a filesystem cannot tell holes, all is data. */
static int hint_data(struct store_object *object, struct db_batch *batch)
{
	int fd = atomic_load(&object->fd);
	off_t begin, end = 0;

	for (;;) {
		begin = lseek(fd, end, SEEK_DATA);
		if (begin < 0)
			return errno == ENXIO ? 0 : -errno;
		end = lseek(fd, begin, SEEK_HOLE);
		if (end < 0)
			return -errno;
		hint(object, batch, (uint64_t)begin, (uint64_t)end);
	}
}

static int suspect(struct store_object *object)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key chunks = schema_key_id(SCHEMA_PRESENCE, object->id);
	struct record record = object->record;
	int r;

	if (record.complete || !record.digests.has_fsverity || atomic_load(&object->fd) < 0)
		return -EINVAL;
	map_fill(atomic_load(&object->map), STORE_ABSENT);
	db_batch_delete_all(&batch, &chunks);
	r = hint_data(object, &batch);
	if (r < 0)
		return log_error_errno(r, "%s: what is in the file of %s cannot be told",
				       object->store->path, object_label(object).text);
	record.doubtful = false;
	return put_record(object, &batch, &record);
}

int store_object_suspect(struct store_object *object)
{
	int r;

	object_claim(object);
	r = suspect(object);
	object_unclaim(object);
	return r;
}

/* It stays, with nothing in it. */
static int empty(struct store_object *object)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct record record = object->record;
	int fd = atomic_load(&object->fd);

	if (fd >= 0 && (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)record.size) < 0))
		return -errno;
	record.doubtful = false;
	return put_record(object, &batch, &record);
}

int store_discard(struct store *store, uint64_t id)
{
	struct store_object *object;
	int r;

	r = store_object_open(store, id, &object);
	if (r < 0)
		return r;
	object_claim(object);
	if (object->record.complete)
		r = -EINVAL;
	else
		r = object->record.pinned ? empty(object) : object_erase(object);
	object_unclaim(object);
	store_object_close(object);
	return r;
}

/* ---- its front comes back ---- */

static int refill(struct store_object *object, uint64_t size, const void *front, size_t len)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct record record;
	int r = 0;

	if (object->removed || !object->record.lacks_front)
		return 0;
	/* Of a file alone the size is not certain; that of the front is. */
	if (object->record.size != size)
		r = object_resize(object, size);
	if (r < 0)
		return r;
	record = object->record;
	record.lacks_front = len == 0 && size > CHUNK_SIZE;
	if (len)
		front_put(&batch, object->id, front, len);
	return put_record(object, &batch, &record);
}

int doubt_refill(struct store *store, uint64_t size, const void *front, size_t len,
		 struct store_info *info)
{
	struct store_object *object;
	int r;

	r = store_object_open(store, info->id, &object);
	if (r < 0)
		return r;
	object_claim(object);
	r = refill(object, size, front, len);
	object_unclaim(object);
	if (r == 0)
		store_object_info(object, info);
	store_object_close(object);
	return r;
}
