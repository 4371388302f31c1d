/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which request gets the next connection.
 *
 * Jobs without a transfer wait in two queues, each the oldest request first: those that a reader is blocked on,
 * and those ahead of their readers. A source runs as many transfers as its pace says; a demanded one
 * may exceed that a little, and of all connections an eighth is never taken by what is ahead, so
 * that nobody who is blocked waits for a prefetch to end. Which source is asked does not depend on
 * that: a job waits for its source rather than go to one that comes later.
 *
 * schedule_at says when starting one can succeed: 0 whenever a connection got free, a source or its
 * pace changed, or something came in.
 */
#include "fetch/internal.h"
#include "common/clock.h"

#include <string.h>
#include <utlist.h>

#define PUBLISH_US ((int64_t)100000)

static int by_age(struct job *a, struct job *b)
{
	return a->sequence < b->sequence ? -1 : 1;
}

static struct job **queue_of(struct fetch *fetch, const struct job *job)
{
	return job->demanded ? &fetch->demanded : &fetch->ahead;
}

void schedule_add(struct fetch *fetch, struct job *job)
{
	struct job **queue = queue_of(fetch, job);

	/* New ones are the youngest: looking for their place would take as long as the queue is. */
	if (*queue && (*queue)->prev->sequence > job->sequence)
		DL_INSERT_INORDER(*queue, job, by_age);
	else
		DL_APPEND(*queue, job);
	fetch->schedule_at = 0;
}

static void take_out(struct fetch *fetch, struct job *job)
{
	struct job **queue = queue_of(fetch, job);

	DL_DELETE(*queue, job);
}

static void end_waiting(struct fetch *fetch, struct job *job, int error)
{
	take_out(fetch, job);
	job_end(fetch, job, error, 0);
}

void schedule_promote(struct fetch *fetch)
{
	struct job *job, *next;

	if (!atomic_exchange(&fetch->hurried, false))
		return;
	DL_FOREACH_SAFE (fetch->ahead, job, next) {
		if (!atomic_load(&job->request->demanded))
			continue;
		take_out(fetch, job);
		job->demanded = true;
		schedule_add(fetch, job);
	}
	/* It counts no longer as ahead, and buffers come to it first. */
	for (unsigned int i = 0; i < fetch->n_transfers; i++) {
		job = fetch->transfers[i].job;
		if (job && !job->demanded && atomic_load(&job->request->demanded)) {
			job->demanded = true;
			fetch->schedule_at = 0;
		}
	}
}

static struct transfer *free_slot(struct fetch *fetch)
{
	for (unsigned int i = 0; i < fetch->n_transfers; i++)
		if (!fetch->transfers[i].job)
			return &fetch->transfers[i];
	return NULL;
}

bool schedule_waits(struct fetch *fetch)
{
	return (fetch->demanded || fetch->ahead) && free_slot(fetch);
}

/* Are all connections in use that may be used for what is ahead? */
static bool ahead_is_full(const struct fetch *fetch)
{
	unsigned int kept = fetch->n_transfers >= 4 ? (fetch->n_transfers + 7) / 8 : 0;
	unsigned int n = 0;

	for (unsigned int i = 0; i < fetch->n_transfers; i++) {
		const struct job *job = fetch->transfers[i].job;

		n += job && !job->demanded;
	}
	return n >= fetch->n_transfers - kept;
}

/* Starts the job, ends it, or leaves it and notes when to look again. True: its source takes no more. */
static bool try_to_start(struct fetch *fetch, struct transfer *slot, struct job *job, int64_t now)
{
	int64_t when = INT64_MAX;
	int number = job_choose(fetch, job, now, &when);
	struct source *source;

	if (number == -EAGAIN) {
		if (when < fetch->schedule_at)
			fetch->schedule_at = when;
		return false;
	}
	if (number < 0) {
		end_waiting(fetch, job, job_verdict(job));
		return false;
	}
	source = &fetch->sources[number];
	if (source->active >= pace_limit(&source->pace, job->demanded))
		return true; /* a transfer of it that ends, or its pace, sets schedule_at */
	if (!job->request->ops->wanted(job->request)) {
		end_waiting(fetch, job, -ECANCELED);
		return false;
	}
	take_out(fetch, job);
	job->tried = true;
	if (transfer_start(slot, job, (unsigned int)number))
		job_end(fetch, job, -ENOMEM, 0);
	return false;
}

