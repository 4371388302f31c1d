/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readings: what a parked READ is answered with, from buffers, from the store, or from both. The
 * store and libfuse are stand-ins, the parking lot is the real one.
 */
#include "tests/unit/reading-scene.h"

/* ---- one chunk ---- */

static void test_single(void **state)
{
	static const struct {
		uint64_t offset;
		size_t length;
	} reads[] = {
		{0, 1},
		{0, CHUNK_SIZE},
		{CHUNK_SIZE - 1, 1},
		{3 * CHUNK_SIZE + 4096, 4096},
		{SIZE - 5, 5},
		{(CHUNKS - 1) * CHUNK_SIZE, CHUNK_SIZE - 1000},
	};
	struct scene *scene = *state;

	for (size_t i = 0; i < 4 * ARRAY_SIZE(reads); i++) {
		uint64_t offset = reads[i / 4].offset, chunk = offset / CHUNK_SIZE;
		size_t length = reads[i / 4].length;
		bool stored = i & 1, early = i & 2;
		bool to_end = (offset + length) % CHUNK_SIZE == 0 || offset + length == SIZE;
		struct outcome outcome;
		struct reading *reading = begin(scene, offset, length, &outcome);
		struct waiter *waiter = reading_wait_for(reading, chunk);

		assert_true(reading_is_single(reading));
		assert_true(reading_waits(reading));
		/* It may land before all was said. */
		if (early)
			assert_int_equal(land(scene, waiter, chunk, stored), to_end);
		assert_int_equal(atomic_load(&outcome.answers), early);
		assert_int_equal(reading_waits(reading), !early);
		reading_begin(reading);
		if (!early)
			assert_int_equal(land(scene, waiter, chunk, stored), to_end);
		assert_bytes(scene, &outcome, offset, length);
	}
	/* From the buffer, never from the store. */
	assert_int_equal(atomic_load(&scene->store.reads), 0);
}

static void test_failed(void **state)
{
	struct scene *scene = *state;
	struct outcome outcome;
	struct reading *reading = begin(scene, 100, 200, &outcome);
	struct waiter *waiter = reading_wait_for(reading, 0);

	reading_begin(reading);
	waiter_failed(waiter, -EIO);
	assert_error(&outcome, EIO);

	reading = begin(scene, HALF, 2 * CHUNK_SIZE, &outcome);
	waiter = reading_wait_for(reading, 0);
	land(scene, reading_wait_for(reading, 2), 2, false);
	waiter_failed(waiter, -ENODATA);
	/* At once; those that come later find that nobody waits. */
	assert_error(&outcome, ENODATA);
	assert_false(reading_waits(reading));
	waiter = reading_wait_for(reading, 1);
	reading_begin(reading);
	land(scene, waiter, 1, true);
	assert_error(&outcome, ENODATA);
	assert_int_equal(atomic_load(&scene->store.reads), 0);
}

/* ---- several chunks ---- */

static void test_stored(void **state)
{
	struct scene *scene = *state;
	struct outcome outcome;
	struct reading *reading = begin(scene, HALF, 2 * CHUNK_SIZE, &outcome);
	struct waiter *waiters[3];

	assert_false(reading_is_single(reading));
	for (uint64_t chunk = 0; chunk < 3; chunk++)
		waiters[chunk] = reading_wait_for(reading, chunk);
	reading_begin(reading);
	land(scene, waiters[2], 2, true);
	land(scene, waiters[0], 0, true);
	assert_int_equal(atomic_load(&outcome.answers), 0);
	land(scene, waiters[1], 1, true);
	assert_bytes(scene, &outcome, HALF, 2 * CHUNK_SIZE);
	assert_int_equal(atomic_load(&scene->store.reads), 1);
}

/* Every way in which four chunks are in the store already, in memory, land in the store, or land without room
 * for them. */
