/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/readahead.h"

#include "common/chunk.h"

/*
 * The kernel's own readahead comes in on several threads, so neighbours may overtake each other; and
 * readers of records skip a little. That is still sequential.
 */
#define SLACK (4 * CHUNK_SIZE)

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct chunk_run readahead_advance(struct readahead *readahead, uint64_t offset, size_t length,
				   uint64_t size, uint64_t max)
{
	uint64_t end = offset + length, chunks = chunk_count(size);
	uint64_t behind = chunk_count(end); /* the first chunk behind the read */
	struct chunk_run run = { 0 };
	uint64_t limit;

	if (offset > readahead->next + SLACK || offset + SLACK < readahead->next) {
		*readahead = (struct readahead){ .next = end, .ahead = behind };
		return run;
	}
	if (end > readahead->next)
		readahead->next = end;
	if (readahead->ahead < behind)
		readahead->ahead = behind;
	/* The first read of a file says nothing yet: it may want the header only. */
	if (offset == 0 && readahead->window == 0) {
		readahead->window = 1;
		return run;
	}
	if (readahead->ahead - behind > readahead->window / 2)
		return run;
	readahead->window = min(readahead->window ? 2 * readahead->window : 1, max);
	limit = min(behind + readahead->window, chunks);
	if (limit <= readahead->ahead)
		return run;
	run = (struct chunk_run){ readahead->ahead, limit - readahead->ahead };
	readahead->ahead = limit;
	return run;
}
