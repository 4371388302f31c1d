/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks of attested objects on their way from a source to readers and the store.
 *
 * A flight is one chunk. It is in object->flights from the moment somebody wants it until it landed or
 * failed, so every later reader joins it. States, each step on one thread only:
 *
 *	asked ──► (transfer brings it) ──► checked ──► stored ──► gone
 *	  ▲                                  │ wrong
 *	  └──── asked again, without the source that lied
 *
 * An absent chunk without a flight is made one under the object's lock; a chunk becomes present in the
 * store before its flight is removed: so whoever holds the lock sees it present, or flying, or absent.
 */
#include <inttypes.h>
#include <stdio.h>
#include "common/log.h"
#include "fs/reading.h"

struct flight {
	uint64_t chunk;
	struct object *object;
	struct waiter *waiters; /* protected by the object's lock */
	uint64_t excluded;      /* sources that lied about this chunk; the step's thread */
	struct work work;
	void *buffer; /* from the pool; from delivery to landing */
	size_t length;
	unsigned int source;
	UT_hash_handle hh; /* protected by the object's lock */
};

/* One request to fetch/: a run of flights. */
struct transfer {
	struct fetch_request request;
	struct object *object;
	uint64_t delivered; /* chunks, from the first; fetch thread */
	struct transfer *next;
};

static const struct fetch_ops transfer_ops;
static void check_and_land(struct work *work);
static void recheck(struct work *work);

/* ---- flights: with the object's lock held ---- */

static struct flight *find_flight(struct object *object, uint64_t chunk)
{
	struct flight *flight;

	HASH_FIND(hh, object->flights, &chunk, sizeof(chunk), flight);
	return flight;
}

static void add_flight(struct flight *flight, struct object *object, uint64_t chunk)
{
	flight->chunk = chunk;
	flight->object = object_ref(object);
	flight->work.run = check_and_land;
	HASH_ADD(hh, object->flights, chunk, sizeof(chunk), flight);
}

/* Out of the table; its waiters are the caller's to serve. */
static struct waiter *remove_flight(struct flight *flight)
{
	HASH_DEL(flight->object->flights, flight);
	return steal_pointer(flight->waiters);
}

/* ---- without the lock ---- */

static void fail_waiters(struct waiter *waiters, int error)
{
	while (waiters) {
		struct waiter *next = waiters->next;

		waiter_failed(waiters, error);
		waiters = next;
	}
}

static void free_flight(struct flight *flight)
{
	object_put(flight->object);
	free(flight);
}

static void fail_flight(struct flight *flight, int error)
{
	struct object *object = flight->object;
	struct waiter *waiters;

	pthread_mutex_lock(&object->lock);
	waiters = remove_flight(flight);
	pthread_mutex_unlock(&object->lock);
	fail_waiters(waiters, error);
	free_flight(flight);
}

/* ---- transfers ---- */

static struct transfer *make_transfer(struct object *object, uint64_t first, uint64_t count,
				      uint64_t excluded)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		return NULL;
	transfer->object = object_ref(object);
	transfer->request = (struct fetch_request){
		.kind = FETCH_CHUNKS,
		.ops = &transfer_ops,
		.first = first,
		.count = count,
		.excluded = excluded,
	};
	return transfer;
}

static void free_transfer(struct transfer *transfer)
{
	object_put(transfer->object);
	free(transfer);
}

static void submit_transfers(struct weightfs *fs, struct transfer *list)
{
	while (list) {
		struct transfer *next = list->next;

		list->request.digests = object_digests(list->object);
		list->request.size = store_object_size(list->object->store);
		fetch_submit(fs->fetch, &list->request);
		list = next;
	}
}

/* Ask for one flight (again). */
static void ask(struct flight *flight)
{
	struct transfer *transfer =
		make_transfer(flight->object, flight->chunk, 1, flight->excluded);

	if (!transfer) {
		fail_flight(flight, -ENOMEM);
		return;
	}
	submit_transfers(flight->object->fs, transfer);
}

