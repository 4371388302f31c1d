/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Body bytes: from curl's buffer straight to where they belong, copied once.
 *
 * A chunk buffer is taken from the pool when the first byte for it is here. None left: the transfer
 * pauses, which closes its window to the server, and the loop lets it go on when a buffer is freed.
 * curl then brings the whole piece again that the pause was answered to, perhaps cut differently
 * and with more behind; `skip` is how much of that stream was taken before.
 */
#include "fetch/internal.h"

#include <string.h>

void body_count(struct transfer *transfer)
{
	struct source *source = &transfer->fetch->sources[transfer->source];

	pthread_mutex_lock(&transfer->fetch->lock);
	source->bytes += transfer->taken - transfer->counted;
	pthread_mutex_unlock(&transfer->fetch->lock);
	transfer->counted = transfer->taken;
}

bool transfer_may_fill(const struct transfer *transfer)
{
	const struct fetch *fetch = transfer->fetch;
	size_t kept = transfer->job->demanded ? 0 : fetch->buffers_kept;

	return transfer->buffer || pool_available(fetch->pool) > kept;
}

/* Is there a buffer to fill? */
static bool have_buffer(struct transfer *transfer)
{
	struct fetch *fetch = transfer->fetch;

	if (!transfer->buffer && transfer_may_fill(transfer))
		transfer->buffer = pool_take(fetch->pool);
	if (!transfer->buffer) {
		/* Announced first and tried again, so that a buffer freed in between is not missed. */
		atomic_store(&fetch->starved, true);
		if (transfer_may_fill(transfer))
			transfer->buffer = pool_take(fetch->pool);
	}
	return transfer->buffer != NULL;
}

/* Where the next bytes go, *ROOM of them at most. NULL: nowhere for now. */
static char *place(struct transfer *transfer, size_t *room)
{
	const struct job *job = transfer->job;
	const struct fetch_request *request = job->request;

	if (request->kind == FETCH_FRONT) {
		*room = (size_t)(transfer->verdict.body - transfer->taken);
		return (char *)job->front + transfer->taken;
	}
	if (!have_buffer(transfer))
		return NULL;
	*room = chunk_length(request->size, request->first + job->delivered) - transfer->filled;
	return (char *)transfer->buffer + transfer->filled;
}

static void deliver(struct transfer *transfer)
{
	struct job *job = transfer->job;
	struct fetch_request *request = job->request;
	struct source *source = &transfer->fetch->sources[transfer->source];
	uint64_t index = request->first + job->delivered;
	size_t len = transfer->filled;
	void *buffer = steal_pointer(transfer->buffer);

	transfer->filled = 0;
	transfer->chunks++;
	job->delivered++;
	atomic_fetch_sub(&transfer->fetch->outstanding, 1);
	job->attempts[transfer->source] = (struct attempt){
		.url = job->attempts[transfer->source].url,
	};
	source_progress(source);
	body_count(transfer);
	request->ops->chunk(request, index, buffer, len, transfer->source);
}

static void took(struct transfer *transfer, size_t n)
{
	const struct fetch_request *request = transfer->job->request;

	transfer->taken += n;
	transfer->fetch->sources[transfer->source].received += n;
	if (request->kind != FETCH_CHUNKS)
		return;
	transfer->filled += n;
	if (transfer->filled ==
	    chunk_length(request->size, request->first + transfer->job->delivered))
		deliver(transfer);
}

static size_t take(struct transfer *transfer, const char *data, size_t len)
{
	size_t at = transfer->skip < len ? transfer->skip : len;

	transfer->skip -= at;
	while (at < len) {
		size_t room, n;
		char *to;

		if (transfer->taken == transfer->verdict.body) {
			/* The first byte too many ends it. */
			transfer->excess = !transfer->verdict.close;
			return CURL_WRITEFUNC_ERROR;
		}
		to = place(transfer, &room);
		if (!to) {
			transfer->skip = at;
			transfer->paused = true;
			transfer->paused_since = ++transfer->fetch->pauses;
			return CURL_WRITEFUNC_PAUSE;
		}
		n = len - at < room ? len - at : room;
		memcpy(to, data + at, n);
		at += n;
		took(transfer, n);
	}
	/* Nothing to wait for when the rest of the reply is not wanted. */
	if (transfer->verdict.close && transfer->taken == transfer->verdict.body)
		return CURL_WRITEFUNC_ERROR;
	return len;
}

size_t body_write(char *data, size_t one, size_t len, void *arg)
{
	struct transfer *transfer = arg;

	if (!transfer->exchange.reply.ended)
		return CURL_WRITEFUNC_ERROR;
	if (transfer->verdict.kind == VERDICT_BODY)
		return take(transfer, data, len);
	transfer->surplus += len;
	return transfer->surplus > FETCH_DISCARD_MAX ? CURL_WRITEFUNC_ERROR : len;
}
