/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include "common/log.h"
#include "fs/objects/flight.h"

/* One request to fetch/: a run of flights. */
struct transfer {
	struct fetch_request request;
	struct object *object;
	uid_t uid;
	uint64_t most;      /* chunks that it may have */
	uint64_t delivered; /* chunks, from the first; fetch thread */
	struct transfer *next;
};

static const struct fetch_ops transfer_ops;

struct transfer *transfer_new(struct object *object, uint64_t chunk, uid_t uid, uint64_t excluded,
			      uint64_t most)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		return NULL;
	transfer->object = object_ref(object);
	transfer->uid = uid;
	transfer->most = most;
	transfer->request = (struct fetch_request){
		.kind = FETCH_CHUNKS,
		.ops = &transfer_ops,
		.first = chunk,
		.count = 1,
		.excluded = excluded,
		.party = object->view,
	};
	return transfer;
}

bool transfer_extend(struct transfer *transfer, uint64_t chunk)
{
	struct fetch_request *request = &transfer->request;

	if (request->first + request->count != chunk || request->count >= transfer->most)
		return false;
	request->count++;
	return true;
}

bool transfer_demand(struct transfer *transfer)
{
	return fetch_demand(&transfer->request);
}

void transfer_chain(struct transfer *transfer, struct transfer ***last)
{
	**last = transfer;
	*last = &transfer->next;
}

void transfer_submit(struct transfer *list)
{
	while (list) {
		struct transfer *next = list->next;
		struct object *object = list->object;

		list->request.digests = object_digests(object);
		list->request.size = store_object_size(object->store);
		if (!list->request.places)
			list->request.places = object_places(object, list->uid);
		fetch_submit(object->fs->fetch, &list->request);
		list = next;
	}
}

void flight_ask(struct flight *flight)
{
	struct object *object = flight->object;
	struct transfer *transfer = transfer_new(object, flight->chunk, flight->uid, flight->excluded, 1);

	if (!transfer) {
		flight_fail(flight, -ENOMEM);
		return;
	}
	/* Who lied before is to be recognised. */
	transfer->request.places = fetch_places_ref(flight->places);
	pthread_mutex_lock(&object->lock);
	flight->transfer = transfer;
	if (flight->waiters)
		(void)!transfer_demand(transfer); /* it is submitted below */
	pthread_mutex_unlock(&object->lock);
	transfer_submit(transfer);
}

static void transfer_free(struct transfer *transfer)
{
	fetch_places_unref(transfer->request.places);
	object_put(transfer->object);
	free(transfer);
}

/* ---- on the fetch thread ---- */

static void transfer_chunk(struct fetch_request *request, uint64_t index, void *buffer, size_t len,
			   unsigned int source)
{
	struct transfer *transfer = container_of(request, struct transfer, request);
	struct object *object = transfer->object;
	struct flight *flight;

	pthread_mutex_lock(&object->lock);
	flight = flight_find(object, index);
	flight->transfer = NULL;
	pthread_mutex_unlock(&object->lock);
	transfer->delivered = index - request->first + 1;
	if (!flight->places)
		flight->places = fetch_places_ref(request->places);
	flight->buffer = buffer;
	flight->length = len;
	flight->source = source;
	workqueue_submit(object->fs->verifiers, &flight->work);
}

/* Does a reader wait for any of the flights [FIRST, END)? With the lock held. */
static bool readers_wait(struct object *object, uint64_t first, uint64_t end)
{
	for (uint64_t chunk = first; chunk < end; chunk++) {
		struct flight *flight = flight_find(object, chunk);

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
	wanted = object->pullers || readers_wait(object, request->first + transfer->delivered,
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
		struct waiter *waiters = NULL;
		struct flight *flight;
		bool again;

		pthread_mutex_lock(&object->lock);
		flight = flight_find(object, request->first + i);
		/* Somebody came after wanted() said that nobody was there. Until the flight leaves, one still may. */
		again = error == -ECANCELED && !atomic_load(&object->fs->stopping) &&
			(object->pullers ||
			 readers_wait(object, flight->chunk, flight->chunk + 1));
		if (!again)
			waiters = flight_remove(flight);
		pthread_mutex_unlock(&object->lock);
		if (again)
			flight_ask(flight);
		else
			flight_end(flight, waiters, error == -ECANCELED ? -EIO : error);
	}
	transfer_free(transfer);
}

static const struct fetch_ops transfer_ops = {
	.chunk = transfer_chunk,
	.wanted = transfer_wanted,
	.done = transfer_done,
};
