/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landed chunks: who may read their buffers, how they come to the store together, and when the buffers go. Pool and
 * queues are the real ones, the store is a stand-in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "common/clock.h"
#include "common/log.h"
#include "fs/objects/flight.h"
#include "fs/objects/kept.h"
#include "tests/unit/object-standin.h"

#define BUFFERS 16
#define SPARE	4
#define CHUNKS	64

/* ---- stand-ins ---- */

struct store_object {
	pthread_mutex_t gate; /* held by the test: writes wait */
	atomic_uint entered;
	unsigned int sizes[CHUNKS]; /* of each run, in order; one thread an object */
	unsigned int runs;
	uint64_t stored; /* bit N: chunk N */
	int error;
};

int store_object_put_run(struct store_object *store, uint64_t first, const struct iovec *chunks,
			 size_t n)
{
	atomic_fetch_add(&store->entered, 1);
	pthread_mutex_lock(&store->gate);
	store->sizes[store->runs++ % CHUNKS] = (unsigned int)n;
	for (size_t i = 0; i < n; i++) {
		/* Each chunk's bytes are in its own buffer. */
		assert_int_equal(*(uint64_t *)chunks[i].iov_base, first + i);
		assert_int_equal(chunks[i].iov_len, CHUNK_SIZE);
		if (store->error == 0)
			store->stored |= (uint64_t)1 << (first + i);
	}
	pthread_mutex_unlock(&store->gate);
	return store->error;
}

void fetch_places_unref(struct fetch_places *places)
{
	assert_null(places);
}

static atomic_uint finishes;

void finish_if_due(struct object *object)
{
	atomic_fetch_add(&finishes, 1);
}

void layout_consider(struct object *object)
{
}

void flight_check(struct work *work)
{
}

static int failure;

void waiter_failed(struct waiter *waiter, int error)
{
	failure = error;
}

/* ---- what each test has ---- */

struct scene {
	struct weightfs fs;
	struct object object;
	struct store_object store;
};

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	if (!scene)
		return -1;
	pthread_mutex_init(&scene->object.lock, NULL);
	pthread_mutex_init(&scene->store.gate, NULL);
	scene->object.fs = &scene->fs;
	scene->object.store = &scene->store;
	atomic_store(&scene->object.handles, 1);
	atomic_store(&finishes, 0);
	*state = scene;
	if (pool_new(CHUNK_SIZE, BUFFERS, &scene->fs.pool) ||
	    kept_new(scene->fs.pool, SPARE, &scene->fs.kept) ||
	    workqueue_new(2, "write", &scene->fs.writers))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;
	unsigned int left;

	workqueue_free(scene->fs.writers);
	kept_free(scene->fs.kept);
	left = HASH_COUNT(scene->object.flights) + atomic_load(&scene->object.references) +
	       atomic_load(&scene->object.in_memory) + (unsigned int)scene->fs.fetching;
	if (pool_available(scene->fs.pool) != BUFFERS)
		left++;
	pool_free(scene->fs.pool);
	free(scene);
	return left == 0 ? 0 : -1;
}

static struct flight *ask(struct scene *scene, uint64_t chunk)
{
	struct flight *flight = calloc(1, sizeof(*flight));

	if (!flight)
		abort();
	pthread_mutex_lock(&scene->object.lock);
	flight_add(flight, &scene->object, chunk, 0);
	pthread_mutex_unlock(&scene->object.lock);
	return flight;
}

/* As landing.c does. CONSUMED: a reader came to its end. */
static void land(struct scene *scene, struct flight *flight, bool consumed)
{
	struct object *object = &scene->object;
	bool begin;

	flight->buffer = pool_take(scene->fs.pool);
	assert_non_null(flight->buffer);
	*(uint64_t *)flight->buffer = flight->chunk;
	flight->length = CHUNK_SIZE;
	pthread_mutex_lock(&object->lock);
	assert_null(flight_land(flight));
	begin = writing_add(flight);
	pthread_mutex_unlock(&object->lock);
	if (begin)
		writing_begin(object);
	flight_unpin(flight, consumed);
}

static bool wait_until(bool (*is)(struct scene *scene), struct scene *scene)
{
	int64_t end = clock_ms() + 20000;

	while (!is(scene)) {
		if (clock_ms() > end)
			return false;
		sched_yield();
	}
	return true;
}

static bool writes_over(struct scene *scene)
{
	unsigned int flights;
	bool over;

	pthread_mutex_lock(&scene->object.lock);
	over = !scene->object.writing;
	flights = HASH_COUNT(scene->object.flights);
	pthread_mutex_unlock(&scene->object.lock);
	/* The writer's own reference goes last. */
	return over && atomic_load(&scene->object.references) == flights;
}

