/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/flight.h"

#include <utlist.h>

struct flight *flight_find(struct object *object, uint64_t chunk)
{
	struct flight *flight;

	HASH_FIND(hh, object->flights, &chunk, sizeof(chunk), flight);
	return flight;
}

void flight_add(struct flight *flight, struct object *object, uint64_t chunk)
{
	flight->chunk = chunk;
	flight->object = object_ref(object);
	flight->work.run = flight_check;
	HASH_ADD(hh, object->flights, chunk, sizeof(chunk), flight);
}

struct waiter *flight_remove(struct flight *flight)
{
	HASH_DEL(flight->object->flights, flight);
	return steal_pointer(flight->waiters);
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
	object_put(flight->object);
	free(flight);
}

void flight_fail(struct flight *flight, int error)
{
	struct object *object = flight->object;
	struct waiter *waiters;

	pthread_mutex_lock(&object->lock);
	waiters = flight_remove(flight);
	pthread_mutex_unlock(&object->lock);
	fail_waiters(waiters, error);
	flight_free(flight);
}

void flight_release(struct flight *flight)
{
	struct object *object = flight->object;

	pthread_mutex_lock(&object->lock);
	flight->users--;
	pthread_mutex_unlock(&object->lock);
}

void flight_free_kept(struct object *object)
{
	struct flight *flight, *next;

	DL_FOREACH_SAFE(object->kept, flight, next) {
		HASH_DEL(object->flights, flight);
		atomic_fetch_sub(&object->fs->kept, 1);
		pool_put(object->fs->pool, flight->buffer);
		free(flight);
	}
}
