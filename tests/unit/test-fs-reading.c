/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readings: what a parked READ is answered with, from buffers, from the store, or from both. The
 * store and libfuse are stand-ins, the parking lot is the real one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include "common/chunk.h"
#include "common/clock.h"
#include "common/log.h"
#include "fs/reading.h"
#include "tests/unit/fuse-standin.h"

#define CHUNKS	64
#define SIZE	(CHUNKS * CHUNK_SIZE - 1000)
#define HOUR	3600000
#define HALF	(CHUNK_SIZE / 2)
#define NOWHERE ((char)0xee) /* what the store has where no chunk was put */

/* ---- stand-ins for the store and for fs/object.c ---- */

struct store_object {
	_Atomic uint64_t stored; /* bit N: chunk N */
	atomic_uint reads;
	int error;
};

static char byte_at(uint64_t offset)
{
	return (char)(offset * 7 + (offset >> 8) * 3 + (offset >> 19));
}

int store_object_read(struct store_object *object, uint64_t offset, void *buf, size_t len)
{
	char *bytes = buf;

	atomic_fetch_add(&object->reads, 1);
	for (size_t i = 0; i < len; i++) {
		uint64_t chunk = (offset + i) / CHUNK_SIZE;

		bytes[i] = atomic_load_explicit(&object->stored, memory_order_relaxed) >> chunk & 1
				   ? byte_at(offset + i)
				   : NOWHERE;
	}
	return object->error;
}

struct object *object_ref(struct object *object)
{
	atomic_fetch_add(&object->references, 1);
	return object;
}

void object_put(struct object *object)
{
	atomic_fetch_sub(&object->references, 1);
}

void object_name(struct object *object, char out[DIGEST_NAME_SIZE])
{
	strcpy(out, "test");
}

/* ---- what each test has ---- */

struct scene {
	struct weightfs fs;
	struct object object;
	struct store_object store;
	char *bytes; /* of the whole object */
};

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	if (!scene || !(scene->bytes = malloc(SIZE)))
		return -1;
	for (uint64_t i = 0; i < SIZE; i++)
		scene->bytes[i] = byte_at(i);
	scene->object.fs = &scene->fs;
	scene->object.store = &scene->store;
	*state = scene;
	return parking_new(&scene->fs.parking);
}

static int teardown(void **state)
{
	struct scene *scene = *state;
	unsigned int references;

	parking_free(scene->fs.parking);
	references = atomic_load(&scene->object.references);
	free(scene->bytes);
	free(scene);
	return references == 0 ? 0 : -1; /* a reading that was forgotten */
}

static struct reading *begin(struct scene *scene, uint64_t offset, size_t length,
			     struct outcome *outcome)
{
	fuse_req_t request = standin_request(&scene->fs, 0, outcome);
	struct reading *reading;

	assert_int_equal(reading_new(&scene->object, request, offset, length, &reading), 0);
	park(scene->fs.parking, reading_parked(reading), clock_ms() + HOUR);
	return reading;
}

/* CHUNK has come, and verified; STORED: the store had room for it. */
static void land(struct scene *scene, struct waiter *waiter, uint64_t chunk, bool stored)
{
	size_t length = chunk_length(SIZE, chunk);
	/* A copy that goes afterwards, like the buffer that it came in. */
	char *data = malloc(length);

	if (!data)
		abort();
	memcpy(data, scene->bytes + chunk * CHUNK_SIZE, length);
	if (stored)
		atomic_fetch_or(&scene->store.stored, (uint64_t)1 << chunk);
	waiter_landed(waiter, chunk, data, length, stored);
	free(data);
}

static void assert_error(struct outcome *outcome, int error)
{
	assert_int_equal(atomic_load(&outcome->answers), 1);
	assert_int_equal(atomic_load(&outcome->error), error);
	assert_null(outcome->data);
}

