/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files, brought in through tmp/.
 *
 * A commit finds the record by either digest, or makes one, and renames the file over the object's
 * own under the exclusive claim. A crash after the rename and before the record leaves an object
 * that is partial, with a file that holds more than its bits say: that is harmless, the rest is
 * fetched, or ingested, again.
 */
#include "store/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "common/io.h"
#include "common/log.h"

struct store_ingest {
	struct store *store;
	int fd;
	struct arrival arrival;
	char name[32]; /* in tmp/; empty once it is renamed */
	bool gated;
};

int store_ingest_new(struct store *store, uint64_t size_hint, struct store_ingest **out)
{
	struct store_ingest *ingest;
	int r;

	ingest = calloc(1, sizeof(*ingest));
	if (!ingest)
		return -ENOMEM;
	ingest->store = store;
	snprintf(ingest->name, sizeof(ingest->name), "%llu",
		 (unsigned long long)atomic_fetch_add(&store->ingests, 1));
	ingest->fd =
		openat(store->tmp_fd, ingest->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (ingest->fd < 0) {
		r = log_error_errno(-errno, "%s/tmp/%s cannot be made", store->path, ingest->name);
		free(ingest);
		return r;
	}
	ingest->arrival.fd = ingest->fd;
	r = room_expect(store, &ingest->arrival, size_hint);
	if (r < 0) {
		store_ingest_abort(ingest);
		return r;
	}
	*out = ingest;
	return 0;
}

int store_ingest_fd(const struct store_ingest *ingest)
{
	return ingest->fd;
}

void store_ingest_abort(struct store_ingest *ingest)
{
	if (!ingest)
		return;
	if (*ingest->name && unlinkat(ingest->store->tmp_fd, ingest->name, 0) < 0)
		log_warning_errno(-errno, "%s/tmp/%s stays", ingest->store->path, ingest->name);
	room_unexpect(ingest->store, &ingest->arrival);
	cleanup_close(&ingest->fd);
	free(ingest);
}

int ingest_resize(struct store_ingest *ingest, uint64_t size)
{
	room_unexpect(ingest->store, &ingest->arrival);
	return room_expect(ingest->store, &ingest->arrival, size);
}

/* The complete one of those that have either digest, else any; made, and called as OWN says, if there is none. */
static int find_or_create(struct store *store, const struct digest_pair *digests,
			  const struct digest_name *own, uint64_t size, bool gated, uint64_t *id)
{
	struct digest_name names[2] = {{DIGEST_SHA256, digests->sha256},
				       {DIGEST_FSVERITY, digests->fsverity}};
	struct digest_pair known = digest_pair_of(own);
	struct store_info info;
	bool found = false;
	int r;

	for (size_t i = digests->has_sha256 ? 0 : 1; i < 2; i++) {
		struct record record;
		uint64_t candidate;

		r = record_find(store, &names[i], &candidate, &record);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0 && (!found || record.complete))
			*id = candidate;
		found |= r == 0;
		if (r == 0 && record.complete)
			break;
	}
	if (found)
		return 0;
	r = store_create_pair(store, &known, size, gated, NULL, 0, &info);
	if (r == 0)
		*id = info.id;
	return r;
}

/* Claimed: the object. Make its room and its size those of the file. */
static int fit(struct store_object *object, uint64_t size, struct arrival *arrival)
{
	struct map *map;
	int r;

	if (object->record.file && object->record.size == size)
		return 0;
	if (object->record.file)
		r = room_resize(object->store, object->id, object->record.size, size);
	else
		r = object_reserve(object, size, arrival);
	if (r < 0 || size == atomic_load(&object->map)->size)
		return r;
	r = map_new(size, &map);
	if (r == 0)
		object_set_map(object, map);
	return r;
}

/*
 * Claimed: the object, attested, with a file. What it lacks comes into that file: a damaged one may be open past us
 * (passthrough), and who opens it next reads the same.
 */
static int copy_missing(struct store_ingest *ingest, struct store_object *object)
{
	_cleanup_free_ void *buffer = malloc(CHUNK_SIZE);
	struct map *map = atomic_load(&object->map);
	int r = buffer ? 0 : -ENOMEM;

	/* The disk shall not call it complete while it is written to. */
	if (r == 0 && atomic_load(&object->stale))
		r = object_make_partial(object);
	for (uint64_t chunk = 0; chunk < map->chunks && r == 0; chunk++) {
		size_t len = chunk_length(map->size, chunk);

		if (map_get(map, chunk) == STORE_PRESENT)
			continue;
		r = io_pread(ingest->fd, buffer, len, chunk * CHUNK_SIZE);
		if (r == 0)
			r = io_pwrite(atomic_load(&object->fd), buffer, len, chunk * CHUNK_SIZE);
	}
	if (r < 0)
		return log_error_errno(r, "%s: %s cannot be mended", object->store->path,
				       object_label(object).text);
	return object_sync(object);
}

