/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both digests of what a descriptor gives, and a copy of it on the way.
 *
 * Two buffers: while one is hashed on the helper, this thread writes it to the copy and reads the
 * other, so a slow disk or pipe and the processor work at the same time. What fits into one buffer
 * is hashed here, without a thread.
 */
#include "verify/merkle.h"

#include "common/io.h"

#define BUFFER_SIZE   ((size_t)4 * 1024 * 1024)
#define PROGRESS_STEP ((uint64_t)8 * 1024 * 1024)

struct pump {
	struct verify_stream *stream;
	struct verify_helper *helper;
	void *buffers[2];

	uint64_t handed; /* bytes given to the stream, the ones under way included */
	uint64_t hashed; /* of these, the ones that it has taken */
	uint64_t told;	 /* what the progress callback heard last */

	/* The helper's while it runs. */
	const void *data;
	size_t len;
};

static int pump_init(struct pump *pump)
{
	for (size_t i = 0; i < ARRAY_SIZE(pump->buffers); i++) {
		/* Whole pages copy faster. The second buffer takes memory once it is used. */
		pump->buffers[i] = aligned_alloc(VERIFY_BLOCK_SIZE, BUFFER_SIZE);
		if (!pump->buffers[i])
			return -ENOMEM;
	}
	return verify_stream_new(&pump->stream);
}

static void pump_release(struct pump *pump)
{
	int saved = errno;

	/* First of all: it may be hashing. */
	verify_helper_free(pump->helper);
	verify_stream_free(pump->stream);
	for (size_t i = 0; i < ARRAY_SIZE(pump->buffers); i++)
		free(pump->buffers[i]);
	errno = saved;
}

static int hash_buffer(void *arg)
{
	struct pump *pump = arg;

	return verify_stream_update(pump->stream, pump->data, pump->len);
}

/* Waits for the buffer under way, if there is one. */
static int settle(struct pump *pump)
{
	int r = pump->helper ? verify_helper_wait(pump->helper) : 0;

	if (r == 0)
		pump->hashed = pump->handed;
	return r;
}

/* LAST: nothing will be read meanwhile, so that handing over would win nothing. */
static int hand_over(struct pump *pump, const void *data, size_t len, bool last)
{
	int r = 0;

	pump->data = data;
	pump->len = len;
	pump->handed += len;
	if (last)
		return hash_buffer(pump);
	if (!pump->helper)
		r = verify_helper_new("verify-read", &pump->helper);
	if (r == 0)
		verify_helper_start(pump->helper, hash_buffer, pump);
	return r;
}

static int tell(struct pump *pump, verify_progress progress, void *arg, uint64_t step)
{
	if (!progress || pump->hashed - pump->told < step)
		return 0;
	pump->told = pump->hashed;
	return progress(arg, pump->hashed);
}

static int pump_all(struct pump *pump, int fd, int copy_to, verify_progress progress, void *arg)
{
	bool last = false;

	for (unsigned int turn = 0; !last; turn++) {
		void *buffer = pump->buffers[turn % ARRAY_SIZE(pump->buffers)];
		uint64_t offset = pump->handed;
		ssize_t n = io_read(fd, buffer, BUFFER_SIZE);
		int r = n < 0 ? (int)n : settle(pump);

		if (r == 0)
			r = tell(pump, progress, arg, PROGRESS_STEP);
		if (r != 0)
			return r;
		last = (size_t)n < BUFFER_SIZE;
		r = hand_over(pump, buffer, (size_t)n, last);
		if (r == 0 && copy_to >= 0)
			r = io_pwrite(copy_to, buffer, (size_t)n, offset);
		if (r < 0)
			return r;
	}
	pump->hashed = pump->handed;
	return tell(pump, progress, arg, 1);
}

int verify_fd(int fd, int copy_to, verify_progress progress, void *arg, struct verify_result *out)
{
	_cleanup_(pump_release) struct pump pump = {0};
	int r = pump_init(&pump);

	if (r == 0)
		r = pump_all(&pump, fd, copy_to, progress, arg);
	if (r != 0)
		return r;
	return verify_stream_finish(pump.stream, out);
}
