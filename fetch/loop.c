/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread: takes submissions, starts what can be started, lets curl work, books what ended, lets
 * paused transfers go on, and looks about once a second for what stands still.
 *
 * Jobs without a transfer are in fetch->idle, oldest request first. schedule_at says when starting
 * one can succeed: 0 whenever a slot got free, a source changed or something was submitted. done()
 * and wanted() are called here only, never from within curl; chunk() from curl's write callback.
 */
#include "fetch/internal.h"
#include "common/clock.h"

#include <string.h>
#include <utlist.h>

static int by_age(struct job *a, struct job *b)
{
	return a->sequence < b->sequence ? -1 : 1;
}

static void make_idle(struct fetch *fetch, struct job *job)
{
	DL_INSERT_INORDER(fetch->idle, job, by_age);
	fetch->schedule_at = 0;
}

static void end_idle(struct fetch *fetch, struct job *job, int error)
{
	DL_DELETE(fetch->idle, job);
	job_end(job, error, 0);
}

static void refuse(struct fetch_request *request, int error)
{
	struct fetch_result result = {.error = error, .message = ""};

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
			refuse(request, -ENOMEM);
			continue;
		}
		DL_APPEND(fetch->idle, job);
		fetch->schedule_at = 0;
	}
	return !stopping;
}

static struct transfer *free_slot(struct fetch *fetch)
{
	for (unsigned int i = 0; i < fetch->n_transfers; i++)
		if (!fetch->transfers[i].job)
			return &fetch->transfers[i];
	return NULL;
}

/* Starts the job, ends it, or leaves it and notes when to look again. */
static void try_to_start(struct fetch *fetch, struct transfer *slot, struct job *job, int64_t now)
{
	int64_t when = INT64_MAX;
	int source = job_choose(fetch, job, now, &when);

	if (source == -EAGAIN) {
		if (when < fetch->schedule_at)
			fetch->schedule_at = when;
		return;
	}
	if (source < 0) {
		end_idle(fetch, job, job_verdict(job));
		return;
	}
	if (!job->request->ops->wanted(job->request)) {
		end_idle(fetch, job, -ECANCELED);
		return;
	}
	DL_DELETE(fetch->idle, job);
	if (transfer_start(slot, job, (unsigned int)source))
		job_end(job, -ENOMEM, 0);
}

static void schedule(struct fetch *fetch)
{
	struct transfer *slot = free_slot(fetch);
	int64_t now = clock_ms();
	struct job *job, *next;

	if (!slot || now < fetch->schedule_at)
		return;
	fetch->schedule_at = INT64_MAX;
	DL_FOREACH_SAFE (fetch->idle, job, next) {
		try_to_start(fetch, slot, job, now);
		slot = slot->job ? free_slot(fetch) : slot;
		if (!slot)
			return; /* the next slot that gets free sets schedule_at */
	}
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
	if (outcome.kind == OUTCOME_DONE)
		job->size = transfer->verdict.size;
	transfer_stop(transfer);
	fetch->schedule_at = 0;
	if (job_book(fetch, job, source, progress, &outcome, &error))
		job_end(job, error, source);
	else
		make_idle(fetch, job);
}

static struct transfer *transfer_of(CURL *easy)
{
	char *private = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
	return (struct transfer *)(void *)private;
}

static void book_ended(struct fetch *fetch)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(fetch->multi, &left)))
		if (message->msg == CURLMSG_DONE)
			end_transfer(fetch, transfer_of(message->easy_handle), message->data.result,
				     NULL);
}

static struct transfer *longest_paused(struct fetch *fetch)
{
	struct transfer *found = NULL;

	for (unsigned int i = 0; i < fetch->n_transfers; i++) {
		struct transfer *transfer = &fetch->transfers[i];

		if (transfer->job && transfer->paused &&
		    (!found || transfer->paused_since < found->paused_since))
			found = transfer;
	}
	return found;
}

/* curl_easy_pause() brings the bytes that wait at once, and they may pause it anew. */
static void unpause(struct fetch *fetch)
{
	struct transfer *transfer;

	for (unsigned int i = 0; i < fetch->n_transfers; i++) {
		CURLcode code;

		transfer = longest_paused(fetch);
		if (!transfer || pool_available(fetch->pool) == 0)
			return;
		transfer->paused = false;
		code = curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
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
		outcome.answered = transfer->reply.bytes > 0;
		end_transfer(fetch, transfer, CURLE_OK, &outcome);
	} else if (slow && !job->request->ops->wanted(job->request)) {
		transfer_stop(transfer);
		fetch->schedule_at = 0;
		job_end(job, -ECANCELED, 0);
	}
}

static void tick(struct fetch *fetch, int64_t now)
{
	struct job *job, *next;

	for (unsigned int i = 0; i < fetch->n_transfers; i++)
		if (fetch->transfers[i].job)
			check_transfer(fetch, &fetch->transfers[i], now);
	DL_FOREACH_SAFE (fetch->idle, job, next)
		if (!job->request->ops->wanted(job->request))
			end_idle(fetch, job, -ECANCELED);
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
	for (unsigned int i = 0; i < fetch->n_transfers; i++) {
		struct job *job = fetch->transfers[i].job;

		if (!job)
			continue;
		transfer_stop(&fetch->transfers[i]);
		job_end(job, -ECANCELED, 0);
	}
	/* done() may submit again. */
	do {
		while (fetch->idle)
			end_idle(fetch, fetch->idle, -ECANCELED);
		(void)take_submissions(fetch);
	} while (fetch->idle);
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
		schedule(fetch);
		curl_multi_perform(fetch->multi, &running);
		book_ended(fetch);
		unpause(fetch);
		now = clock_ms();
		if (now >= tick_at) {
			tick(fetch, now);
			tick_at = now + interval;
		}
		timeout = at_most(interval, tick_at, now);
		if (free_slot(fetch) && fetch->idle)
			timeout = at_most(timeout, fetch->schedule_at, now);
		curl_multi_poll(fetch->multi, NULL, 0, (int)timeout, NULL);
	}
	cancel_all(fetch);
	return NULL;
}