static int take_over(struct store_ingest *ingest, struct store_object *object)
{
	int r;

	r = store_file_take(object->store, ingest->name, &object->name);
	if (r < 0)
		return r;
	*ingest->name = '\0';
	r = object_set_fd(object, ingest->fd);
	if (r == 0)
		ingest->fd = -1;
	return r;
}

/* Claimed: the object, which is not complete. */
static int replace(struct store_ingest *ingest, struct store_object *object,
		   const struct digest_pair *digests, uint64_t size, const void *front, size_t len)
{
	struct record record = object->record;
	int r;

	r = record_merge(&record.digests, digests);
	if (r < 0)
		return r;
	if (record.size != size && object->record.digests.has_fsverity && !record.lacks_front)
		return -EINVAL; /* the size is part of that digest */
	r = fit(object, size, &ingest->arrival);
	if (r < 0)
		return r;
	if (object->record.digests.has_fsverity && atomic_load(&object->fd) >= 0 && !object->receiving)
		r = copy_missing(ingest, object);
	else
		r = take_over(ingest, object);
	if (r < 0)
		return r;
	map_fill(atomic_load(&object->map), STORE_PRESENT);
	room_unexpect(object->store, &ingest->arrival); /* where it was not handed on */
	record.size = size;
	record_set_complete(&record);
	record.told &= !digests->has_sha256;
	record.gated = ingest->gated;
	return object_commit(object, &record, front, len);
}

/*
 * Claimed: the object, which is not complete. Others may have it open, for whom what came with a credential is not: they keep
 * it as it is, and it leaves the store; but not what is pinned, which is everybody's whatever a user has fetched.
 */
static bool must_give_way(const struct store_ingest *ingest, const struct store_object *object)
{
	return ingest->gated && !object->record.gated;
}

/* -EAGAIN: it has. -EBUSY: it stays. */
static int give_way(struct store_object *object)
{
	return object->record.pinned || object_erase(object) < 0 ? -EBUSY : -EAGAIN;
}

/* -EAGAIN: it was removed meanwhile. -EBUSY: what is there stays, and the file is still INGEST's. */
static int commit(struct store_ingest *ingest, struct store_object *object,
		  const struct digest_pair *digests, uint64_t size, const void *front, size_t len)
{
	bool complete;
	int r = 0;

	object_claim(object);
	complete = object->record.complete;
	if (object->removed)
		r = -EAGAIN;
	else if (!complete && must_give_way(ingest, object))
		r = give_way(object);
	else if (!complete)
		r = replace(ingest, object, digests, size, front, len);
	object_unclaim(object);
	if (r == 0 && complete && digests->has_sha256)
		r = store_object_set_sha256(object, &digests->sha256);
	return r;
}

static int commit_any(struct store_ingest *ingest, const struct digest_pair *digests,
		      const struct digest_name *own, uint64_t size, const void *front, size_t len,
		      struct store_info *out)
{
	struct store_object *object;
	struct stat st;
	uint64_t id = 0;
	int r;

	if (!digests->has_fsverity || fstat(ingest->fd, &st) < 0 || (uint64_t)st.st_size != size)
		return -EINVAL;
	if (ingest->gated && fchmod(ingest->fd, STORE_GATED_MODE | 0600) < 0)
		return log_error_errno(-errno, "%s/tmp/%s cannot be marked", ingest->store->path,
				       ingest->name);
	if (fdatasync(ingest->fd) < 0)
		return log_error_errno(-errno, "%s/tmp/%s cannot be synced", ingest->store->path,
				       ingest->name);
	do {
		r = find_or_create(ingest->store, digests, own, size, ingest->gated, &id);
		if (r < 0)
			return r;
		r = store_object_open(ingest->store, id, &object);
		if (r == -ENOENT)
			r = -EAGAIN;
		if (r < 0)
			continue;
		r = commit(ingest, object, digests, size, front, len);
		if (r == 0)
			store_object_info(object, out);
		store_object_close(object);
	} while (r == -EAGAIN);
	return r;
}

int store_ingest_commit(struct store_ingest *ingest, const struct digest_pair *digests,
			uint64_t size, const void *front, size_t len, struct store_info *out)
{
	struct digest_name own = digest_pair_name(digests);
	int r = commit_any(ingest, digests, &own, size, front, len, out);

	store_ingest_abort(ingest);
	return r;
}

int ingest_publish(struct store_ingest *ingest, struct store_object *object, bool gated,
		   const void *front, size_t len, struct store_info *out)
{
	int r;

	ingest->gated = gated;
	r = commit_any(ingest, &object->record.digests, &object->name, object->record.size, front,
		       len, out);
	if (r != -EBUSY)
		store_ingest_abort(ingest);
	return r;
}