/* False: there is no slot left. */
static bool start_queue(struct fetch *fetch, struct job *queue, int64_t now)
{
	bool full = false;
	uint64_t full_out = 0;
	struct job *job, *next;

	DL_FOREACH_SAFE (queue, job, next) {
		struct transfer *slot = free_slot(fetch);

		if (!slot)
			return false;
		if (!job->demanded && ahead_is_full(fetch))
			return true;
		/* Thousands may wait for the same source: they need no choice each. */
		if (full && !job->tried && job->out == full_out)
			continue;
		if (try_to_start(fetch, slot, job, now) && !job->tried) {
			full = true;
			full_out = job->out;
		}
	}
	return true;
}

void schedule_start(struct fetch *fetch)
{
	int64_t now = clock_ms();

	if (now < fetch->schedule_at || !free_slot(fetch))
		return;
	fetch->schedule_at = INT64_MAX;
	if (start_queue(fetch, fetch->demanded, now))
		(void)start_queue(fetch, fetch->ahead, now);
}

void schedule_tick(struct fetch *fetch)
{
	struct job *job, *next;

	DL_FOREACH_SAFE (fetch->demanded, job, next)
		if (!job->request->ops->wanted(job->request))
			end_waiting(fetch, job, -ECANCELED);
	DL_FOREACH_SAFE (fetch->ahead, job, next)
		if (!job->request->ops->wanted(job->request))
			end_waiting(fetch, job, -ECANCELED);
}

void schedule_cancel(struct fetch *fetch)
{
	while (fetch->demanded)
		end_waiting(fetch, fetch->demanded, -ECANCELED);
	while (fetch->ahead)
		end_waiting(fetch, fetch->ahead, -ECANCELED);
}

/* --- the pace of each source --- */

static void publish(struct fetch *fetch, struct source *source)
{
	const struct pace *pace = &source->pace;

	atomic_store(&fetch->run, pace_run(pace));
	atomic_store(&fetch->limit, pace->limit);
	atomic_store(&fetch->window, pace_window(pace));
	pthread_mutex_lock(&fetch->lock);
	source->limit = pace->limit;
	source->rate = (uint64_t)pace->rate;
	source->rtt = pace->rtt;
	pthread_mutex_unlock(&fetch->lock);
}

void schedule_sample(struct fetch *fetch)
{
	int64_t now = clock_us();

	for (unsigned int i = 0; i < fetch->n_sources; i++) {
		struct source *source = &fetch->sources[i];

		source->sample = (struct pace_sample){
			.now = now,
			.bytes = source->received,
		};
	}
	for (unsigned int i = 0; i < fetch->n_transfers; i++) {
		const struct transfer *transfer = &fetch->transfers[i];
		struct pace_sample *sample = &fetch->sources[transfer->source].sample;

		if (!transfer->job)
			continue;
		sample->active++;
		sample->flowing += transfer_flows(transfer);
		sample->starved |= transfer->paused;
	}
	for (unsigned int i = 0; i < fetch->n_sources; i++) {
		struct source *source = &fetch->sources[i];
		unsigned int limit = source->pace.limit;

		if (source->sample.active == 0 && source->pace.last.active == 0)
			continue;
		if (source->sample.bytes != source->pace.last.bytes)
			source->moved_at = now;
		pace_sample(&source->pace, &source->sample);
		if (source->pace.limit > limit)
			fetch->schedule_at = 0;
		if (source->pace.limit != limit || now >= source->published_at + PUBLISH_US) {
			source->published_at = now;
			publish(fetch, source);
		}
	}
}
