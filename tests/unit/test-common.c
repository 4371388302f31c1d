/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of common/ without threads: digests and their names, chunks, I/O, cleanup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include "common/chunk.h"
#include "common/digest.h"
#include "common/io.h"

#define HEX                                                                                        \
	"0123456789abcdef"                                                                         \
	"0123456789abcdef"                                                                         \
	"fedcba9876543210"                                                                         \
	"00000000000000ff"

/* ---- digests ---- */

static void test_hex(void **state)
{
	static const uint8_t expected[DIGEST_SIZE] = {
		0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45,
		0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54,
		0x32, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff,
	};
	char text[DIGEST_HEX_SIZE], exact[64];
	struct digest digest, other;

	/* Without a NUL behind it. */
	memcpy(exact, HEX, sizeof(exact));
	assert_int_equal(digest_from_hex(exact, &digest), 0);
	assert_memory_equal(digest.bytes, expected, DIGEST_SIZE);
	digest_to_hex(&digest, text);
	assert_string_equal(text, HEX);
	other = digest;
	assert_true(digest_equal(&digest, &other));
	other.bytes[DIGEST_SIZE - 1] ^= 1;
	assert_false(digest_equal(&digest, &other));
}

/* Each character at each place: 16 of 256 are taken, and a refusal leaves the result alone. */
static void test_hex_every_character(void **state)
{
	struct digest untouched, digest;

	memset(&untouched, 0x5a, sizeof(untouched));
	for (size_t at = 0; at < 64; at++) {
		for (unsigned int c = 0; c < 256; c++) {
			bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
			char hex[64], again[DIGEST_HEX_SIZE];
			int r;

			memcpy(hex, HEX, sizeof(hex));
			hex[at] = (char)c;
			digest = untouched;
			r = digest_from_hex(hex, &digest);
			if (r != (good ? 0 : -EINVAL))
				fail_msg("character %#x at %zu: %d", c, at, r);
			if (!good) {
				assert_true(digest_equal(&digest, &untouched));
				continue;
			}
			digest_to_hex(&digest, again);
			assert_memory_equal(again, hex, sizeof(hex));
		}
	}
}

static void test_names(void **state)
{
	static const struct {
		const char *name, *canonical;
		enum digest_kind kind;
	} cases[] = {
		{HEX, HEX, DIGEST_SHA256},
		{"sha256-" HEX, HEX, DIGEST_SHA256},
		{"sha256:" HEX, HEX, DIGEST_SHA256},
		{"fsverity-" HEX, "fsverity-" HEX, DIGEST_FSVERITY},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct digest_name name, again;
		char text[DIGEST_NAME_SIZE], hex[DIGEST_HEX_SIZE];

		assert_int_equal(digest_name_parse(cases[i].name, &name), 0);
		assert_int_equal(name.kind, cases[i].kind);
		digest_to_hex(&name.digest, hex);
		assert_string_equal(hex, HEX);
		digest_name_format(&name, text);
		assert_string_equal(text, cases[i].canonical);
		assert_int_equal(digest_name_parse(text, &again), 0);
		assert_int_equal(again.kind, name.kind);
		assert_true(digest_equal(&again.digest, &name.digest));
	}
}

