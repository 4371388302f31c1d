/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three clocks: `clock` counts reads and says which stream is the least recently used one; `era` counts
 * streams that began, and says which have ended: one that saw two others begin and nothing of its own.
 */
#include "fs/objects/streams.h"

#include <string.h>

#define MIB ((uint64_t)1 << 20)

/*
 * The kernel's own readahead comes in on several threads, so neighbours may overtake each other; and
 * readers of records skip a little. That is still sequential.
 */
#define SLACK (4 * CHUNK_SIZE)

/*
 * Up to here nothing is fetched ahead of a stream that nothing is known of. Random reads of 4 MiB come
 * as 4.5: the kernel goes one or two of its own windows further than its reader. With a tenth
 * on top for whole chunks that is all the waste there may be.
 */
#define UNPROVEN (6 * MIB)
#define TRUST	 (32 * MIB)

#define EARNED_SHIFT 2 /* a quarter of what was read */
#define CAREFUL_MAX  4

#define RECENT		 64 /* reads: a stream that was used since shares the bound with others */
#define PROTECTED	 256 /* reads: so long one that is proven outlives any number of single reads */
#define STRIDE_TOLERANCE ((int64_t)16 * 1024) /* rows are not pages */

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/*
 * It reads all that it passes, but for what is on its way out of turn. Random runs that happen to be neighbours
 * look like one stream, and leave gaps.
 */
static bool is_dense(const struct stream *stream)
{
	uint64_t span = stream->next - stream->begin;

	return stream->consumed >= span - span / 16;
}

bool stream_is_trusted(const struct stream *stream)
{
	return stream->trusted || (stream->consumed >= TRUST && is_dense(stream));
}

/* Most of what it passes it does not read: records, too far apart to fetch all between them. */
static bool is_sparse(const struct stream *stream)
{
	uint64_t span = stream->next - stream->begin;

	return span > 2 * SLACK && stream->consumed < span / 2;
}

/* ---- the end of a stream ---- */

static void be_careful(struct streams *streams)
{
	if (streams->careful < CAREFUL_MAX)
		streams->careful++;
}

static void be_bolder(struct streams *streams)
{
	if (streams->careful > 0)
		streams->careful--;
}

/* Nobody goes on with STREAM, as it seems: what it teaches of the handle. */
static void record(struct streams *streams, struct stream *stream)
{
	uint64_t end = chunk_count(stream->next), read = end - stream->begin / CHUNK_SIZE;

	if (stream->recorded)
		return;
	stream->recorded = true;
	memmove(&streams->runs[1], &streams->runs[0],
		sizeof(streams->runs) - sizeof(streams->runs[0]));
	streams->runs[0] = is_sparse(stream) ? 0 : stream->next - stream->begin;
	if (streams->n_runs < STREAM_RUNS)
		streams->n_runs++;
	if (!stream->fetched)
		return;
	/* A chunk or a quarter too many: such is life. */
	if (stream->ahead > end + max(1, read / 4))
		be_careful(streams);
	else
		be_bolder(streams);
}

static void record_ended(struct streams *streams)
{
	for (size_t i = 0; i < STREAMS_MAX; i++) {
		struct stream *stream = &streams->table[i];

		if (stream->used && (uint16_t)(streams->era - stream->era) >= 2)
			record(streams, stream);
	}
}

/* How long the next run will be at least, as the last ones were; 0: they say nothing. */
static uint64_t usual_run(const struct streams *streams)
{
	uint64_t least = UINT64_MAX;

	if (streams->n_runs < 2)
		return 0;
	for (size_t i = 0; i < streams->n_runs; i++)
		least = min(least, streams->runs[i]);
	return least;
}

/* ---- which stream ---- */

static struct stream *find(struct streams *streams, uint64_t offset)
{
	struct stream *best = NULL;

	for (size_t i = 0; i < STREAMS_MAX; i++) {
		struct stream *stream = &streams->table[i];

		if (!stream->used || distance(offset, stream->next) > SLACK)
			continue;
		if (!best || distance(offset, stream->next) < distance(offset, best->next))
			best = stream;
	}
	return best;
}

/* The place of a new one: a free one, else the least recently used, of the unproven first. */
static struct stream *place(struct streams *streams)
{
	struct stream *oldest = NULL;
	bool oldest_protected = false;

	for (size_t i = 0; i < STREAMS_MAX; i++) {
		struct stream *stream = &streams->table[i];
		bool protected = (stream->trusted || stream->consumed >= UNPROVEN) &&
				 streams->clock - stream->used < PROTECTED;

		if (!stream->used)
			return stream;
		if (!oldest || (oldest_protected && !protected) ||
		    (oldest_protected == protected && stream->used < oldest->used)) {
			oldest = stream;
			oldest_protected = protected;
		}
	}
	record(streams, oldest);
	return oldest;
}

/* A stream begins at OFFSET: is it a step further of a stride? */
static void note_begin(struct streams *streams, uint64_t offset)
{
	const struct stream *last = &streams->table[streams->last];
	int64_t step = (int64_t)(offset - last->begin);
	int64_t off = step - streams->distance;

	streams->last_span = last->next - last->begin;
	if (streams->repeats > 0 && off <= STRIDE_TOLERANCE && off >= -STRIDE_TOLERANCE) {
		streams->repeats += streams->repeats < UINT16_MAX;
		if (streams->predicted > 0) {
			streams->predicted--;
			be_bolder(streams);
		}
		return;
	}
	if (streams->predicted > 1)
		be_careful(streams);
	streams->distance = step;
	streams->repeats = streams->started;
	streams->predicted = 0;
}

