/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/objects/prefetch.h"

#define PAGE ((uint64_t)4096)

/* stream.tensorwise: a stream that began where a tensor does is in that one, or has gone on. */
enum {
	TENSOR_FIRST = 1,
	TENSOR_NEXT,
};

/*
 * The tensor that a run begins with, if it begins with one. The kernel reads whole pages, and the first may be
 * here already with the tensor before. Around a page fault it reads as much before as behind.
 */
static const struct tensor *begun(const struct prefetch_read *read)
{
	uint64_t from = read->offset > PAGE ? read->offset - PAGE : 0;
	uint64_t fault = (read->offset + read->length / 2) / PAGE * PAGE;
	const struct tensor *tensor;

	tensor = tensors_beginning(read->tensors, from, read->offset + PAGE);
	return tensor ? tensor : tensors_beginning(read->tensors, fault, fault + PAGE);
}

/* Where the tensor ends that the last byte that was read belongs to; else the end of the file. */
static uint64_t tensor_end(const struct stream *stream, const struct prefetch_read *read)
{
	const struct tensor *tensor = NULL;

	if (read->tensors)
		tensor = tensors_find(read->tensors, stream->next - 1);
	return tensor ? tensor->end : read->size;
}

/* A stream begins: up to where will it go? */
static void set_goal(struct stream *stream, const struct prefetch_read *read)
{
	const struct tensor *tensor = begun(read);
	uint64_t end = tensor_end(stream, read);

	if (tensor) {
		stream->tensorwise = TENSOR_FIRST;
		stream->goal = tensor->end;
	} else if (stream->goal > end) {
		stream->goal = end;
	}
}

/* It goes on, beyond the tensor that it began with: so it will go on for half as long again, at least. */
static void extend_goal(struct stream *stream, const struct prefetch_read *read)
{
	uint64_t expected = stream->next + (stream->next - stream->begin) / 2, end;
	const struct tensor *tensor;

	if (stream->tensorwise == TENSOR_FIRST && stream->next < stream->goal + STREAM_OVERSHOOT)
		return;
	stream->tensorwise = TENSOR_NEXT;
	tensor = tensors_find(read->tensors, expected);
	end = tensor ? tensor->end : read->size;
	if (stream->goal < end)
		stream->goal = end;
}

size_t prefetch_advance(struct prefetch *prefetch, const struct prefetch_read *read,
			struct chunk_run runs[PREFETCH_RUNS_MAX])
{
	const struct stream_bounds bounds = {
		.chunks = chunk_count(read->size),
		.max = read->max,
		.step = read->step,
	};
	struct stream *stream;
	bool fresh;
	size_t n = 0;

	stream = streams_enter(&prefetch->streams, read->offset, read->length, &fresh);
	/* A scan of the whole file needs no tensors. */
	if (read->tensors && fresh && !stream->trusted)
		set_goal(stream, read);
	else if (read->tensors && stream->tensorwise)
		extend_goal(stream, read);
	runs[0] = streams_ahead(&prefetch->streams, stream, &bounds, tensor_end(stream, read));
	if (runs[0].count > 0)
		n = 1;
	if (fresh)
		n += streams_strides(&prefetch->streams, &bounds, &runs[n]);
	return n;
}
