/* SPDX-License-Identifier: Apache-2.0 */
/* Fronts and chunks, the true ones and every kind of false one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include "tests/unit/verify-reference.h"

#define MIB ((uint64_t)1024 * 1024)
#define GIB (1024 * MIB)

/* An object that exists only as the hashes of its chunks: any size, no data. */
struct paper {
	uint64_t size;
	struct digest fsverity;
	uint8_t *front;
	size_t len;
};

static struct paper paper_of(uint64_t size, size_t n_hashes)
{
	_cleanup_free_ uint8_t *hashes = malloc(n_hashes * DIGEST_SIZE);
	struct paper paper = {.size = size};
	uint8_t root[DIGEST_SIZE];

	assert_non_null(hashes);
	fill_random(hashes, n_hashes * DIGEST_SIZE, size + 1);
	paper.front = reference_front(hashes, n_hashes, &paper.len, root);
	paper.fsverity = reference_digest(size, root);
	return paper;
}

/* Tries a front; on failure the output must be as it was. */
static int try_front(uint64_t size, const struct digest *fsverity, const void *front, size_t len)
{
	struct verify_tree *const untouched = (void *)&len, *tree = untouched;
	int r = verify_tree_new(size, fsverity, front, len, &tree);

	if (r == 0)
		verify_tree_free(tree);
	else
		assert_ptr_equal(tree, untouched);
	return r;
}

static int try_paper(const struct paper *paper)
{
	return try_front(paper->size, &paper->fsverity, paper->front, paper->len);
}

static struct verify_tree *tree_of(const uint8_t *data, size_t size)
{
	struct verify_stream *stream;
	struct verify_result result;

	assert_int_equal(verify_stream_new(&stream), 0);
	assert_int_equal(verify_stream_update(stream, data, size), 0);
	assert_int_equal(verify_stream_finish(stream, &result), 0);
	verify_stream_free(stream);
	return result.tree;
}

static void front_sizes(void **state)
{
	static const struct {
		uint64_t size, blocks;
	} fronts[] = {
		{0, 0},
		{1, 0},
		{CHUNK_SIZE, 0},
		{CHUNK_SIZE + 1, 1},
		{64 * MIB, 1},
		{64 * MIB + 1, 2 + 1},
		{128 * MIB, 2 + 1},
		{128 * MIB + 1, 3 + 1},
		{8 * GIB, 128 + 1},
		{8 * GIB + 1, 129 + 2 + 1},
		{1024 * GIB, 16384 + 128 + 1},
		{1024 * GIB + 1, 16385 + 129 + 2 + 1},
		{VERIFY_SIZE_MAX,
		 ((uint64_t)1 << 36) + (1 << 29) + (1 << 22) + (1 << 15) + 256 + 3},
		/* No size may overflow, also one that nobody accepts. */
		{UINT64_MAX,
		 ((uint64_t)1 << 38) + ((uint64_t)1 << 31) + (1 << 24) + (1 << 17) + 1024 + 8 + 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(fronts); i++)
		assert_int_equal(verify_front_size(fronts[i].size), fronts[i].blocks * 4096);
}

static void true_fronts(void **state)
{
	static const uint64_t sizes[] = {CHUNK_SIZE + 1, 64 * MIB,	64 * MIB + 1, 128 * MIB,
					 200 * MIB - 7,	 8 * GIB - 100, 8 * GIB,      8 * GIB + 1};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct paper paper = paper_of(sizes[i], chunk_count(sizes[i]));
		struct verify_tree *tree;
		size_t len;

		assert_int_equal(
			verify_tree_new(paper.size, &paper.fsverity, paper.front, paper.len, &tree),
			0);
		assert_int_equal(verify_tree_size(tree), paper.size);
		assert_true(digest_equal(verify_tree_fsverity(tree), &paper.fsverity));
		/* It is a copy: what becomes of the original does not matter. */
		assert_ptr_not_equal(verify_tree_front(tree, &len), paper.front);
		assert_int_equal(len, paper.len);
		assert_memory_equal(verify_tree_front(tree, &len), paper.front, len);
		verify_tree_free(tree);
		free(paper.front);
	}
}

