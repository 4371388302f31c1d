/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a chunk that has come. Readers of it alone are answered first, straight from the buffer; then it
 * is written, and those who need more than this chunk go on.
 *
 * A chunk that the store has no room for stays in its buffer for a while: the kernel reads in pieces that
 * are not chunks, and each would fetch the chunk anew. All such buffers together are at most a quarter of the
 * memory; the oldest of the same object makes room.
 */
#include <inttypes.h>
#include <stdio.h>
#include <utlist.h>
#include "common/log.h"
#include "fs/flight.h"

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

/* ---- kept in memory ---- */

/* With the lock held: may one more be kept? EVICTED: the one that makes room for it, to be freed. */
static bool make_room(struct object *object, struct flight **evicted)
{
	struct weightfs *fs = object->fs;
	struct flight *oldest;

	if (atomic_fetch_add(&fs->kept, 1) < pool_count(fs->pool) / 4)
		return true;
	atomic_fetch_sub(&fs->kept, 1);
	DL_FOREACH(object->kept, oldest) {
		if (oldest->users > 0)
			continue;
		DL_DELETE(object->kept, oldest);
		HASH_DEL(object->flights, oldest);
		*evicted = oldest;
		return true;
	}
	return false;
}

/* Serve the waiters of a chunk that is not stored, and keep it if there is room. */
static void land_unstored(struct flight *flight)
{
	struct object *object = flight->object;
	struct flight *evicted = NULL;
	struct waiter *waiters;
	bool kept;

	pthread_mutex_lock(&object->lock);
	kept = make_room(object, &evicted);
	if (kept) {
		waiters = steal_pointer(flight->waiters);
		flight->kept = true;
		flight->users = 1;
		DL_APPEND(object->kept, flight);
	} else {
		waiters = flight_remove(flight);
	}
	pthread_mutex_unlock(&object->lock);
	serve(flight, waiters, false);
	if (evicted) {
		pool_put(object->fs->pool, evicted->buffer);
		free(evicted);
	}
	if (kept) {
		flight_release(flight);
		/* From here on the object owns it, and not the other way round. */
		object_put(object);
	} else {
		pool_put(object->fs->pool, flight->buffer);
		flight_free(flight);
	}
}

static void land_stored(struct flight *flight)
{
	struct object *object = flight->object;
	struct waiter *waiters;

	pthread_mutex_lock(&object->lock);
	waiters = flight_remove(flight);
	pthread_mutex_unlock(&object->lock);
	serve(flight, waiters, true);
	pool_put(object->fs->pool, flight->buffer);
	finish_if_due(object);
	flight_free(flight);
}

static void land(struct flight *flight)
{
	struct object *object = flight->object;
	struct waiter *waiters;

	pthread_mutex_lock(&object->lock);
	waiters = take_single_waiters(flight);
	pthread_mutex_unlock(&object->lock);
	serve(flight, waiters, false);
	if (store_chunk(flight))
		land_stored(flight);
	else
		land_unstored(flight);
}

void flight_check(struct work *work)
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
		flight_fail(flight, r);
		return;
	}
	blame(flight);
	flight_ask(flight);
}

/* A chunk written in another boot: good if its bytes still verify, else fetched like any other. */
void flight_recheck(struct work *work)
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
	flight->work.run = flight_check;
	if (r < 0) {
		store_object_drop(object->store, flight->chunk);
		if (object->fs->offline)
			flight_fail(flight, -ENODATA);
		else
			flight_ask(flight);
		return;
	}
	pthread_mutex_lock(&object->lock);
	waiters = flight_remove(flight);
	pthread_mutex_unlock(&object->lock);
	flight->buffer = data;
	flight->length = length;
	serve(flight, waiters, true);
	finish_if_due(object);
	flight_free(flight);
}
