/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answering a READ: from the buffers of chunks that are in memory, the store for the others; and one that is parked:
 * what it still misses.
 *
 * A parked read inside one chunk is answered from the buffer the moment that it was verified. One that spans
 * several is put together when the last has landed; while the store has no room, each chunk's part is copied as it
 * passes, since the buffers are too few to be held for readers.
 */
#ifndef FS_OBJECTS_READING_H
#define FS_OBJECTS_READING_H

#include "fs/objects/object.h"

#define READING_CHUNKS_MAX 64 /* one reading may span: 32 MiB, the kernel's are of 1 MiB */

struct reading;

/* The place of a reading in the list of those who wait for one chunk. */
struct waiter {
	struct reading *reading;
	struct waiter *next;
};

/* 0 or -ENOMEM. One reference, the caller's. */
int must_check reading_new(struct object *object, uid_t uid, fuse_req_t request, uint64_t offset,
			   size_t length, struct reading **out);
void reading_unref(struct reading *reading);
struct parked *reading_parked(struct reading *reading);
bool reading_waits(const struct reading *reading);
bool reading_is_single(const struct reading *reading); /* inside one chunk */
struct object *reading_object(const struct reading *reading);
uid_t reading_uid(const struct reading *reading);
/* The chunks it needs, from FIRST up to END. */
void reading_span(const struct reading *reading, uint64_t *first, uint64_t *end);

/* What comes now was fetched, not only read again: for the counters. Before waiter_landed(). */
void waiter_note_fetched(struct waiter *waiter);
/* The waiter of CHUNK, which reading takes a reference for; one call a chunk. */
struct waiter *reading_wait_for(struct reading *reading, uint64_t chunk);

/*
 * CHUNK of WAITER's reading landed (DATA, LENGTH: its verified bytes), or failed (ERROR < 0). Answers the
 * reading if that was the last. WAITER is gone then. True: the chunk was read to its end.
 */
bool waiter_landed(struct waiter *waiter, uint64_t chunk, const void *data, size_t length);
void waiter_failed(struct waiter *waiter, int error);

/* All that it waits for has been said; answers if nothing is missing. Drops the caller's reference. */
void reading_begin(struct reading *reading);

/*
 * Answer REQUEST with what is in memory or in the store, errors included. -EAGAIN: some of it is in neither, and
 * the request is not answered. Also for reads that never parked.
 */
int must_check reading_try(struct object *object, fuse_req_t request, uint64_t offset, size_t length);

/* Answer a READ with ERROR (an errno), counted. */
void reading_fail(fuse_req_t request, int error);

/* ---- pipeline.c ---- */

/* A chunk that READING had waited for left memory before it was read: ask again. Takes over the reference. */
void pipeline_resume(struct reading *reading);

#endif
