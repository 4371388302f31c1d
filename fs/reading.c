/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `missing` counts the chunks that have not landed, and one for the thread that is still adding
 * waiters: whoever brings it to zero answers. A failed chunk answers at once; the others then find that
 * nobody waits.
 */
#include "fs/reading.h"

#include <assert.h>
#include <string.h>
#include "common/log.h"

struct reading {
	struct parked parked;
	struct object *object;
	uint64_t offset;
	size_t length;
	uint64_t first; /* chunk */
	atomic_uint missing;
	_Atomic(char *) data;     /* made by the first chunk that was not stored */
	_Atomic uint64_t copied;  /* bit N: chunk first + N is in data */
	struct waiter waiters[];
};

static_assert(READING_CHUNKS_MAX <= 64, "a bit each in `copied`");

/* ---- the buffer that a thread reads stored bytes into ---- */

#define SCRATCH_SIZE ((size_t)1 << 20)

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void make_scratch_key(void)
{
	if (pthread_key_create(&scratch_key, free))
		abort();
}

/* SCRATCH_SIZE bytes that are this thread's until it ends; NULL: no memory. */
static void *scratch(void)
{
	void *buffer;

	pthread_once(&scratch_once, make_scratch_key);
	buffer = pthread_getspecific(scratch_key);
	if (!buffer) {
		buffer = malloc(SCRATCH_SIZE);
		if (buffer && pthread_setspecific(scratch_key, buffer)) {
			free(buffer);
			buffer = NULL;
		}
	}
	return buffer;
}

static int log_read_error(struct object *object, int error)
{
	char name[DIGEST_NAME_SIZE];

	object_name(object, name);
	return log_error_errno(error, "%s: stored bytes cannot be read", name);
}

void reading_reply_stored(struct object *object, fuse_req_t request, uint64_t offset,
			  size_t length)
{
	_cleanup_free_ void *large = NULL;
	void *buffer;
	int r;

	buffer = length <= SCRATCH_SIZE ? scratch() : (large = malloc(length));
	if (!buffer) {
		fuse_reply_err(request, ENOMEM);
		return;
	}
	r = store_object_read(object->store, offset, buffer, length);
	if (r < 0) {
		log_read_error(object, r);
		fuse_reply_err(request, EIO);
		return;
	}
	fuse_reply_buf(request, buffer, length);
}

/* ---- life ---- */

static void destroy(struct parked *parked)
{
	struct reading *reading = container_of(parked, struct reading, parked);

	object_put(reading->object);
	free(atomic_load(&reading->data));
	free(reading);
}

int reading_new(struct object *object, fuse_req_t request, uint64_t offset, size_t length,
		struct reading **out)
{
	uint64_t first = offset / CHUNK_SIZE;
	uint64_t count = chunk_count(offset + length) - first;
	struct reading *reading;

	if (count > READING_CHUNKS_MAX)
		return -EINVAL;
	reading = calloc(1, sizeof(*reading) + count * sizeof(reading->waiters[0]));
	if (!reading)
		return -ENOMEM;
	parked_init(&reading->parked, request, PARKED_READ, destroy);
	reading->object = object_ref(object);
	reading->offset = offset;
	reading->length = length;
	reading->first = first;
	atomic_init(&reading->missing, 1);
	*out = reading;
	return 0;
}

void reading_unref(struct reading *reading)
{
	parked_unref(&reading->parked);
}

struct parked *reading_parked(struct reading *reading)
{
	return &reading->parked;
}

bool reading_waits(const struct reading *reading)
{
	return parked_waits(&reading->parked);
}

bool reading_is_single(const struct reading *reading)
{
	return (reading->offset + reading->length - 1) / CHUNK_SIZE == reading->first;
}

struct waiter *reading_wait_for(struct reading *reading, uint64_t chunk)
{
	struct waiter *waiter = &reading->waiters[chunk - reading->first];

