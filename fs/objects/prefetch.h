/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to fetch ahead of the reader of one open file: its streams (fs/objects/streams.h), and, where the layout of
 * the file is known, its tensors (fs/objects/tensors.h):
 *
 *	a run that begins where a tensor does      the rest of that tensor
 *	… and goes on into the next ones           half as many bytes again as it has read, in whole tensors
 *	a run that begins inside a tensor          what the streams say, not past the tensor's end
 *
 * Pure; the owner keeps it under a lock of its own.
 */
#ifndef FS_OBJECTS_PREFETCH_H
#define FS_OBJECTS_PREFETCH_H

#include "fs/objects/streams.h"
#include "fs/objects/tensors.h"

#define PREFETCH_RUNS_MAX (STREAM_AHEAD + 1)

/* One for each open file; all zeros at first. */
struct prefetch {
	struct streams streams;
};

/* A read, and what may be fetched because of it. */
struct prefetch_read {
	uint64_t offset, length; /* bytes inside the file; LENGTH > 0 */
	uint64_t size;		 /* bytes of the file */
	uint64_t max;		 /* chunks ahead of all streams of the handle together */
	uint64_t step; /* chunks: less than that is left for later while there is a window */
	const struct tensors *tensors; /* NULL: nothing is known */
};

/*
 * The chunks to fetch ahead now, in the order in which they will be wanted: how many of RUNS were filled in. None of
 * them is empty or beyond the end; those of the read itself are not among them, but others may be here already.
 */
size_t prefetch_advance(struct prefetch *prefetch, const struct prefetch_read *read,
			struct chunk_run runs[PREFETCH_RUNS_MAX]);

#endif
