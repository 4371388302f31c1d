/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of every kind, as the kernel shows them, and what is fetched ahead of each. */
#include "tests/unit/prefetch-testing.h"
#include "tests/unit/streams-traces.h"

#define MAX ((uint64_t)64) /* half of 64 MiB, in chunks */

#define REPLAY(reader, trace) replay(reader, trace, sizeof(trace) / sizeof((trace)[0]))

static void replay(struct reader *reader, const struct trace_read *trace, size_t n)
{
	for (size_t i = 0; i < n; i++)
		reader_read(reader, trace[i].offset * KIB, trace[i].length * KIB);
}

/* ---- scans ---- */

/* The rest of a file that was read up to OFFSET: the window is full, and stays so to the end. */
static void scan_on(struct reader *reader, uint64_t offset, uint64_t window)
{
	while (offset < reader->size) {
		uint64_t left = chunk_count(reader->size) - chunk_count(offset);
		uint64_t here = fetched_from(reader, chunk_count(offset));

		assert_true(here <= reader->max);
		/* It took a window's length to double it to that. */
		if (offset >= 20 * MIB && here < left && here < reader->max - reader->step)
			fail_msg("%u chunks before the reader at %u KiB", (unsigned int)here,
				 (unsigned int)(offset / KIB));
		reader_read(reader, offset, window);
		offset += window;
	}
	assert_int_equal(reader_waste(reader), 0);
}

static void check_scan(const struct trace_read *trace, size_t n, uint64_t window)
{
	struct reader *reader = reader_new(256 * MIB, MAX);
	uint64_t end = 0;

	replay(reader, trace, n);
	for (size_t i = 0; i < n; i++) {
		if ((trace[i].offset + trace[i].length) * KIB > end)
			end = (trace[i].offset + trace[i].length) * KIB;
	}
	/* No chunk was late after the first MiB. */
	assert_true(reader->late <= 5);
	scan_on(reader, end, window);
	free(reader);
}

#define CHECK_SCAN(trace, window) check_scan(trace, sizeof(trace) / sizeof((trace)[0]), window)

static void test_scans(void **state)
{
	CHECK_SCAN(dd_1m, 256 * KIB);
	CHECK_SCAN(dd_4k, 256 * KIB);
	CHECK_SCAN(cp, 512 * KIB);
	CHECK_SCAN(mmap_scan, 256 * KIB);
}

/* Whatever the sizes: nothing twice, nothing left out, never more than the bound. */
static void test_scan_sizes(void **state)
{
	static const uint64_t sizes[] = {1,
					 4096,
					 CHUNK_SIZE,
					 CHUNK_SIZE + 1,
					 5 * CHUNK_SIZE,
					 40 * CHUNK_SIZE - 1,
					 200 * CHUNK_SIZE + 4096};
	static const uint64_t steps[] = {4096, 100 * KIB, 128 * KIB, 512 * KIB, 1024 * KIB};
	static const uint64_t bounds[] = {0, 1, 2, 3, 7, 32, 128};

	for (size_t i = 0; i < 7; i++)
		for (size_t j = 0; j < 5; j++)
			for (size_t k = 0; k < 7; k++) {
				struct reader *reader = reader_new(sizes[i], bounds[k]);
				uint64_t ahead = 0;

				for (uint64_t at = 0; at < sizes[i]; at += steps[j]) {
					uint64_t left = sizes[i] - at;

					reader_read(reader, at, left < steps[j] ? left : steps[j]);
					ahead += reader->ahead;
					assert_true(reader->ahead <= bounds[k]);
				}
				assert_true(ahead <= chunk_count(sizes[i]));
				assert_int_equal(reader_waste(reader), 0);
				assert_true((ahead > 0) ==
					    (bounds[k] > 0 &&
					     chunk_count(sizes[i]) > chunk_count(2 * steps[j])));
				free(reader);
			}
}

static void test_header_only(void **state)
{
	struct reader *reader = reader_new(256 * MIB, MAX);

	/* The first read may want the header only, and no more is known of a second one behind it. */
	reader_read(reader, 0, 16 * KIB);
	assert_int_equal(reader->ahead, 0);
	reader_read(reader, 16 * KIB, 32 * KIB);
	assert_true(reader->ahead <= 1);
	free(reader);
}