static void test_mixed(void **state)
{
	struct scene *scene = *state;
	const uint64_t first = CHUNKS - 4, offset = first * CHUNK_SIZE + HALF;
	const size_t length = (size_t)(SIZE - offset);

	for (unsigned int way = 0; way < 4 * 4 * 4 * 4; way++) {
		unsigned int kinds[] = {way % 4, way / 4 % 4, way / 16 % 4, way / 64};
		struct waiter *waiters[4] = {NULL};
		struct reading *reading;
		struct outcome outcome;

		atomic_store(&scene->store.stored, 0);
		atomic_store(&scene->object.uncached, kinds[0] == 2 || kinds[1] == 2 ||
							      kinds[2] == 2 || kinds[3] == 2);
		reading = begin(scene, offset, length, &outcome);
		for (uint64_t i = 0; i < 4; i++) {
			if (kinds[i] == 1 || kinds[i] == 2)
				waiters[i] = reading_wait_for(reading, first + i);
			else if (kinds[i] == 3)
				keep(scene, first + i);
			else
				atomic_fetch_or(&scene->store.stored, (uint64_t)1 << (first + i));
		}
		reading_begin(reading);
		for (uint64_t i = 4; i-- > 0;)
			if (waiters[i])
				land(scene, waiters[i], first + i, kinds[i] == 1);
		assert_bytes(scene, &outcome, offset, length);
		assert_int_equal(resumed, 0);
		for (uint64_t i = 0; i < 4; i++) {
			assert_int_equal(in_memory[first + i].users, 0);
			assert_int_equal(in_memory[first + i].consumed, kinds[i] == 3);
			free(in_memory[first + i].buffer);
			in_memory[first + i] = (struct flight){0};
		}
		atomic_store(&scene->object.in_memory, 0);
	}
}

/* Landed when the store still took chunks, and gone from memory before the rest came. */
static void test_resumed(void **state)
{
	struct scene *scene = *state;
	struct outcome outcome;
	struct reading *reading = begin(scene, HALF, 2 * CHUNK_SIZE, &outcome);
	struct waiter *waiters[3];

	for (uint64_t chunk = 0; chunk < 3; chunk++)
		waiters[chunk] = reading_wait_for(reading, chunk);
	reading_begin(reading);
	for (uint64_t chunk = 0; chunk < 3; chunk++) {
		land(scene, waiters[chunk], chunk, true);
		if (chunk < 2)
			atomic_store(&scene->store.stored, 0);
	}
	assert_int_equal(resumed, 3);
	assert_bytes(scene, &outcome, HALF, 2 * CHUNK_SIZE);
}

/* Answered by its deadline or an interrupt: what lands later is nobody's. */
static void test_gave_up(void **state)
{
	for (unsigned int single = 0; single < 2; single++) {
		struct scene *scene = *state;
		struct outcome outcome;
		struct reading *reading = begin(scene, 0, single ? 4096 : 2 * CHUNK_SIZE, &outcome);
		struct waiter *waiters[2] = {reading_wait_for(reading, 0)};

		if (!single)
			waiters[1] = reading_wait_for(reading, 1);
		park_until(scene->fs.parking, reading_parked(reading), clock_ms() - 1);
		assert_true(standin_wait(&outcome));
		assert_error(&outcome, ETIMEDOUT);
		assert_false(reading_waits(reading));
		reading_begin(reading);
		land(scene, waiters[0], 0, single);
		if (!single)
			land(scene, waiters[1], 1, false);
		assert_error(&outcome, ETIMEDOUT);
		assert_int_equal(atomic_load(&scene->store.reads), 0);
	}
}

/* What cannot be read is looked at anew, and comes again. */
static void test_store_fails(void **state)
{
	struct scene *scene = *state;
	struct outcome outcome;
	fuse_req_t request;
	struct reading *reading = begin(scene, 0, 2 * CHUNK_SIZE, &outcome);

	scene->store.failures = 2;
	land(scene, reading_wait_for(reading, 0), 0, true);
	land(scene, reading_wait_for(reading, 1), 1, true);
	reading_begin(reading);
	assert_bytes(scene, &outcome, 0, 2 * CHUNK_SIZE);
	assert_int_equal(atomic_load(&scene->store.doubted), 3);
	assert_int_equal(resumed, 3);
	assert_int_equal(scene->store.failures, 0);

	atomic_store(&scene->store.stored, 2);
	atomic_store(&scene->store.doubted, 0);
	scene->store.failures = 1;
	reading = begin(scene, 0, 2 * CHUNK_SIZE, &outcome);
	land(scene, reading_wait_for(reading, 0), 0, false);
	reading_begin(reading);
	assert_bytes(scene, &outcome, 0, 2 * CHUNK_SIZE);
	assert_int_equal(atomic_load(&scene->store.doubted), 2);

	atomic_store(&scene->store.stored, 1);
	scene->store.failures = 1;
	request = standin_request(&scene->fs, 0, &outcome);
	assert_int_equal(reading_try(&scene->object, request, 0, 10), -EAGAIN);
	assert_int_equal(atomic_load(&outcome.answers), 0);
	fuse_reply_err(request, EIO);
}

