/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks: put, confirmed, dropped, read.
 *
 *	ABSENT ──put──► PRESENT      HINT ──put or confirm──► PRESENT ──doubt──► HINT ──drop──► ABSENT
 *
 * What is loaded with an object is a HINT, that of a complete one, too: the disk may have changed it since it was
 * verified. A complete object that loses a chunk is partial from then on (repair.c).
 *
 * On the way in: bytes to the file, then the key on disk, then the bit here. On the way out: the
 * bit, then the key. If a key cannot be deleted, the object is stale: before the bytes of any chunk
 * change, its key must be gone, or a crash in the middle of the write would leave a key for a torn
 * chunk (and, were the record to say "complete", a file with holes that is passed through).
 */
#include "store/internal.h"

#include "common/io.h"
#include "common/log.h"

enum store_presence store_object_presence(const struct store_object *object, uint64_t chunk)
{
	return map_get(atomic_load_explicit(&object->map, memory_order_acquire), chunk);
}

bool store_object_recorded(const struct store_object *object)
{
	const struct map *map = atomic_load_explicit(&object->map, memory_order_acquire);

	return atomic_load(&map->recorded) == map->size;
}

bool store_object_full(const struct store_object *object)
{
	const struct map *map = atomic_load_explicit(&object->map, memory_order_acquire);

	return atomic_load(&object->complete) || atomic_load(&map->n_present) == map->chunks;
}

int store_object_read(struct store_object *object, uint64_t offset, void *buf, size_t len)
{
	int fd = atomic_load_explicit(&object->fd, memory_order_acquire);
	int r;

	if (len == 0)
		return 0;
	r = fd < 0 ? -ENODATA : io_pread(fd, buf, len, offset);
	if (r < 0)
		return log_error_errno(r, "%s: %s cannot be read at %llu", object->store->path,
				       object_label(object).text, (unsigned long long)offset);
	return 0;
}

static int record_chunks(struct store_object *object, uint64_t first, size_t n)
{
	_cleanup_batch_ struct db_batch batch = db_batch();

	for (size_t i = 0; i < n; i++) {
		struct schema_key key = schema_key_id(SCHEMA_PRESENCE, object->id);

		schema_key_u64(&key, first + i);
		db_batch_put(&batch, &key, object->store->boot_id, STORE_BOOT_ID_SIZE);
	}
	return db_write(object->store->db, &batch, false);
}

static int erase_chunk(struct store_object *object, uint64_t chunk)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key key = schema_key_id(SCHEMA_PRESENCE, object->id);

	schema_key_u64(&key, chunk);
	db_batch_delete(&batch, &key);
	return db_write(object->store->db, &batch, false);
}

static int put_failed(struct store_object *object, uint64_t chunk, int r)
{
	if (atomic_exchange(&object->refused, true))
		return r;
	return log_warning_errno(r, "%s: chunk %llu of %s cannot be kept", object->store->path,
				 (unsigned long long)chunk, object_label(object).text);
}

/* Shared claim; the file is there, none of the chunks is. */
static int put_absent(struct store_object *object, struct map *map, uint64_t first,
		      const struct iovec *chunks, size_t n, bool direct)
{
	int r;

	r = write_chunks(object, first, chunks, n, direct);
	if (r < 0)
		return put_failed(object, first, r);
	if (!object->removed)
		r = record_chunks(object, first, n);
	if (r < 0) {
		atomic_store(&object->stale, true); /* it may have been written all the same */
		return put_failed(object, first, r);
	}
	for (size_t i = 0; i < n; i++)
		map_set(map, first + i, STORE_PRESENT);
	return 0;
}

/* The same, of which some may be there: by another way in. */
static int put(struct store_object *object, struct map *map, uint64_t first,
	       const struct iovec *chunks, size_t n, bool direct)
{
	size_t begin, end;
	int r = 0;

	for (begin = 0; begin < n && r == 0; begin = end) {
		if (atomic_load(&object->complete) ||
		    map_get(map, first + begin) == STORE_PRESENT) {
			end = begin + 1;
			continue;
		}
		for (end = begin + 1; end < n; end++) {
			if (map_get(map, first + end) == STORE_PRESENT)
				break;
		}
		r = put_absent(object, map, first + begin, chunks + begin, end - begin, direct);
	}
	return r;
}

static bool fits(const struct map *map, uint64_t first, const struct iovec *chunks, size_t n)
{
	if (n < 1 || n > STORE_RUN_MAX || first >= map->chunks || n > map->chunks - first)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (chunks[i].iov_len != chunk_length(map->size, first + i))
			return false;
	}
	return true;
}

static int put_run(struct store_object *object, uint64_t first, const struct iovec *chunks,
		   size_t n, bool direct)
{
	struct map *map;
	int r;

	for (;;) {
		object_share(object);
		if (atomic_load(&object->fd) >= 0 && !atomic_load(&object->stale))
			break;
		object_unshare(object);
		r = store_object_reserve(object);
		if (r < 0)
			return r;
	}
	map = atomic_load(&object->map);
	r = fits(map, first, chunks, n) ? put(object, map, first, chunks, n, direct) : -EINVAL;
	object_unshare(object);
	return r;
}

int store_object_put(struct store_object *object, uint64_t chunk, const void *data, size_t len)
{
	const struct iovec one = {(void *)(uintptr_t)data, len};

	return put_run(object, chunk, &one, 1, false);
}

int store_object_put_run(struct store_object *object, uint64_t first, const struct iovec *chunks,
			 size_t n)
{
	return put_run(object, first, chunks, n, true);
}

/* The disk says that it was written; in whichever boot does not matter, as it is verified after each load. */
int store_object_confirm(struct store_object *object, uint64_t chunk)
{
	struct map *map = atomic_load_explicit(&object->map, memory_order_acquire);

	/* Somebody else may have confirmed it, or dropped it. */
	if (map_change(map, chunk, STORE_HINT, STORE_PRESENT))
		return 0;
	return map_get(map, chunk) == STORE_PRESENT ? 0 : -ENODATA;
}

void store_object_doubt(struct store_object *object, uint64_t chunk)
{
	struct map *map = atomic_load_explicit(&object->map, memory_order_acquire);

	(void)map_change(map, chunk, STORE_PRESENT, STORE_HINT);
}

/* In memory. False: it is no hint. */
static bool forget(struct store_object *object, struct map *map, uint64_t chunk)
{
	if (!map_change(map, chunk, STORE_HINT, STORE_ABSENT))
		return false;
	log_warning("%s: chunk %llu of %s is damaged; who reads it fetches it again", object->store->path,
		    (unsigned long long)chunk, object_label(object).text);
	return true;
}

/*
 * The bytes stay in the file until others are written over them: who reads it past us (passthrough) would take a hole
 * for zeros.
 */
static void drop(struct store_object *object, uint64_t chunk)
{
	bool was_complete = object->record.complete;
	int r = 0;

	if (!forget(object, atomic_load(&object->map), chunk))
		return;
	if (was_complete)
		r = object_make_partial(object);
	else if (!object->removed)
		r = erase_chunk(object, chunk);
	if (r < 0)
		atomic_store(&object->stale, true);
	if (r < 0 && was_complete)
		log_warning("%s: that %s is not complete any more cannot be recorded now",
			    object->store->path, object_label(object).text);
}

void store_object_drop(struct store_object *object, uint64_t chunk)
{
	object_claim(object);
	drop(object, chunk);
	object_unclaim(object);
}
