/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes an object as a whole, each under its exclusive claim: the file is made, the bits are
 * forgotten, it is completed, resized, removed.
 *
 *	known ──first put──► partial ──finish, ingest──► complete          any ──remove──► removed
 *
 * The record says "file" before there is one, and loses its file after the record is gone: what has
 * a file is counted at all times.
 */
#include "store/internal.h"

#include <sys/stat.h>
#include "common/log.h"
#include "store/bare.h"

int object_reserve(struct store_object *object, uint64_t size, struct arrival *arrival)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key opened = schema_key_id(SCHEMA_OPENED, object->id);
	struct store *store = object->store;
	struct record record = object->record;
	int64_t now = (int64_t)time(NULL);
	uint8_t value[SCHEMA_TIME_SIZE];
	int r;

	r = room_reserve(object, size, arrival);
	if (r == -ENOSPC && !atomic_exchange(&object->refused, true))
		log_warning("%s: no room for the %llu bytes of %s", store->path,
			    (unsigned long long)size, object_label(object).text);
	if (r < 0)
		return r;
	record.file = true;
	record.size = size;
	record.claimed = !record.digests.has_fsverity;
	record_put(&batch, object->id, &record);
	/* What nobody has opened yet is as old as its file. */
	if (atomic_load(&object->last_open) == 0) {
		schema_put_time(value, now);
		db_batch_put(&batch, &opened, value, sizeof(value));
	}
	r = db_write(store->db, &batch, false);
	if (r < 0) {
		room_release(store, object->id);
		return r;
	}
	object_set_record(object, &record);
	return 0;
}

int object_make_file(struct store_object *object)
{
	struct store *store = object->store;
	uint64_t size = object->record.size;
	int fd, r;

	if (object->separate) {
		fd = separate_make_file(object);
	} else if (object->removed) {
		fd = store_file_anonymous(store, size);
	} else {
		r = object->record.file ? 0 : object_reserve(object, size, NULL);
		if (r < 0)
			return r;
		fd = store_file_create(store, &object->name, size);
		if (fd >= 0 && object->record.gated && fchmod(fd, STORE_GATED_MODE | 0600) < 0) {
			r = -errno;
			cleanup_close(&fd);
			return r;
		}
	}
	return fd < 0 ? fd : object_set_fd(object, fd);
}

int store_object_reserve(struct store_object *object)
{
	int r;

	object_claim(object);
	r = atomic_load(&object->stale) ? object_make_partial(object) : 0;
	if (r == 0 && atomic_load(&object->fd) < 0)
		r = object_make_file(object);
	object_unclaim(object);
	return r;
}

int object_forget(struct store_object *object)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key chunks = schema_key_id(SCHEMA_PRESENCE, object->id);
	int r;

	map_fill(atomic_load(&object->map), STORE_ABSENT);
	if (object->removed)
		return 0;
	db_batch_delete_all(&batch, &chunks);
	r = db_write(object->store->db, &batch, false);
	atomic_store(&object->stale, r < 0);
	return r;
}

/*
 * The bytes are durable; now the record is. Should another object have the same digests already,
 * both stand: look-ups take a complete one, the older of two (schema.h).
 */
int object_commit(struct store_object *object, const struct record *record, const void *front,
		  size_t len)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key chunks = schema_key_id(SCHEMA_PRESENCE, object->id);
	int r;

	if (!object->removed) {
		record_put(&batch, object->id, record);
		if (len)
			front_put(&batch, object->id, front, len);
		db_batch_delete_all(&batch, &chunks);
		r = db_write(object->store->db, &batch, true);
		if (r < 0)
			return r;
		room_settle(object->store, object->id);
	}
	atomic_store(&object->stale, false);
	object->receiving = false;
	object_set_record(object, record);
	return 0;
}

int object_sync(struct store_object *object)
{
	if (object->removed)
		return 0;
	if (fdatasync(atomic_load(&object->fd)) < 0)
		return log_error_errno(-errno, "%s: %s cannot be synced",
				       object->store->path, object_label(object).text);
	return store_file_sync_name(object->store, &object->name);
}

