/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP exchange on a curl easy handle, and its successors after redirects.
 *
 * A transfer is idle (job = NULL, handle not in the multi) or running (job set, handle in the
 * multi). While it runs: connecting → headers (reply fills) → checked (reply.ended, verdict valid)
 * → body. No body byte is looked at before the check.
 *
 * The address rule holds for every connection, also a reused one: curl's cache does not know that
 * one source may use a private address and another may not, so the address is checked when the
 * socket is opened, before connect(2), and again before each request is sent.
 */
#include "fetch/internal.h"
#include "common/clock.h"

#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/*
 * As much as one recv(2) brings; each running transfer has one. Over loopback a GiB takes 16,000
 * recvs and polls each with 64 KiB, 4,400 with 256, 3,100 with 512; the CPU goes by the copies
 * (0.3 s a GiB) and is the same from 128 KiB on.
 */
#define RECEIVE_BUFFER (256L << 10)

static const struct source *source_of(const struct transfer *transfer)
{
	return &transfer->fetch->sources[transfer->source];
}

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *transfer = arg;

	if (!source_of(transfer)->allow_private && !address_is_public(&address->addr)) {
		address_format(&address->addr, transfer->blocked);
		return CURL_SOCKET_BAD;
	}
	transfer->tried = true;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int on_request(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	struct transfer *transfer = arg;

	if (!source_of(transfer)->allow_private && !address_text_is_public(remote)) {
		snprintf(transfer->blocked, sizeof(transfer->blocked), "%s", remote);
		transfer->tried = false;
		return CURL_PREREQFUNC_ABORT;
	}
	transfer->connected = true;
	transfer->good_at = transfer->ticked_at = clock_ms();
	transfer->asked_at = clock_us();
	return CURL_PREREQFUNC_OK;
}

static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
	struct transfer *transfer = arg;
	struct reply *reply = &transfer->reply;
	struct verdict *verdict = &transfer->verdict;
	struct job *job = transfer->job;

	if (reply->ended)
		return len;
	reply_line(reply, line, len);
	if (reply->bytes > FETCH_HEADERS_MAX) {
		reply->malformed = "header (too much of it)";
		reply->ended = true;
	}
	if (!reply->ended)
		return len;
	reply_check(reply, &transfer->ask, verdict);
	pace_round_trip(&transfer->fetch->sources[transfer->source].pace,
			clock_us() - transfer->asked_at);
	/* The memory for a front is asked for only when somebody has one, and no more than that. */
	if (verdict->kind == VERDICT_BODY && transfer->ask.kind == FETCH_FRONT && verdict->body > 0) {
		free(job->front);
		job->front = malloc(verdict->body);
		transfer->no_memory = !job->front;
	}
	if (transfer->no_memory || reply->bytes > FETCH_HEADERS_MAX)
		return 0;
	/* A known answer with a body that nobody needs. */
	return verdict->kind == VERDICT_ENOUGH && verdict->close ? 0 : len;
}

static void set_tls(CURL *easy, const struct source *source)
{
	struct curl_blob ca = {source->ca, source->ca_len, CURL_BLOB_NOCOPY};

	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (!source->ca)
		return;
	curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &ca);
}

static void set_callbacks(CURL *easy, struct transfer *transfer)
{
	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_write);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
}

