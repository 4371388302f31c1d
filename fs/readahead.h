/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to fetch ahead for one open file. Pure; the owner keeps it under a lock of its own.
 *
 * A reader that goes on about where it stopped is sequential: whenever less than half of its window
 * is left before it, the window doubles, from one chunk to the bound. A jump starts again with nothing.
 */
#ifndef FS_READAHEAD_H
#define FS_READAHEAD_H

#include <stddef.h>
#include <stdint.h>

struct readahead {
	uint64_t next;   /* where a sequential reader would go on, bytes */
	uint64_t ahead;  /* first chunk not asked for on behalf of this reader */
	uint64_t window; /* chunks; 0: not sequential so far */
};

struct chunk_run {
	uint64_t first, count;
};

/*
 * The reader asks for LENGTH (> 0) bytes at OFFSET, within SIZE. Returns the chunks behind those to fetch
 * ahead now (count 0: none), never more than MAX from the end of the read.
 */
struct chunk_run readahead_advance(struct readahead *readahead, uint64_t offset, size_t length,
				   uint64_t size, uint64_t max);

#endif
