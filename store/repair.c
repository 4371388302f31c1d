/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object whose stored bytes turned out to be damaged keeps those that are right: it becomes partial (again), and
 * what is missing is fetched like any other chunk.
 *
 *	complete ──a chunk is dropped──► partial ──put, finish──► complete
 *
 * Who has it open past us (passthrough) reads the file that is repaired in place: nothing is ever cut off or punched.
 */
#include "store/internal.h"

#include "common/log.h"

int object_make_partial(struct store_object *object)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key chunks = schema_key_id(SCHEMA_PRESENCE, object->id);
	const struct map *map = atomic_load(&object->map);
	struct store *store = object->store;
	struct record record = object->record;
	bool was_complete = record.complete;
	int r = 0;

	record.complete = false;
	record_put(&batch, object->id, &record);
	db_batch_delete_all(&batch, &chunks);
	for (uint64_t chunk = 0; chunk < map->chunks; chunk++) {
		struct schema_key key = chunks;

		if (map_get(map, chunk) == STORE_ABSENT)
			continue;
		schema_key_u64(&key, chunk);
		db_batch_put(&batch, &key, store->boot_id, STORE_BOOT_ID_SIZE);
	}
	if (!object->removed)
		r = db_write(store->db, &batch, true);
	atomic_store(&object->stale, r < 0);
	object_set_record(object, &record);
	if (was_complete && !object->removed)
		room_unsettle(store, object->id, &object->name, record.size);
	return r;
}

/* The record first: of an object that it calls complete nobody will look for a hole. */
void object_mend_size(struct store_object *object, int fd, uint64_t there)
{
	struct map *map = atomic_load(&object->map);

	log_warning("%s: the file of %s has %llu bytes instead of %llu; what is missing is fetched again",
		    object->store->path, object_label(object).text, (unsigned long long)there,
		    (unsigned long long)object->record.size);
	for (uint64_t chunk = 0; chunk < map->chunks; chunk++) {
		if (chunk * CHUNK_SIZE + chunk_length(map->size, chunk) > there)
			map_set(map, chunk, STORE_ABSENT);
	}
	if (object_make_partial(object) == 0 && ftruncate(fd, (off_t)map->size) < 0)
		log_error_errno(-errno, "%s: %s cannot be made %llu bytes long",
				object->store->path, object_label(object).text,
				(unsigned long long)map->size);
}
