/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One parked READ: what it still misses, and how it is put together when all has come.
 *
 * A read inside one chunk is answered straight from the verified buffer. One that spans several
 * is answered from the store when the last has landed; chunks that the store had no room for are copied
 * out of their buffers as they pass.
 */
#ifndef FS_READING_H
#define FS_READING_H

#include "fs/object.h"

#define READING_CHUNKS_MAX 64 /* one reading may span: 32 MiB, the kernel's are of 1 MiB */

struct reading;

/* The place of a reading in the list of those who wait for one chunk. */
struct waiter {
	struct reading *reading;
	struct waiter *next;
};

/* 0 or -ENOMEM. One reference, the caller's. */
int must_check reading_new(struct object *object, fuse_req_t request, uint64_t offset,
			   size_t length, struct reading **out);
void reading_unref(struct reading *reading);
struct parked *reading_parked(struct reading *reading);
bool reading_waits(const struct reading *reading);
bool reading_is_single(const struct reading *reading); /* inside one chunk */

/* The waiter of CHUNK, which reading takes a reference for; one call a chunk. */
struct waiter *reading_wait_for(struct reading *reading, uint64_t chunk);

/*
 * CHUNK of WAITER's reading landed (DATA, LENGTH: its verified bytes), or failed (ERROR < 0). STORED: the
 * store has it. Answers the reading if that was the last. WAITER is gone then.
 */
void waiter_landed(struct waiter *waiter, uint64_t chunk, const void *data, size_t length,
		   bool stored);
void waiter_failed(struct waiter *waiter, int error);

/* All that it waits for has been said; answers if nothing is missing. Drops the caller's reference. */
void reading_begin(struct reading *reading);

/* Answer REQUEST from the store; errors answer it, too. Also for reads that never parked. */
void reading_reply_stored(struct object *object, fuse_req_t request, uint64_t offset,
			  size_t length);

#endif
