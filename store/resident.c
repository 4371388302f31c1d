/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in the store: the objects that have a file, in the order in which they were used last.
 *
 *	used = sum of their sizes    taken = the same in whole blocks    held = of that, what may not go: open or pinned
 *
 * In memory only (96 bytes each): summed and sorted over the records at open, so no crash can make it
 * wrong. Everything here is called with store->lock held.
 */
#include "store/internal.h"

#include <utlist.h>

struct resident *resident_find(struct store *store, uint64_t id)
{
	struct resident *resident;

	HASH_FIND(hh, store->residents, &id, sizeof(id), resident);
	return resident;
}

static uint64_t held_bytes(const struct resident *resident)
{
	return resident->open || resident->pinned ? room_of(resident->size) : 0;
}

static void count(struct store *store, const struct resident *resident)
{
	store->used += resident->size;
	store->taken += room_of(resident->size);
	store->held += held_bytes(resident);
	store->pinned += resident->pinned ? resident->size : 0;
	store->gated += resident->gated ? resident->size : 0;
	store->gated_objects += resident->gated;
}

static void discount(struct store *store, const struct resident *resident)
{
	store->used -= resident->size;
	store->taken -= room_of(resident->size);
	store->held -= held_bytes(resident);
	store->pinned -= resident->pinned ? resident->size : 0;
	store->gated -= resident->gated ? resident->size : 0;
	store->gated_objects -= resident->gated;
}

void resident_add(struct store *store, struct resident *resident)
{
	HASH_ADD(hh, store->residents, id, sizeof(resident->id), resident);
	DL_APPEND(store->oldest, resident);
	count(store, resident);
}

struct resident *resident_remove(struct store *store, uint64_t id)
{
	struct resident *resident = resident_find(store, id);

	if (!resident)
		return NULL;
	HASH_DEL(store->residents, resident);
	DL_DELETE(store->oldest, resident);
	discount(store, resident);
	return resident;
}

void resident_set(struct store *store, struct resident *resident, uint64_t size, bool open,
		  bool pinned)
{
	discount(store, resident);
	resident->size = size;
	resident->open = open;
	resident->pinned = pinned;
	count(store, resident);
}

void resident_set_open(struct store *store, uint64_t id, bool open)
{
	struct resident *resident = resident_find(store, id);

	if (resident)
		resident_set(store, resident, resident->size, open, resident->pinned);
}

void resident_set_gated(struct store *store, uint64_t id, bool gated)
{
	struct resident *resident = resident_find(store, id);

	if (!resident)
		return;
	discount(store, resident);
	resident->gated = gated;
	count(store, resident);
}

void resident_touch(struct store *store, uint64_t id, int64_t now)
{
	struct resident *resident = resident_find(store, id);

	if (!resident)
		return;
	resident->last_use = now;
	DL_DELETE(store->oldest, resident);
	DL_APPEND(store->oldest, resident);
}

static int by_age(struct resident *a, struct resident *b)
{
	if (a->last_use != b->last_use)
		return a->last_use < b->last_use ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

void residents_sort(struct store *store)
{
	DL_SORT(store->oldest, by_age);
}

void residents_free(struct store *store)
{
	struct resident *resident, *next;

	HASH_CLEAR(hh, store->residents);
	DL_FOREACH_SAFE (store->oldest, resident, next)
		free(resident);
	store->oldest = NULL;
}
