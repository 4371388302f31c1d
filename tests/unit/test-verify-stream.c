/* SPDX-License-Identifier: Apache-2.0 */
/* Streams in pieces of any length, and descriptors of several kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include "common/io.h"
#include "tests/unit/verify-reference.h"

#define MIB ((size_t)1024 * 1024)

/* 66 MiB of noise: a front with two levels. */
#define DATA_SIZE (66 * MIB)
static uint8_t *data;

static int make_data(void **state)
{
	data = malloc(DATA_SIZE);
	if (!data)
		return -1;
	fill_random(data, DATA_SIZE, 5);
	return 0;
}

static int free_data(void **state)
{
	free(data);
	return 0;
}

static struct verify_stream *new_stream(void)
{
	struct verify_stream *stream;

	assert_int_equal(verify_stream_new(&stream), 0);
	return stream;
}

/* All in one piece. */
static struct verify_result whole(size_t size)
{
	struct verify_stream *stream = new_stream();
	struct verify_result result;

	assert_int_equal(verify_stream_update(stream, data, size), 0);
	assert_int_equal(verify_stream_finish(stream, &result), 0);
	verify_stream_free(stream);
	return result;
}

/* Frees both trees. */
static void assert_same(struct verify_result *a, struct verify_result *b)
{
	size_t a_len, b_len;
	const void *a_front = verify_tree_front(a->tree, &a_len);
	const void *b_front = verify_tree_front(b->tree, &b_len);

	assert_int_equal(a->size, b->size);
	assert_int_equal(verify_tree_size(a->tree), verify_tree_size(b->tree));
	assert_memory_equal(&a->sha256, &b->sha256, DIGEST_SIZE);
	assert_memory_equal(verify_tree_fsverity(a->tree), verify_tree_fsverity(b->tree),
			    DIGEST_SIZE);
	assert_int_equal(a_len, b_len);
	if (a_len)
		assert_memory_equal(a_front, b_front, a_len);
	verify_tree_free(a->tree);
	verify_tree_free(b->tree);
}

/* Pieces of up to LONGEST bytes; each is wiped after it was taken, for the stream may not keep it.
 */
static struct verify_result in_pieces(size_t size, size_t longest, uint64_t seed)
{
	_cleanup_free_ uint8_t *piece = malloc(longest);
	struct verify_stream *stream = new_stream();
	struct verify_result result;

	assert_non_null(piece);
	for (size_t done = 0; done < size;) {
		size_t len = (size_t)(next_random(&seed) % (longest + 1));

		len = len < size - done ? len : size - done;
		memcpy(piece, data + done, len);
		assert_int_equal(verify_stream_update(stream, piece, len), 0);
		memset(piece, 0xaa, len);
		done += len;
	}
	assert_int_equal(verify_stream_finish(stream, &result), 0);
	verify_stream_free(stream);
	return result;
}

static void odd_pieces(void **state)
{
	static const struct {
		size_t size, longest;
	} runs[] = {
		{1, 1},
		{4097, 1},
		{3 * 4096, 4096},
		{CHUNK_SIZE + 1, 7},
		{3 * CHUNK_SIZE - 1, 5000},
		{9 * MIB + 13, 100 * 1000},
		/* Some long enough to be shared with the helper, some not. */
		{12 * MIB + 1, 300 * 1000},
		{DATA_SIZE - 3, 5 * MIB},
	};

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		struct verify_result expected = whole(runs[i].size);
		struct verify_result result = in_pieces(runs[i].size, runs[i].longest, 99 + i);

		assert_same(&expected, &result);
	}
}

static void cut_everywhere(void **state)
{
	static const size_t sizes[] = {2 * 4096 + 1, CHUNK_SIZE + 4096};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* At and around each block boundary. */
		for (size_t cut = 0; cut <= sizes[i]; cut += cut % 4096 == 1 ? 4094 : 1) {
			struct verify_stream *stream = new_stream();
			struct verify_result expected = whole(sizes[i]), result;

			assert_int_equal(verify_stream_update(stream, data, cut), 0);
			assert_int_equal(verify_stream_update(stream, data + cut, 0), 0);
			assert_int_equal(verify_stream_update(stream, data + cut, sizes[i] - cut),
					 0);
			assert_int_equal(verify_stream_finish(stream, &result), 0);
			verify_stream_free(stream);
			assert_same(&expected, &result);
		}
	}
}

