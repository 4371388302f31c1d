/* SPDX-License-Identifier: Apache-2.0 */
/* What is fetched ahead where the tensors of the file are known. */
#include "tests/unit/prefetch-testing.h"

#include <errno.h>
#include <stdio.h>

#define MAX    ((uint64_t)64)
#define WINDOW (256 * KIB)

/* ---- a file of tensors ---- */

struct header {
	unsigned char bytes[65536];
	size_t length;
};

static int read_header(void *arg, uint64_t offset, void *buf, size_t len)
{
	const struct header *header = arg;

	if (offset + len > sizeof(header->bytes))
		return -EIO;
	memcpy(buf, header->bytes + offset, len);
	return 0;
}

/* N tensors of LENGTH bytes each, without gaps, behind a header. */
static struct tensors *make_tensors(size_t n, uint64_t length, uint64_t *size)
{
	static struct header header;
	struct tensors *tensors;
	uint64_t need;

	header.length = 8;
	for (size_t i = 0; i < n; i++)
		header.length += (size_t)snprintf(
			(char *)header.bytes + header.length, sizeof(header.bytes) - header.length,
			"%c\"t%zu\":{\"data_offsets\":[%llu,%llu]}", i ? ',' : '{', i,
			(unsigned long long)(i * length), (unsigned long long)((i + 1) * length));
	header.bytes[header.length++] = '}';
	for (size_t i = 0; i < 8; i++)
		header.bytes[i] = (unsigned char)((header.length - 8) >> (8 * i));
	*size = header.length + n * length;
	assert_int_equal(tensors_parse(*size, read_header, &header, &tensors, &need), 0);
	return tensors;
}

static struct reader *open_tensors(size_t n, uint64_t length)
{
	uint64_t size;
	struct tensors *tensors = make_tensors(n, length, &size);
	struct reader *reader = reader_new(size, MAX);

	reader->tensors = tensors;
	/* The header comes first, always. */
	reader_read(reader, 0, 16 * KIB);
	return reader;
}

static void close_tensors(struct reader *reader)
{
	tensors_free((struct tensors *)reader->tensors);
	free(reader);
}

static uint64_t page_of(uint64_t offset)
{
	return offset / 4096 * 4096;
}

/* ---- tests ---- */

/* Its first read fetches all of a tensor, and nothing behind it. */
static void test_tensor(void **state)
{
	static const size_t order[] = {6, 14, 2, 10, 18, 4, 12}; /* neighbours would be a stream */
	struct reader *reader = open_tensors(20, 14 * MIB + 1000);

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const struct tensor *tensor = tensors_at(reader->tensors, order[i]);
		uint64_t begin = page_of(tensor->begin), end = chunk_count(tensor->end);

		reader_read(reader, begin, WINDOW);
		assert_int_equal(fetched_from(reader, begin / CHUNK_SIZE),
				 end - begin / CHUNK_SIZE);
		reader_run(reader, begin + WINDOW, tensor->end - begin - WINDOW, WINDOW);
		assert_int_equal(fetched_from(reader, begin / CHUNK_SIZE),
				 end - begin / CHUNK_SIZE);
	}
	assert_int_equal(reader_waste(reader), 0);
	close_tensors(reader);
}

/* The page before is here already: the kernel begins with the second. Or a fault, in the middle of a window. */
static void test_other_beginnings(void **state)
{
	struct reader *reader = open_tensors(6, 10 * MIB + 1000);
	const struct tensor *second = tensors_at(reader->tensors, 2);
	const struct tensor *faulted = tensors_at(reader->tensors, 4);
	uint64_t end = chunk_count(second->end);

	reader_read(reader, page_of(second->begin) + 4096, WINDOW);
	assert_int_equal(reader->end, end);
	reader_read(reader, page_of(faulted->begin) - WINDOW / 2, WINDOW);
	assert_int_equal(reader->end, chunk_count(faulted->end));
	close_tensors(reader);
}

