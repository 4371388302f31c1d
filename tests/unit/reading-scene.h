/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of readings have: an object whose chunks are in a store or in memory, both of them stand-ins, and a
 * real parking lot. For one test program each: it defines what readings call.
 */
#ifndef TESTS_UNIT_READING_SCENE_H
#define TESTS_UNIT_READING_SCENE_H

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
#include "fs/objects/flight.h"
#include "tests/unit/fuse-standin.h"
#include "tests/unit/object-standin.h"

#define CHUNKS	64
#define SIZE	(CHUNKS * CHUNK_SIZE - 1000)
#define HOUR	3600000
#define HALF	(CHUNK_SIZE / 2)
#define NOWHERE ((char)0xee) /* what the store has where no chunk was put */

/* ---- stand-ins for the store, and for object.c, flight.c and pipeline.c ---- */

struct store_object {
	_Atomic uint64_t stored; /* bit N: chunk N */
	_Atomic uint64_t doubted; /* the same */
	atomic_uint reads;
	unsigned int failures; /* so many reads to come fail */
};

static inline char byte_at(uint64_t offset)
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
	if (object->failures == 0)
		return 0;
	object->failures--;
	return -EREMOTEIO;
}

void store_object_doubt(struct store_object *object, uint64_t chunk)
{
	atomic_fetch_and(&object->stored, ~((uint64_t)1 << chunk));
	atomic_fetch_or(&object->doubted, (uint64_t)1 << chunk);
}

enum store_presence store_object_presence(const struct store_object *object, uint64_t chunk)
{
	return atomic_load(&object->stored) >> chunk & 1 ? STORE_PRESENT : STORE_ABSENT;
}

/* Chunks in memory, and who uses them. */
static struct flight in_memory[CHUNKS];
static uint64_t resumed; /* bit N: chunk N was missing when a reading was resumed */

struct flight *flight_pin(struct object *object, uint64_t chunk)
{
	if (!in_memory[chunk].buffer)
		return NULL;
	in_memory[chunk].users++;
	return &in_memory[chunk];
}

void flight_unpin(struct flight *flight, bool consumed)
{
	assert_int_not_equal(flight->users, 0);
	flight->users--;
	flight->consumed |= consumed;
}

/* It comes again, to the store. */
void pipeline_resume(struct reading *reading)
{
	struct object *object = reading_object(reading);
	uint64_t chunk, end;

	for (reading_span(reading, &chunk, &end); chunk < end; chunk++) {
		struct waiter *waiter;
		char *data;

		if (in_memory[chunk].buffer || store_object_presence(object->store, chunk))
			continue;
		waiter = reading_wait_for(reading, chunk);
		resumed |= (uint64_t)1 << chunk;
		data = malloc(CHUNK_SIZE);
		if (!data)
			abort();
		for (size_t i = 0; i < CHUNK_SIZE; i++)
			data[i] = byte_at(chunk * CHUNK_SIZE + i);
		atomic_fetch_or(&object->store->stored, (uint64_t)1 << chunk);
		waiter_landed(waiter, chunk, data, CHUNK_SIZE);
		free(data);
	}
	reading_begin(reading);
}

/* ---- what each test has ---- */

struct scene {
	struct weightfs fs;
	struct object object;
	struct store_object store;
	char *bytes; /* of the whole object */
};

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	struct scene *scene = *state;
	unsigned int references;

	parking_free(scene->fs.parking);
	references = atomic_load(&scene->object.references);
	for (size_t i = 0; i < CHUNKS; i++) {
		references += in_memory[i].users;
		free(in_memory[i].buffer);
		in_memory[i] = (struct flight){0};
	}
	resumed = 0;
	free(scene->bytes);
	free(scene);
	return references == 0 ? 0 : -1; /* a reading that was forgotten */
}

static inline struct reading *begin(struct scene *scene, uint64_t offset, size_t length,
			     struct outcome *outcome)
{
	fuse_req_t request = standin_request(&scene->fs, 0, outcome);
	struct reading *reading;

	assert_int_equal(reading_new(&scene->object, 0, request, offset, length, &reading), 0);
	park(scene->fs.parking, reading_parked(reading), clock_ms() + HOUR);
	return reading;
}

/* CHUNK has come, and verified; STORED: the store had room for it. True: read to its end. */
static inline bool land(struct scene *scene, struct waiter *waiter, uint64_t chunk, bool stored)
{
	size_t length = chunk_length(SIZE, chunk);
	/* A copy that goes afterwards, like the buffer that it came in. */
	char *data = malloc(length);
	bool to_end;

	if (!data)
		abort();
	memcpy(data, scene->bytes + chunk * CHUNK_SIZE, length);
	if (stored)
		atomic_fetch_or(&scene->store.stored, (uint64_t)1 << chunk);
	else
		atomic_store(&scene->object.uncached, true);
	to_end = waiter_landed(waiter, chunk, data, length);
	free(data);
	return to_end;
}

/* CHUNK is in memory. */
static inline void keep(struct scene *scene, uint64_t chunk)
{
	struct flight *flight = &in_memory[chunk];

	flight->chunk = chunk;
	flight->length = chunk_length(SIZE, chunk);
	flight->buffer = malloc(flight->length);
	if (!flight->buffer)
		abort();
	memcpy(flight->buffer, scene->bytes + chunk * CHUNK_SIZE, flight->length);
	atomic_fetch_add(&scene->object.in_memory, 1);
}

static inline void assert_error(struct outcome *outcome, int error)
{
	assert_int_equal(atomic_load(&outcome->answers), 1);
	assert_int_equal(atomic_load(&outcome->error), error);
	assert_null(outcome->data);
}

static inline void assert_bytes(struct scene *scene, struct outcome *outcome, uint64_t offset,
			 size_t length)
{
	assert_int_equal(atomic_load(&outcome->answers), 1);
	assert_int_equal(atomic_load(&outcome->error), 0);
	assert_int_equal(outcome->length, length);
	assert_true(memcmp(outcome->data, scene->bytes + offset, length) == 0);
	free(outcome->data);
	outcome->data = NULL;
}

#endif