static void given_up(void **state)
{
	static const size_t sizes[] = {0, 1, 4096, CHUNK_SIZE + 5, 20 * MIB};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct verify_stream *stream = new_stream();

		assert_int_equal(verify_stream_update(stream, data, sizes[i]), 0);
		verify_stream_free(stream);
	}
	verify_stream_free(NULL);
}

static void ended(void **state)
{
	struct verify_stream *stream = new_stream();
	struct verify_result result, again = {.size = 42};

	assert_int_equal(verify_stream_update(stream, data, 100), 0);
	assert_int_equal(verify_stream_finish(stream, &result), 0);
	assert_int_equal(verify_stream_update(stream, data, 100), -EINVAL);
	assert_int_equal(verify_stream_finish(stream, &again), -EINVAL);
	assert_int_equal(again.size, 42);
	/* The result does not need the stream. */
	verify_stream_free(stream);
	assert_int_equal(verify_tree_check(result.tree, 0, data, 100), 0);
	verify_tree_free(result.tree);
}

/* Refused before a byte is looked at; and not forgotten. */
static void too_large(void **state)
{
	struct verify_stream *stream = new_stream();
	struct verify_result result = {.size = 42};

	if (SIZE_MAX <= VERIFY_SIZE_MAX)
		skip();
	assert_int_equal(verify_stream_update(stream, data, 5), 0);
	assert_int_equal(verify_stream_update(stream, data, (size_t)VERIFY_SIZE_MAX - 4), -EFBIG);
	assert_int_equal(verify_stream_update(stream, data, 1), -EFBIG);
	assert_int_equal(verify_stream_finish(stream, &result), -EFBIG);
	assert_int_equal(result.size, 42);
	verify_stream_free(stream);
}

/* ---- descriptors ---- */

static int file_of(size_t size)
{
	int fd = memfd_create("verify", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, data, size), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void files(void **state)
{
	/* 4 MiB are a buffer: the ends of one and of two, and what needs a helper. */
	static const size_t sizes[] = {0,	 1,	      4096,    CHUNK_SIZE + 1, 4 * MIB - 1,
				       4 * MIB,	 4 * MIB + 1, 8 * MIB, 8 * MIB + 1,    12 * MIB - 1,
				       DATA_SIZE};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_close_ int fd = file_of(sizes[i]);
		struct verify_result expected = whole(sizes[i]), result;

		assert_int_equal(verify_fd(fd, -1, NULL, NULL, &result), 0);
		assert_same(&expected, &result);
		/* It is the caller's descriptor still, and read to its end. */
		assert_int_equal(lseek(fd, 0, SEEK_CUR), sizes[i]);
	}
}

static void copies(void **state)
{
	static const size_t sizes[] = {0, 1, 4 * MIB, 13 * MIB + 7};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_close_ int from = file_of(sizes[i]), to = file_of(0);
		struct verify_result expected = whole(sizes[i]), result;
		_cleanup_free_ uint8_t *back = malloc(sizes[i] + 1);

		assert_non_null(back);
		/* From offset 0, wherever that descriptor stands. */
		assert_int_equal(lseek(to, 1000, SEEK_SET), 1000);
		assert_int_equal(verify_fd(from, to, NULL, NULL, &result), 0);
		assert_same(&expected, &result);
		assert_int_equal(lseek(to, 0, SEEK_END), sizes[i]);
		assert_int_equal(io_pread(to, back, sizes[i], 0), 0);
		assert_memory_equal(back, data, sizes[i]);
	}
}

struct writer {
	int fd;
	size_t size, longest;
};

static void *write_pieces(void *arg)
{
	const struct writer *writer = arg;
	uint64_t seed = 17;

	for (size_t done = 0; done < writer->size;) {
		size_t len = 1 + (size_t)(next_random(&seed) % writer->longest);

		len = len < writer->size - done ? len : writer->size - done;
		if (io_write(writer->fd, data + done, len) < 0)
			break;
		done += len;
	}
	close(writer->fd);
	return NULL;
}

static void pipes(void **state)
{
	static const struct writer kinds[] = {{.size = 0, .longest = 1},
					      {.size = 100000, .longest = 50},
					      {.size = 10 * MIB + 3, .longest = 20000}};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct writer writer = kinds[i];
		struct verify_result expected = whole(writer.size), result;
		_cleanup_close_ int copy = file_of(0);
		pthread_t thread;
		int ends[2];

		assert_int_equal(pipe(ends), 0);
		writer.fd = ends[1];
		assert_int_equal(pthread_create(&thread, NULL, write_pieces, &writer), 0);
		assert_int_equal(verify_fd(ends[0], copy, NULL, NULL, &result), 0);
		pthread_join(thread, NULL);
		close(ends[0]);
		assert_same(&expected, &result);
		assert_int_equal(lseek(copy, 0, SEEK_END), writer.size);
	}
}

