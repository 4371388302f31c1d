/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leaves for the kernel, byte by byte. The positions are those of the protocol (7.40), written down here once
 * more, as numbers: fuse_init_out.flags at 12, .flags2 at 32, .max_stack_depth at 36; fuse_open_out.open_flags at 8,
 * .backing_id at 12.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include "fs/requests/wire.h"

#define OUT_HEADER	 16
#define INIT_EXT	 (1U << 30)
#define PARALLEL_DIROPS	 (1U << 18)
#define PASSTHROUGH2	 (1U << 5)
#define KEEP_CACHE	 (1U << 1)
#define OPEN_PASSTHROUGH (1U << 7)

/* Stands in for libfuse: a reply to OPEN goes out by our function, on the caller's thread. */
struct fuse_req {
	int device;
};

int fuse_reply_open(fuse_req_t request, const struct fuse_file_info *fi)
{
	char header[OUT_HEADER] = "header", open[16] = {0};
	struct iovec iov[2] = {{header, sizeof(header)}, {open, sizeof(open)}};
	uint32_t flags = fi->keep_cache ? KEEP_CACHE : 0;

	sched_yield(); /* other threads reply meanwhile */
	memcpy(open, &fi->fh, sizeof(fi->fh));
	memcpy(open + 8, &flags, sizeof(flags));
	return wire_write(request->device, iov, 2) < 0 ? -errno : 0;
}

#ifndef HAVE_FUSE_PASSTHROUGH_OPEN /* a newer libfuse says all this itself */

static uint32_t word(const void *data, size_t at)
{
	uint32_t value;

	memcpy(&value, (const char *)data + at, sizeof(value));
	return value;
}

/* ---- INIT ---- */

static void hear_init(uint32_t flags, uint32_t flags2, uint32_t opcode, size_t length)
{
	/* fuse_in_header: 40 bytes, opcode at 4; fuse_init_in: 64 bytes, flags at 12, flags2 at 16 */
	uint32_t message[26] = {0};

	message[1] = opcode;
	message[13] = flags;
	message[14] = flags2;
	wire_heard(message, length);
}

#define INIT_LENGTH 104

static bool offers(uint32_t flags, uint32_t flags2, bool wanted)
{
	struct fuse_conn_info conn = {0};

	hear_init(flags, flags2, FUSE_INIT, INIT_LENGTH);
	return wire_agree(&conn, wanted);
}

static void test_offer(void **state)
{
	struct fuse_conn_info conn = {0};

	assert_true(offers(INIT_EXT, PASSTHROUGH2, true));
	assert_true(offers(0xffffffff, 0xffffffff, true));
	assert_false(offers(INIT_EXT, PASSTHROUGH2, false));
	assert_false(offers(INIT_EXT, ~PASSTHROUGH2, true));
	assert_false(offers(0, PASSTHROUGH2, true)); /* flags2 mean nothing then */
	assert_false(offers(~INIT_EXT, PASSTHROUGH2, true));
	/* What is no INIT, or is cut short, changes nothing. */
	hear_init(INIT_EXT, PASSTHROUGH2, FUSE_LOOKUP, INIT_LENGTH);
	assert_false(wire_agree(&conn, true));
	hear_init(INIT_EXT, PASSTHROUGH2, FUSE_INIT, INIT_LENGTH - 1);
	assert_false(wire_agree(&conn, true));
	wire_heard("x", 1);
	assert_false(wire_agree(&conn, true));
}

static void test_init_reply(void **state)
{
	struct fuse_init_out init;

	assert_true(offers(INIT_EXT, PASSTHROUGH2, true));
	memset(&init, 0, sizeof(init));
	wire_amend_init(&init, sizeof(init));
	assert_int_equal(word(&init, 12), INIT_EXT | PARALLEL_DIROPS);
	assert_int_equal(word(&init, 32), PASSTHROUGH2);
	assert_int_equal(word(&init, 36), 1);
	/* The words of an older kernel's reply end before. */
	memset(&init, 0, sizeof(init));
	wire_amend_init(&init, 24);
	assert_int_equal(word(&init, 12), PARALLEL_DIROPS);
	assert_int_equal(word(&init, 32), 0);
	assert_int_equal(word(&init, 36), 0);
	/* Not agreed on. */
	assert_false(offers(INIT_EXT, PASSTHROUGH2, false));
	memset(&init, 0, sizeof(init));
	wire_amend_init(&init, sizeof(init));
	assert_int_equal(word(&init, 12), PARALLEL_DIROPS);
	assert_int_equal(word(&init, 32), 0);
	assert_int_equal(word(&init, 36), 0);
}

