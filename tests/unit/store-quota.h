/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of quotas share: time is theirs, and the disk is slow now and then. */
#ifndef STORE_QUOTA_H
#define STORE_QUOTA_H

#include "store-util.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#include "store/internal.h"

#define MIB ((uint64_t)1 << 20)

static atomic_long now = 1000;
time_t __wrap_time(time_t *out);

time_t __wrap_time(time_t *out)
{
	return (time_t)atomic_load(&now);
}

/* The disk is slow where it matters: between what is decided and what is recorded. */
int __real_db_write(struct db *db, struct db_batch *batch, bool sync);
int __wrap_db_write(struct db *db, struct db_batch *batch, bool sync);

int __wrap_db_write(struct db *db, struct db_batch *batch, bool sync)
{
	static atomic_uint calls;

	if (atomic_fetch_add(&calls, 1) % 4 == 0)
		usleep(100);
	return __real_db_write(db, batch, sync);
}

static inline uint64_t id_of(struct store_object *object)
{
	struct store_info info;

	store_object_info(object, &info);
	return info.id;
}

/* An object of SIZE bytes with something in its file. */
static inline struct store_object *bring_in(struct store *store, unsigned int seed, uint64_t size)
{
	struct store_object *object = open_object(store, DIGEST_SHA256, seed, size);

	assert_int_equal(store_object_reserve(object), 0);
	return object;
}

/* View VIEW opens it, which is recorded at once. */
static inline int use_open(struct store *store, struct store_object *object, uint32_t view, uint64_t quota)
{
	struct store_uses due;
	int r = store_object_use(object, view, quota, &due);

	if (store_record_uses(store, &due) < 0)
		abort();
	return r;
}

/* View VIEW opens it, a moment after all before, and closes it. */
static inline int use(struct store_object *object, uint32_t view, uint64_t quota)
{
	int r = use_open(object->store, object, view, quota);

	if (r == 0)
		store_object_unuse(object, view);
	assert_false(store_sweep(object->store, UINT_MAX));
	return r;
}

static inline bool uses(struct store *store, uint64_t id, uint32_t view)
{
	uint32_t found;
	int64_t last_open;

	return store_next_user(store, id, view - 1, &found, &last_open) == 0 && found == view;
}

static inline uint64_t account(struct store *store, uint32_t view)
{
	return store_account(store, view).used;
}

static inline bool is_here(struct store *store, uint64_t id)
{
	struct store_info info;
	int r = store_get(store, id, &info);

	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

/* What each view uses, by the records alone. */
static inline uint64_t recount(struct store *store, uint32_t view)
{
	struct store_info info;
	uint64_t sum = 0;

	for (uint64_t after = 0; store_next(store, after, &info) == 0; after = info.id)
		sum += uses(store, info.id, view) ? info.size : 0;
	return sum;
}

#endif
