/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread: takes submissions, starts what can be started, lets curl work, books what ended, lets
 * paused transfers go on, and looks about once a second for what stands still.
 *
 * done() and wanted() are called from here and schedule.c, never from within curl; chunk() from curl's
 * write callback.
 */
#include "fetch/internal.h"
#include "common/clock.h"

#define WORKS_US ((int64_t)1000000) /* a source that brought bytes so lately works */

static void refuse(struct fetch *fetch, struct fetch_request *request, int error)
{
	struct fetch_result result = {.error = error, .message = ""};

	if (request->kind == FETCH_CHUNKS)
		atomic_fetch_sub(&fetch->outstanding, request->count);
	request->ops->done(request, &result);
}

/* False: the fetch is being freed. */
static bool take_submissions(struct fetch *fetch)
{
	struct fetch_request *request, *next;
	bool stopping;

	pthread_mutex_lock(&fetch->lock);
	request = fetch->first;
	fetch->first = NULL;
	fetch->last = &fetch->first;
	stopping = fetch->stopping;
	pthread_mutex_unlock(&fetch->lock);

	for (; request; request = next) {
		struct job *job = job_new(fetch, request, ++fetch->sequence);

		next = request->next;
		request->next = NULL;
		if (!job) {
			refuse(fetch, request, -ENOMEM);
			continue;
		}
		schedule_add(fetch, job);
	}
	return !stopping;
}

/* Sent away while others are served: not a failure of the source, but its opinion on how many it takes. */
static void note_refusal(struct source *source)
{
	int64_t now = clock_us();

	if (source->active > 0 && source->moved_at > 0 && now - source->moved_at < WORKS_US)
		pace_refused(&source->pace, now, source->active);
}

/* CODE, or OTHER if that is given, ended the transfer. */
static void end_transfer(struct fetch *fetch, struct transfer *transfer, CURLcode code,
			 const struct outcome *other)
{
	struct job *job = transfer->job;
	unsigned int source = transfer->source;
	bool progress = transfer->chunks > 0;
	struct outcome outcome;
	int error;

	if (other)
		outcome = *other;
	else
		transfer_outcome(transfer, code, &outcome);
	if (outcome.kind == OUTCOME_REDIRECT) {
		if (transfer_follow(transfer) == 0)
			return;
		outcome.kind = OUTCOME_NO_MEMORY;
	}
	if (outcome.kind == OUTCOME_DONE) {
		job->size = transfer->verdict.size;
		job->front_len = (size_t)transfer->taken;
	}
	if (outcome.kind == OUTCOME_CHALLENGE)
		token_seek(transfer, &outcome);
	transfer_stop(transfer);
	fetch->schedule_at = 0;
	if (outcome.kind == OUTCOME_CHALLENGE) {
		schedule_add(fetch, job);
		return;
	}
	if (outcome.sent_away)
		note_refusal(&fetch->sources[source]);
	if (job_book(fetch, job, source, progress, &outcome, &error)) {
		job_end(fetch, job, error, source);
		return;
	}
	free(steal_pointer(job->front)); /* half of one takes no memory while it waits */
	schedule_add(fetch, job);
}

void transfer_ended(struct exchange *exchange, CURLcode code)
{
	struct transfer *transfer = container_of(exchange, struct transfer, exchange);

	end_transfer(transfer->fetch, transfer, code, NULL);
}

static struct exchange *exchange_of(CURL *easy)
{
	char *private = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
	return (struct exchange *)(void *)private;
}

static void book_ended(struct fetch *fetch)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(fetch->multi, &left))) {
		struct exchange *exchange;

		if (message->msg != CURLMSG_DONE)
			continue;
		exchange = exchange_of(message->easy_handle);
		exchange->ended(exchange, message->data.result);
	}
}

/* Demanded ones first, then the one that waits longest. */
static struct transfer *next_paused(struct fetch *fetch)
{
	struct transfer *found = NULL;

	for (unsigned int i = 0; i < fetch->n_transfers; i++) {
		struct transfer *transfer = &fetch->transfers[i];
		bool before;

		if (!transfer->job || !transfer->paused)
			continue;
		before = !found || transfer->job->demanded > found->job->demanded ||
			 (transfer->job->demanded == found->job->demanded &&
			  transfer->paused_since < found->paused_since);
		if (before)
			found = transfer;
	}
	return found;
}