static void assert_bytes(struct scene *scene, struct outcome *outcome, uint64_t offset,
			 size_t length)
{
	assert_int_equal(atomic_load(&outcome->answers), 1);
	assert_int_equal(atomic_load(&outcome->error), 0);
	assert_int_equal(outcome->length, length);
	assert_true(memcmp(outcome->data, scene->bytes + offset, length) == 0);
	free(outcome->data);
	outcome->data = NULL;
}

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
		struct outcome outcome;
		struct reading *reading = begin(scene, offset, length, &outcome);
		struct waiter *waiter = reading_wait_for(reading, chunk);

		assert_true(reading_is_single(reading));
		assert_true(reading_waits(reading));
		/* It may land before all was said. */
		if (early)
			land(scene, waiter, chunk, stored);
		assert_int_equal(atomic_load(&outcome.answers), early);
		assert_int_equal(reading_waits(reading), !early);
		reading_begin(reading);
		if (!early)
			land(scene, waiter, chunk, stored);
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

/* Every way in which four chunks are there already, land in the store, or land without room for
 * them. */
static void test_mixed(void **state)
{
	struct scene *scene = *state;
	const uint64_t first = CHUNKS - 4, offset = first * CHUNK_SIZE + HALF;
	const size_t length = (size_t)(SIZE - offset);

	for (unsigned int way = 0; way < 3 * 3 * 3 * 3; way++) {
		unsigned int kinds[] = {way % 3, way / 3 % 3, way / 9 % 3, way / 27};
		struct waiter *waiters[4] = {NULL};
		struct reading *reading;
		struct outcome outcome;

		atomic_store(&scene->store.stored, 0);
		reading = begin(scene, offset, length, &outcome);
		for (uint64_t i = 0; i < 4; i++) {
			if (kinds[i] > 0)
				waiters[i] = reading_wait_for(reading, first + i);
			else
				atomic_fetch_or(&scene->store.stored, (uint64_t)1 << (first + i));
		}
		reading_begin(reading);
		for (uint64_t i = 4; i-- > 0;)
			if (waiters[i])
				land(scene, waiters[i], first + i, kinds[i] == 1);
		assert_bytes(scene, &outcome, offset, length);
	}
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

static void test_store_fails(void **state)
{
	struct scene *scene = *state;
	struct outcome outcome;
	struct reading *reading = begin(scene, 0, 2 * CHUNK_SIZE, &outcome);

	scene->store.error = -EREMOTEIO;
	land(scene, reading_wait_for(reading, 0), 0, true);
	land(scene, reading_wait_for(reading, 1), 1, true);
	reading_begin(reading);
	assert_error(&outcome, EIO);

	reading = begin(scene, 0, 2 * CHUNK_SIZE, &outcome);
	land(scene, reading_wait_for(reading, 0), 0, false);
	reading_begin(reading);
	assert_error(&outcome, EIO);

	reading_reply_stored(&scene->object, standin_request(&scene->fs, 0, &outcome), 0, 10);
	assert_error(&outcome, EIO);
}

static void test_reply_stored(void **state)
{
	/* The last one is larger than what a thread keeps for this. */
	static const size_t lengths[] = {1, 4096, 1 << 20, (1 << 20) + 1, 5 << 20};
	struct scene *scene = *state;
	struct outcome outcome;

	atomic_store(&scene->store.stored, UINT64_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		reading_reply_stored(&scene->object, standin_request(&scene->fs, 0, &outcome),
				     12345, lengths[i]);
		assert_bytes(scene, &outcome, 12345, lengths[i]);
	}
}

static void test_too_long(void **state)
{
	struct scene *scene = *state;
	struct outcome outcome;
	fuse_req_t request = standin_request(&scene->fs, 0, &outcome);
	struct reading *reading = NULL;

	assert_int_equal(reading_new(&scene->object, request, HALF, CHUNKS * CHUNK_SIZE, &reading),
			 -EINVAL);
	assert_null(reading);
	fuse_reply_err(request, EINVAL);
	/* As many as can be. */
	reading = begin(scene, 0, SIZE, &outcome);
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
		TEST(store_fails), TEST(reply_stored), TEST(too_long), TEST(race),
	};

	log_set_level(LOG_EMERG); /* the failures are meant */
	return cmocka_run_group_tests_name("fs-reading", tests, NULL, NULL);
}
