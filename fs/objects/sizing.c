/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large is an unattested object? What a user imported says it at its look-up, and so does the record, which is for all: room is
 * taken for it, others' objects are evicted for it, and no source gives chunks of an object of another size. So nothing is done with
 * such a size before a source has said it, or a signed catalog, which needs no request.
 *
 * What a source says may be wrong, too, as one may be a user's own. A size with which it could not be had, or does not fit, is asked for
 * again, of those who have not said one yet. It stays claimed, so that the next fetch asks anew.
 */
#include <stdio.h>
#include "common/clock.h"
#include "fs/objects/whole.h"

#define ROOM_MS 10000 /* whoever waits shall learn that there is no room, also where sources do not answer */

static bool wanted(struct fetch_request *request)
{
	struct whole *whole = container_of(request, struct whole, request);

	return (!whole->until || clock_ms() < whole->until) && whole_goes_on(whole);
}

static void known(struct fetch_request *request, const struct fetch_result *result);

static const struct fetch_ops ops = { .wanted = wanted, .done = known };

static void ask(struct whole *whole)
{
	(void)turns_begin(whole);
	whole->request = (struct fetch_request){
		.kind = FETCH_SIZE,
		.ops = &ops,
		.digests = object_digests(whole->object),
		.excluded = whole->lied | whole->sized,
	};
	turns_address(whole, &whole->request);
	fetch_submit(whole->object->fs->fetch, &whole->request);
}

static void attempt_with(struct whole *whole, uint64_t size)
{
	whole->resize = size != store_object_size(whole->object->store);
	whole->size = size;
	attempt_begin(whole, whole->lied);
}

static bool is_claimed(const struct whole *whole, struct store_info *info)
{
	store_object_info(whole->object->store, info);
	return info->claimed || whole->object->claimed;
}

void sizing_begin(struct whole *whole)
{
	struct store_info info;
	bool claimed = is_claimed(whole, &info);
	uint64_t size;

	whole->refused = 0;
	whole->until = 0;
	whole->sized = 0;
	/* Of what is here sources said its size. */
	if (info.complete || info.present > 0)
		attempt_begin(whole, whole->lied);
	else if (knowledge_signed_size(whole->object->fs, &info.digests, &size) == 0)
		attempt_with(whole, size);
	else if (claimed)
		ask(whole);
	else
		attempt_begin(whole, whole->lied);
}

bool sizing_again(struct whole *whole, int error)
{
	struct store_info info;

	if (whole_is_attested(whole))
		return false;
	if (error != -EIO && error != -ENOENT && !(error == -ENOSPC && is_claimed(whole, &info)))
		return false;
	whole->refused = error == -ENOENT ? -EIO : error;
	whole->until = error == -ENOSPC ? clock_ms() + ROOM_MS : 0;
	ask(whole);
	return true;
}

/* No source says another one. */
static void give_up(struct whole *whole, const struct fetch_result *result)
{
	int error = result->error;

	if (error == -ECANCELED && whole->until && whole_is_wanted(whole))
		error = -ENOENT; /* nobody said so in time */
	if (!whole->message[0] && whole->refused != -ENOSPC)
		snprintf(whole->message, sizeof(whole->message), "%s", result->message);
	if (error == -ENOENT || error == -EIO)
		error = whole->refused ? whole->refused : -EIO;
	whole_conclude(whole, error);
}

/* On the fetch thread. */
static void known(struct fetch_request *request, const struct fetch_result *result)
{
	struct whole *whole = container_of(request, struct whole, request);
	struct weightfs *fs = whole->object->fs;
	struct store_usage usage;

	if (result->error < 0 && turns_again(whole, result->error)) {
		ask(whole);
		return;
	}
	if (result->error < 0) {
		give_up(whole, result);
		return;
	}
	whole->sized |= (uint64_t)1 << result->source;
	store_usage(fs->store, &usage);
	if (result->size > usage.limit) {
		/* That cannot be, whoever says it. */
		if (!whole->refused)
			whole->refused = -ENOSPC;
		ask(whole);
	} else if (whole->refused && result->size == store_object_size(whole->object->store)) {
		ask(whole); /* it was tried */
	} else {
		attempt_with(whole, result->size);
	}
}
