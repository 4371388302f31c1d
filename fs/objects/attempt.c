/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt: transfers bring the chunks in any order, writers write them, and the hash follows in order.
 *
 * `pending` counts transfers, and chunks on the way to the store; the attempt ends when it is zero and
 * either something failed, or everything is hashed.
 */
#include <stdio.h>
#include "fs/objects/whole.h"

struct whole_transfer {
	struct fetch_request request;
	struct whole *whole;
	struct whole_transfer *next;
};

struct arrival {
	struct work work;
	struct whole *whole;
	uint64_t chunk;
	void *buffer;
	size_t length;
};

/*
 * ---- hashing in order, behind the fetch: in the background, a chunk at a time, so that the writers
 * never get work from there (they are stopped first) ----
 */

/* With the object's lock held: an attempt is over when nothing is pending and this says so. */
static bool hash_done(const struct whole *whole)
{
	/* Another way in, `add`, may complete it, with another size; then there is nothing left to do. */
	return store_object_complete(whole->object->store) ||
	       whole->hashed >= chunk_count(store_object_size(whole->object->store));
}

/*
 * With the object's lock held, by whoever just ended something: is the attempt over? Then that thread, and
 * no other, calls end(). For everybody else WHOLE may be gone as soon as the lock is dropped.
 */
static bool must_check claim_end(struct whole *whole)
{
	if (whole->pending > 0 || whole->hashing || (whole->error == 0 && !hash_done(whole)))
		return false;
	whole->pending = 1; /* the end itself */
	return true;
}

static void end(struct whole *whole)
{
	workqueue_submit(whole->object->fs->background, &whole->end_work);
}

/* With the object's lock held: is there a next chunk to hash, now? */
static bool hashable(const struct whole *whole)
{
	return whole->error == 0 && !hash_done(whole) &&
	       store_object_presence(whole->object->store, whole->hashed) == STORE_PRESENT;
}

static int hash_next(struct whole *whole)
{
	struct store_object *store = whole->object->store;
	size_t length = chunk_length(store_object_size(store), whole->hashed);
	_cleanup_free_ void *data = malloc(length);
	int r;

	if (!data)
		return -ENOMEM;
	r = store_object_read(store, whole->hashed * CHUNK_SIZE, data, length);
	return r < 0 ? r : verify_stream_update(whole->stream, data, length);
}

static void hash_chunk(struct work *work)
{
	struct whole *whole = container_of(work, struct whole, hash_work);
	struct object *object = whole->object;
	int r = hash_next(whole);
	bool more, last;

	pthread_mutex_lock(&object->lock);
	if (r < 0 && whole->error == 0)
		whole->error = r;
	whole->hashed++;
	more = hashable(whole);
	whole->hashing = more;
	last = claim_end(whole);
	pthread_mutex_unlock(&object->lock);
	if (more)
		workqueue_submit(object->fs->background, &whole->hash_work);
	else if (last)
		end(whole);
}

static void hash_if_due(struct whole *whole)
{
	struct object *object = whole->object;
	bool begin;

	pthread_mutex_lock(&object->lock);
	begin = !whole->hashing && hashable(whole);
	if (begin)
		whole->hashing = true;
	pthread_mutex_unlock(&object->lock);
	if (begin)
		workqueue_submit(object->fs->background, &whole->hash_work);
}

/* ---- fetching ---- */

/* One of the pending ones is over. */
static void over(struct whole *whole, int error)
{
	struct object *object = whole->object;
	bool last;

	pthread_mutex_lock(&object->lock);
	if (error < 0 && whole->error == 0)
		whole->error = error;
	whole->pending--;
	last = claim_end(whole);
	pthread_mutex_unlock(&object->lock);
	if (last)
		end(whole);
}

/* On a writer. */
static void store_arrival(struct work *work)
{
	struct arrival *arrival = container_of(work, struct arrival, work);
	struct whole *whole = arrival->whole;
	struct object *object = whole->object;
	int r;

	r = store_object_put(object->store, arrival->chunk, arrival->buffer, arrival->length);
	pool_put(object->fs->pool, arrival->buffer);
	free(arrival);
	if (r == 0) {
		whole_note_progress(whole);
		hash_if_due(whole);
	}
	over(whole, r);
}

