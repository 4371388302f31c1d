/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/objects/kept.h"

#include <utlist.h>
#include "fs/objects/flight.h"

struct kept {
	struct pool *pool;
	size_t spare;
	pthread_mutex_t lock;
	struct flight *oldest; /* protected by lock: by older and newer */
};

int kept_new(struct pool *pool, size_t spare, struct kept **out)
{
	struct kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return -ENOMEM;
	kept->pool = pool;
	kept->spare = spare;
	pthread_mutex_init(&kept->lock, NULL);
	*out = kept;
	return 0;
}

void kept_free(struct kept *kept)
{
	if (!kept)
		return;
	kept_drop(kept, NULL);
	pthread_mutex_destroy(&kept->lock);
	free(kept);
}

void kept_add(struct kept *kept, struct flight *flight)
{
	pthread_mutex_lock(&kept->lock);
	DL_APPEND2(kept->oldest, flight, older, newer);
	pthread_mutex_unlock(&kept->lock);
}

/* Take out the oldest that is CHUNK of OBJECT; UINT64_MAX: any chunk, NULL: any object. NULL: there is none. */
static struct flight *take(struct kept *kept, const struct object *object, uint64_t chunk)
{
	struct flight *flight;

	pthread_mutex_lock(&kept->lock);
	for (flight = kept->oldest; flight; flight = flight->newer) {
		if ((!object || flight->object == object) &&
		    (chunk == UINT64_MAX || flight->chunk == chunk))
			break;
	}
	if (flight)
		DL_DELETE2(kept->oldest, flight, older, newer);
	pthread_mutex_unlock(&kept->lock);
	return flight;
}

void kept_trim(struct kept *kept)
{
	while (pool_available(kept->pool) < kept->spare) {
		struct flight *flight = take(kept, NULL, UINT64_MAX);

		if (!flight)
			return;
		flight_leave(flight);
	}
}

void kept_consumed(struct kept *kept, const struct object *object, uint64_t chunk)
{
	struct flight *flight = take(kept, object, chunk);

	if (flight)
		flight_leave(flight);
}

void kept_drop(struct kept *kept, const struct object *object)
{
	struct flight *flight;

	while ((flight = take(kept, object, UINT64_MAX)))
		flight_leave(flight);
}
