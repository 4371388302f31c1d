/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading attested objects, on FUSE threads: what is here is answered at once, for the rest the read is
 * parked and joins the flights of its chunks (fs/objects/flight.h); what the reader will want next is asked for
 * in the same breath, so that neighbours go into one transfer.
 */
#include "fs/objects/flight.h"

/* New flights of one call, in order: neighbours go into one transfer. */
struct batch {
	struct transfer *first, **last;
	struct transfer *open; /* the one that the next chunk may join */
	uid_t uid;             /* on whose behalf */
	uint64_t most;         /* chunks of a transfer */
	bool hurry;            /* a transfer of an earlier call became demanded */
	struct work *rechecks; /* chained, not submitted yet */
};

/* With the lock held. */
static int batch_add(struct batch *batch, struct object *object, uint64_t chunk)
{
	if (batch->open && transfer_extend(batch->open, chunk))
		return 0;
	batch->open = transfer_new(object, chunk, batch->uid, 0, batch->most);
	if (!batch->open)
		return -ENOMEM;
	transfer_chain(batch->open, &batch->last);
	return 0;
}

/*
 * See to it that CHUNK is here or flying, with the lock held. FLIGHT is NULL when it is here. DEMANDED
 * chunks that were not verified since they were loaded are looked at again; ahead of the reader they can wait.
 */
static int want_chunk(struct batch *batch, struct object *object, uint64_t chunk, bool demanded,
		      struct flight **flight)
{
	enum store_presence presence = store_object_presence(object->store, chunk);
	struct flight *made;

	*flight = NULL;
	if (presence == STORE_PRESENT || (presence == STORE_HINT && !demanded))
		return 0;
	made = flight_find(object, chunk);
	if (made) {
		*flight = made->state == FLIGHT_ASKED ? made : NULL;
		return 0;
	}
	if (presence == STORE_ABSENT && object->fs->offline)
		return -ENODATA;
	made = calloc(1, sizeof(*made));
	if (!made || (presence == STORE_ABSENT && batch_add(batch, object, chunk) < 0)) {
		free(made);
		return -ENOMEM;
	}
	flight_add(made, object, chunk, batch->uid);
	made->transfer = presence == STORE_ABSENT ? batch->open : NULL;
	if (presence == STORE_HINT) {
		made->work.run = flight_recheck;
		made->work.next = batch->rechecks;
		batch->rechecks = &made->work;
	}
	*flight = made;
	return 0;
}

#define AHEAD_MAX 4 /* times the memory */

/*
 * How far ahead one reader may be served: half of the memory, for all objects that are being fetched together. (All that
 * could be kept is not better: what has lain for long is not in the processor's cache when it is copied.) More where
 * a long link needs it, since what is asked for takes memory only from when it comes until it is written. Of
 * what the store does not take less: it is in memory only.
 */
uint64_t pipeline_ahead_max(const struct object *object)
{
	struct weightfs *fs = object->fs;
	uint64_t buffers = pool_count(fs->pool), objects = atomic_load(&fs->fetching);
	uint64_t window = fetch_window_chunks(fs->fetch);

	if (window > AHEAD_MAX * buffers)
		window = AHEAD_MAX * buffers;
	if (atomic_load(&object->uncached))
		window = buffers / 8;
	else if (window < buffers / 2)
		window = buffers / 2;
	return objects > 1 ? window / objects : window;
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
	if (batch->hurry)
		fetch_hurry(fs->fetch);
}

/* Join or make the flights that READING misses, with the lock held. */
static int want_reading(struct batch *batch, struct object *object, struct reading *reading)
{
	uint64_t chunk, end;

	for (reading_span(reading, &chunk, &end); chunk < end; chunk++) {
		struct flight *flight;
		struct waiter *waiter;
		int r = want_chunk(batch, object, chunk, true, &flight);

		if (r < 0)
			return r;
		if (!flight)
			continue;
		waiter = reading_wait_for(reading, chunk);
		if (flight->transfer && transfer_demand(flight->transfer))
			batch->hurry = true;
		waiter->next = flight->waiters;
		flight->waiters = waiter;
	}
	return 0;
}

/* READING (NULL: answered already), and ahead of it the N RUNS, for UID. */
static void want(struct object *object, uid_t uid, struct reading *reading,
		 const struct chunk_run *runs, size_t n)
{
	struct weightfs *fs = object->fs;
	struct batch batch = { .last = &batch.first, .uid = uid };
	uint64_t first = 0, end = 0;
	int r = 0;

	if (reading)
		reading_span(reading, &first, &end);
	for (size_t i = 0; i < n; i++)
		end += runs[i].count;
	batch.most = fetch_run_chunks(fs->fetch, end - first);
	pthread_mutex_lock(&object->lock);
	if (reading)
		r = want_reading(&batch, object, reading);
	for (size_t i = 0; i < n && !fs->offline; i++)
		want_ahead(&batch, object, runs[i]);
	pthread_mutex_unlock(&object->lock);
	submit_batch(fs, &batch);
	if (!reading)
		return;
	if (r < 0 && unpark(fs->parking, reading_parked(reading)))
		reading_fail(reading_parked(reading)->request, -r);
	reading_begin(reading);
}

void pipeline_resume(struct reading *reading)
{
	want(reading_object(reading), reading_uid(reading), reading, NULL, 0);
}

void pipeline_fetch(struct object *object, uid_t uid, struct chunk_run run)
{
	const struct verify_tree *tree;

	if (object_tree(object, &tree) == 0)
		want(object, uid, NULL, &run, 1);
}

int pipeline_pull(struct object *object, uid_t uid, struct chunk_run run)
{
	struct batch batch = { .last = &batch.first, .uid = uid };
	struct flight *flight;
	int r = 0;

	batch.most = fetch_run_chunks(object->fs->fetch, run.count);
	pthread_mutex_lock(&object->lock);
	for (uint64_t i = 0; i < run.count && r == 0; i++)
		r = want_chunk(&batch, object, run.first + i, true, &flight);
	pthread_mutex_unlock(&object->lock);
	submit_batch(object->fs, &batch);
	return r;
}

void pipeline_wait(struct object *object, uid_t uid, fuse_req_t request, uint64_t offset,
		   size_t length, const struct chunk_run *runs, size_t n)
{
	const struct verify_tree *tree;
	struct reading *reading;
	int r;

	r = object_tree(object, &tree) < 0 ? -EIO : reading_new(object, uid, request, offset, length, &reading);
	if (r < 0) {
		reading_fail(request, -r);
		return;
	}
	object_ref(object); /* once replied, the handle may be gone */
	park(object->fs->parking, reading_parked(reading), fs_deadline(object->fs));
	want(object, uid, reading, runs, n);
	object_put(object);
}

void pipeline_read(struct object *object, uid_t uid, fuse_req_t request, uint64_t offset,
		   size_t length, const struct chunk_run *runs, size_t n)
{
	const struct verify_tree *tree;

	/* Nothing to be done ahead: the rule, where the reader goes through what is here. */
	if (n == 0) {
		if (reading_try(object, request, offset, length) == -EAGAIN)
			pipeline_wait(object, uid, request, offset, length, NULL, 0);
		return;
	}
	object_ref(object);
	if (reading_try(object, request, offset, length) == -EAGAIN)
		pipeline_wait(object, uid, request, offset, length, runs, n);
	else if (object_tree(object, &tree) == 0)
		want(object, uid, NULL, runs, n);
	object_put(object);
}
