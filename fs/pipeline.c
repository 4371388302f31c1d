/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading attested objects, on FUSE threads: what is present is answered at once, for the rest the read is
 * parked and joins the flights of its chunks (fs/flight.h); what the reader will want next is asked for
 * in the same breath, so that neighbours go into one transfer.
 */
#include "fs/flight.h"

/* New flights of one call, in order: neighbours go into one transfer. */
struct batch {
	struct transfer *first, **last;
	struct transfer *open; /* the one that the next chunk may join */
	struct work *rechecks; /* chained, not submitted yet */
	/* Waiters of chunks that are kept in memory: served when the lock is dropped. */
	struct {
		struct flight *flight;
		struct waiter *waiter;
	} kept[READING_CHUNKS_MAX];
	size_t n_kept;
};

/* With the lock held. */
static int batch_add(struct batch *batch, struct object *object, uint64_t chunk)
{
	if (batch->open && transfer_extend(batch->open, chunk))
		return 0;
	batch->open = transfer_new(object, chunk, 0);
	if (!batch->open)
		return -ENOMEM;
	transfer_chain(batch->open, &batch->last);
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
	*flight = flight_find(object, chunk);
	if (*flight)
		return 0;
	if (presence == STORE_ABSENT && object->fs->offline)
		return -ENODATA;
	made = calloc(1, sizeof(*made));
	if (!made || (presence == STORE_ABSENT && batch_add(batch, object, chunk) < 0)) {
		free(made);
		return -ENOMEM;
	}
	flight_add(made, object, chunk);
	if (presence == STORE_HINT) {
		made->work.run = flight_recheck;
		made->work.next = batch->rechecks;
		batch->rechecks = &made->work;
	}
	*flight = made;
	return 0;
}

/*
 * How far ahead one reader may be served: half of the memory leaves room for others. What the store does
 * not take has to stay in memory until it is read.
 */
static uint64_t readahead_max(const struct object *object)
{
	size_t buffers = pool_count(object->fs->pool);

	return atomic_load(&object->uncached) ? buffers / 8 : buffers / 2;
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
	transfer_submit(batch->first);
	for (size_t i = 0; i < batch->n_kept; i++) {
		struct flight *flight = batch->kept[i].flight;

		waiter_landed(batch->kept[i].waiter, flight->chunk, flight->buffer, flight->length,
			      false);
		flight_release(flight);
	}
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
		if (flight->kept) {
			flight->users++;
			batch->kept[batch->n_kept].flight = flight;
			batch->kept[batch->n_kept++].waiter = waiter;
			continue;
		}
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
				readahead_max(object));
	if (reading)
		r = want_reading(&batch, object, reading, first, end);
	if (!fs->offline)
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