static bool write_entered(struct scene *scene)
{
	return atomic_load(&scene->store.entered) > 0;
}

static bool in_memory(struct scene *scene, uint64_t chunk)
{
	struct flight *flight = flight_pin(&scene->object, chunk);

	if (!flight)
		return false;
	assert_int_equal(*(uint64_t *)flight->buffer, chunk);
	flight_unpin(flight, false);
	return true;
}

/* ---- tests ---- */

static void test_asked_is_not_in_memory(void **state)
{
	struct scene *scene = *state;
	struct flight *flight = ask(scene, 3);

	assert_int_equal(scene->fs.fetching, 1);
	assert_false(in_memory(scene, 3));
	land(scene, flight, false);
	assert_true(in_memory(scene, 3));
	assert_int_equal(scene->fs.fetching, 0);
	/* Also among others that have landed. */
	flight = ask(scene, 4);
	assert_false(in_memory(scene, 4));
	flight_fail(flight, -EIO);
	assert_true(wait_until(writes_over, scene));
	assert_int_equal(scene->store.stored, 1 << 3);
	assert_true(in_memory(scene, 3));
}

/* What comes while a write is under way goes together, neighbours only, whatever the order. */
static void test_written_together(void **state)
{
	static const unsigned int order[] = {0, 9, 7, 3, 1, 2, 8, 5};
	struct scene *scene = *state;

	pthread_mutex_lock(&scene->store.gate);
	land(scene, ask(scene, order[0]), false);
	assert_true(wait_until(write_entered, scene));
	for (size_t i = 1; i < ARRAY_SIZE(order); i++)
		land(scene, ask(scene, order[i]), false);
	pthread_mutex_unlock(&scene->store.gate);
	assert_true(wait_until(writes_over, scene));
	assert_int_equal(scene->store.runs, 4);
	assert_int_equal(scene->store.sizes[0], 1); /* 0 */
	assert_int_equal(scene->store.sizes[1], 3); /* 1, 2, 3 */
	assert_int_equal(scene->store.sizes[2], 1); /* 5 */
	assert_int_equal(scene->store.sizes[3], 3); /* 7, 8, 9 */
	assert_int_equal(scene->store.stored, 0x3af);
	assert_int_equal(atomic_load(&finishes), 4);
}

static void test_run_has_an_end(void **state)
{
	struct scene *scene = *state;

	pthread_mutex_lock(&scene->store.gate);
	land(scene, ask(scene, 40), false);
	assert_true(wait_until(write_entered, scene));
	for (uint64_t chunk = 0; chunk < STORE_RUN_MAX + 2; chunk++)
		land(scene, ask(scene, chunk), false);
	pthread_mutex_unlock(&scene->store.gate);
	assert_true(wait_until(writes_over, scene));
	assert_int_equal(scene->store.runs, 3);
	assert_int_equal(scene->store.sizes[1], STORE_RUN_MAX);
	assert_int_equal(scene->store.sizes[2], 2);
}

/* The newest stay, as many as leave SPARE buffers free. */
static void test_oldest_goes(void **state)
{
	struct scene *scene = *state;
	struct flight *pinned = NULL;

	for (uint64_t chunk = 0; chunk < 40; chunk++) {
		land(scene, ask(scene, chunk), false);
		assert_true(wait_until(writes_over, scene));
		if (chunk == 20)
			pinned = flight_pin(&scene->object, 20);
	}
	assert_int_equal(pool_available(scene->fs.pool), SPARE);
	/* In use, it is still good, and counts. */
	assert_non_null(pinned);
	assert_int_equal(*(uint64_t *)pinned->buffer, 20);
	assert_true(in_memory(scene, 20));
	flight_unpin(pinned, false);
	assert_false(in_memory(scene, 20));
	assert_int_equal(pool_available(scene->fs.pool), SPARE + 1);
	for (uint64_t chunk = 0; chunk < 40; chunk++)
		assert_int_equal(in_memory(scene, chunk), chunk >= 40 - (BUFFERS - SPARE) + 1);
}

static void test_consumed_goes_first(void **state)
{
	struct scene *scene = *state;

	/* Before it was written, and after. */
	land(scene, ask(scene, 1), true);
	land(scene, ask(scene, 5), false);
	assert_true(wait_until(writes_over, scene));
	assert_int_equal(scene->store.stored, 0x22);
	assert_false(in_memory(scene, 1));
	assert_true(in_memory(scene, 5));
	flight_unpin(flight_pin(&scene->object, 5), true);
	assert_false(in_memory(scene, 5));
	assert_int_equal(pool_available(scene->fs.pool), BUFFERS);
}

