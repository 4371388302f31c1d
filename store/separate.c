/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects apart: what a view fetches for itself as if the store were empty.
 *
 *	separate ──put, finish──► complete, as if it had been removed ──publish──► the bytes of an object like others
 *
 * To everything here it is an object that was removed while it is open: nothing of it is recorded. Only its file is another,
 * one in tmp/ whose room is taken, so that it can be put in place when it is complete.
 */
#include "store/internal.h"

#include <fcntl.h>
#include "common/log.h"

int store_separate_new(struct store *store, const struct digest_pair *digests, uint64_t size,
		       struct store_object **out)
{
	struct store_object *object;
	struct map *map;
	uint64_t id;
	int r;

	store_claim(store, &store->naming);
	r = store_next_id(store, &store->object_ids, &id);
	store_unclaim(store, &store->naming);
	if (r < 0)
		return r;
	r = map_new(size, &map);
	if (r < 0)
		return r;
	object = object_new(store, id);
	if (!object) {
		map_free(map);
		return -ENOMEM;
	}
	object->loading = false;
	object->separate = object->removed = true;
	object->record = record_of(digests, size);
	object->name = record_name(&object->record);
	atomic_store(&object->map, map);
	pthread_mutex_lock(&store->lock);
	HASH_ADD(hh, store->objects, id, sizeof(id), object);
	pthread_mutex_unlock(&store->lock);
	*out = object;
	return 0;
}

int separate_make_file(struct store_object *object)
{
	struct store *store = object->store;
	_cleanup_close_ int fd = -1;
	int r = 0;

	/* What was published has its descriptor already. */
	if (!object->ingest)
		r = store_ingest_new(store, object->record.size, &object->ingest);
	if (r == -ENOSPC && !atomic_exchange(&object->refused, true))
		log_warning("%s: no room for the %llu bytes of %s", store->path,
			    (unsigned long long)object->record.size, object_label(object).text);
	if (r < 0)
		return r;
	fd = fcntl(store_ingest_fd(object->ingest), F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || ftruncate(fd, (off_t)object->record.size) < 0)
		return -errno;
	return steal_fd(&fd);
}

int separate_resize(struct store_object *object, uint64_t size)
{
	return object->ingest ? ingest_resize(object->ingest, size) : 0;
}

int store_separate_publish(struct store_object *object, uint32_t view, bool gated, const void *front,
			   size_t len, struct store_info *out)
{
	struct store_ingest *ingest;
	int r;

	if (!object->separate || !store_object_complete(object))
		return -EINVAL;
	object_claim(object);
	ingest = steal_pointer(object->ingest);
	object_unclaim(object);
	if (!ingest)
		return -EALREADY;
	r = ingest_publish(ingest, object, gated, front, len, out);
	if (r == -EBUSY) {
		/* It goes on as it is, with its file and its room. */
		object_claim(object);
		object->ingest = ingest;
		object_unclaim(object);
	}
	return r < 0 ? r : own_record(object, view, out);
}

void separate_end(struct store_object *object)
{
	store_ingest_abort(object->ingest);
	accounts_forget(object->store, object->id);
}