static int finish(struct store_object *object, const struct digest_pair *digests, const void *front,
		  size_t len)
{
	struct record record = object->record;
	int r;

	if (record.complete)
		return 0;
	if (!map_is_full(atomic_load(&object->map)))
		return -ENODATA;
	r = record_merge(&record.digests, digests);
	if (r < 0 || !record.digests.has_fsverity)
		return -EINVAL;
	/* Of an empty object nothing was put. */
	if (atomic_load(&object->fd) < 0) {
		r = object_make_file(object);
		if (r < 0)
			return r;
	}
	record_set_complete(&record);
	/* After a failed sync the kernel calls the lost pages clean: nothing of it can be believed.
	 */
	if (object_sync(object) < 0) {
		if (object_forget(object) < 0)
			log_debug("%s: keys stay on disk", object_label(object).text);
		return -EIO;
	}
	return object_commit(object, &record, front, len);
}

int store_object_finish(struct store_object *object, const struct digest_pair *digests,
			const void *front, size_t len)
{
	int r;

	object_claim(object);
	r = finish(object, digests, front, len);
	object_unclaim(object);
	return r;
}

static int reset(struct store_object *object, bool receiving)
{
	int r;

	object_claim(object);
	r = object->record.complete ? -EINVAL : object_forget(object);
	object->receiving = receiving && !object->record.complete;
	object_unclaim(object);
	return r;
}

int store_object_reset(struct store_object *object)
{
	return reset(object, false);
}

int store_object_receive(struct store_object *object)
{
	return reset(object, true);
}

/* The new size is recorded first: a file of another size is not believed at the next open. */
int object_resize(struct store_object *object, uint64_t size)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key chunks = schema_key_id(SCHEMA_PRESENCE, object->id);
	struct store *store = object->store;
	struct record record = object->record;
	int fd = atomic_load(&object->fd);
	bool counted = record.file && !object->removed;
	struct map *map;
	int r;

	if (object->separate)
		r = separate_resize(object, size);
	else
		r = counted ? room_resize(store, object->id, record.size, size) : 0;
	if (r < 0)
		return r;
	r = map_new(size, &map);
	record.size = size;
	record_put(&batch, object->id, &record);
	db_batch_delete_all(&batch, &chunks);
	if (r == 0 && !object->removed)
		r = db_write(store->db, &batch, false);
	if (r < 0) {
		if (counted && room_resize(store, object->id, size, object->record.size) < 0)
			log_debug("%s: counted with its new size", object_label(object).text);
		map_free(map);
		return r;
	}
	object_set_record(object, &record);
	object_set_map(object, map);
	if (fd >= 0 && (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)size) < 0))
		return log_error_errno(-errno, "%s: %s cannot be made %llu bytes long", store->path,
				       object_label(object).text, (unsigned long long)size);
	return 0;
}

int store_object_resize(struct store_object *object, uint64_t size)
{
	int r;

	if (size > (uint64_t)1 << 62)
		return -EFBIG;
	object_claim(object);
	r = object->record.digests.has_fsverity ? -EINVAL : object_resize(object, size);
	object_unclaim(object);
	return r;
}

static int pin(struct store_object *object, bool pinned)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct store *store = object->store;
	struct record record = object->record;
	struct resident *resident;
	int r;

	if (object->removed)
		return -ENOENT;
	record.pinned = pinned;
	record_put(&batch, object->id, &record);
	r = db_write(store->db, &batch, true);
	if (r < 0)
		return r;
	object_set_record(object, &record);
	pthread_mutex_lock(&store->lock);
	resident = resident_find(store, object->id);
	if (resident)
		resident_set(store, resident, resident->size, resident->open, pinned);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

int store_object_pin(struct store_object *object, bool pinned)
{
	int r;

	object_claim(object);
	r = pin(object, pinned);
	object_unclaim(object);
	return r;
}

static int set_sha256(struct store_object *object, const struct digest *sha256)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct digest_pair known = {.has_sha256 = true, .sha256 = *sha256};
	struct record record = object->record;
	int r;

	if (!record.complete)
		return -EINVAL;
	r = record_merge(&record.digests, &known);
	if (r < 0 || (object->record.digests.has_sha256 && !record.told))
		return r;
	record.told = false;
	record_put(&batch, object->id, &record);
	r = object->removed ? 0 : db_write(object->store->db, &batch, false);
	if (r == 0)
		object_set_record(object, &record);
	return r;
}