static void flipped_front(void **state)
{
	/* The smallest front with two levels, each byte; and one with three, bits here and there.
	 */
	struct paper small = paper_of(64 * MIB + 1, 129), large = paper_of(8 * GIB + 1, 16385);
	uint64_t seed = 7;

	assert_int_equal(small.len, 3 * 4096);
	for (size_t i = 0; i < small.len; i++) {
		uint8_t bit = (uint8_t)(1 << i % 8);

		small.front[i] ^= bit;
		assert_int_equal(try_paper(&small), -EBADMSG);
		small.front[i] ^= bit;
	}
	assert_int_equal(try_paper(&small), 0);

	for (int i = 0; i < 400; i++) {
		uint64_t at = next_random(&seed) % (large.len * 8);

		large.front[at / 8] ^= (uint8_t)(1 << at % 8);
		assert_int_equal(try_paper(&large), -EBADMSG);
		large.front[at / 8] ^= (uint8_t)(1 << at % 8);
	}
	assert_int_equal(try_paper(&large), 0);

	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		small.fsverity.bytes[i] ^= 0x80;
		assert_int_equal(try_paper(&small), -EBADMSG);
		small.fsverity.bytes[i] ^= 0x80;
	}
	free(small.front);
	free(large.front);
}

/* Whole blocks exchanged: each is a true block of this tree, in another's place. */
static void exchanged_blocks(void **state)
{
	struct paper paper = paper_of(192 * MIB, 384);
	uint8_t block[4096];

	assert_int_equal(paper.len, 4 * 4096);
	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < i; j++) {
			memcpy(block, paper.front + i * 4096, 4096);
			memcpy(paper.front + i * 4096, paper.front + j * 4096, 4096);
			memcpy(paper.front + j * 4096, block, 4096);
			assert_int_equal(try_paper(&paper), -EBADMSG);
			memcpy(paper.front + j * 4096, paper.front + i * 4096, 4096);
			memcpy(paper.front + i * 4096, block, 4096);
		}
	assert_int_equal(try_paper(&paper), 0);
	free(paper.front);
}

static void wrong_lengths(void **state)
{
	struct paper paper = paper_of(64 * MIB + 1, 129);
	_cleanup_free_ uint8_t *longer = calloc(1, paper.len + 4096);
	static const uint8_t byte;

	assert_non_null(longer);
	memcpy(longer, paper.front, paper.len);
	for (size_t len = 0; len <= paper.len + 4096; len += len % 4096 == 4095 ? 1 : 4095)
		if (len != paper.len)
			assert_int_equal(try_front(paper.size, &paper.fsverity, longer, len),
					 -EMSGSIZE);
	assert_int_equal(try_front(paper.size, &paper.fsverity, longer, paper.len + 1), -EMSGSIZE);
	assert_int_equal(try_front(paper.size, &paper.fsverity, longer, SIZE_MAX), -EMSGSIZE);
	assert_int_equal(try_front(paper.size, &paper.fsverity, longer, paper.len), 0);
	/* Where there is no front, none is taken. */
	assert_int_equal(try_front(CHUNK_SIZE, &paper.fsverity, &byte, 1), -EMSGSIZE);
	assert_int_equal(try_front(0, &paper.fsverity, &byte, 1), -EMSGSIZE);
	assert_int_equal(try_front(VERIFY_SIZE_MAX, &paper.fsverity, NULL, 0), -EMSGSIZE);
	assert_int_equal(try_front(VERIFY_SIZE_MAX + 1, &paper.fsverity, NULL, 0), -EFBIG);
	assert_int_equal(try_front(UINT64_MAX, &paper.fsverity, longer, paper.len), -EFBIG);
	free(paper.front);
}

