/* SPDX-License-Identifier: Apache-2.0 */
/* A reader with prefetch: which chunks it fetched and which it read, and what must hold of every read. */
#ifndef PREFETCH_TESTING_H
#define PREFETCH_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "fs/objects/prefetch.h"

#define KIB ((uint64_t)1024)
#define MIB ((uint64_t)1024 * 1024)

#define CHUNKS_MAX 8192 /* 4 GiB */
#define UNFETCHED  UINT32_MAX

struct reader {
	struct prefetch prefetch;
	uint64_t size, max, step;
	const struct tensors *tensors;
	uint32_t fetched[CHUNKS_MAX]; /* at which read, or UNFETCHED */
	uint32_t read[CHUNKS_MAX];
	uint32_t reads;
	uint64_t late;	 /* reads that found a chunk of theirs not fetched yet */
	uint64_t ahead;	 /* chunks fetched ahead by the last read */
	uint64_t end;	 /* of the last run of it */
	uint64_t n_runs; /* of it */
};

static inline struct reader *reader_new(uint64_t size, uint64_t max)
{
	struct reader *reader = calloc(1, sizeof(*reader));

	assert_non_null(reader);
	assert_true(chunk_count(size) <= CHUNKS_MAX);
	reader->size = size;
	reader->max = max;
	reader->step = 4;
	memset(reader->fetched, 0xff, sizeof(reader->fetched));
	memset(reader->read, 0xff, sizeof(reader->read));
	return reader;
}

static inline void reader_read(struct reader *reader, uint64_t offset, uint64_t length)
{
	struct prefetch_read read = {
		.offset = offset,
		.length = length,
		.size = reader->size,
		.max = reader->max,
		.step = reader->step,
		.tensors = reader->tensors,
	};
	struct chunk_run runs[PREFETCH_RUNS_MAX];
	uint64_t first = offset / CHUNK_SIZE, end = chunk_count(offset + length);
	bool late = false;

	reader->n_runs = prefetch_advance(&reader->prefetch, &read, runs);
	assert_true(reader->n_runs <= PREFETCH_RUNS_MAX);
	for (uint64_t chunk = first; chunk < end; chunk++) {
		late = late || reader->fetched[chunk] == UNFETCHED;
		if (reader->fetched[chunk] == UNFETCHED)
			reader->fetched[chunk] = reader->reads;
		if (reader->read[chunk] == UNFETCHED)
			reader->read[chunk] = reader->reads;
	}
	reader->late += late;
	reader->ahead = 0;
	for (size_t i = 0; i < reader->n_runs; i++) {
		assert_true(runs[i].count > 0);
		assert_true(runs[i].first + runs[i].count <= chunk_count(reader->size));
		assert_true(runs[i].first >= end || runs[i].first + runs[i].count <= first);
		reader->ahead += runs[i].count;
		reader->end = runs[i].first + runs[i].count;
		for (uint64_t chunk = runs[i].first; chunk < reader->end; chunk++) {
			if (reader->fetched[chunk] == UNFETCHED)
				reader->fetched[chunk] = reader->reads;
		}
	}
	reader->reads++;
}

/* All of [OFFSET, OFFSET + LENGTH), as the kernel would: in windows. */
static inline void reader_run(struct reader *reader, uint64_t offset, uint64_t length,
			      uint64_t window)
{
	for (uint64_t done = 0; done < length; done += window)
		reader_read(reader, offset + done, length - done < window ? length - done : window);
}

static inline uint64_t count_set(const uint32_t *when, uint64_t chunks)
{
	uint64_t n = 0;

	for (uint64_t chunk = 0; chunk < chunks; chunk++)
		n += when[chunk] != UNFETCHED;
	return n;
}

static inline uint64_t reader_fetched(const struct reader *reader)
{
	return count_set(reader->fetched, chunk_count(reader->size));
}

/* Chunks that were fetched and not read. */
static inline uint64_t reader_waste(const struct reader *reader)
{
	return reader_fetched(reader) - count_set(reader->read, chunk_count(reader->size));
}

/* How many chunks without a gap are fetched from CHUNK on. */
static inline uint64_t fetched_from(const struct reader *reader, uint64_t chunk)
{
	uint64_t end = chunk;

	while (end < chunk_count(reader->size) && reader->fetched[end] != UNFETCHED)
		end++;
	return end - chunk;
}

static uint64_t random_state;

/* xorshift64*: the same numbers everywhere. */
static inline uint64_t draw(uint64_t below)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1d % below;
}

#endif
