/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a chunk that has come: it is verified, its readers are answered straight from the buffer, and
 * the writers take it to the store.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include "common/log.h"
#include "common/stats.h"
#include "fs/objects/flight.h"
#include "fs/requests/passthrough.h"

static void blame(struct flight *flight)
{
	char name[DIGEST_NAME_SIZE], what[DIGEST_NAME_SIZE + 32];

	object_name(flight->object, name);
	snprintf(what, sizeof(what), "%s chunk %" PRIu64, name, flight->chunk);
	fetch_blame(flight->object->fs->fetch, flight->source, what);
	flight->excluded |= (uint64_t)1 << flight->source;
}

/* FETCHED: it comes from a source. True: a reader came to the end of the chunk. */
static bool serve(struct flight *flight, struct waiter *waiters, bool fetched)
{
	bool consumed = false;

	while (waiters) {
		struct waiter *next = waiters->next;

		if (fetched)
			waiter_note_fetched(waiters);
		consumed |= waiter_landed(waiters, flight->chunk, flight->buffer, flight->length);
		waiters = next;
	}
	return consumed;
}

static void land(struct flight *flight)
{
	struct object *object = flight->object;
	struct waiter *waiters;
	bool begin;

	/* It may be kept for long, and nobody is to be blamed for it. */
	fetch_places_unref(steal_pointer(flight->places));
	pthread_mutex_lock(&object->lock);
	waiters = flight_land(flight);
	begin = writing_add(flight);
	pthread_mutex_unlock(&object->lock);
	if (begin)
		writing_begin(object);
	flight_unpin(flight, serve(flight, waiters, true));
}

void flight_check(struct work *work)
{
	struct flight *flight = container_of(work, struct flight, work);
	struct object *object = flight->object;
	int r;

	r = verify_tree_check(atomic_load(&object->tree), flight->chunk, flight->buffer,
			      flight->length);
	stats_add(r == 0 ? STAT_CHUNKS_GOOD : STAT_CHUNKS_WRONG, 1);
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

/* What is stored is no longer what was verified; it is fetched like any other. */
static void replace_stored(struct flight *flight)
{
	struct object *object = flight->object;

	store_object_drop(object->store, flight->chunk);
	flight->work.run = flight_check;
	if (object->fs->offline)
		flight_fail(flight, -ENODATA);
	else
		flight_ask(flight);
}

/* The mount has its own copy now. */
static void drop_page_cache(struct object *object, uint64_t chunk, size_t length)
{
	if (!passthrough_active(object->fs->passthrough))
		posix_fadvise(store_object_fd(object->store), (off_t)(chunk * CHUNK_SIZE),
			      (off_t)length, POSIX_FADV_DONTNEED);
}

static void serve_stored(struct flight *flight, void *data, size_t length)
{
	struct object *object = flight->object;
	struct waiter *waiters;

	pthread_mutex_lock(&object->lock);
	waiters = flight_remove(flight);
	pthread_mutex_unlock(&object->lock);
	flight->buffer = data;
	flight->length = length;
	if (serve(flight, waiters, false))
		drop_page_cache(object, flight->chunk, length);
	object_news(object, 0);
	finish_if_due(object);
	flight_free(flight);
}

void flight_recheck(struct work *work)
{
	struct flight *flight = container_of(work, struct flight, work);
	struct object *object = flight->object;
	size_t length = chunk_length(store_object_size(object->store), flight->chunk);
	_cleanup_free_ void *data = malloc(length);
	int r = -ENOMEM;

	if (data && store_object_read(object->store, flight->chunk * CHUNK_SIZE, data, length) < 0)
		r = -EBADMSG;
	else if (data)
		r = verify_tree_check(atomic_load(&object->tree), flight->chunk, data, length);
	if (r == 0)
		r = store_object_confirm(object->store, flight->chunk);
	if (r == 0)
		serve_stored(flight, data, length);
	else if (r == -EBADMSG || r == -ENODATA)
		replace_stored(flight);
	else
		flight_fail(flight, r);
}