/* Neighbours overtake each other: all the same, all of it, nothing twice. */
static void test_neighbours(void **state)
{
	static const unsigned int orders[][4] = {
		{1, 0, 3, 2}, {3, 2, 1, 0}, {2, 3, 0, 1}, {1, 3, 0, 2}};
	const uint64_t window = 128 * KIB;

	for (size_t order = 0; order < 4; order++) {
		struct reader *reader = reader_new(150 * MIB, 32);
		uint64_t ahead = 0;

		reader_read(reader, 0, 4 * KIB);
		for (uint64_t group = 0; group * 4 * window < reader->size; group++) {
			for (size_t i = 0; i < 4; i++) {
				reader_read(reader, (group * 4 + orders[order][i]) * window,
					    window);
				ahead += reader->ahead;
			}
		}
		assert_true(ahead >= chunk_count(reader->size) - 8);
		assert_true(ahead <= chunk_count(reader->size));
		assert_int_equal(reader_waste(reader), 0);
		free(reader);
	}
}

/* ---- a stream that begins somewhere ---- */

static void test_earned(void **state)
{
	struct reader *reader = reader_new(1024 * MIB, MAX);
	const uint64_t begin = 300 * MIB + 12345, window = 256 * KIB;
	uint64_t most = 0;

	for (uint64_t done = 0; done < 64 * MIB; done += window) {
		uint64_t consumed = done + window, behind = chunk_count(begin + consumed), ahead;

		reader_read(reader, begin + done, window);
		ahead = fetched_from(reader, behind);
		if (consumed < 6 * MIB)
			assert_int_equal(ahead, 0);
		else if (consumed < 32 * MIB)
			assert_true(ahead <= consumed / CHUNK_SIZE / 4);
		most = ahead > most ? ahead : most;
		if (consumed == 12 * MIB)
			assert_true(ahead > 0);
	}
	assert_int_equal(most, MAX);
	assert_true(reader->late <= 16);
	free(reader);
}

/* Reads in turns from regions: none makes the others forget. */
static void check_regions(uint64_t regions, uint64_t unit)
{
	struct reader *reader = reader_new(2048 * MIB, MAX);
	const uint64_t part = reader->size / regions;
	uint64_t late_at_half = 0;

	for (uint64_t done = 0; done < 64 * MIB; done += unit) {
		uint64_t ahead = 0;

		if (done == 32 * MIB)
			late_at_half = reader->late;
		for (uint64_t region = 0; region < regions; region++)
			reader_run(reader, region * part + done, unit, 256 * KIB);
		for (uint64_t region = 0; region < regions; region++)
			ahead += fetched_from(reader, chunk_count(region * part + done + unit));
		assert_true(ahead <= 2 * MAX);
	}
	assert_true(reader->late == late_at_half);
	free(reader);
}

static void test_regions(void **state)
{
	struct reader *reader = reader_new(256 * MIB, MAX);

	check_regions(8, 1 * MIB);
	check_regions(8, 256 * KIB);
	check_regions(10, 4 * MIB);
	/* The real thing: what is fetched too much is what every region may have ahead of it. */
	REPLAY(reader, shards);
	assert_true(reader_waste(reader) <= MAX + MAX / 4);
	free(reader);
}

/* ---- strides ---- */

static void check_stride(int64_t begin, int64_t distance, uint64_t length, unsigned int steps)
{
	struct reader *reader = reader_new(2048 * MIB, MAX);

	for (unsigned int i = 0; i < steps; i++) {
		uint64_t late = reader->late;

		reader_run(reader, (uint64_t)(begin + i * distance), length, 256 * KIB);
		if (i > 2)
			assert_int_equal(reader->late, late);
	}
	/* A stride ends without a word. */
	assert_true(reader_waste(reader) <= MAX);
	free(reader);
}

static void test_strides(void **state)
{
	struct reader *reader = reader_new(256 * MIB, MAX);

	check_stride(12288, (int64_t)(10 * MIB), 1 * MIB, 100);
	check_stride(12288, (int64_t)(10 * MIB) + 123, 1 * MIB, 100);
	check_stride((int64_t)(2000 * MIB), -(int64_t)(17 * MIB), 2 * MIB, 100);
	check_stride(0, (int64_t)(64 * MIB), 256 * KIB, 30);
	REPLAY(reader, strided);
	assert_true(reader->late <= 30);
	assert_true(reader_waste(reader) <= 40);
	free(reader);
}