static void wrong_sizes(void **state)
{
	struct paper paper = paper_of(65 * MIB, 130);
	/* The same blocks and hashes; the same blocks; other blocks, same height; other heights. */
	static const int64_t same[] = {-1, -4096, 1 - (int64_t)CHUNK_SIZE, 1, CHUNK_SIZE, 63 * MIB};
	static const uint64_t other[] = {0,	   1,	      CHUNK_SIZE,    MIB,
					 64 * MIB, 129 * MIB, 8 * GIB + MIB, VERIFY_SIZE_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		assert_int_equal(try_front(paper.size + (uint64_t)same[i], &paper.fsverity,
					   paper.front, paper.len),
				 -EBADMSG);
	for (size_t i = 0; i < ARRAY_SIZE(other); i++)
		assert_int_equal(try_front(other[i], &paper.fsverity, paper.front, paper.len),
				 -EMSGSIZE);
	/* The true root block as the whole front of a smaller object: a node passed off as a leaf.
	 */
	assert_int_equal(try_front(MIB, &paper.fsverity, paper.front, 4096), -EBADMSG);
	assert_int_equal(try_paper(&paper), 0);
	free(paper.front);
}

/* A digest made over hashes beyond the last chunk: everything fits, and yet no file has it. */
static void hashes_behind_the_end(void **state)
{
	struct paper one = paper_of(2 * CHUNK_SIZE, 3), two = paper_of(64 * MIB + 1, 130);

	assert_int_equal(one.len, 4096);
	assert_int_equal(try_paper(&one), -EBADMSG);
	assert_int_equal(two.len, 3 * 4096);
	assert_int_equal(try_paper(&two), -EBADMSG);
	free(one.front);
	free(two.front);
}

static void true_and_false_chunks(void **state)
{
	const size_t size = 3 * CHUNK_SIZE + 5000;
	_cleanup_free_ uint8_t *data = calloc(1, 4 * CHUNK_SIZE);
	struct verify_tree *tree;

	assert_non_null(data);
	fill_random(data, size, 3);
	tree = tree_of(data, size);
	for (uint64_t i = 0; i < 4; i++)
		for (uint64_t j = 0; j < 4; j++)
			assert_int_equal(verify_tree_check(tree, i, data + j * CHUNK_SIZE,
							   chunk_length(size, i)),
					 i == j ? 0 : -EBADMSG);

	/* Every block counts, from its first byte to its last. */
	for (size_t block = 0; block < 128; block++)
		for (size_t end = 0; end < 2; end++) {
			uint8_t *byte = data + CHUNK_SIZE + block * 4096 + end * 4095;

			*byte ^= (uint8_t)(1 << block % 8);
			assert_int_equal(verify_tree_check(tree, 1, data + CHUNK_SIZE, CHUNK_SIZE),
					 -EBADMSG);
			*byte ^= (uint8_t)(1 << block % 8);
		}
	for (size_t i = 3 * CHUNK_SIZE; i < size; i++) {
		data[i] ^= 1;
		assert_int_equal(verify_tree_check(tree, 3, data + 3 * CHUNK_SIZE, 5000), -EBADMSG);
		data[i] ^= 1;
	}
	assert_int_equal(verify_tree_check(tree, 1, data + CHUNK_SIZE, CHUNK_SIZE), 0);
	assert_int_equal(verify_tree_check(tree, 3, data + 3 * CHUNK_SIZE, 5000), 0);
	verify_tree_free(tree);
}

static void impossible_chunks(void **state)
{
	const size_t size = 3 * CHUNK_SIZE + 5000;
	_cleanup_free_ uint8_t *data = calloc(1, 4 * CHUNK_SIZE);
	const uint8_t *last = data + 3 * CHUNK_SIZE;
	struct verify_tree *tree;

	assert_non_null(data);
	fill_random(data, size, 4);
	tree = tree_of(data, size);
	assert_int_equal(verify_tree_check(tree, 0, data, 0), -EINVAL);
	assert_int_equal(verify_tree_check(tree, 0, data, CHUNK_SIZE - 1), -EINVAL);
	assert_int_equal(verify_tree_check(tree, 0, data, CHUNK_SIZE + 1), -EINVAL);
	/* The zeros that fs-verity pads with are not the object's: it has the hash, not the length.
	 */
	assert_int_equal(verify_tree_check(tree, 3, last, 4999), -EINVAL);
	assert_int_equal(verify_tree_check(tree, 3, last, 5001), -EINVAL);
	assert_int_equal(verify_tree_check(tree, 3, last, 8192), -EINVAL);
	assert_int_equal(verify_tree_check(tree, 3, last, CHUNK_SIZE), -EINVAL);
	assert_int_equal(verify_tree_check(tree, 3, last, 5000), 0);
	assert_int_equal(verify_tree_check(tree, 4, data, CHUNK_SIZE), -EINVAL);
	assert_int_equal(verify_tree_check(tree, 4, data, 0), -EINVAL);
	assert_int_equal(verify_tree_check(tree, UINT64_MAX, data, CHUNK_SIZE), -EINVAL);
	assert_int_equal(verify_tree_check(tree, UINT64_MAX / CHUNK_SIZE + 1, data, CHUNK_SIZE),
			 -EINVAL);
	verify_tree_free(tree);
}

/* Without a front, size and digest are believed until the chunk is here. */
static void one_chunk(void **state)
{
	static const size_t sizes[] = {1, 4095, 4096, 4097, 8192, CHUNK_SIZE - 1, CHUNK_SIZE};
	_cleanup_free_ uint8_t *data = calloc(1, CHUNK_SIZE + 1);

	assert_non_null(data);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i];
		struct verify_tree *tree, *wrong;
		struct digest fsverity;

		memset(data, 0, CHUNK_SIZE + 1);
		fill_random(data, size, size);
		data[size - 1] |= 1;
		tree = tree_of(data, size);
		fsverity = *verify_tree_fsverity(tree);
		verify_tree_free(tree);

		assert_int_equal(verify_tree_new(size, &fsverity, NULL, 0, &tree), 0);
		assert_int_equal(verify_tree_check(tree, 0, data, size), 0);
		for (size_t at = 0; at < size; at += size < 9000 ? 1 : 4095) {
			data[at] ^= 0x10;
			assert_int_equal(verify_tree_check(tree, 0, data, size), -EBADMSG);
			data[at] ^= 0x10;
		}
		assert_int_equal(verify_tree_check(tree, 0, data, size - 1), -EINVAL);
		assert_int_equal(verify_tree_check(tree, 0, data, size + 1), -EINVAL);
		assert_int_equal(verify_tree_check(tree, 1, data, size), -EINVAL);
		verify_tree_free(tree);

		/* One byte more: the same padded block, another size. */
		if (size < CHUNK_SIZE) {
			assert_int_equal(verify_tree_new(size + 1, &fsverity, NULL, 0, &wrong), 0);
			assert_int_equal(verify_tree_check(wrong, 0, data, size + 1), -EBADMSG);
			verify_tree_free(wrong);
		}
		if (size > 1) {
			assert_int_equal(verify_tree_new(size - 1, &fsverity, NULL, 0, &wrong), 0);
			assert_int_equal(verify_tree_check(wrong, 0, data, size - 1), -EBADMSG);
			verify_tree_free(wrong);
		}
	}
}