	parked_ref(&reading->parked);
	atomic_fetch_add(&reading->missing, 1);
	waiter->reading = reading;
	return waiter;
}

/* ---- answering ---- */

/* The part of the reading that lies in CHUNK: its offset in the object and its length. */
static size_t part(const struct reading *reading, uint64_t chunk, uint64_t *offset)
{
	uint64_t begin = chunk * CHUNK_SIZE, end = begin + CHUNK_SIZE;

	if (begin < reading->offset)
		begin = reading->offset;
	if (end > reading->offset + reading->length)
		end = reading->offset + reading->length;
	*offset = begin;
	return (size_t)(end - begin);
}

/* Some chunks are in `data` only: fill in the others from the store. */
static int assemble(struct reading *reading, char *data)
{
	uint64_t copied = atomic_load(&reading->copied);
	uint64_t last = (reading->offset + reading->length - 1) / CHUNK_SIZE;

	for (uint64_t chunk = reading->first; chunk <= last; chunk++) {
		uint64_t offset;
		size_t length = part(reading, chunk, &offset);
		int r;

		if (copied >> (chunk - reading->first) & 1)
			continue;
		r = store_object_read(reading->object->store, offset,
				      data + (offset - reading->offset), length);
		if (r < 0)
			return log_read_error(reading->object, r);
	}
	return 0;
}

static void answer(struct reading *reading)
{
	fuse_req_t request = reading->parked.request;
	char *data = atomic_load(&reading->data);

	if (!unpark(reading->object->fs->parking, &reading->parked))
		return;
	if (!data)
		reading_reply_stored(reading->object, request, reading->offset, reading->length);
	else if (assemble(reading, data) < 0)
		fuse_reply_err(request, EIO);
	else
		fuse_reply_buf(request, data, reading->length);
}

static void landed_one(struct reading *reading)
{
	if (atomic_fetch_sub(&reading->missing, 1) == 1)
		answer(reading);
	reading_unref(reading);
}

void reading_begin(struct reading *reading)
{
	landed_one(reading);
}

/* The store has no room for CHUNK: keep the reading's own part of it. */
static int copy_part(struct reading *reading, uint64_t chunk, const char *chunk_data)
{
	char *data = atomic_load(&reading->data), *none = NULL;
	uint64_t offset;
	size_t length = part(reading, chunk, &offset);

	if (!data) {
		data = malloc(reading->length);
		if (!data)
			return -ENOMEM;
		if (!atomic_compare_exchange_strong(&reading->data, &none, data)) {
			free(data);
			data = none;
		}
	}
	memcpy(data + (offset - reading->offset), chunk_data + (offset - chunk * CHUNK_SIZE),
	       length);
	atomic_fetch_or(&reading->copied, (uint64_t)1 << (chunk - reading->first));
	return 0;
}

void waiter_landed(struct waiter *waiter, uint64_t chunk, const void *data, size_t length,
		   bool stored)
{
	struct reading *reading = waiter->reading;
	int r;

	if (reading_is_single(reading)) {
		size_t skip = (size_t)(reading->offset - chunk * CHUNK_SIZE);

		assert(skip + reading->length <= length);
		if (unpark(reading->object->fs->parking, &reading->parked))
			fuse_reply_buf(reading->parked.request, (const char *)data + skip,
				       reading->length);
		/* The count that reading_begin() holds may still come: it finds that nobody waits. */
		landed_one(reading);
		return;
	}
	r = stored || !reading_waits(reading) ? 0 : copy_part(reading, chunk, data);
	if (r < 0)
		waiter_failed(waiter, r);
	else
		landed_one(reading);
}

void waiter_failed(struct waiter *waiter, int error)
{
	struct reading *reading = waiter->reading;

	if (unpark(reading->object->fs->parking, &reading->parked))
		fuse_reply_err(reading->parked.request, -error);
	landed_one(reading);
}