static void transfer_chunk(struct fetch_request *request, uint64_t index, void *buffer, size_t len,
			   unsigned int source)
{
	struct transfer *transfer = container_of(request, struct transfer, request);
	struct object *object = transfer->object;
	struct flight *flight;

	pthread_mutex_lock(&object->lock);
	flight = find_flight(object, index);
	pthread_mutex_unlock(&object->lock);
	transfer->delivered = index - request->first + 1;
	flight->buffer = buffer;
	flight->length = len;
	flight->source = source;
	workqueue_submit(object->fs->verifiers, &flight->work);
}

/* Does a reader wait for any of the flights [FIRST, END)? With the lock held. */
static bool readers_wait(struct object *object, uint64_t first, uint64_t end)
{
	for (uint64_t chunk = first; chunk < end; chunk++) {
		struct flight *flight = find_flight(object, chunk);

		for (struct waiter *waiter = flight->waiters; waiter; waiter = waiter->next) {
			if (reading_waits(waiter->reading))
				return true;
		}
	}
	return false;
}

static bool transfer_wanted(struct fetch_request *request)
{
	struct transfer *transfer = container_of(request, struct transfer, request);
	struct object *object = transfer->object;
	bool wanted;

	if (atomic_load(&object->fs->stopping))
		return false;
	if (atomic_load(&object->handles) > 0)
		return true;
	pthread_mutex_lock(&object->lock);
	wanted = readers_wait(object, request->first + transfer->delivered,
			      request->first + request->count);
	pthread_mutex_unlock(&object->lock);
	return wanted;
}

static void transfer_done(struct fetch_request *request, const struct fetch_result *result)
{
	struct transfer *transfer = container_of(request, struct transfer, request);
	struct object *object = transfer->object;
	int error = result->error == -ENOENT ? -EIO : result->error;

	if (error < 0 && error != -ECANCELED && result->message[0]) {
		char name[DIGEST_NAME_SIZE];

		object_name(object, name);
		object_set_error(object, result->message);
		log_error("%s: chunk %" PRIu64 " cannot be had: %s", name,
			  request->first + transfer->delivered, result->message);
	}
	for (uint64_t i = transfer->delivered; i < request->count; i++) {
		struct flight *flight;
		bool joined;

		pthread_mutex_lock(&object->lock);
		flight = find_flight(object, request->first + i);
		joined = readers_wait(object, flight->chunk, flight->chunk + 1);
		pthread_mutex_unlock(&object->lock);
		/* Somebody came after wanted() said that nobody was there. */
		if (error == -ECANCELED && joined && !atomic_load(&object->fs->stopping))
			ask(flight);
		else
			fail_flight(flight, error == -ECANCELED ? -EIO : error);
	}
	free_transfer(transfer);
}

static const struct fetch_ops transfer_ops = {
	.chunk = transfer_chunk,
	.wanted = transfer_wanted,
	.done = transfer_done,
};

/* ---- landing: on a verifier ---- */

static void blame(struct flight *flight)
{
	char name[DIGEST_NAME_SIZE], what[DIGEST_NAME_SIZE + 32];

	object_name(flight->object, name);
	snprintf(what, sizeof(what), "%s chunk %" PRIu64, name, flight->chunk);
	fetch_blame(flight->object->fs->fetch, flight->source, what);
	flight->excluded |= (uint64_t)1 << flight->source;
}

static void serve(struct flight *flight, struct waiter *waiters, bool stored)
{
	while (waiters) {
		struct waiter *next = waiters->next;

		waiter_landed(waiters, flight->chunk, flight->buffer, flight->length, stored);
		waiters = next;
	}
}

/* Take out those who need this chunk alone: they are answered before it is written. */
static struct waiter *take_single_waiters(struct flight *flight)
{
	struct waiter **link = &flight->waiters, *taken = NULL;

