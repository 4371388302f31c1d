/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/objects/scrub.h"

#include <fcntl.h>
#include <time.h>
#include "common/clock.h"

#define PAUSE_MS 100 /* at a time, so that the end of a run is not waited for */

/* From the disk, not from memory: what matters is what is stored. */
static int read_stored(struct store_object *object, uint64_t chunk, void *buffer, size_t length)
{
	int fd = store_object_fd(object);

	posix_fadvise(fd, (off_t)(chunk * CHUNK_SIZE), (off_t)length, POSIX_FADV_DONTNEED);
	return store_object_read(object, chunk * CHUNK_SIZE, buffer, length);
}

/* 0: its bytes are right; -EBADMSG: they are not, or cannot be read; or an error that tells nothing of them. */
static int check(const struct scrub *scrub, uint64_t chunk, void *buffer, size_t length)
{
	if (read_stored(scrub->object, chunk, buffer, length) < 0)
		return -EBADMSG;
	return verify_tree_check(scrub->tree, chunk, buffer, length);
}

/* A hint that was dropped meanwhile was found wrong by a reader. */
static int settle(const struct scrub *scrub, uint64_t chunk, int verdict, uint64_t *wrong)
{
	if (verdict == 0)
		verdict = store_object_confirm(scrub->object, chunk);
	if (verdict == 0 || verdict == -ENODATA)
		return 0;
	if (verdict != -EBADMSG)
		return verdict;
	store_object_drop(scrub->object, chunk);
	(*wrong)++;
	if (scrub->damaged)
		scrub->damaged(scrub->arg, chunk);
	return 0;
}

/* DONE bytes since BEGIN (clock_ms()): when may the next ones be read? */
static int pace(const struct scrub *scrub, int64_t begin, uint64_t done)
{
	int64_t due = scrub->rate ? begin + (int64_t)(done * 1000 / scrub->rate) : begin;
	int r = scrub->progress(scrub->arg, done);

	while (r == 0 && clock_ms() < due) {
		int64_t left = due - clock_ms();
		long pause = (long)(left < PAUSE_MS ? left : PAUSE_MS);

		nanosleep(&(struct timespec){ .tv_nsec = pause * 1000000 }, NULL);
		r = scrub->progress(scrub->arg, done);
	}
	return r;
}

/* What is looked at is a hint meanwhile: should a reader find it wrong, too, and fetch it, that is not dropped. */
static bool take(const struct scrub *scrub, uint64_t chunk)
{
	if (!scrub->hints_only)
		store_object_doubt(scrub->object, chunk);
	return store_object_presence(scrub->object, chunk) == STORE_HINT;
}

int scrub_run(const struct scrub *scrub, uint64_t *wrong)
{
	uint64_t size = store_object_size(scrub->object), done = 0;
	_cleanup_free_ void *buffer = malloc(CHUNK_SIZE);
	int64_t begin = clock_ms();
	int r = buffer ? 0 : -ENOMEM;

	*wrong = 0;
	for (uint64_t chunk = 0; chunk < chunk_count(size) && r == 0; chunk++) {
		size_t length = chunk_length(size, chunk);

		if (!take(scrub, chunk))
			continue;
		r = settle(scrub, chunk, check(scrub, chunk, buffer, length), wrong);
		done += length;
		if (r == 0)
			r = pace(scrub, begin, done);
	}
	return r;
}
