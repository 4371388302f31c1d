/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `missing` counts the chunks that have not landed, and one for the thread that is still adding
 * waiters: whoever brings it to zero answers. A failed chunk answers at once; the others then find that
 * nobody waits.
 */
#include "fs/objects/reading.h"

#include <assert.h>
#include <string.h>
#include "common/log.h"
#include "common/stats.h"
#include "fs/objects/flight.h"

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct reading {
	struct parked parked;
	struct object *object;
	uid_t uid;
	uint64_t offset;
	size_t length;
	uint64_t first; /* chunk */
	atomic_uint missing;
	atomic_bool fetched;      /* some of it came from a source */
	_Atomic(char *) data;     /* made by the first chunk that was copied */
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

void reading_fail(fuse_req_t request, int error)
{
	stats_read_failed(error);
	fuse_reply_err(request, error);
}

static void count_read(enum stats_what reads, enum stats_what bytes, size_t length)
{
	stats_add(reads, 1);
	stats_add(bytes, (int64_t)length);
}

/* ---- a reply of several pieces ---- */

/* One piece a chunk at most: its buffer, which is pinned, or the scratch, where stored neighbours lie together. */
struct pieces {
	struct iovec parts[READING_CHUNKS_MAX];
	size_t n;
	struct {
		struct flight *flight;
		bool to_end;
	} pinned[READING_CHUNKS_MAX];
	size_t n_pinned;
	void *scratch, *large; /* as long as the read; made when the store is asked for the first time */
};

static void pieces_free(struct pieces *pieces)
{
	for (size_t i = 0; i < pieces->n_pinned; i++)
		flight_unpin(pieces->pinned[i].flight, pieces->pinned[i].to_end);
	free(pieces->large);
}
#define _cleanup_pieces_ _cleanup_(pieces_free)

static bool pieces_add_pinned(struct pieces *pieces, struct object *object, uint64_t chunk,
			      uint64_t begin, uint64_t end)
{
	struct flight *flight = flight_pin(object, chunk);
	uint64_t at = chunk * CHUNK_SIZE;

	if (!flight)
		return false;
	assert(end - at <= flight->length);
	pieces->pinned[pieces->n_pinned].flight = flight;
	pieces->pinned[pieces->n_pinned++].to_end = end - at == flight->length;
	pieces->parts[pieces->n++] =
		(struct iovec){ (char *)flight->buffer + (begin - at), (size_t)(end - begin) };
	return true;
}

/* From the store, [BEGIN, END) of a read of LENGTH bytes at OFFSET: to the scratch, in its place. */
static int pieces_add_stored(struct pieces *pieces, struct object *object, uint64_t begin,
			     uint64_t end, uint64_t offset, size_t length)
{
	struct iovec *last = pieces->n ? &pieces->parts[pieces->n - 1] : NULL;
	char *to;
	int r;

	if (!pieces->scratch)
		pieces->scratch = length <= SCRATCH_SIZE ? scratch() :
							   (pieces->large = malloc(length));
	if (!pieces->scratch)
		return -ENOMEM;
	to = (char *)pieces->scratch + (begin - offset);
	/* Logged there. Who reads them looks at them one by one, and fetches those that really are unreadable. */
	r = store_object_read(object->store, begin, to, (size_t)(end - begin));
	if (r < 0) {
		for (uint64_t chunk = begin / CHUNK_SIZE; chunk < chunk_count(end); chunk++)
			store_object_doubt(object->store, chunk);
		return -EAGAIN;
	}
	if (last && (char *)last->iov_base + last->iov_len == to)
		last->iov_len += (size_t)(end - begin);
	else
		pieces->parts[pieces->n++] = (struct iovec){ to, (size_t)(end - begin) };
	return 0;
}

/* The chunks from CHUNK up to END that the store has, and memory has not: at least CHUNK, or none. */
static uint64_t stored_until(struct object *object, uint64_t chunk, uint64_t end)
{
	uint64_t until = chunk;

	while (until < end && store_object_presence(object->store, until) == STORE_PRESENT)
		until++;
	return atomic_load(&object->in_memory) && until > chunk ? chunk + 1 : until;
}

/* DATA holds the parts of the chunks in COPIED. -EAGAIN: a chunk is nowhere, or cannot be read now. */
static int pieces_gather(struct pieces *pieces, struct object *object, uint64_t offset,
			 size_t length, char *data, uint64_t copied)
{
	uint64_t first = offset / CHUNK_SIZE, end = chunk_count(offset + length), next;
	int r = 0;

	for (uint64_t chunk = first; chunk < end && r == 0; chunk = next) {
		uint64_t from = chunk * CHUNK_SIZE < offset ? offset : chunk * CHUNK_SIZE, to;

		next = chunk + 1;
		to = min(next * CHUNK_SIZE, offset + length);
		if (copied >> (chunk - first) & 1) {
			pieces->parts[pieces->n++] =
				(struct iovec){ data + (from - offset), (size_t)(to - from) };
			continue;
		}
		if (pieces_add_pinned(pieces, object, chunk, from, to))
			continue;
		/* Memory first: what leaves it is in the store by then. */
		next = stored_until(object, chunk, copied ? chunk + 1 : end);
		if (next == chunk)
			return -EAGAIN;
		to = min(next * CHUNK_SIZE, offset + length);
		r = pieces_add_stored(pieces, object, from, to, offset, length);
	}
	return r;
}

static void pieces_reply(const struct pieces *pieces, fuse_req_t request)
{
	if (pieces->n == 1)
		fuse_reply_buf(request, pieces->parts[0].iov_base, pieces->parts[0].iov_len);
	else
		fuse_reply_iov(request, pieces->parts, (int)pieces->n);
}

int reading_try(struct object *object, fuse_req_t request, uint64_t offset, size_t length)
{
	_cleanup_pieces_ struct pieces pieces = { .n = 0 };
	int r;

	if (chunk_count(offset + length) - offset / CHUNK_SIZE > READING_CHUNKS_MAX)
		r = -EINVAL;
	else
		r = pieces_gather(&pieces, object, offset, length, NULL, 0);
	if (r == -EAGAIN)
		return r;
	if (r < 0) {
		reading_fail(request, r == -ENOMEM || r == -EINVAL ? -r : EIO);
		return 0;
	}
	if (pieces.n_pinned > 0)
		count_read(STAT_READS_MEMORY, STAT_BYTES_MEMORY, length);
	else
		count_read(STAT_READS_STORE, STAT_BYTES_STORE, length);
	pieces_reply(&pieces, request);
	return 0;
}

/* ---- life ---- */

static void destroy(struct parked *parked)
{
	struct reading *reading = container_of(parked, struct reading, parked);

	object_put(reading->object);
	free(atomic_load(&reading->data));
	free(reading);
}

int reading_new(struct object *object, uid_t uid, fuse_req_t request, uint64_t offset, size_t length,
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
	reading->uid = uid;
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

struct object *reading_object(const struct reading *reading)
{
	return reading->object;
}

uid_t reading_uid(const struct reading *reading)
{
	return reading->uid;
}

void reading_span(const struct reading *reading, uint64_t *first, uint64_t *end)
{
	*first = reading->first;
	*end = chunk_count(reading->offset + reading->length);
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

static void count_parked(const struct reading *reading)
{
	if (atomic_load(&reading->fetched))
		count_read(STAT_READS_FETCHED, STAT_BYTES_FETCHED, reading->length);
	else
		count_read(STAT_READS_STORE, STAT_BYTES_STORE, reading->length);
}

static void answer(struct reading *reading)
{
	_cleanup_pieces_ struct pieces pieces = { .n = 0 };
	fuse_req_t request = reading->parked.request;
	int r;

	if (!reading_waits(reading))
		return;
	r = pieces_gather(&pieces, reading->object, reading->offset, reading->length,
			  atomic_load(&reading->data), atomic_load(&reading->copied));
	if (r == -EAGAIN) {
		parked_ref(&reading->parked);
		atomic_store(&reading->missing, 1);
		pipeline_resume(reading);
		return;
	}
	if (!unpark(reading->object->fs->parking, &reading->parked))
		return;
	if (r < 0) {
		reading_fail(request, r == -ENOMEM ? ENOMEM : EIO);
		return;
	}
	count_parked(reading);
	pieces_reply(&pieces, request);
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

/* The store has no room: keep the reading's own part of CHUNK. */
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

void waiter_note_fetched(struct waiter *waiter)
{
	atomic_store(&waiter->reading->fetched, true);
}

bool waiter_landed(struct waiter *waiter, uint64_t chunk, const void *data, size_t length)
{
	struct reading *reading = waiter->reading;
	bool to_end = false;
	int r = 0;

	if (reading_is_single(reading)) {
		size_t skip = (size_t)(reading->offset - chunk * CHUNK_SIZE);

		assert(skip + reading->length <= length);
		if (unpark(reading->object->fs->parking, &reading->parked)) {
			count_parked(reading);
			to_end = fuse_reply_buf(reading->parked.request, (const char *)data + skip,
						reading->length) == 0 &&
				 skip + reading->length == length;
		}
		/* The count that reading_begin() holds may still come: it finds that nobody waits. */
		landed_one(reading);
		return to_end;
	}
	if (atomic_load(&reading->object->uncached) && reading_waits(reading)) {
		uint64_t end = reading->offset + reading->length;

		r = copy_part(reading, chunk, data);
		to_end = end >= chunk * CHUNK_SIZE + length;
	}
	if (r < 0)
		waiter_failed(waiter, r);
	else
		landed_one(reading);
	return to_end;
}

void waiter_failed(struct waiter *waiter, int error)
{
	struct reading *reading = waiter->reading;

	if (unpark(reading->object->fs->parking, &reading->parked))
		reading_fail(reading->parked.request, -error);
	landed_one(reading);
}