/* ---- progress ---- */

struct listener {
	uint64_t heard[32];
	size_t n;
	size_t stop_at; /* the call that says STOP_WITH; 0 for none */
	int stop_with;
};

static int listen_to(void *arg, uint64_t done)
{
	struct listener *listener = arg;

	assert_true(listener->n < ARRAY_SIZE(listener->heard));
	listener->heard[listener->n++] = done;
	return listener->n == listener->stop_at ? listener->stop_with : 0;
}

static void progress(void **state)
{
	_cleanup_close_ int fd = file_of(DATA_SIZE);
	struct listener listener = {.n = 0};
	struct verify_result result;
	uint64_t before = 0;

	assert_int_equal(verify_fd(fd, -1, listen_to, &listener, &result), 0);
	assert_int_equal(result.size, DATA_SIZE);
	verify_tree_free(result.tree);
	assert_in_range(listener.n, DATA_SIZE / (16 * MIB), DATA_SIZE / (4 * MIB) + 1);
	for (size_t i = 0; i < listener.n; i++) {
		assert_true(listener.heard[i] > before);
		assert_true(listener.heard[i] - before <= 16 * MIB);
		before = listener.heard[i];
	}
	assert_int_equal(before, DATA_SIZE);
}

static void progress_stops(void **state)
{
	static const int reasons[] = {-ECANCELED, 7};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		for (size_t at = 1; at <= 3; at++) {
			_cleanup_close_ int fd = file_of(DATA_SIZE);
			struct listener listener = {.stop_at = at, .stop_with = reasons[i]};
			struct verify_result result = {.size = 42};

			assert_int_equal(verify_fd(fd, -1, listen_to, &listener, &result),
					 reasons[i]);
			assert_int_equal(listener.n, at);
			assert_int_equal(result.size, 42);
			assert_true(lseek(fd, 0, SEEK_CUR) <= (off_t)((at + 1) * 8 * MIB));
		}
}

static void progress_of_little(void **state)
{
	_cleanup_close_ int fd = file_of(5000);
	struct listener listener = {.stop_at = 1, .stop_with = -EINTR};
	struct verify_result result;

	assert_int_equal(verify_fd(fd, -1, listen_to, &listener, &result), -EINTR);
	assert_int_equal(listener.n, 1);
	assert_int_equal(listener.heard[0], 5000);
}

/* ---- what fails ---- */

static int try_fd(int fd, int copy_to)
{
	struct verify_result result = {.size = 42};
	int r = verify_fd(fd, copy_to, NULL, NULL, &result);

	assert_int_equal(result.size, 42);
	return r;
}

static void unreadable(void **state)
{
	_cleanup_close_ int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ends[2];

	assert_true(folder >= 0);
	assert_int_equal(try_fd(folder, -1), -EISDIR);
	assert_int_equal(try_fd(-1, -1), -EBADF);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(try_fd(ends[1], -1), -EBADF);
	/* Nothing there, and nobody who would wait. */
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(try_fd(ends[0], -1), -EAGAIN);
	close(ends[0]);
	close(ends[1]);
}

static void unwritable(void **state)
{
	static const size_t sizes[] = {1, 5 * MIB, 20 * MIB};
	_cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	_cleanup_close_ int readonly = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int ends[2];

	assert_true(full >= 0 && readonly >= 0);
	assert_int_equal(pipe(ends), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_close_ int fd = file_of(sizes[i]);

		assert_int_equal(try_fd(fd, full), -ENOSPC);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(try_fd(fd, readonly), -EBADF);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(try_fd(fd, ends[1]), -ESPIPE);
	}
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(odd_pieces),
		cmocka_unit_test(cut_everywhere),
		cmocka_unit_test(given_up),
		cmocka_unit_test(ended),
		cmocka_unit_test(too_large),
		cmocka_unit_test(files),
		cmocka_unit_test(copies),
		cmocka_unit_test(pipes),
		cmocka_unit_test(progress),
		cmocka_unit_test(progress_stops),
		cmocka_unit_test(progress_of_little),
		cmocka_unit_test(unreadable),
		cmocka_unit_test(unwritable),
	};

	return cmocka_run_group_tests_name("verify-stream", tests, make_data, free_data);
}
