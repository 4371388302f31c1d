/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP exchange on a curl easy handle, and its successors after redirects.
 *
 * A transfer is idle (job = NULL, handle not in the multi) or running (job set, handle in the
 * multi). While it runs: connecting → headers (reply fills) → checked (reply.ended, verdict valid)
 * → body. No body byte is looked at before the check.
 */
#include "fetch/internal.h"
#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * As much as one recv(2) brings; each running transfer has one. Over loopback a GiB takes 16,000
 * recvs and polls each with 64 KiB, 4,400 with 256, 3,100 with 512; the CPU goes by the copies
 * (0.3 s a GiB) and is the same from 128 KiB on.
 */
#define RECEIVE_BUFFER (256L << 10)

static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
	struct transfer *transfer = arg;
	struct reply *reply = &transfer->exchange.reply;
	struct verdict *verdict = &transfer->verdict;
	struct job *job = transfer->job;
	bool fits;

	if (reply->ended)
		return len;
	fits = exchange_line(&transfer->exchange, line, len);
	if (!reply->ended)
		return len;
	reply_check(reply, &transfer->ask, verdict);
	pace_round_trip(&transfer->fetch->sources[transfer->source].pace,
			clock_us() - transfer->exchange.asked_at);
	/* The memory for a front is asked for only when somebody has one, and no more than that. */
	if (verdict->kind == VERDICT_BODY && transfer->ask.kind == FETCH_FRONT &&
	    verdict->body > 0) {
		free(job->front);
		job->front = malloc(verdict->body);
		transfer->no_memory = !job->front;
	}
	if (transfer->no_memory || !fits)
		return 0;
	/* A known answer with a body that nobody needs. */
	return verdict->kind == VERDICT_ENOUGH && verdict->close ? 0 : len;
}

/* The token for the URL, if there is one: to the place's own host only. */
static CURLcode set_token(struct transfer *transfer)
{
	struct exchange *exchange = &transfer->exchange;
	const struct source *source = &transfer->fetch->sources[transfer->source];
	const char *header;

	curl_slist_free_all(steal_pointer(transfer->token));
	if (!source->tokens || !url_same_host(exchange->origin_url, exchange->url))
		return CURLE_OK;
	header = token_find(source, transfer->job->request->party, exchange->url);
	if (!header)
		return CURLE_OK;
	transfer->token = curl_slist_append(NULL, header);
	if (!transfer->token)
		return CURLE_OUT_OF_MEMORY;
	return curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, transfer->token);
}

static CURLcode set_up(struct transfer *transfer)
{
	CURL *easy = transfer->exchange.easy;
	CURLcode code = exchange_set_up(&transfer->exchange, transfer->fetch->connect_timeout,
					on_header, body_write, transfer);
	char range[48];

	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	if (code == CURLE_OK)
		code = set_token(transfer);
	snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, transfer->ask.first,
		 transfer->ask.last);
	return code ? code : curl_easy_setopt(easy, CURLOPT_RANGE, range);
}

static struct ask ask_of(const struct job *job)
{
	const struct fetch_request *request = job->request;
	struct ask ask = {.kind = request->kind, .size = request->size};
	uint64_t end = request->size;

	if (request->kind == FETCH_FRONT)
		ask.last = request->size - 1;
	if (request->kind != FETCH_CHUNKS)
		return ask;
	if (request->first + request->count < chunk_count(request->size))
		end = (request->first + request->count) * CHUNK_SIZE;
	ask.first = (request->first + job->delivered) * CHUNK_SIZE;
	ask.last = end - 1;
	return ask;
}

/* Asks transfer->url. 0 or -ENOMEM. */
static int begin(struct transfer *transfer)
{
	struct fetch *fetch = transfer->fetch;
	struct source *source = &fetch->sources[transfer->source];

	memset(&transfer->verdict, 0, sizeof(transfer->verdict));
	transfer->ask = ask_of(transfer->job);
	transfer->taken = transfer->counted = transfer->surplus = 0;
	transfer->filled = transfer->skip = 0;
	transfer->paused = transfer->excess = transfer->no_memory = false;
	if (set_up(transfer) || curl_multi_add_handle(fetch->multi, transfer->exchange.easy))
		return -ENOMEM;
	pthread_mutex_lock(&fetch->lock);
	source->requests++;
	pthread_mutex_unlock(&fetch->lock);
	return 0;
}

static void clear(struct transfer *transfer)
{
	exchange_clear(&transfer->exchange);
	curl_slist_free_all(steal_pointer(transfer->token));
	transfer->job = NULL;
}

int transfer_start(struct transfer *transfer, struct job *job, unsigned int number)
{
	struct source *source = &transfer->fetch->sources[number];
	const struct template *template =
		job->request->kind == FETCH_FRONT ? &source->tree : &source->url;
	struct exchange *exchange = &transfer->exchange;
	const char *place = job->attempts[number].url, *kept;

	transfer->job = job;
	transfer->source = number;
	transfer->chunks = 0;
	exchange->terms = &source->group->terms;
	exchange->reply.keep = source->group->token_challenge ? 1U << REPLY_WWW_AUTHENTICATE : 0;
	exchange->origin_url =
		place ? strdup(place) : template_expand(template, &job->request->digests);
	if (exchange->origin_url) {
		kept = redirect_find(source, job->request->party, exchange->origin_url);
		transfer->remembered = kept != NULL;
		exchange->url = strdup(kept ? kept : exchange->origin_url);
	}
	if (!exchange->url || begin(transfer)) {
		clear(transfer);
		return -ENOMEM;
	}
	source->active++;
	return 0;
}

int transfer_follow(struct transfer *transfer)
{
	struct exchange *exchange = &transfer->exchange;
	char *url = transfer->remembered ? strdup(exchange->origin_url)
					 : url_resolve(exchange->url, exchange->reply.location);

	if (!url)
		return -ENOMEM; /* outcome.c has seen that it resolves */
	if (!transfer->remembered)
		exchange->hops++;
	transfer->remembered = false;
	free(exchange->url);
	exchange->url = url;
	curl_multi_remove_handle(transfer->fetch->multi, exchange->easy);
	return begin(transfer);
}

void transfer_stop(struct transfer *transfer)
{
	struct source *source = &transfer->fetch->sources[transfer->source];

	curl_multi_remove_handle(transfer->fetch->multi, transfer->exchange.easy);
	body_count(transfer);
	pool_put(transfer->fetch->pool, steal_pointer(transfer->buffer));
	source->active--;
	clear(transfer);
}

bool transfer_flows(const struct transfer *transfer)
{
	return transfer->exchange.reply.ended && transfer->verdict.kind == VERDICT_BODY &&
	       !transfer->paused;
}

bool transfer_stalled(struct transfer *transfer, int64_t now, bool *slow)
{
	uint64_t bytes = transfer->taken + transfer->surplus + transfer->exchange.reply.bytes;

	return exchange_stalled(&transfer->exchange, bytes, transfer->paused, now,
				transfer->fetch->stall_timeout, slow);
}