static void test_try(void **state)
{
	/* The last one is larger than what a thread keeps for this. */
	static const size_t lengths[] = {1, 4096, 1 << 20, (1 << 20) + 1, 5 << 20};
	struct scene *scene = *state;
	struct outcome outcome;

	atomic_store(&scene->store.stored, UINT64_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		assert_int_equal(reading_try(&scene->object,
					     standin_request(&scene->fs, 0, &outcome), 12345,
					     lengths[i]),
				 0);
		assert_bytes(scene, &outcome, 12345, lengths[i]);
	}
	/* One is nowhere: not answered. */
	atomic_store(&scene->store.stored, 5);
	assert_int_equal(reading_try(&scene->object, standin_request(&scene->fs, 0, &outcome), 0,
				     2 * CHUNK_SIZE),
			 -EAGAIN);
	assert_int_equal(atomic_load(&outcome.answers), 0);
	fuse_reply_err(outcome.request, EAGAIN);
}

static void test_too_long(void **state)
{
	struct scene *scene = *state;
	struct outcome outcome;
	fuse_req_t request = standin_request(&scene->fs, 0, &outcome);
	struct reading *reading = NULL;

	assert_int_equal(reading_new(&scene->object, 0, request, HALF, CHUNKS * CHUNK_SIZE, &reading),
			 -EINVAL);
	assert_null(reading);
	fuse_reply_err(request, EINVAL);
	/* As many as can be. */
	reading = begin(scene, 0, SIZE, &outcome);
	atomic_store(&scene->object.uncached, true);
	for (uint64_t chunk = 0; chunk < CHUNKS; chunk++)
		land(scene, reading_wait_for(reading, chunk), chunk, chunk % 2);
	reading_begin(reading);
	assert_bytes(scene, &outcome, 0, SIZE);
}

/* ---- all at once ---- */

#define THREADS 4
#define WIDTH	8 /* chunks in a read */

struct race {
	struct scene *scene;
	pthread_barrier_t barrier;
	struct waiter *waiters[WIDTH];
	unsigned int stored; /* bit N: chunk N */
	int failing;	     /* chunk; WIDTH: none */
	atomic_int next;
};

static void *land_some(void *arg)
{
	struct race *race = arg;
	int chunk;

	pthread_barrier_wait(&race->barrier);
	while ((chunk = atomic_fetch_add(&race->next, 1)) < WIDTH) {
		if (chunk == race->failing)
			waiter_failed(race->waiters[chunk], -EIO);
		else
			land(race->scene, race->waiters[chunk], (uint64_t)chunk,
			     race->stored >> chunk & 1);
	}
	return NULL;
}

static void test_race(void **state)
{
	const uint64_t offset = HALF;
	const size_t length = WIDTH * CHUNK_SIZE - CHUNK_SIZE;
	struct scene *scene = *state;

	for (unsigned int round = 0; round < 60; round++) {
		struct race race = {.scene = scene,
				    .stored = round * 37,
				    .failing = round % 5 ? WIDTH : (int)(round / 5 % WIDTH)};
		pthread_t threads[THREADS];
		struct outcome outcome;
		struct reading *reading;

		atomic_store(&scene->store.stored, 0);
		atomic_store(&scene->object.uncached, true);
		pthread_barrier_init(&race.barrier, NULL, THREADS + 1);
		reading = begin(scene, offset, length, &outcome);
		if (round % 7 == 0)
			park_until(scene->fs.parking, reading_parked(reading), clock_ms() + 1);
		for (uint64_t chunk = 0; chunk < WIDTH; chunk++)
			race.waiters[chunk] = reading_wait_for(reading, chunk);
		for (size_t i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, land_some, &race), 0);
		pthread_barrier_wait(&race.barrier);
		reading_begin(reading);
		for (size_t i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		pthread_barrier_destroy(&race.barrier);
		assert_true(standin_wait(&outcome));
		if (round % 7 == 0 && atomic_load(&outcome.error) == ETIMEDOUT)
			assert_error(&outcome, ETIMEDOUT);
		else if (race.failing < WIDTH)
			assert_error(&outcome, EIO);
		else
			assert_bytes(scene, &outcome, offset, length);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(single),	   TEST(failed),       TEST(stored),   TEST(mixed), TEST(gave_up),
		TEST(store_fails), TEST(try),	       TEST(too_long), TEST(race),  TEST(resumed),
	};

	log_set_level(LOG_EMERG); /* the failures are meant */
	return cmocka_run_group_tests_name("fs-reading", tests, NULL, NULL);
}