static void test_names_refused(void **state)
{
	static const char *const names[] = {
		"",
		".",
		"..",
		"sha256-",
		"sha256:",
		"fsverity-",
		"0",
		HEX "0",
		HEX "\n",
		HEX " ",
		" " HEX,
		"sha256" HEX,
		"sha256_" HEX,
		"sha256=" HEX,
		"SHA256-" HEX,
		"Sha256:" HEX,
		"sha256-sha256-" HEX,
		"sha256:sha256-" HEX,
		"sha256-fsverity-" HEX,
		"fsverity-sha256-" HEX,
		"fsverity-fsverity-" HEX,
		"fsverity:" HEX,
		"fsverity" HEX,
		"Fsverity-" HEX,
		"sha512-" HEX,
		"sha1-" HEX,
		"-" HEX,
		":" HEX,
		"sha256-" HEX "0",
		"sha256:" HEX ".safetensors",
		"fsverity-" HEX "0",
		"0x" HEX,
	};
	struct digest_name untouched, name;

	memset(&untouched, 0x5a, sizeof(untouched));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		name = untouched;
		if (digest_name_parse(names[i], &name) != -EINVAL)
			fail_msg("\"%s\" passes", names[i]);
		assert_memory_equal(&name, &untouched, sizeof(name));
	}
	/* One digit too few, at every spelling. */
	assert_int_equal(digest_name_parse(&HEX[1], &name), -EINVAL);
	for (size_t i = 0; i < 3; i++) {
		static const char *const prefixes[] = {"sha256-", "sha256:", "fsverity-"};
		char text[DIGEST_NAME_SIZE];

		snprintf(text, sizeof(text), "%s%s", prefixes[i], &HEX[1]);
		assert_int_equal(digest_name_parse(text, &name), -EINVAL);
	}
}

static void test_pairs(void **state)
{
	static const struct digest zero;
	struct digest_name sha256, fsverity, name;
	struct digest_pair pair;

	assert_int_equal(digest_name_parse(HEX, &sha256), 0);
	assert_int_equal(digest_name_parse("fsverity-" HEX, &fsverity), 0);
	fsverity.digest.bytes[0] ^= 0xff;

	pair = digest_pair_of(&sha256);
	assert_true(pair.has_sha256 && !pair.has_fsverity);
	assert_true(digest_equal(&pair.sha256, &sha256.digest));
	assert_true(digest_equal(&pair.fsverity, &zero));
	name = digest_pair_name(&pair);
	assert_int_equal(name.kind, DIGEST_SHA256);

	pair = digest_pair_of(&fsverity);
	assert_true(!pair.has_sha256 && pair.has_fsverity);
	assert_true(digest_equal(&pair.fsverity, &fsverity.digest));
	assert_true(digest_equal(&pair.sha256, &zero));
	name = digest_pair_name(&pair);
	assert_int_equal(name.kind, DIGEST_FSVERITY);
	assert_true(digest_equal(&name.digest, &fsverity.digest));

	/* Of both, the SHA-256 is the name. */
	pair.has_sha256 = true;
	pair.sha256 = sha256.digest;
	name = digest_pair_name(&pair);
	assert_int_equal(name.kind, DIGEST_SHA256);
	assert_true(digest_equal(&name.digest, &sha256.digest));
}

/* ---- chunks ---- */

static void test_chunks(void **state)
{
	static const struct {
		uint64_t size, count, last;
	} cases[] = {
		{0, 0, 0},
		{1, 1, 1},
		{CHUNK_SIZE - 1, 1, CHUNK_SIZE - 1},
		{CHUNK_SIZE, 1, CHUNK_SIZE},
		{CHUNK_SIZE + 1, 2, 1},
		{2 * CHUNK_SIZE, 2, CHUNK_SIZE},
		{INT64_MAX, ((uint64_t)1 << 44), CHUNK_SIZE - 1},
		{UINT64_MAX, ((uint64_t)1 << 45), CHUNK_SIZE - 1},
	};

	assert_int_equal(CHUNK_SIZE, 128 * 4096);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t size = cases[i].size, count = chunk_count(size);

		assert_true(count == cases[i].count);
		if (count == 0)
			continue;
		assert_true(chunk_length(size, count - 1) == cases[i].last);
		assert_true((count - 1) * CHUNK_SIZE + cases[i].last == size);
		if (count > 1)
			assert_true(chunk_length(size, 0) == CHUNK_SIZE &&
				    chunk_length(size, count - 2) == CHUNK_SIZE);
	}
}

/* ---- I/O ---- */

