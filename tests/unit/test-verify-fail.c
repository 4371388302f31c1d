/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory, OpenSSL, threads, reads and writes that fail, each at every point where they are used
 * (the linker puts the functions below in front of the real ones): an error comes back, nothing
 * leaks (the sanitizers tell), and never does a failure look like a success.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include "common/io.h"
#include "tests/unit/verify-reference.h"

#define MIB ((size_t)1024 * 1024)

/* Fail the call that counts this down to 0; off while negative. */
static atomic_long fuse = -1;
static atomic_ulong allocations, ssl_allocations, ssl_frees;
static atomic_ulong threads;
static atomic_long processors = 2;

static bool blown(void)
{
	return atomic_load(&fuse) >= 0 && atomic_fetch_sub(&fuse, 1) == 0;
}

/* With the fuse lit: has it gone off? */
static bool has_blown(void)
{
	return atomic_exchange(&fuse, -1) < 0;
}

#include "tests/unit/verify-failing.h"

WRAPPED(void *, malloc, (size_t size))
{
	allocations++;
	return blown() ? NULL : __real_malloc(size);
}

WRAPPED(void *, calloc, (size_t n, size_t size))
{
	allocations++;
	return blown() ? NULL : __real_calloc(n, size);
}

WRAPPED(void *, reallocarray, (void *p, size_t n, size_t size))
{
	allocations++;
	return blown() ? NULL : __real_reallocarray(p, n, size);
}

WRAPPED(void *, aligned_alloc, (size_t alignment, size_t size))
{
	allocations++;
	return blown() ? NULL : __real_aligned_alloc(alignment, size);
}

WRAPPED(EVP_MD *, EVP_MD_fetch, (OSSL_LIB_CTX * lib, const char *name, const char *properties))
{
	return blown() ? NULL : __real_EVP_MD_fetch(lib, name, properties);
}

WRAPPED(int, pthread_create,
	(pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg))
{
	threads++;
	return blown() ? EAGAIN : __real_pthread_create(thread, attr, run, arg);
}

WRAPPED(ssize_t, read, (int fd, void *buf, size_t len))
{
	if (!blown())
		return __real_read(fd, buf, len);
	errno = EIO;
	return -1;
}

WRAPPED(ssize_t, pwrite, (int fd, const void *buf, size_t len, off_t offset))
{
	if (!blown())
		return __real_pwrite(fd, buf, len, offset);
	errno = EIO;
	return -1;
}

WRAPPED(long, sysconf, (int name))
{
	return name == _SC_NPROCESSORS_ONLN ? atomic_load(&processors) : __real_sysconf(name);
}

static void *ssl_malloc(size_t size, const char *file, int line)
{
	ssl_allocations++;
	return __real_malloc(size);
}

static void *ssl_realloc(void *p, size_t size, const char *file, int line)
{
	ssl_allocations += !p;
	return realloc(p, size);
}

static void ssl_free(void *p, const char *file, int line)
{
	ssl_frees += p != NULL;
	free(p);
}

#define DATA_SIZE (9 * MIB + 77)
static uint8_t *data;

/* Runs on a thread of its own, whose hasher is yet to be made; NULL is success. */
static int on_fresh_thread(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	void *failed;

	assert_int_equal(__real_pthread_create(&thread, NULL, run, arg), 0);
	assert_int_equal(pthread_join(thread, &failed), 0);
	return (int)(intptr_t)failed;
}

static void assert_clear_error(int r)
{
	assert_true(r == -EIO || r == -ENOMEM || r == -EAGAIN);
}

static int stream_of(size_t size, size_t piece, struct verify_result *out)
{
	struct verify_stream *stream;
	int r = verify_stream_new(&stream);

	if (r < 0)
		return r;
	for (size_t done = 0; r == 0 && done < size; done += piece)
		r = verify_stream_update(stream, data + done,
					 piece < size - done ? piece : size - done);
	/* A failed stream stays failed, with the same error. */
	if (r < 0)
		assert_int_equal(verify_stream_finish(stream, out), r);
	else
		r = verify_stream_finish(stream, out);
	verify_stream_free(stream);
	return r;
}

static void assert_same(const struct verify_result *a, const struct verify_result *b)
{
	assert_int_equal(a->size, b->size);
	assert_memory_equal(&a->sha256, &b->sha256, DIGEST_SIZE);
	assert_memory_equal(verify_tree_fsverity(a->tree), verify_tree_fsverity(b->tree),
			    DIGEST_SIZE);
}

/* Returns whether all points were tried. */
static bool fail_stream(size_t size, size_t piece, long point, const struct verify_result *expected)
{
	struct verify_result result = {.size = 42};
	int r;

	atomic_store(&fuse, point);
	r = stream_of(size, piece, &result);
	if (!has_blown()) {
		assert_int_equal(r, 0);
		verify_tree_free(result.tree);
		return true;
	}
	if (r == 0) {
		/* The one thing that can be done without: the helper. */
		assert_same(&result, expected);
		verify_tree_free(result.tree);
	} else {
		assert_clear_error(r);
		assert_int_equal(result.size, 42);
	}
	return false;
}