/* One that is larger than the bound is followed to its end, and no further. */
static void test_large_tensor(void **state)
{
	struct reader *reader = open_tensors(5, 200 * MIB + 77);
	const struct tensor *tensor = tensors_at(reader->tensors, 2);
	uint64_t begin = page_of(tensor->begin), end = chunk_count(tensor->end);

	for (uint64_t at = begin; at < tensor->end; at += WINDOW) {
		uint64_t behind = chunk_count(at + WINDOW), here, left;

		reader_read(reader, at, at + WINDOW < tensor->end ? WINDOW : tensor->end - at);
		if (at + WINDOW >= tensor->end)
			break;
		here = fetched_from(reader, behind);
		left = end - behind;
		assert_true(here <= MAX);
		/* Full, or all that there is. */
		assert_true(here >= (left < MAX ? left : MAX - reader->step));
	}
	/* By now the stream has read enough to be trusted anyway: then its window is its own. */
	assert_true(reader_waste(reader) <= MAX);
	close_tensors(reader);
}

/* Reads inside of tensors, of a length that the handle is used to: not past their ends. */
static void test_inside(void **state)
{
	struct reader *reader = open_tensors(300, 6 * MIB + 321);
	const struct tensor *tensor;

	for (size_t i = 10; i < 200; i += 19) {
		tensor = tensors_at(reader->tensors, i * 7 % 300);
		reader_run(reader, page_of(tensor->begin + 1 * MIB), 3 * MIB, WINDOW);
	}
	assert_int_equal(reader_waste(reader), 0);
	/* Three MiB more would be the usual, but there is only one. */
	tensor = tensors_at(reader->tensors, 201);
	reader_read(reader, page_of(tensor->end - 1 * MIB), WINDOW);
	assert_int_equal(reader->end, chunk_count(tensor->end));
	close_tensors(reader);
}

/* A stream inside a tensor that has not earned the trust to pass its end. */
static void test_ceiling(void **state)
{
	struct reader *reader = open_tensors(30, 30 * MIB);
	const struct tensor *tensor = tensors_at(reader->tensors, 3);
	uint64_t begin = page_of(tensor->begin + 9 * MIB);

	for (uint64_t at = begin; at + WINDOW < tensor->end; at += WINDOW) {
		reader_read(reader, at, WINDOW);
		if (reader->n_runs > 0)
			assert_true(reader->end <= chunk_count(tensor->end));
	}
	/* It fetched to the end, for it was at it. */
	assert_true(fetched_from(reader, begin / CHUNK_SIZE) >=
		    chunk_count(tensor->end) - begin / CHUNK_SIZE - 1);
	close_tensors(reader);
}

/* One tensor after the other, from the middle of the file: further each time. */
static void test_in_order(void **state)
{
	struct reader *reader = open_tensors(100, 2 * MIB + 512);
	const struct tensor *first = tensors_at(reader->tensors, 40);
	uint64_t begin = page_of(first->begin), late;

	reader_run(reader, begin, 8 * MIB, WINDOW);
	late = reader->late;
	reader_run(reader, begin + 8 * MIB, 80 * MIB, WINDOW);
	assert_int_equal(reader->late, late);
	close_tensors(reader);

	/* One, and as much of the next as the kernel reads ahead of its own accord. */
	reader = open_tensors(100, 2 * MIB + 512);
	first = tensors_at(reader->tensors, 40);
	begin = page_of(first->begin);
	reader_run(reader, begin, first->end - begin + 508 * KIB, WINDOW);
	assert_int_equal(reader_waste(reader), 0);
	close_tensors(reader);
}

/* Who begins with tensors and leaves them at once is believed less each time. */
static void test_peeking(void **state)
{
	struct reader *reader = open_tensors(60, 60 * MIB);
	uint64_t ahead = 0;

	for (size_t i = 0; i < 50; i++) {
		reader_read(reader, page_of(tensors_at(reader->tensors, i * 7 % 60)->begin),
			    64 * KIB);
		ahead = reader->ahead;
	}
	assert_true(ahead <= MAX / 16);
	close_tensors(reader);
}

/* The whole file, from its header on: a scan. */
static void test_scan(void **state)
{
	struct reader *reader = open_tensors(50, 5 * MIB + 3);

	reader_run(reader, 16 * KIB, reader->size - 16 * KIB, WINDOW);
	assert_true(reader->late <= 6);
	assert_int_equal(reader_waste(reader), 0);
	close_tensors(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tensor),	     cmocka_unit_test(test_other_beginnings),
		cmocka_unit_test(test_large_tensor), cmocka_unit_test(test_inside),
		cmocka_unit_test(test_ceiling),	     cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_peeking),	     cmocka_unit_test(test_scan),
	};

	return cmocka_run_group_tests_name("prefetch", tests, NULL, NULL);
}