int store_object_set_sha256(struct store_object *object, const struct digest *sha256)
{
	int r;

	object_claim(object);
	r = set_sha256(object, sha256);
	object_unclaim(object);
	return r;
}

int store_object_front(struct store_object *object, void **front, size_t *len)
{
	struct schema_key key = schema_key_id(SCHEMA_FRONT, object->id);
	_cleanup_free_ uint8_t *value = NULL;
	struct store_info info;
	size_t n;
	int r;

	store_object_info(object, &info);
	if (info.digests.has_fsverity && info.size <= CHUNK_SIZE) {
		*front = NULL;
		*len = 0;
		return 0;
	}
	r = db_get(object->store->db, &key, &value, &n);
	if (r < 0)
		return r == -ENOENT ? -ENODATA : r;
	if (n < 1 || value[0] != SCHEMA_VALUE_VERSION)
		return -EIO;
	memmove(value, value + 1, n - 1);
	*front = steal_pointer(value);
	*len = n - 1;
	return 0;
}

/* ---- removing ---- */

static void erase_alias(struct db_batch *batch, enum digest_kind kind, const struct digest *digest,
			uint64_t id)
{
	struct schema_key key =
		schema_key_digest(SCHEMA_ALIAS, &(struct digest_name){kind, *digest});

	schema_key_u64(&key, id);
	db_batch_delete(batch, &key);
}

void record_erase_own(struct db_batch *batch, uint64_t id, const struct record *record)
{
	struct schema_key object = schema_key_id(SCHEMA_OBJECT, id);
	struct schema_key front = schema_key_id(SCHEMA_FRONT, id);
	struct schema_key opened = schema_key_id(SCHEMA_OPENED, id);

	db_batch_delete(batch, &object);
	if (record->digests.has_sha256)
		erase_alias(batch, DIGEST_SHA256, &record->digests.sha256, id);
	if (record->digests.has_fsverity)
		erase_alias(batch, DIGEST_FSVERITY, &record->digests.fsverity, id);
	db_batch_delete(batch, &front);
	db_batch_delete(batch, &opened);
}

void record_erase(struct db_batch *batch, uint64_t id, const struct record *record)
{
	struct schema_key chunks = schema_key_id(SCHEMA_PRESENCE, id);
	struct schema_key users = schema_key_id(SCHEMA_USER, id);

	record_erase_own(batch, id, record);
	db_batch_delete_all(batch, &chunks);
	db_batch_delete_all(batch, &users);
}

/* Claimed: the object, naming: its name is free for another when the file is gone. */
static int erase_named(struct store_object *object)
{
	_cleanup_batch_ struct db_batch batch = db_batch(), after = db_batch();
	struct schema_key doomed = schema_key_digest(SCHEMA_DOOMED, &object->name);
	struct store *store = object->store;
	char path[STORE_FILE_PATH_SIZE];
	bool gone;
	int r;

	record_erase(&batch, object->id, &object->record);
	if (object->record.file)
		db_batch_put(&batch, &doomed, "", 0);
	r = db_write(store->db, &batch, true);
	if (r < 0)
		return r;
	pthread_mutex_lock(&store->lock);
	object->removed = true;
	pthread_mutex_unlock(&store->lock);
	accounts_forget(store, object->id);
	if (!object->record.file)
		return 0;
	store_file_path(&object->name, path);
	gone = unlinkat(store->objects_fd, path, 0) == 0 || errno == ENOENT;
	if (!gone)
		log_error_errno(-errno, "%s/objects/%s stays until the store is opened again",
				store->path, path);
	/* Not before: the next one begins to fill it at once. */
	room_release(store, object->id);
	db_batch_delete(&after, &doomed);
	if (gone && db_write(store->db, &after, false) < 0)
		log_debug("%s: its removal is looked at again at the next open", path);
	return 0;
}

int object_erase(struct store_object *object)
{
	struct store *store = object->store;
	int r;

	store_claim(store, &store->naming);
	r = object->removed ? -ENOENT : erase_named(object);
	store_unclaim(store, &store->naming);
	return r;
}

int store_remove(struct store *store, uint64_t id)
{
	struct store_object *object;
	int r;

	r = store_object_open(store, id, &object);
	if (r < 0)
		return r;
	object_claim(object);
	r = object_erase(object);
	object_unclaim(object);
	store_object_close(object);
	return r;
}