static void empty_object(void **state)
{
	struct digest root = {0}, fsverity = reference_digest(0, root.bytes);
	struct verify_tree *tree;
	size_t len = 1;

	assert_int_equal(verify_tree_new(0, &fsverity, NULL, 0, &tree), 0);
	assert_int_equal(verify_tree_size(tree), 0);
	verify_tree_front(tree, &len);
	assert_int_equal(len, 0);
	assert_int_equal(verify_tree_check(tree, 0, NULL, 0), -EINVAL);
	assert_int_equal(verify_tree_check(tree, 0, "x", 1), -EINVAL);
	verify_tree_free(tree);
	fsverity.bytes[31] ^= 1;
	assert_int_equal(try_front(0, &fsverity, NULL, 0), -EBADMSG);
	/* The hash of nothing, and of a block of zeros, are not the root of an empty file. */
	reference_sha256("", 0, root.bytes);
	fsverity = reference_digest(0, root.bytes);
	assert_int_equal(try_front(0, &fsverity, NULL, 0), -EBADMSG);
	verify_tree_free(NULL);
}

#define THREADS 4

struct reader {
	const struct verify_tree *tree;
	const uint8_t *data, *wrong;
	unsigned int first, mistakes;
};

static void *read_chunks(void *arg)
{
	struct reader *reader = arg;
	uint64_t size = verify_tree_size(reader->tree);

	for (uint64_t n = 0; n < 3 * chunk_count(size); n++) {
		uint64_t i = (reader->first + n) % chunk_count(size);
		size_t len = chunk_length(size, i);

		if (verify_tree_check(reader->tree, i, reader->data + i * CHUNK_SIZE, len) != 0)
			reader->mistakes++;
		if (verify_tree_check(reader->tree, i, reader->wrong, len) != -EBADMSG)
			reader->mistakes++;
	}
	return NULL;
}

static void many_threads(void **state)
{
	const size_t size = 9 * CHUNK_SIZE + 77;
	_cleanup_free_ uint8_t *data = malloc(size), *wrong = calloc(1, CHUNK_SIZE);
	struct reader readers[THREADS];
	pthread_t threads[THREADS];
	struct verify_tree *tree;

	assert_true(data && wrong);
	fill_random(data, size, 11);
	tree = tree_of(data, size);
	for (unsigned int i = 0; i < THREADS; i++) {
		readers[i] = (struct reader){tree, data, wrong, i * 3, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, read_chunks, &readers[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(readers[i].mistakes, 0);
	}
	verify_tree_free(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(front_sizes),		 cmocka_unit_test(true_fronts),
		cmocka_unit_test(flipped_front),	 cmocka_unit_test(exchanged_blocks),
		cmocka_unit_test(wrong_lengths),	 cmocka_unit_test(wrong_sizes),
		cmocka_unit_test(hashes_behind_the_end), cmocka_unit_test(true_and_false_chunks),
		cmocka_unit_test(impossible_chunks),	 cmocka_unit_test(one_chunk),
		cmocka_unit_test(empty_object),		 cmocka_unit_test(many_threads),
	};

	return cmocka_run_group_tests_name("verify-tree", tests, NULL, NULL);
}
