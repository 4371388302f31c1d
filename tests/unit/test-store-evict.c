/* SPDX-License-Identifier: Apache-2.0 */
/* Who goes when there is no room. Time is the test's. */
#include "store-util.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define SIZE	(2 * CHUNK_SIZE + 4096)
#define THREADS 6
#define ROUNDS	60
#define OBJECTS 24

static atomic_long now = 1000;
time_t __wrap_time(time_t *out);

time_t __wrap_time(time_t *out)
{
	return (time_t)atomic_load(&now);
}

/* Complete, opened a second after all before it. */
static uint64_t bring_in(struct store *store, unsigned int seed)
{
	struct store_object *object = open_object(store, DIGEST_FSVERITY, seed, SIZE);
	struct digest_pair pair = pair_of(seed);
	struct store_info info;

	atomic_fetch_add(&now, 1);
	put_all(object, seed);
	assert_int_equal(store_object_finish(object, &pair, "front", 5), 0);
	store_object_info(object, &info);
	store_object_close(object);
	assert_int_equal(store_touch(store, info.id, 1), 0);
	return info.id;
}

static bool is_here(struct store *store, uint64_t id)
{
	struct store_info info;
	int r = store_get(store, id, &info);

	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

static void test_oldest_goes(void **state)
{
	struct store *store = open_limited(*state, 3 * SIZE);
	uint64_t a = bring_in(store, 1), b = bring_in(store, 2), c = bring_in(store, 3), d;

	atomic_fetch_add(&now, 1);
	assert_int_equal(store_touch(store, a, 1), 0);
	d = bring_in(store, 4);
	assert_false(is_here(store, b));
	assert_true(is_here(store, a) && is_here(store, c) && is_here(store, d));
	assert_int_equal(used(store), 3 * SIZE);
	assert_int_equal(count_files(*state), 3);
	store_close(store);

	/* The order is known again. */
	store = open_limited(*state, 3 * SIZE);
	bring_in(store, 5);
	assert_false(is_here(store, c));
	assert_true(is_here(store, a));
	/* What has gone can come back. */
	bring_in(store, 2);
	assert_false(is_here(store, a));
	store_close(store);
}

static void test_open_and_pinned_stay(void **state)
{
	struct store *store = open_limited(*state, 3 * SIZE);
	uint64_t a = bring_in(store, 1), b = bring_in(store, 2), c = bring_in(store, 3);
	struct store_object *open, *pinned, *other;
	struct store_info info;

	assert_int_equal(store_object_open(store, a, &open), 0);
	assert_int_equal(store_object_open(store, b, &pinned), 0);
	assert_int_equal(store_object_pin(pinned, true), 0);
	store_object_close(pinned);
	store_object_info(open, &info);
	assert_false(info.pinned);

	bring_in(store, 4);
	assert_false(is_here(store, c));
	bring_in(store, 5);
	assert_true(is_here(store, a) && is_here(store, b));
	assert_true(chunk_is_right(open, 1, 1));
	store_object_close(open);
	store_close(store);

	/* A pin is durable; and an object that is pinned before it has a byte. */
	store = open_limited(*state, 3 * SIZE);
	assert_int_equal(store_get(store, b, &info), 0);
	assert_true(info.pinned);
	other = open_object(store, DIGEST_FSVERITY, 6, SIZE);
	assert_int_equal(store_object_pin(other, true), 0);
	assert_int_equal(put_chunk(other, 6, 0), 0);
	store_object_close(other);
	assert_false(is_here(store, a));
	bring_in(store, 7);
	other = open_object(store, DIGEST_FSVERITY, 6, SIZE);
	assert_int_equal(store_object_presence(other, 0), STORE_HINT);

	assert_int_equal(store_object_open(store, b, &pinned), 0);
	assert_int_equal(store_object_pin(pinned, false), 0);
	store_object_close(pinned);
	atomic_fetch_add(&now, 1);
	bring_in(store, 8);
	assert_false(is_here(store, b));
	store_object_close(other);
	store_close(store);
}

/* Nothing goes for what would not fit even then. */
static void test_too_large(void **state)
{
	struct store *store = open_limited(*state, 3 * SIZE);
	uint64_t a = bring_in(store, 1), b = bring_in(store, 2);
	struct store_object *object = open_object(store, DIGEST_FSVERITY, 3, 3 * SIZE + 1);
	struct store_object *held;

	assert_int_equal(put_chunk(object, 3, 0), -ENOSPC);
	assert_true(is_here(store, a) && is_here(store, b));
	store_object_close(object);

	assert_int_equal(store_object_open(store, a, &held), 0);
	object = open_object(store, DIGEST_FSVERITY, 4, 3 * SIZE);
	assert_int_equal(put_chunk(object, 4, 0), -ENOSPC);
	assert_true(is_here(store, b));
	store_object_close(held);
	assert_int_equal(put_chunk(object, 4, 0), 0);
	assert_false(is_here(store, a) || is_here(store, b));
	assert_int_equal(used(store), 3 * SIZE);
	store_object_close(object);
	store_close(store);
}

/* A partial object, and one that was brought in and never opened, are as old as their files. */
static void test_never_opened(void **state)
{
	struct store *store = open_limited(*state, 3 * SIZE);
	uint64_t a = bring_in(store, 1);
	struct store_object *partial;
	struct store_info info;

	atomic_fetch_add(&now, 1);
	partial = open_object(store, DIGEST_FSVERITY, 2, SIZE);
	assert_int_equal(put_chunk(partial, 2, 0), 0);
	store_object_info(partial, &info);
	store_object_close(partial);
	store_close(store);

	store = open_limited(*state, 3 * SIZE);
	bring_in(store, 3);
	bring_in(store, 4);
	assert_false(is_here(store, a));
	assert_true(is_here(store, info.id));
	bring_in(store, 5);
	assert_false(is_here(store, info.id));
	store_close(store);
}

static void test_smaller_limit(void **state)
{
	struct store *store = open_limited(*state, 5 * SIZE);
	uint64_t ids[5];

	for (unsigned int i = 0; i < 5; i++)
		ids[i] = bring_in(store, i);
	store_close(store);
	store = open_limited(*state, 2 * SIZE + 1);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(is_here(store, ids[i]), i >= 3);
	assert_int_equal(used(store), 2 * SIZE);
	assert_int_equal(count_files(*state), 2);
	store_close(store);
}

/* What is being brought in has its room before its bytes come, and keeps it when it is in. */
static void test_arrivals(void **state)
{
	struct store *store = open_limited(*state, 4 * SIZE);
	uint64_t a = bring_in(store, 1), b = bring_in(store, 2);
	struct store_ingest *first, *second, *third;
	struct digest_pair pair = pair_of(3);
	struct store_object *object;
	struct store_info info;

	assert_int_equal(store_ingest_new(store, SIZE, &first), 0);
	assert_int_equal(store_ingest_new(store, SIZE, &second), 0);
	assert_true(is_here(store, a) && is_here(store, b));
	/* The next one is not worth more than what is here, but what arrives does not go. */
	assert_int_equal(store_ingest_new(store, 2 * SIZE + 1, &third), -ENOSPC);
	assert_true(is_here(store, a) && is_here(store, b));
	assert_int_equal(store_ingest_new(store, SIZE, &third), 0);
	assert_false(is_here(store, a));
	store_ingest_abort(third);

	assert_int_equal(store_ingest_new(store, SIZE, &third), 0);
	assert_int_equal(ftruncate(store_ingest_fd(first), SIZE), 0);
	assert_int_equal(store_ingest_commit(first, &pair, SIZE, "front", 5, &info), 0);
	assert_true(is_here(store, b) && is_here(store, info.id));
	store_ingest_abort(second);
	object = open_object(store, DIGEST_FSVERITY, 4, SIZE);
	assert_int_equal(put_chunk(object, 4, 0), 0);
	assert_true(is_here(store, b) && is_here(store, info.id));
	assert_int_equal(used(store), 3 * SIZE);
	store_object_close(object);

	/* Over one that is here in part, whose room it takes. */
	pair = pair_of(4);
	assert_int_equal(ftruncate(store_ingest_fd(third), SIZE), 0);
	assert_int_equal(store_ingest_commit(third, &pair, SIZE, "front", 5, &info), 0);
	assert_int_equal(used(store), 3 * SIZE);
	bring_in(store, 5);
	assert_true(is_here(store, b));
	store_close(store);
}

/* ---- many at once ---- */

static struct store *shared;
static atomic_uint over, full;

static void *come_and_go(void *arg)
{
	unsigned int seed = *(unsigned int *)arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct store_object *object;
		struct digest_name name;
		struct store_info info;
		unsigned int which;
		char *data = malloc(CHUNK_SIZE);
		int r;

		seed = seed * 1664525 + 1013904223;
		which = (seed >> 16) % OBJECTS;
		name = name_of(DIGEST_FSVERITY, which);
		r = store_create(shared, &name, SIZE, NULL, 0, &info);
		if (r == 0)
			r = store_object_open(shared, info.id, &object);
		if (r < 0) { /* it went in between */
			free(data);
			continue;
		}
		fill(data, CHUNK_SIZE, which, which % 2);
		r = store_object_put(object, which % 2, data, CHUNK_SIZE);
		atomic_fetch_add(&full, r == -ENOSPC);
		if (r == 0)
			atomic_fetch_add(&over, !chunk_is_right(object, which, which % 2));
		atomic_fetch_add(&over, used(shared) > 8 * SIZE);
		if (i % 7 == 0 && store_object_pin(object, seed & 1) < 0)
			atomic_fetch_add(&over, 1);
		store_object_close(object);
		free(data);
	}
	return NULL;
}

static void test_many_at_once(void **state)
{
	pthread_t threads[THREADS];
	unsigned int seeds[THREADS];
	struct store_usage usage;
	struct store_info info;
	uint64_t sum = 0;

	shared = open_limited(*state, 8 * SIZE);
	for (unsigned int i = 0; i < THREADS; i++) {
		seeds[i] = i * 7919;
		pthread_create(&threads[i], NULL, come_and_go, &seeds[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(over, 0);
	store_usage(shared, &usage);
	for (uint64_t after = 0; store_next(shared, after, &info) == 0; after = info.id)
		sum += info.present ? SIZE : 0;
	assert_int_equal(sum, usage.used);
	assert_int_equal(count_files(*state), usage.objects);
	assert_true(usage.objects <= 8);
	store_close(shared);
	/* What was counted is what is counted anew. */
	shared = open_limited(*state, 8 * SIZE);
	assert_int_equal(used(shared), usage.used);
	store_close(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup_directory, teardown_directory)
		TEST(oldest_goes), TEST(open_and_pinned_stay), TEST(too_large),
		TEST(never_opened), TEST(smaller_limit), TEST(arrivals), TEST(many_at_once),
	};

	return cmocka_run_group_tests_name("store-evict", tests, NULL, NULL);
}