/* Options that the environment and the user's files could otherwise set are set here. */
static CURLcode set_up(struct transfer *transfer)
{
	const struct source *source = source_of(transfer);
	CURL *easy = transfer->easy;
	char range[48];

	curl_easy_reset(easy);
	set_callbacks(easy, transfer);
	set_tls(easy, source);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, source->allow_http ? "http,https" : "https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* A dead name server must not block the thread when a transfer is given up. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	/*
	 * Not HTTP/2: it would put all transfers of a host on one TCP connection, with the rate that the
	 * host or the path gives to one. Measured over loopback TLS with 16 transfers: 245 MB/s and
	 * 1.3 s of CPU a GiB with it, 770 MB/s and 1.3 s without; with one transfer 1.45 s and 0.83 s.
	 */
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)transfer->fetch->connect_timeout);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "weightfs/" PACKAGE_VERSION);
	if (source->headers && url_same_host(transfer->origin_url, transfer->url))
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, source->headers);
	snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, transfer->ask.first,
		 transfer->ask.last);
	if (curl_easy_setopt(easy, CURLOPT_RANGE, range))
		return CURLE_OUT_OF_MEMORY;
	return curl_easy_setopt(easy, CURLOPT_URL, transfer->url);
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

	memset(&transfer->reply, 0, sizeof(transfer->reply));
	memset(&transfer->verdict, 0, sizeof(transfer->verdict));
	transfer->ask = ask_of(transfer->job);
	transfer->taken = transfer->counted = transfer->surplus = transfer->ticked = 0;
	transfer->filled = transfer->skip = 0;
	transfer->paused = transfer->excess = transfer->no_memory = false;
	transfer->connected = transfer->tried = false;
	transfer->blocked[0] = transfer->error[0] = '\0';
	transfer->good_at = transfer->ticked_at = clock_ms();
	if (set_up(transfer) || curl_multi_add_handle(fetch->multi, transfer->easy))
		return -ENOMEM;
	pthread_mutex_lock(&fetch->lock);
	source->requests++;
	pthread_mutex_unlock(&fetch->lock);
	return 0;
}

static void clear(struct transfer *transfer)
{
	free(steal_pointer(transfer->origin_url));
	free(steal_pointer(transfer->url));
	transfer->job = NULL;
}

int transfer_start(struct transfer *transfer, struct job *job, unsigned int number)
{
	struct source *source = &transfer->fetch->sources[number];
	const struct template *template =
		job->request->kind == FETCH_FRONT ? &source->tree : &source->url;
	const char *kept;

	transfer->job = job;
	transfer->source = number;
	transfer->chunks = 0;
	transfer->hops = 0;
	transfer->origin_url = template_expand(template, &job->request->digests);
	if (transfer->origin_url) {
		kept = redirect_find(source, job->request->party, transfer->origin_url);
		transfer->remembered = kept != NULL;
		transfer->url = strdup(kept ? kept : transfer->origin_url);
	}
	if (!transfer->url || begin(transfer)) {
		clear(transfer);
		return -ENOMEM;
	}
	source->active++;
	return 0;
}

int transfer_follow(struct transfer *transfer)
{
	char *url = transfer->remembered ? strdup(transfer->origin_url)
					 : url_resolve(transfer->url, transfer->reply.location);

	if (!url)
		return -ENOMEM; /* outcome.c has seen that it resolves */
	if (!transfer->remembered)
		transfer->hops++;
	transfer->remembered = false;
	free(transfer->url);
	transfer->url = url;
	curl_multi_remove_handle(transfer->fetch->multi, transfer->easy);
	return begin(transfer);
}

void transfer_stop(struct transfer *transfer)
{
	struct source *source = &transfer->fetch->sources[transfer->source];

	curl_multi_remove_handle(transfer->fetch->multi, transfer->easy);
	body_count(transfer);
	pool_put(transfer->fetch->pool, steal_pointer(transfer->buffer));
	source->active--;
	clear(transfer);
}

bool transfer_flows(const struct transfer *transfer)
{
	return transfer->reply.ended && transfer->verdict.kind == VERDICT_BODY && !transfer->paused;
}

bool transfer_stalled(struct transfer *transfer, int64_t now, bool *slow)
{
	int64_t elapsed = now - transfer->ticked_at;
	uint64_t bytes = transfer->taken + transfer->surplus + transfer->reply.bytes;
	bool enough = (bytes - transfer->ticked) * 1000 >= (uint64_t)elapsed * FETCH_STALL_RATE;

	*slow = transfer->paused || !enough;
	/* Ours to wait, not the source's: no buffer, or curl's own connect timeout runs. */
	if (enough || transfer->paused || !transfer->connected)
		transfer->good_at = now;
	transfer->ticked_at = now;
	transfer->ticked = bytes;
	return now - transfer->good_at >= transfer->fetch->stall_timeout;
}
