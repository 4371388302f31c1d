/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/objects/flight.h"

#include <assert.h>
#include "common/stats.h"
#include "fs/objects/kept.h"

struct flight *flight_find(struct object *object, uint64_t chunk)
{
	struct flight *flight;

	HASH_FIND(hh, object->flights, &chunk, sizeof(chunk), flight);
	return flight;
}

/* With the object's lock held. */
static void count_asked(struct object *object, int by)
{
	if (object->asked == 0)
		atomic_fetch_add(&object->fs->fetching, 1);
	object->asked += (unsigned int)by;
	stats_add(STAT_CHUNKS_ASKED, by);
	if (object->asked == 0)
		atomic_fetch_sub(&object->fs->fetching, 1);
}

void flight_add(struct flight *flight, struct object *object, uint64_t chunk, uid_t uid)
{
	flight->chunk = chunk;
	flight->uid = uid;
	flight->object = object_ref(object);
	flight->work.run = flight_check;
	HASH_ADD(hh, object->flights, chunk, sizeof(chunk), flight);
	count_asked(object, 1);
}

struct waiter *flight_remove(struct flight *flight)
{
	assert(flight->state == FLIGHT_ASKED);
	HASH_DEL(flight->object->flights, flight);
	count_asked(flight->object, -1);
	return steal_pointer(flight->waiters);
}

struct waiter *flight_land(struct flight *flight)
{
	struct object *object = flight->object;

	flight->state = FLIGHT_LANDED;
	flight->users = 1;
	atomic_fetch_add(&object->in_memory, 1);
	count_asked(object, -1);
	return steal_pointer(flight->waiters);
}

struct flight *flight_pin(struct object *object, uint64_t chunk)
{
	struct flight *flight;

	/* The common case of what is in the store: no lock. */
	if (atomic_load_explicit(&object->in_memory, memory_order_acquire) == 0)
		return NULL;
	pthread_mutex_lock(&object->lock);
	flight = flight_find(object, chunk);
	if (flight && flight->state == FLIGHT_ASKED)
		flight = NULL;
	if (flight)
		flight->users++;
	pthread_mutex_unlock(&object->lock);
	return flight;
}

/* With the object's lock held: did the last user of a leaving one go? Then it is the caller's to free. */
static bool must_check gone(struct flight *flight)
{
	struct object *object = flight->object;

	if (flight->users > 0 || flight->state != FLIGHT_LEAVING)
		return false;
	HASH_DEL(object->flights, flight);
	atomic_fetch_sub(&object->in_memory, 1);
	return true;
}

static void free_landed(struct flight *flight)
{
	pool_put(flight->object->fs->pool, steal_pointer(flight->buffer));
	flight_free(flight);
}

void flight_unpin(struct flight *flight, bool consumed)
{
	struct object *object = flight->object;
	struct kept *kept = object->fs->kept;
	uint64_t chunk = flight->chunk;
	bool last, done;

	/* Without a pin, and without the lock, flight and object may be gone. */
	pthread_mutex_lock(&object->lock);
	flight->users--;
	flight->consumed |= consumed;
	done = flight->consumed && flight->state == FLIGHT_KEPT;
	last = gone(flight);
	pthread_mutex_unlock(&object->lock);
	if (last)
		free_landed(flight);
	else if (done)
		kept_consumed(kept, object, chunk);
}

void flight_leave(struct flight *flight)
{
	struct object *object = flight->object;
	bool last;

	pthread_mutex_lock(&object->lock);
	flight->state = FLIGHT_LEAVING;
	last = gone(flight);
	pthread_mutex_unlock(&object->lock);
	if (last)
		free_landed(flight);
}

static void fail_waiters(struct waiter *waiters, int error)
{
	while (waiters) {
		struct waiter *next = waiters->next;

		waiter_failed(waiters, error);
		waiters = next;
	}
}

void flight_free(struct flight *flight)
{
	fetch_places_unref(flight->places);
	object_put(flight->object);
	free(flight);
}

void flight_end(struct flight *flight, struct waiter *waiters, int error)
{
	object_news(flight->object, error);
	fail_waiters(waiters, error);
	flight_free(flight);
}

void flight_fail(struct flight *flight, int error)
{
	struct object *object = flight->object;
	struct waiter *waiters;

	pthread_mutex_lock(&object->lock);
	waiters = flight_remove(flight);
	pthread_mutex_unlock(&object->lock);
	flight_end(flight, waiters, error);
}