static void streams_fail(void **state)
{
	/* A stream for each way that it takes: one block, one chunk, a front; alone and shared. */
	static const struct {
		size_t size, piece;
	} runs[] = {{0, 1},
		    {100, 60},
		    {5 * 4096, 5000},
		    {2 * CHUNK_SIZE + 1, 100 * 1000},
		    {2 * CHUNK_SIZE + 1, 700 * 1000}};

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		struct verify_result expected;
		long point = 0;

		if (i > 0) /* the first run of all fetches SHA-256, and that too may fail */
			assert_int_equal(stream_of(runs[i].size, runs[i].piece, &expected), 0);
		while (!fail_stream(runs[i].size, runs[i].piece, point, i > 0 ? &expected : NULL))
			point++;
		assert_true(point > 5);
		if (i > 0)
			verify_tree_free(expected.tree);
	}
}

static struct verify_tree *tree; /* the result of a success */
static struct verify_result true_result;

static void *new_tree(void *arg)
{
	size_t len;
	const void *front = verify_tree_front(true_result.tree, &len);

	return (void *)(intptr_t)verify_tree_new(
		true_result.size, verify_tree_fsverity(true_result.tree), front, len, &tree);
}

static void *check_chunk(void *arg)
{
	return (void *)(intptr_t)verify_tree_check(true_result.tree, 0, data,
						   chunk_length(true_result.size, 0));
}

static void trees_fail(void **state)
{
	static const size_t sizes[] = {0, 5000, 2 * CHUNK_SIZE, DATA_SIZE};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		int r;

		assert_int_equal(stream_of(sizes[i], 4 * MIB, &true_result), 0);
		for (long point = 0;; point++) {
			tree = NULL;
			atomic_store(&fuse, point);
			r = on_fresh_thread(new_tree, NULL);
			if (!has_blown())
				break;
			assert_clear_error(r);
			assert_null(tree);
		}
		assert_int_equal(r, 0);
		verify_tree_free(tree);
		for (long point = 0; sizes[i]; point++) {
			atomic_store(&fuse, point);
			r = on_fresh_thread(check_chunk, NULL);
			if (!has_blown())
				break;
			assert_clear_error(r);
		}
		assert_int_equal(r, 0);
		verify_tree_free(true_result.tree);
	}
}

static void descriptors_fail(void **state)
{
	_cleanup_close_ int from = memfd_create("from", MFD_CLOEXEC);
	_cleanup_close_ int to = memfd_create("to", MFD_CLOEXEC);
	long point = 0;

	assert_true(from >= 0 && to >= 0);
	assert_int_equal(io_write(from, data, DATA_SIZE), 0);
	assert_int_equal(stream_of(DATA_SIZE, 4 * MIB, &true_result), 0);
	/* The first points are one of a kind; later ones are blocks, of which some are enough. */
	for (;; point += point < 40 ? 1 : 211) {
		struct verify_result result = {.size = 42};
		int r;

		assert_int_equal(lseek(from, 0, SEEK_SET), 0);
		atomic_store(&fuse, point);
		r = verify_fd(from, to, NULL, NULL, &result);
		if (!has_blown()) {
			assert_int_equal(r, 0);
			assert_same(&result, &true_result);
			verify_tree_free(result.tree);
			break;
		}
		if (r == 0) {
			assert_same(&result, &true_result);
			verify_tree_free(result.tree);
		} else {
			assert_clear_error(r);
			assert_int_equal(result.size, 42);
		}
	}
	assert_true(point > 2000);
	verify_tree_free(true_result.tree);
}

/*
 * The promise of verify.h: once a thread has its hasher, a check allocates nothing. OpenSSL 3.0
 * makes its state anew for each hash; that is one allocation, not a lookup's dozen, and none is
 * kept.
 */
static void checks_allocate_nothing(void **state)
{
	unsigned long hashes = DATA_SIZE / 4096 + 1 + chunk_count(DATA_SIZE);
	unsigned long ours, ssl, kept;

	assert_int_equal(stream_of(DATA_SIZE, 4 * MIB, &true_result), 0);
	assert_null(check_chunk(NULL));
	ours = allocations;
	ssl = ssl_allocations;
	kept = ssl_allocations - ssl_frees;
	for (uint64_t i = 0; i < chunk_count(DATA_SIZE); i++)
		assert_int_equal(verify_tree_check(true_result.tree, i, data + i * CHUNK_SIZE,
						   chunk_length(DATA_SIZE, i)),
				 0);
	assert_int_equal(allocations, ours);
	assert_in_range(ssl_allocations - ssl, 0, hashes);
	assert_int_equal(ssl_allocations - ssl_frees, kept);
	verify_tree_free(true_result.tree);
}

static void one_processor(void **state)
{
	struct verify_result shared, alone;
	unsigned long before = threads;

	assert_int_equal(stream_of(DATA_SIZE, MIB, &shared), 0);
	assert_int_equal(threads, before + 1);
	processors = 1;
	assert_int_equal(stream_of(DATA_SIZE, MIB, &alone), 0);
	processors = 2;
	assert_int_equal(threads, before + 1);
	assert_same(&shared, &alone);
	verify_tree_free(shared.tree);
	verify_tree_free(alone.tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_fail),	    cmocka_unit_test(trees_fail),
		cmocka_unit_test(descriptors_fail), cmocka_unit_test(checks_allocate_nothing),
		cmocka_unit_test(one_processor),
	};
	int r;

	/* Before OpenSSL's first allocation, or it is refused. */
	if (CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free) != 1)
		return 1;
	data = __real_malloc(DATA_SIZE);
	if (!data)
		return 1;
	fill_random(data, DATA_SIZE, 23);
	r = cmocka_run_group_tests_name("verify-fail", tests, NULL, NULL);
	free(data);
	return r;
}