static void transfer_chunk(struct fetch_request *request, uint64_t index, void *buffer, size_t len,
			   unsigned int source)
{
	struct whole_transfer *transfer = container_of(request, struct whole_transfer, request);
	struct whole *whole = transfer->whole;
	struct object *object = whole->object;
	struct arrival *arrival = malloc(sizeof(*arrival));

	pthread_mutex_lock(&object->lock);
	whole->contributed |= (uint64_t)1 << source;
	if (arrival)
		whole->pending++;
	else if (whole->error == 0)
		whole->error = -ENOMEM;
	pthread_mutex_unlock(&object->lock);
	if (!arrival) {
		pool_put(object->fs->pool, buffer);
		return;
	}
	*arrival = (struct arrival){ { store_arrival }, whole, index, buffer, len };
	workqueue_submit(object->fs->writers, &arrival->work);
}

static bool transfer_wanted(struct fetch_request *request)
{
	struct whole *whole = container_of(request, struct whole_transfer, request)->whole;
	bool failed;

	pthread_mutex_lock(&whole->object->lock);
	failed = whole->error < 0;
	pthread_mutex_unlock(&whole->object->lock);
	return !failed && whole_goes_on(whole);
}

static void transfer_done(struct fetch_request *request, const struct fetch_result *result)
{
	struct whole_transfer *transfer = container_of(request, struct whole_transfer, request);
	struct whole *whole = transfer->whole;

	free(transfer);
	if (result->error < 0 && result->error != -ECANCELED && result->message[0])
		snprintf(whole->message, sizeof(whole->message), "%s", result->message);
	over(whole, result->error);
}

static const struct fetch_ops transfer_ops = {
	.chunk = transfer_chunk,
	.wanted = transfer_wanted,
	.done = transfer_done,
};

/* The transfers for all absent chunks, as large as they may be. */
static int plan(struct whole *whole, uint64_t excluded, struct whole_transfer **out)
{
	struct store_object *store = whole->object->store;
	uint64_t size = store_object_size(store), chunks = chunk_count(size);
	struct whole_transfer *open = NULL, **last = out;

	*out = NULL;
	for (uint64_t chunk = 0; chunk < chunks; chunk++) {
		if (store_object_presence(store, chunk) == STORE_PRESENT) {
			whole->resumed |= !whole->goes_on;
			open = NULL;
			continue;
		}
		if (open && open->request.count < FETCH_CHUNKS_MAX) {
			open->request.count++;
			continue;
		}
		open = calloc(1, sizeof(*open));
		if (!open)
			return -ENOMEM;
		open->whole = whole;
		open->request = (struct fetch_request){
			.kind = FETCH_CHUNKS,
			.ops = &transfer_ops,
			.digests = object_digests(whole->object),
			.size = size,
			.first = chunk,
			.count = 1,
			.excluded = excluded,
		};
		turns_address(whole, &open->request);
		*last = open;
		last = &open->next;
		whole->pending++;
	}
	return 0;
}

static int resize(struct whole *whole)
{
	int r = store_object_resize(whole->object->store, whole->size);

	return r == 0 && !whole_refuse_over_quota(whole) ? -ECANCELED : r;
}

/* In the background. Nothing is pending: the state is this thread's. Takes over the fate of WHOLE. */
static void run_attempt(struct work *work)
{
	struct whole *whole = container_of(work, struct whole, begin_work);
	struct object *object = whole->object;
	struct whole_transfer *list;
	bool anew;
	int r = 0;

	if (turns_begin(whole))
		whole->excluded = 0;
	/* What was hashed in another turn is still here. */
	anew = !whole->goes_on || whole->resize || !whole->stream;
	if (anew) {
		verify_stream_free(steal_pointer(whole->stream));
		r = verify_stream_new(&whole->stream);
	}
	whole->hash_work.run = hash_chunk;
	pthread_mutex_lock(&object->lock);
	whole->error = 0;
	if (!whole->goes_on) {
		whole->contributed = 0;
		whole->resumed = false;
	}
	if (anew)
		whole->hashed = 0;
	whole->pending = 1; /* this function */
	pthread_mutex_unlock(&object->lock);
	if (r == 0 && whole->resize)
		r = resize(whole);
	whole->resize = false;
	/* All of it has to fit: better known now than after the download. */
	if (r == 0)
		r = store_object_reserve(object->store);
	list = NULL;
	if (r == 0)
		r = plan(whole, whole->excluded, &list);
	while (list) {
		struct whole_transfer *next = list->next;

		/* A plan that ran out of memory is carried out as far as it goes, and fails. */
		fetch_submit(object->fs->fetch, &list->request);
		list = next;
	}
	whole->goes_on = false;
	hash_if_due(whole);
	over(whole, r);
}

void attempt_begin(struct whole *whole, uint64_t excluded)
{
	whole->excluded = excluded;
	whole->begin_work.run = run_attempt;
	workqueue_submit(whole->object->fs->background, &whole->begin_work);
}