static void test_dropped_with_the_last_handle(void **state)
{
	struct scene *scene = *state;

	land(scene, ask(scene, 1), false);
	assert_true(wait_until(writes_over, scene));
	atomic_store(&scene->object.handles, 0);
	kept_drop(scene->fs.kept, &scene->object);
	assert_int_equal(pool_available(scene->fs.pool), BUFFERS);
	/* It is written all the same, and nothing is kept for nobody. */
	land(scene, ask(scene, 2), false);
	assert_true(wait_until(writes_over, scene));
	assert_int_equal(scene->store.stored, 6);
	assert_int_equal(pool_available(scene->fs.pool), BUFFERS);
}

static void test_no_room(void **state)
{
	struct scene *scene = *state;

	scene->store.error = -ENOSPC;
	for (uint64_t chunk = 0; chunk < 20; chunk++) {
		land(scene, ask(scene, chunk), false);
		assert_true(wait_until(writes_over, scene));
	}
	assert_true(atomic_load(&scene->object.uncached));
	assert_int_equal(scene->store.stored, 0);
	assert_int_equal(atomic_load(&finishes), 0);
	assert_true(in_memory(scene, 19));
	assert_false(in_memory(scene, 0));
}

static void test_not_kept_for_all(void **state)
{
	struct scene *scene = *state;

	/* Only for those whose quota it does not fit: in memory alone, and said elsewhere. */
	scene->object.passing = 1;
	land(scene, ask(scene, 0), false);
	assert_true(wait_until(writes_over, scene));
	assert_true(atomic_load(&scene->object.uncached));
	assert_int_equal(scene->store.runs, 0);
	assert_true(in_memory(scene, 0));

	/* Somebody else may keep it: what lands from now on; neighbours of both kinds are not mixed. */
	scene->object.keeping = 1;
	pthread_mutex_lock(&scene->store.gate);
	land(scene, ask(scene, 9), false);
	assert_true(wait_until(write_entered, scene));
	land(scene, ask(scene, 2), false);
	scene->object.keeping = 0;
	land(scene, ask(scene, 3), false);
	scene->object.passing = 0;
	land(scene, ask(scene, 4), false);
	pthread_mutex_unlock(&scene->store.gate);
	assert_true(wait_until(writes_over, scene));
	assert_int_equal(scene->store.runs, 3);
	assert_int_equal(scene->store.stored, 1 << 9 | 1 << 2 | 1 << 4);
	assert_false(scene->object.said_uncached);
}

/* ---- all at once ---- */

static atomic_bool over;

static void *read_all(void *arg)
{
	struct scene *scene = arg;

	for (uint64_t chunk = 0; !atomic_load(&over); chunk = (chunk + 1) % CHUNKS) {
		struct flight *flight = flight_pin(&scene->object, chunk);

		if (!flight)
			continue;
		assert_int_equal(*(uint64_t *)flight->buffer, chunk);
		flight_unpin(flight, chunk % 3 == 0);
	}
	return NULL;
}

static void *drop_all(void *arg)
{
	struct scene *scene = arg;

	while (!atomic_load(&over)) {
		kept_drop(scene->fs.kept, &scene->object);
		kept_trim(scene->fs.kept);
		sched_yield();
	}
	return NULL;
}

static void test_race(void **state)
{
	struct scene *scene = *state;
	pthread_t threads[3];

	atomic_store(&over, false);
	pthread_create(&threads[0], NULL, read_all, scene);
	pthread_create(&threads[1], NULL, read_all, scene);
	pthread_create(&threads[2], NULL, drop_all, scene);
	for (unsigned int round = 0; round < 3000; round++) {
		uint64_t chunk = round % CHUNKS;

		/* As who wants a chunk does: not if it is there. */
		if (!in_memory(scene, chunk) && pool_available(scene->fs.pool) > 0)
			land(scene, ask(scene, chunk), round % 2);
	}
	atomic_store(&over, true);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(asked_is_not_in_memory),
		TEST(written_together),
		TEST(run_has_an_end),
		TEST(oldest_goes),
		TEST(consumed_goes_first),
		TEST(dropped_with_the_last_handle),
		TEST(no_room),
		TEST(not_kept_for_all),
		TEST(race),
	};

	log_set_level(LOG_EMERG); /* the failures are meant */
	return cmocka_run_group_tests_name("fs-flight", tests, NULL, NULL);
}