	while (*link) {
		struct waiter *waiter = *link;

		if (!reading_is_single(waiter->reading)) {
			link = &waiter->next;
			continue;
		}
		*link = waiter->next;
		waiter->next = taken;
		taken = waiter;
	}
	return taken;
}

static bool store_chunk(struct flight *flight)
{
	struct object *object = flight->object;
	int r;

	r = store_object_put(object->store, flight->chunk, flight->buffer, flight->length);
	if (r < 0 && !atomic_exchange(&object->uncached, true)) {
		char name[DIGEST_NAME_SIZE];

		object_name(object, name);
		log_warning_errno(r, "%s: cannot be kept, and is served uncached", name);
	}
	return r == 0;
}

static void land(struct flight *flight)
{
	struct object *object = flight->object;
	struct waiter *waiters;
	bool stored;

	pthread_mutex_lock(&object->lock);
	waiters = take_single_waiters(flight);
	pthread_mutex_unlock(&object->lock);
	serve(flight, waiters, false);

	stored = store_chunk(flight);

	pthread_mutex_lock(&object->lock);
	waiters = remove_flight(flight);
	pthread_mutex_unlock(&object->lock);
	serve(flight, waiters, stored);

	pool_put(object->fs->pool, flight->buffer);
	if (stored)
		finish_if_due(object);
	free_flight(flight);
}

static void check_and_land(struct work *work)
{
	struct flight *flight = container_of(work, struct flight, work);
	struct object *object = flight->object;
	int r;

	r = verify_tree_check(atomic_load(&object->tree), flight->chunk, flight->buffer,
			      flight->length);
	if (r == 0) {
		land(flight);
		return;
	}
	pool_put(object->fs->pool, steal_pointer(flight->buffer));
	if (r != -EBADMSG) {
		fail_flight(flight, r);
		return;
	}
	blame(flight);
	ask(flight);
}

/* A chunk written in another boot: good if its bytes still verify, else fetched like any other. */
static void recheck(struct work *work)
{
	struct flight *flight = container_of(work, struct flight, work);
	struct object *object = flight->object;
	size_t length = chunk_length(store_object_size(object->store), flight->chunk);
	_cleanup_free_ void *data = malloc(length);
	struct waiter *waiters;
	int r = data ? 0 : -ENOMEM;

	if (r == 0)
		r = store_object_read(object->store, flight->chunk * CHUNK_SIZE, data, length);
	if (r == 0)
		r = verify_tree_check(atomic_load(&object->tree), flight->chunk, data, length);
	if (r == 0)
		r = store_object_confirm(object->store, flight->chunk);
	flight->work.run = check_and_land;
	if (r < 0) {
		store_object_drop(object->store, flight->chunk);
		if (object->fs->offline)
			fail_flight(flight, -ENODATA);
		else
			ask(flight);
		return;
	}
	pthread_mutex_lock(&object->lock);
	waiters = remove_flight(flight);
	pthread_mutex_unlock(&object->lock);
	flight->buffer = data;
	flight->length = length;
	serve(flight, waiters, true);
	finish_if_due(object);
	free_flight(flight);
}

/* ---- reading: on a FUSE thread ---- */

/* New flights of one call, in order: neighbours go into one transfer. */
struct batch {
	struct transfer *first, **last;
	struct transfer *open; /* the one that the next chunk may join */
	struct work *rechecks; /* chained, not submitted yet */
};

/* With the lock held. */
static int batch_add(struct batch *batch, struct object *object, uint64_t chunk)
{
	struct fetch_request *request = batch->open ? &batch->open->request : NULL;

	if (request && request->first + request->count == chunk &&
	    request->count < FETCH_CHUNKS_MAX) {
		request->count++;
		return 0;
	}
	batch->open = make_transfer(object, chunk, 1, 0);
	if (!batch->open)
		return -ENOMEM;
	*batch->last = batch->open;
	batch->last = &batch->open->next;
	return 0;
}

/*
 * See to it that CHUNK is present or flying, with the lock held. FLIGHT is NULL when it is present. DEMANDED
 * chunks that another boot wrote are looked at again; ahead of the reader they can wait.
 */