/* ---- OPEN ---- */

static void read_reply(int device, uint64_t fh, uint32_t flags, int32_t id)
{
	char reply[OUT_HEADER + 16];

	assert_int_equal(read(device, reply, sizeof(reply)), sizeof(reply));
	assert_string_equal(reply, "header");
	assert_memory_equal(reply + OUT_HEADER, &fh, sizeof(fh));
	assert_int_equal(word(reply, OUT_HEADER + 8), flags);
	assert_int_equal(word(reply, OUT_HEADER + 12), id);
}

static void test_open_reply(void **state)
{
	struct fuse_file_info fi = {.fh = 0x123456789abcdef0, .keep_cache = 1};
	struct fuse_req request, broken = {.device = -1};
	char other[16] = {0}, header[OUT_HEADER] = "header", long_reply[17] = {0};
	struct iovec iov[2] = {{header, sizeof(header)}, {other, sizeof(other)}};
	char bytes[64];
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	request.device = pipes[1];
	assert_int_equal(wire_reply_open(&request, &fi, 0), 0);
	read_reply(pipes[0], fi.fh, KEEP_CACHE, 0);
	assert_int_equal(wire_reply_open(&request, &fi, 77), 0);
	read_reply(pipes[0], fi.fh, OPEN_PASSTHROUGH, 77);
	/* Nothing sticks to what comes after, not even after a reply that found nobody. */
	assert_int_equal(wire_reply_open(&request, &fi, 0), 0);
	read_reply(pipes[0], fi.fh, KEEP_CACHE, 0);
	assert_int_equal(wire_reply_open(&broken, &fi, 77), -EBADF);
	assert_int_equal(wire_write(pipes[1], iov, 2), 32);
	read_reply(pipes[0], 0, 0, 0);
	/* Other messages pass as they are. */
	iov[1] = (struct iovec){long_reply, sizeof(long_reply)};
	assert_int_equal(wire_write(pipes[1], iov, 2), 33);
	assert_int_equal(read(pipes[0], bytes, sizeof(bytes)), 33);
	assert_int_equal(wire_write(pipes[1], iov, 1), 16);
	assert_int_equal(read(pipes[0], bytes, sizeof(bytes)), 16);
	close(pipes[0]);
	close(pipes[1]);
}

#define ROUNDS 20000

struct replier {
	int32_t id;
	unsigned int wrong;
};

/* Each thread's replies say what this thread said. */
static void *reply(void *arg)
{
	struct replier *replier = arg;
	struct fuse_file_info fi = {.keep_cache = replier->id == 0};
	uint32_t flags = replier->id ? OPEN_PASSTHROUGH : KEEP_CACHE;
	struct fuse_req request;
	char bytes[OUT_HEADER + 16];
	int pipes[2];

	if (pipe(pipes) < 0)
		abort();
	request.device = pipes[1];
	for (unsigned int i = 0; i < ROUNDS; i++) {
		if (wire_reply_open(&request, &fi, replier->id) < 0 ||
		    read(pipes[0], bytes, sizeof(bytes)) != sizeof(bytes))
			abort();
		replier->wrong += word(bytes, OUT_HEADER + 8) != flags ||
				  word(bytes, OUT_HEADER + 12) != (uint32_t)replier->id;
	}
	close(pipes[0]);
	close(pipes[1]);
	return NULL;
}

static void test_threads(void **state)
{
	struct replier repliers[4];
	pthread_t threads[ARRAY_SIZE(repliers)];

	for (size_t i = 0; i < ARRAY_SIZE(repliers); i++) {
		repliers[i] = (struct replier){.id = (int32_t)i};
		assert_int_equal(pthread_create(&threads[i], NULL, reply, &repliers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(repliers); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(repliers[i].wrong, 0);
	}
}

#endif

/* ---- backing files ---- */

static void test_not_a_fuse_device(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(wire_backing_open(fd, fd), -ENOTTY);
	assert_int_equal(wire_backing_open(-1, fd), -EBADF);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifndef HAVE_FUSE_PASSTHROUGH_OPEN
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_init_reply),
		cmocka_unit_test(test_open_reply),
		cmocka_unit_test(test_threads),
#endif
		cmocka_unit_test(test_not_a_fuse_device),
	};

	return cmocka_run_group_tests_name("fs-wire", tests, NULL, NULL);
}
