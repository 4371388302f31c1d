/* SPDX-License-Identifier: Apache-2.0 */
/* Random reads: what is fetched ahead of runs that are alike, and not ahead of the others. */
#include "tests/unit/prefetch-testing.h"
#include "tests/unit/streams-traces.h"

#define MAX ((uint64_t)64) /* half of 64 MiB, in chunks */

#define REPLAY(reader, trace) replay(reader, trace, sizeof(trace) / sizeof((trace)[0]))

static void replay(struct reader *reader, const struct trace_read *trace, size_t n)
{
	for (size_t i = 0; i < n; i++)
		reader_read(reader, trace[i].offset * KIB, trace[i].length * KIB);
}

/* RUNS of 4 MiB were asked for: what is fetched is what the kernel asked for, in whole chunks. */
static void check_random(const struct trace_read *trace, size_t n, uint64_t runs, const char *what)
{
	struct reader *reader = reader_new(256 * MIB, MAX);
	double ratio;

	replay(reader, trace, n);
	ratio = (double)(reader_fetched(reader) * CHUNK_SIZE) / (double)(runs * 4 * MIB);
	if (ratio > 1.3)
		fail_msg("%s: %g of what was asked for", what, ratio);
	/* Of runs that are alike the later ones come at once. */
	if (reader->late > reader_fetched(reader) * 9 / 10)
		fail_msg("%s: %u reads had to wait", what, (unsigned int)reader->late);
	free(reader);
}

#define CHECK_RANDOM(trace, runs)                                                                  \
	check_random(trace, sizeof(trace) / sizeof((trace)[0]), runs, #trace)

static void test_random_traces(void **state)
{
	CHECK_RANDOM(pread_one, 6);
	CHECK_RANDOM(pread_eight, 24);
	CHECK_RANDOM(mmap_one, 6);
	CHECK_RANDOM(mmap_eight, 24);
}

/* From the third run on, the first read of a run fetches the rest of it, and nothing else. */
static void test_runs_are_learned(void **state)
{
	static const uint64_t lengths[] = {1 * MIB, 4 * MIB + 500 * KIB, 9 * MIB + 4096, 20 * MIB};

	random_state = 7;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct reader *reader = reader_new(4096 * MIB, MAX);
		uint64_t length = lengths[i], after_three = 0;

		for (uint64_t run = 0; run < 60; run++) {
			/* Far enough apart, in a random order. */
			uint64_t begin = (run * 37 % 60) * 64 * MIB + draw(30 * MIB);

			if (run == 5)
				after_three = reader_waste(reader);
			reader_read(reader, begin, 256 * KIB);
			if (run >= 5)
				assert_int_equal(fetched_from(reader, begin / CHUNK_SIZE),
						 chunk_count(begin + length) - begin / CHUNK_SIZE);
			reader_run(reader, begin + 256 * KIB, length - 256 * KIB, 256 * KIB);
		}
		assert_int_equal(reader_waste(reader), after_three);
		free(reader);
	}
}

/* One read here, one there: nothing. */
static void test_single_reads(void **state)
{
	static const uint64_t lengths[] = {4096, 65536, 256 * KIB, 512 * KIB};

	random_state = 1;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct reader *reader = reader_new(4096 * MIB, MAX);
		uint64_t last = 0;

		for (unsigned int n = 0; n < 20000; n++) {
			uint64_t offset = draw(4095 * MIB) / 4096 * 4096;

			if (offset < last + 8 * MIB && last < offset + 8 * MIB)
				continue;
			last = offset;
			reader_read(reader, offset, lengths[i]);
			/* Now and then two of them happen to be neighbours. */
			if (n < 16)
				assert_int_equal(reader->n_runs, 0);
		}
		assert_true(reader_waste(reader) < reader_fetched(reader) / 50);
		free(reader);
	}
}

/* A random reader beside a scan: the scan goes on as if it were alone. */
static void test_scan_beside_random_reads(void **state)
{
	struct reader *reader = reader_new(2048 * MIB, MAX);
	uint64_t late = 0;

	random_state = 3;
	for (uint64_t at = 0; at < 256 * MIB; at += 256 * KIB) {
		uint64_t before = reader->late;

		reader_read(reader, at, 256 * KIB);
		late += at > 4 * MIB && reader->late > before;
		for (unsigned int i = 0; i < 12; i++)
			reader_read(reader, 1024 * MIB + draw(1000 * MIB), 4096);
	}
	assert_int_equal(late, 0);
	free(reader);
}

/* Records with gaps between them that are larger than they: not all that lies between. */
static void test_sparse(void **state)
{
	struct reader *reader = reader_new(2048 * MIB, MAX);

	for (uint64_t at = 100 * MIB; at < 1100 * MIB; at += 1536 * KIB)
		reader_read(reader, at, 64 * KIB);
	assert_true(reader_waste(reader) < reader_fetched(reader) / 5);
	free(reader);
}

/* Random runs that leave gaps of a MiB between them, whose order makes a stream of them. */
static void test_neighbouring_runs(void **state)
{
	struct reader *reader = reader_new(2048 * MIB, MAX);

	for (uint64_t i = 0; i < 100; i++)
		reader_run(reader, 100 * MIB + i * 5 * MIB + 600 * KIB, 4 * MIB, 256 * KIB);
	assert_int_equal(reader_waste(reader), 0);
	free(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_traces),
		cmocka_unit_test(test_runs_are_learned),
		cmocka_unit_test(test_single_reads),
		cmocka_unit_test(test_scan_beside_random_reads),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_neighbouring_runs),
	};

	return cmocka_run_group_tests_name("streams-random", tests, NULL, NULL);
}
