/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading of one open file taken apart into streams: runs of reads that go on about where the last one
 * ended. Pure: no lock, no allocation; the owner keeps it under a lock of its own.
 *
 * One handle may have several streams (loaders that read regions in turns, threads that share a
 * descriptor). What a stream may have fetched ahead of it depends on what is known of it:
 *
 *	trusted     it is the handle's first and began at the beginning of the file: a scan. Its window doubles
 *	            whenever less than half of it is left, from one chunk to the bound
 *	goal        it will probably be read up to there: runs of the handle were that long so far, or somebody
 *	            knows better (fs/objects/prefetch.h). Fetched at once, no more
 *	otherwise   it earns it: nothing at first, then a quarter of what it has read, after TRUST bytes all
 *
 * Runs that begin at a constant distance from each other are strides: the next ones are predicted. What was
 * fetched for a stream that was then left is waste, and makes the handle careful: a smaller share of
 * the bound, and later; what was used makes it bolder again.
 */
#ifndef FS_OBJECTS_STREAMS_H
#define FS_OBJECTS_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/chunk.h"

#define STREAMS_MAX  10 /* one for each of 8 readers, and two that come and go */
#define STREAM_RUNS  3	/* how many runs are remembered by their length */
#define STREAM_AHEAD 8	/* strides that are fetched ahead at most */

/*
 * The kernel reads up to two of its own windows further than its reader: only what goes further than that
 * shows that the reader itself went on.
 */
#define STREAM_OVERSHOOT ((uint64_t)1 << 20)

struct chunk_run {
	uint64_t first, count;
};

struct stream {
	uint64_t begin;	   /* bytes: where it started */
	uint64_t next;	   /* bytes: where it would go on */
	uint64_t consumed; /* bytes asked for so far */
	uint64_t goal;	   /* bytes: known, or guessed, to be read up to here; 0: nothing is */
	uint32_t ahead;	   /* the first chunk that was not asked for on its behalf */
	uint32_t window;   /* chunks */
	uint32_t used;	   /* streams.clock of its last read; 0: a free place */
	uint16_t era;	   /* streams.era of its last read */
	bool trusted;
	bool fetched;	    /* something was fetched ahead for it */
	bool recorded;	    /* its length counts already; cleared when it goes on */
	uint8_t tensorwise; /* of fs/objects/prefetch.c */
};

struct streams {
	struct stream table[STREAMS_MAX];
	uint32_t clock;		    /* reads so far */
	uint16_t era;		    /* streams that began so far */
	uint8_t careful;	    /* 0: bold */
	bool started;		    /* a stream has begun */
	uint8_t n_runs;		    /* of these are known: */
	uint64_t runs[STREAM_RUNS]; /* bytes: the lengths of the last runs that ended */
	/* ---- strides ---- */
	uint8_t last;	    /* the stream that began last, in the table */
	uint64_t last_span; /* bytes: how long the one before it became */
	int64_t distance;   /* bytes between the last two */
	uint16_t repeats;   /* how often in a row it was that */
	uint16_t predicted; /* strides beyond last_begin that were fetched ahead */
};

/* What may be fetched, and how. All in chunks. */
struct stream_bounds {
	uint64_t chunks; /* of the file */
	uint64_t max;	 /* ahead of the reader in all */
	uint64_t step;	 /* do not bother the sources for less, unless it is all that is left */
};

/*
 * The reader asks for LENGTH (> 0) bytes at OFFSET: the stream that this belongs to, moved on. *FRESH: it
 * begins here. Valid until the next call.
 */
struct stream *streams_enter(struct streams *streams, uint64_t offset, uint64_t length,
			     bool *fresh);

/*
 * What to fetch for STREAM now: chunks behind those that were read, and never twice the same. Not beyond
 * CEILING (bytes) unless the stream is trusted or has its goal there. COUNT 0: nothing.
 */
struct chunk_run streams_ahead(struct streams *streams, struct stream *stream,
			       const struct stream_bounds *bounds, uint64_t ceiling);

/* After a fresh stream: the strides that follow it. Returns how many of RUNS were filled in. */
size_t streams_strides(struct streams *streams, const struct stream_bounds *bounds,
		       struct chunk_run runs[STREAM_AHEAD]);

/* Has STREAM read so much that it needs no further proof? */
bool stream_is_trusted(const struct stream *stream);

#endif
