/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of chunks: what is written directly, what is not, and what is recorded of either. */
#include "store-util.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include "common/pool.h"
#include "store/internal.h"

#define CHUNKS 12
#define SIZE   ((CHUNKS - 1) * CHUNK_SIZE + 5000)

struct run {
	struct iovec chunks[STORE_RUN_MAX];
	size_t n;
};

/* The chunks from FIRST on, SHIFT bytes off the alignment that direct writing needs. */
static struct run make_run(struct store_object *object, unsigned int seed, uint64_t first, size_t n,
			   size_t shift)
{
	struct run run = {.n = n};

	for (size_t i = 0; i < n; i++) {
		size_t len = chunk_length(store_object_size(object), first + i);
		char *data = aligned_alloc(4096, CHUNK_SIZE + 4096);

		assert_non_null(data);
		fill(data + shift, len, seed, first + i);
		run.chunks[i] = (struct iovec){data + shift, len};
	}
	return run;
}

static void free_run(struct run *run, size_t shift)
{
	for (size_t i = 0; i < run->n; i++)
		free((char *)run->chunks[i].iov_base - shift);
}

static int put_run(struct store_object *object, unsigned int seed, uint64_t first, size_t n,
		   size_t shift)
{
	struct run run = make_run(object, seed, first, n, shift);
	int r = store_object_put_run(object, first, run.chunks, n);

	free_run(&run, shift);
	return r;
}

/* Pages of CHUNK that are in the page cache. */
static size_t resident(struct store_object *object, uint64_t chunk)
{
	unsigned char pages[CHUNK_SIZE / 4096];
	size_t n = 0;
	void *at = mmap(NULL, CHUNK_SIZE, PROT_READ, MAP_SHARED, store_object_fd(object),
			(off_t)(chunk * CHUNK_SIZE));

	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(mincore(at, CHUNK_SIZE, pages), 0);
	munmap(at, CHUNK_SIZE);
	for (size_t i = 0; i < sizeof(pages); i++)
		n += pages[i] & 1;
	return n;
}

static bool is_memory(const char *path)
{
	struct statfs st;

	assert_int_equal(statfs(path, &st), 0);
	return st.f_type == TMPFS_MAGIC;
}

static void test_direct(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = open_object(store, DIGEST_FSVERITY, 1, SIZE);

	/* The last chunk is short, and its size no multiple of a block. */
	assert_int_equal(put_run(object, 1, 6, 6, 0), 0);
	assert_int_equal(put_run(object, 1, 0, 6, 0), 0);
	assert_true(store_object_full(object));
	for (uint64_t i = 0; i < CHUNKS - 1 && !is_memory(*state); i++)
		assert_int_equal(resident(object, i), 0);
	assert_false(atomic_load(&store->buffered));
	for (uint64_t i = 0; i < CHUNKS; i++)
		assert_true(chunk_is_right(object, 1, i));
	store_object_close(object);
	store_close(store);
}

/* A chunk that is read brings no page of its neighbours, which a direct write would pass by. */
static void test_reading_between(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = open_object(store, DIGEST_FSVERITY, 1, SIZE);

	for (uint64_t i = 0; i < CHUNKS; i += 2)
		assert_int_equal(put_run(object, 1, i, 1, 0), 0);
	for (uint64_t i = 0; i < CHUNKS; i += 2)
		assert_true(chunk_is_right(object, 1, i));
	for (uint64_t i = 1; i < CHUNKS - 1 && !is_memory(*state); i += 2)
		assert_int_equal(resident(object, i), 0);
	for (uint64_t i = 1; i < CHUNKS; i += 2)
		assert_int_equal(put_run(object, 1, i, 1, 0), 0);
	for (uint64_t i = 0; i < CHUNKS; i++)
		assert_true(chunk_is_right(object, 1, i));
	store_object_close(object);
	store_close(store);
}

static void test_buffered(void **state)
{
	for (unsigned int way = 0; way < 2; way++) {
		struct store *store = open_store(*state, BOOT_A);
		struct store_object *object = open_object(store, DIGEST_FSVERITY, way + 1, SIZE);

		/* No direct I/O there, or buffers that are not aligned. */
		atomic_store(&store->buffered, way == 0);
		assert_int_equal(put_run(object, way + 1, 0, 8, way ? 512 : 0), 0);
		assert_int_not_equal(resident(object, 3), 0);
		assert_int_equal(put_run(object, way + 1, 8, 4, 0), 0);
		for (uint64_t i = 0; i < CHUNKS; i++)
			assert_true(chunk_is_right(object, way + 1, i));
		store_object_close(object);
		store_close(store);
	}
}

static void test_some_are_there(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	struct store_info info;

	assert_int_equal(put_chunk(object, 1, 2), 0);
	assert_int_equal(put_chunk(object, 1, 5), 0);
	/* Other bytes: those that are there are left alone. */
	assert_int_equal(put_run(object, 7, 0, 8, 0), 0);
	for (uint64_t i = 0; i < 8; i++)
		assert_true(chunk_is_right(object, i == 2 || i == 5 ? 1 : 7, i));
	assert_int_equal(store_object_presence(object, 8), STORE_ABSENT);
	store_object_info(object, &info);
	assert_int_equal(info.present, 8 * CHUNK_SIZE);
	store_object_close(object);
	store_close(store);

	store = open_store(*state, BOOT_A);
	assert_int_equal(store_object_open(store, info.id, &object), 0);
	for (uint64_t i = 0; i < CHUNKS; i++)
		assert_int_equal(store_object_presence(object, i),
				 i < 8 ? STORE_HINT : STORE_ABSENT);
	store_object_close(object);
	store_close(store);
}

static void test_refused(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	struct run run = make_run(object, 1, 0, 4, 0);
	struct store_info info;

	assert_int_equal(store_object_put_run(object, 0, run.chunks, 0), -EINVAL);
	assert_int_equal(store_object_put_run(object, CHUNKS, run.chunks, 1), -EINVAL);
	assert_int_equal(store_object_put_run(object, CHUNKS - 2, run.chunks, 3), -EINVAL);
	/* The last chunk is shorter. */
	assert_int_equal(store_object_put_run(object, CHUNKS - 4, run.chunks, 4), -EINVAL);
	run.chunks[2].iov_len--;
	assert_int_equal(store_object_put_run(object, 0, run.chunks, 4), -EINVAL);
	store_object_info(object, &info);
	assert_int_equal(info.present, 0);
	free_run(&run, 0);
	store_object_close(object);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup_directory, teardown_directory)
		TEST(direct),	       TEST(reading_between), TEST(buffered),
		TEST(some_are_there),  TEST(refused),
	};

	return cmocka_run_group_tests_name("store-write", tests, NULL, NULL);
}