static int make_file(void)
{
	char path[] = "/tmp/weightfs-common-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static void test_at_offsets(void **state)
{
	const uint64_t far = ((uint64_t)5 << 30) + 3; /* beyond what 32 bits hold */
	int fd = make_file(), ends[2];
	char buf[16] = "untouched";

	assert_int_equal(io_pwrite(fd, "0123456789", 10, far), 0);
	assert_int_equal(io_pread(fd, buf, 4, far + 3), 0);
	assert_memory_equal(buf, "3456", 4);
	assert_int_equal(io_pread(fd, buf, 10, far), 0);
	assert_memory_equal(buf, "0123456789", 10);
	/* The end of the file within, at and behind. */
	assert_int_equal(io_pread(fd, buf, 11, far), -ENODATA);
	assert_int_equal(io_pread(fd, buf, 1, far + 10), -ENODATA);
	assert_int_equal(io_pread(fd, buf, 1, far + 1000), -ENODATA);
	assert_int_equal(io_pread(fd, buf, 0, far + 1000), 0);
	assert_int_equal(io_pwrite(fd, buf, 0, 0), 0);
	close(fd);

	assert_int_equal(io_pread(-1, buf, 1, 0), -EBADF);
	assert_int_equal(io_pwrite(-1, buf, 1, 0), -EBADF);
	assert_int_equal(io_write(-1, buf, 1), -EBADF);
	assert_int_equal(io_read(-1, buf, 1), -EBADF);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(io_pread(ends[0], buf, 1, 0), -ESPIPE);
	assert_int_equal(io_pwrite(ends[1], buf, 1, 0), -ESPIPE);
	close(ends[0]);
	close(ends[1]);
}

#define STREAM ((size_t)300000) /* more than a pipe holds */

static uint8_t stream_byte(size_t at)
{
	return (uint8_t)(at * 31 + at / 251);
}

/* In pieces of odd sizes, so that a read is as good as never as long as what was asked for. */
static void *write_pieces(void *arg)
{
	int fd = *(int *)arg;
	uint8_t piece[977];

	for (size_t at = 0, n; at < STREAM; at += n) {
		n = 1 + at % sizeof(piece);
		if (n > STREAM - at)
			n = STREAM - at;
		for (size_t i = 0; i < n; i++)
			piece[i] = stream_byte(at + i);
		if (write(fd, piece, n) != (ssize_t)n)
			break;
	}
	close(fd);
	return NULL;
}

static void *write_at_once(void *arg)
{
	int fd = *(int *)arg;
	uint8_t *all = malloc(STREAM);
	int r = -ENOMEM;

	for (size_t i = 0; all && i < STREAM; i++)
		all[i] = stream_byte(i);
	if (all)
		r = io_write(fd, all, STREAM);
	free(all);
	close(fd);
	return (void *)(intptr_t)r;
}

static void read_stream(void *(*writer)(void *))
{
	uint8_t *buf = malloc(STREAM + 10);
	pthread_t thread;
	void *result;
	int ends[2];

	assert_non_null(buf);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(pthread_create(&thread, NULL, writer, &ends[1]), 0);
	/* A whole part, then more than is left: short because the stream ends, then nothing. */
	assert_int_equal(io_read(ends[0], buf, 100000), 100000);
	assert_int_equal(io_read(ends[0], buf + 100000, STREAM - 100000 + 10), STREAM - 100000);
	assert_int_equal(io_read(ends[0], buf, 0), 0);
	assert_int_equal(io_read(ends[0], buf + STREAM, 10), 0);
	pthread_join(thread, &result);
	assert_null(result);
	for (size_t i = 0; i < STREAM; i++)
		if (buf[i] != stream_byte(i))
			fail_msg("byte %zu is wrong", i);
	close(ends[0]);
	free(buf);
}

static void test_streams(void **state)
{
	read_stream(write_pieces);
	read_stream(write_at_once);
}

static void write_file(const char *path, size_t len)
{
	char *text = malloc(len + 1);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0 && text);
	memset(text, 'x', len);
	if (len > 2)
		text[1] = '\0'; /* is a byte like any other */
	assert_int_equal(io_write(fd, text, len), 0);
	close(fd);
	free(text);
}