static int want_chunk(struct batch *batch, struct object *object, uint64_t chunk, bool demanded,
		      struct flight **flight)
{
	enum store_presence presence = store_object_presence(object->store, chunk);
	struct flight *made;

	*flight = NULL;
	if (presence == STORE_PRESENT || (presence == STORE_HINT && !demanded))
		return 0;
	*flight = find_flight(object, chunk);
	if (*flight)
		return 0;
	if (presence == STORE_ABSENT && object->fs->offline)
		return -ENODATA;
	made = calloc(1, sizeof(*made));
	if (!made || (presence == STORE_ABSENT && batch_add(batch, object, chunk) < 0)) {
		free(made);
		return -ENOMEM;
	}
	add_flight(made, object, chunk);
	if (presence == STORE_HINT) {
		made->work.run = recheck;
		made->work.next = batch->rechecks;
		batch->rechecks = &made->work;
	}
	*flight = made;
	return 0;
}

/* How far ahead one reader may be served: half of the memory leaves room for others. */
static uint64_t readahead_max(const struct weightfs *fs)
{
	return pool_count(fs->pool) / 2;
}

static void want_ahead(struct batch *batch, struct object *object, struct chunk_run run)
{
	struct flight *flight;

	for (uint64_t i = 0; i < run.count; i++) {
		if (want_chunk(batch, object, run.first + i, false, &flight) < 0)
			return;
	}
}

static void submit_batch(struct weightfs *fs, struct batch *batch)
{
	struct work *work = batch->rechecks;

	while (work) {
		struct work *next = work->next;

		workqueue_submit(fs->verifiers, work);
		work = next;
	}
	submit_transfers(fs, batch->first);
}

/* Are all chunks from FIRST up to END here already? Lock-free. */
static bool all_present(struct object *object, uint64_t first, uint64_t end)
{
	for (uint64_t chunk = first; chunk < end; chunk++) {
		if (store_object_presence(object->store, chunk) != STORE_PRESENT)
			return false;
	}
	return true;
}

/* Join or make the flights that READING misses, with the lock held. */
static int want_reading(struct batch *batch, struct object *object, struct reading *reading,
			uint64_t first, uint64_t end)
{
	for (uint64_t chunk = first; chunk < end; chunk++) {
		struct flight *flight;
		struct waiter *waiter;
		int r = want_chunk(batch, object, chunk, true, &flight);

		if (r < 0)
			return r;
		if (!flight)
			continue;
		waiter = reading_wait_for(reading, chunk);
		waiter->next = flight->waiters;
		flight->waiters = waiter;
	}
	return 0;
}

void pipeline_read(struct object *object, struct readahead *readahead, fuse_req_t request,
		   uint64_t offset, size_t length)
{
	struct weightfs *fs = object->fs;
	uint64_t first = offset / CHUNK_SIZE, end = chunk_count(offset + length);
	struct batch batch = { .last = &batch.first };
	struct reading *reading = NULL;
	struct chunk_run run;
	int r = 0;

	if (!all_present(object, first, end)) {
		r = reading_new(object, request, offset, length, &reading);
		if (r < 0) {
			fuse_reply_err(request, -r);
			return;
		}
		park(fs->parking, reading_parked(reading), fs_deadline(fs));
	}
	pthread_mutex_lock(&object->lock);
	run = readahead_advance(readahead, offset, length, store_object_size(object->store),
				readahead_max(fs));
	if (reading)
		r = want_reading(&batch, object, reading, first, end);
	if (!fs->offline && !atomic_load(&object->uncached))
		want_ahead(&batch, object, run);
	pthread_mutex_unlock(&object->lock);
	submit_batch(fs, &batch);

	if (!reading) {
		reading_reply_stored(object, request, offset, length);
		return;
	}
	if (r < 0 && unpark(fs->parking, reading_parked(reading)))
		fuse_reply_err(request, -r);
	reading_begin(reading);
}