static struct stream *begin(struct streams *streams, uint64_t offset)
{
	struct stream *stream;
	uint64_t usual;

	note_begin(streams, offset);
	streams->era++;
	record_ended(streams);
	stream = place(streams);
	usual = usual_run(streams);
	*stream = (struct stream){
		.begin = offset,
		.next = offset,
		.goal = usual ? offset + usual : 0,
		.ahead = (uint32_t)(offset / CHUNK_SIZE),
		.trusted = !streams->started && offset == 0,
	};
	streams->last = (uint8_t)(stream - streams->table);
	streams->started = true;
	return stream;
}

struct stream *streams_enter(struct streams *streams, uint64_t offset, uint64_t length, bool *fresh)
{
	struct stream *stream;

	/* 0 is a free place. */
	if (++streams->clock == 0)
		streams->clock = 1;
	stream = find(streams, offset);
	*fresh = !stream;
	if (!stream)
		stream = begin(streams, offset);
	stream->begin = min(stream->begin, offset);
	stream->next = max(stream->next, offset + length);
	stream->consumed += length;
	stream->ahead = (uint32_t)max(stream->ahead, chunk_count(stream->next));
	stream->used = streams->clock;
	stream->era = streams->era;
	stream->recorded = false;
	return stream;
}

/* ---- how far ---- */

/* The part of the bound that each stream of the handle gets, in chunks. */
static uint64_t share(const struct streams *streams, const struct stream *of, uint64_t bound)
{
	uint64_t active = 1;

	for (size_t i = 0; i < STREAMS_MAX; i++) {
		const struct stream *stream = &streams->table[i];

		if (stream != of && stream->used && streams->clock - stream->used < RECENT &&
		    stream->ahead > chunk_count(stream->next))
			active++;
	}
	return (bound / active) >> streams->careful;
}

/* The window that STREAM may have, of BOUND chunks. */
static uint64_t allowance(const struct streams *streams, const struct stream *stream,
			  uint64_t bound)
{
	if (is_sparse(stream))
		return 0;
	if (stream_is_trusted(stream))
		return bound;
	if (stream->consumed < UNPROVEN << streams->careful || !is_dense(stream))
		return 0;
	return min(bound, stream->consumed / CHUNK_SIZE >> (EARNED_SHIFT + streams->careful));
}

/* With a window of its own: doubled when less than half of it is left, and then kept full. */
static uint64_t window_end(const struct streams *streams, struct stream *stream, uint64_t bound)
{
	uint64_t behind = chunk_count(stream->next), allowed = allowance(streams, stream, bound);

	if (stream->ahead - behind <= stream->window / 2)
		stream->window = stream->window ? 2 * stream->window : 1;
	else if (stream->window < allowed)
		return stream->ahead;
	stream->window = (uint32_t)min(stream->window, allowed);
	return behind + stream->window;
}

struct chunk_run streams_ahead(struct streams *streams, struct stream *stream,
			       const struct stream_bounds *bounds, uint64_t ceiling)
{
	uint64_t behind = chunk_count(stream->next); /* the first chunk behind what was read */
	uint64_t bound = share(streams, stream, bounds->max), last = bounds->chunks, limit;
	struct chunk_run run = {0};

	/* The first read of a file says nothing yet: it may want the header only. */
	if (stream->trusted && streams->clock == 1)
		return run;
	if (stream->goal && stream->next < stream->goal + STREAM_OVERSHOOT) {
		last = min(last, chunk_count(stream->goal));
		limit = behind + bound;
	} else {
		if (!stream_is_trusted(stream))
			last = min(last, chunk_count(ceiling));
		limit = window_end(streams, stream, bound);
	}
	limit = min(limit, last);
	if (limit <= stream->ahead)
		return run;
	/* A little at a time would be many requests; but the last piece must come. */
	if (limit - stream->ahead < min(bounds->step, (limit - behind + 1) / 2) && limit < last)
		return run;
	run = (struct chunk_run){stream->ahead, limit - stream->ahead};
	stream->ahead = (uint32_t)limit;
	stream->fetched = true;
	return run;
}

/* ---- strides ---- */

/* Chunks [first, first + count) that a run of SPAN bytes at BEGIN touches; false: not in the file. */
static bool run_at(int64_t begin, uint64_t span, uint64_t chunks, struct chunk_run *run)
{
	uint64_t first, end;

	if (begin < 0)
		return false;
	first = (uint64_t)begin / CHUNK_SIZE;
	end = min(chunk_count((uint64_t)begin + span), chunks);
	if (first >= end)
		return false;
	*run = (struct chunk_run){first, end - first};
	return true;
}

size_t streams_strides(struct streams *streams, const struct stream_bounds *bounds,
		       struct chunk_run runs[STREAM_AHEAD])
{
	uint64_t each = chunk_count(streams->last_span) + 1; /* runs are not aligned to chunks */
	uint64_t room = (bounds->max >> streams->careful) / each, wanted = STREAM_AHEAD;
	size_t n = 0;

	/* Two equal distances make a stride: one ahead, then twice as many with every step. */
	if (streams->repeats < 2 || streams->last_span == 0)
		return 0;
	if (streams->repeats < 5)
		wanted = (uint64_t)1 << (streams->repeats - 2);
	wanted = min(wanted, room);
	while (streams->predicted < wanted) {
		int64_t begin = (int64_t)streams->table[streams->last].begin +
				(streams->predicted + 1) * streams->distance;

		if (!run_at(begin, streams->last_span, bounds->chunks, &runs[n]))
			break;
		streams->predicted++;
		n++;
	}
	return n;
}