static void test_read_file(void **state)
{
	/* About where the buffer grows. */
	static const size_t lengths[] = {0, 1, 4094, 4095, 4096, 4097, 8190, 8191, 8192, 50000};
	char path[] = "/tmp/weightfs-common-XXXXXX", *text = NULL;
	size_t len = 77;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		write_file(path, lengths[i]);
		assert_int_equal(io_read_file(path, lengths[i], &text, &len), 0);
		assert_int_equal(len, lengths[i]);
		assert_int_equal(text[len], '\0');
		assert_true(len == 0 || text[len - 1] == 'x');
		free(text);
		text = NULL;
		if (lengths[i] == 0)
			continue;
		len = 77;
		assert_int_equal(io_read_file(path, lengths[i] - 1, &text, &len), -EFBIG);
		assert_null(text);
		assert_int_equal(len, 77);
	}
	unlink(path);
	assert_int_equal(io_read_file(path, 100, &text, &len), -ENOENT);
	assert_int_equal(io_read_file("/tmp", 100, &text, &len), -EISDIR);
	/* Files of /proc say that they are empty. */
	assert_int_equal(io_read_file("/proc/self/status", 16384, &text, &len), 0);
	assert_true(len > 100 && !strncmp(text, "Name:", 5));
	free(text);
	text = NULL;
	/* What never ends does not take the memory. */
	assert_int_equal(io_read_file("/dev/zero", 100000, &text, &len), -EFBIG);
	assert_null(text);
}

/* The FIFO has no writer, and is not waited for. */
static void test_read_regular(void **state)
{
	char path[] = "/tmp/weightfs-common-XXXXXX", *text = NULL;
	struct stat st;
	size_t len;

	close(mkstemp(path));
	unlink(path);
	for (mode_t kind = S_IFIFO; kind; kind = kind == S_IFIFO ? S_IFSOCK : 0) {
		assert_int_equal(mknod(path, kind | 0600, 0), 0);
		assert_int_equal(io_read_regular(path, 100, &text, &len, &st), -EMEDIUMTYPE);
		unlink(path);
	}
	assert_int_equal(io_read_regular("/dev/null", 100, &text, &len, &st), -EMEDIUMTYPE);
}

/* ---- cleanup ---- */

static void leave(int *fds, char **kept)
{
	_cleanup_close_ int closed = dup(fds[0]), stolen = dup(fds[0]);
	_cleanup_close_ int none = -1;
	_cleanup_free_ char *freed = strdup("freed"), *handed = strdup("handed over");

	fds[1] = closed;
	fds[2] = steal_fd(&stolen);
	assert_int_equal(stolen, -1);
	*kept = steal_pointer(handed);
	assert_null(handed);
	assert_true(none < 0 && freed);
	errno = EXDEV;
}

static void test_cleanup(void **state)
{
	int fds[3] = {open("/dev/null", O_RDONLY)};
	char *kept;

	leave(fds, &kept);
	assert_int_equal(errno, EXDEV);
	assert_string_equal(kept, "handed over");
	assert_int_equal(fcntl(fds[1], F_GETFD), -1);
	assert_int_not_equal(fcntl(fds[2], F_GETFD), -1);
	free(kept);
	close(fds[0]);
	close(fds[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hex),	   cmocka_unit_test(test_hex_every_character),
		cmocka_unit_test(test_names),	   cmocka_unit_test(test_names_refused),
		cmocka_unit_test(test_pairs),	   cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_at_offsets), cmocka_unit_test(test_streams),
		cmocka_unit_test(test_read_file),
		cmocka_unit_test(test_read_regular),  cmocka_unit_test(test_cleanup),
	};

	return cmocka_run_group_tests_name("common", tests, NULL, NULL);
}