static void test_broken_stride(void **state)
{
	struct reader *reader = reader_new(4096 * MIB, MAX);
	uint64_t waste = 0, begin;

	/* Five steps, then elsewhere, over and over: less and less is believed. */
	random_state = 9;
	for (unsigned int round = 0; round < 40; round++) {
		begin = draw(3000 * MIB);
		for (unsigned int i = 0; i < 5; i++)
			reader_read(reader, begin + i * (11 * MIB + round * 4096 * 8), 256 * KIB);
		if (round == 9)
			waste = reader_waste(reader);
	}
	waste = reader_waste(reader) - waste;
	assert_true(waste <= 30 * STREAM_AHEAD);
	free(reader);
}

/* ---- waste ---- */

/* Long runs, then short ones: that is paid for once. */
static void test_waste_makes_careful(void **state)
{
	struct reader *reader = reader_new(4096 * MIB, MAX);
	uint64_t before;

	for (uint64_t i = 0; i < 6; i++)
		reader_run(reader, (100 + i * (200 + i)) * MIB, 40 * MIB, 256 * KIB);
	assert_int_equal(reader->prefetch.streams.careful, 0);
	before = reader_waste(reader);
	for (uint64_t i = 0; i < 4; i++)
		reader_run(reader, (1400 + i * (20 + i)) * MIB, 1 * MIB, 256 * KIB);
	assert_true(reader->prefetch.streams.careful > 0);
	for (uint64_t i = 0; i < 40; i++)
		reader_run(reader, (1500 + i * (20 + i)) * MIB, 1 * MIB, 256 * KIB);
	assert_int_equal(reader->prefetch.streams.careful, 0);
	/* Two of them, until one is known to have ended. */
	assert_true(reader_waste(reader) - before <= 2 * MAX);
	before = reader_waste(reader);
	for (uint64_t i = 0; i < 8; i++)
		reader_run(reader, (i * 10 + i * i) * MIB, 1 * MIB, 256 * KIB);
	assert_int_equal(reader_waste(reader), before);
	free(reader);
}

/* ---- any access ---- */

static void test_any_access(void **state)
{
	random_state = 2;
	for (unsigned int round = 0; round < 500; round++) {
		uint64_t size = 1 + draw(draw(2) ? 4000 * MIB : 3 * CHUNK_SIZE);
		struct reader *reader = reader_new(size, draw(40));
		uint64_t offset = draw(3) ? 0 : draw(size);

		for (unsigned int i = 0; i < 300; i++) {
			uint64_t length = 1 + draw(draw(4) ? 128 * KIB : 4096 * KIB);

			if (length > size - offset)
				length = size - offset;
			reader_read(reader, offset, length);
			assert_true(reader->ahead <= 2 * reader->max);
			offset += length;
			switch (draw(12)) {
			case 0: /* elsewhere */
				offset = draw(size);
				break;
			case 1: /* a little back, or on */
				offset = offset > 512 * KIB ? offset - draw(512 * KIB) : offset;
				break;
			case 2:
				offset += draw(4096 * KIB);
				break;
			case 3: /* buffers are short now */
				reader->max = draw(40);
				break;
			}
			if (offset >= size)
				offset = 0;
		}
		free(reader);
	}
}

/* Counters that overflow do no harm. */
static void test_wrapping_clocks(void **state)
{
	struct reader *reader = reader_new(2048 * MIB, MAX);

	reader->prefetch.streams.clock = UINT32_MAX - 1000;
	reader->prefetch.streams.era = UINT16_MAX - 100;
	reader->prefetch.streams.started = true;
	random_state = 5;
	for (uint64_t at = 0; at < 512 * MIB; at += 256 * KIB) {
		reader_read(reader, at, 256 * KIB);
		if (draw(3) == 0)
			reader_read(reader, 1024 * MIB + draw(1000 * MIB), 4096);
	}
	assert_true(fetched_from(reader, chunk_count(512 * MIB)) >= MAX - reader->step);
	free(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scans),
		cmocka_unit_test(test_scan_sizes),
		cmocka_unit_test(test_header_only),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_earned),
		cmocka_unit_test(test_regions),
		cmocka_unit_test(test_strides),
		cmocka_unit_test(test_broken_stride),
		cmocka_unit_test(test_waste_makes_careful),
		cmocka_unit_test(test_any_access),
		cmocka_unit_test(test_wrapping_clocks),
	};

	return cmocka_run_group_tests_name("streams", tests, NULL, NULL);
}