/* curl_easy_pause() brings the bytes that wait at once, and they may pause it anew. */
static void unpause(struct fetch *fetch)
{
	for (unsigned int i = 0; i < fetch->n_transfers; i++) {
		struct transfer *transfer = next_paused(fetch);
		CURLcode code;

		if (!transfer)
			return;
		if (!transfer_may_fill(transfer)) {
			/* Whoever frees the next one has to wake us again. */
			atomic_store(&fetch->starved, true);
			if (!transfer_may_fill(transfer))
				return;
		}
		transfer->paused = false;
		code = curl_easy_pause(transfer->exchange.easy, CURLPAUSE_CONT);
		if (code)
			end_transfer(fetch, transfer, code, NULL);
	}
}

static void check_transfer(struct fetch *fetch, struct transfer *transfer, int64_t now)
{
	static const struct outcome stall = {.kind = OUTCOME_TRANSIENT, .message = "stalled"};
	struct job *job = transfer->job;
	struct outcome outcome = stall;
	bool slow;

	if (transfer_stalled(transfer, now, &slow)) {
		outcome.answered = transfer->exchange.reply.bytes > 0;
		end_transfer(fetch, transfer, CURLE_OK, &outcome);
	} else if ((slow || job->request->watched) && !job->request->ops->wanted(job->request)) {
		transfer_stop(transfer);
		fetch->schedule_at = 0;
		job_end(fetch, job, -ECANCELED, 0);
	}
}

static void tick(struct fetch *fetch, int64_t now)
{
	for (unsigned int i = 0; i < fetch->n_transfers; i++)
		if (fetch->transfers[i].job)
			check_transfer(fetch, &fetch->transfers[i], now);
	token_tick(fetch, now);
	schedule_tick(fetch);
}

/* A source that is left alone from now on brings nothing more. */
static void drop_liars(struct fetch *fetch, int64_t now)
{
	static const struct outcome alone = {
		.kind = OUTCOME_FINAL,
		.message = "left alone after wrong bytes",
	};
	uint64_t liars = 0;

	pthread_mutex_lock(&fetch->lock);
	for (unsigned int i = 0; fetch->blamed && i < fetch->n_sources; i++)
		if (fetch->sources[i].alone_until > now)
			liars |= (uint64_t)1 << i;
	fetch->blamed = false;
	pthread_mutex_unlock(&fetch->lock);
	for (unsigned int i = 0; liars && i < fetch->n_transfers; i++) {
		struct transfer *transfer = &fetch->transfers[i];

		if (transfer->job && liars >> transfer->source & 1)
			end_transfer(fetch, transfer, CURLE_OK, &alone);
	}
}

static void cancel_all(struct fetch *fetch)
{
	token_abandon(fetch, -1);
	for (unsigned int i = 0; i < fetch->n_transfers; i++) {
		struct job *job = fetch->transfers[i].job;

		if (!job)
			continue;
		transfer_stop(&fetch->transfers[i]);
		job_end(fetch, job, -ECANCELED, 0);
	}
	/* done() may submit again. */
	do {
		schedule_cancel(fetch);
		(void)take_submissions(fetch);
	} while (fetch->demanded || fetch->ahead);
}

static int64_t at_most(int64_t timeout, int64_t until, int64_t now)
{
	if (until <= now)
		return 0;
	return until - now < timeout ? until - now : timeout;
}

void *loop_run(void *arg)
{
	struct fetch *fetch = arg;
	int64_t interval =
		fetch->stall_timeout / 4 < FETCH_TICK_MS ? fetch->stall_timeout / 4 : FETCH_TICK_MS;
	int64_t tick_at = clock_ms() + interval;

	pthread_setname_np(pthread_self(), "fetch");
	while (take_submissions(fetch)) {
		int64_t now = clock_ms();
		int64_t timeout;
		int running;

		drop_liars(fetch, now);
		schedule_promote(fetch);
		schedule_start(fetch);
		curl_multi_perform(fetch->multi, &running);
		book_ended(fetch);
		unpause(fetch);
		schedule_sample(fetch);
		now = clock_ms();
		if (now >= tick_at) {
			tick(fetch, now);
			tick_at = now + interval;
		}
		timeout = at_most(interval, tick_at, now);
		if (schedule_waits(fetch))
			timeout = at_most(timeout, fetch->schedule_at, now);
		curl_multi_poll(fetch->multi, NULL, 0, (int)timeout, NULL);
	}
	cancel_all(fetch);
	return NULL;
}
