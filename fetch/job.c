/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request on its way. It waits (schedule.c) for a connection or for a source, or has one
 * transfer. A source is out of a request once its bit is in `out`, and never comes back in; the
 * request ends when all are.
 */
#include "fetch/internal.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>

static bool valid(const struct fetch_request *request)
{
	uint64_t chunks;

	switch (request->kind) {
	case FETCH_SIZE:
		return true;
	case FETCH_FRONT:
		return request->size >= 1 && request->size <= FETCH_FRONT_MAX;
	case FETCH_CHUNKS:
		chunks = chunk_count(request->size);
		return request->size <= FETCH_SIZE_MAX && request->count >= 1 &&
		       request->count <= FETCH_CHUNKS_MAX && request->first < chunks &&
		       request->count <= chunks - request->first;
	}
	return false;
}

/* Source NUMBER can be asked. */
static void take_in(struct job *job, unsigned int number)
{
	uint64_t bit = (uint64_t)1 << number;

	if (job->request->excluded & bit)
		job->failed |= bit;
	else
		job->out &= ~bit;
}

/* Those of the configuration. */
static void take_sources(const struct fetch *fetch, struct job *job)
{
	const struct fetch_request *request = job->request;

	for (unsigned int i = 0; i < fetch->n_configured; i++) {
		const struct source *source = &fetch->sources[i];
		const struct template *template =
			request->kind == FETCH_FRONT ? &source->tree : &source->url;

		if (template_applies(template, &request->digests))
			take_in(job, i);
	}
}

/* And those that its places make. */
static void take_places(struct fetch *fetch, struct job *job)
{
	struct fetch_places *places = job->request->places;

	for (size_t i = 0; places && i < places->n; i++) {
		struct place *place = &places->list[i];
		struct target *target =
			job->request->kind == FETCH_FRONT ? &place->tree : &place->object;
		int number;

		if (!target->url)
			continue;
		if (job->request->of_owner && place->owner && place->owner != job->request->owner)
			continue;
		number = dynamic_source(fetch, place, target, job->message);
		if (number < 0) {
			job->unusable = true;
			continue;
		}
		if (job->attempts[number].url)
			continue;
		job->attempts[number].url = target->url;
		take_in(job, (unsigned int)number);
	}
}

struct job *job_new(struct fetch *fetch, struct fetch_request *request, uint64_t sequence)
{
	size_t n = request->places ? FETCH_SOURCES_MAX : fetch->n_configured;
	struct job *job = calloc(1, sizeof(*job) + n * sizeof(job->attempts[0]));

	if (!job)
		return NULL;
	job->request = request;
	job->sequence = sequence;
	job->demanded = request->kind != FETCH_CHUNKS || atomic_load(&request->demanded);
	job->out = UINT64_MAX;
	take_sources(fetch, job);
	take_places(fetch, job);
	/* A request that makes no sense is nobody's failure, and there is nobody to ask. */
	if (!valid(request)) {
		job->out = job->failed = UINT64_MAX;
		snprintf(job->message, sizeof(job->message), "not a valid request");
	}
	return job;
}

int job_choose(struct fetch *fetch, struct job *job, int64_t now, int64_t *when)
{
	int best = -1;
	bool any = false;
	int64_t soonest = INT64_MAX;

	pthread_mutex_lock(&fetch->lock);
	for (unsigned int i = 0; i < fetch->n_sources; i++) {
		struct source *source = &fetch->sources[i];
		uint64_t bit = (uint64_t)1 << i;
		int64_t at = source_ready_at(source, now);

		if (job->out & bit)
			continue;
		if (source->alone_until > now) {
			job->out |= bit;
			job->failed |= bit;
			snprintf(job->message, sizeof(job->message),
				 "%s: left alone after wrong bytes", source->label);
			continue;
		}
		any = true;
		if (job->attempts[i].ticket)
			continue; /* the realm's answer sets schedule_at */
		if (job->attempts[i].retry_at > at)
			at = job->attempts[i].retry_at;
		if (at > now)
			soonest = at < soonest ? at : soonest;
		else if (best < 0 || source_before(source, &fetch->sources[best], now))
			best = (int)i;
	}
	pthread_mutex_unlock(&fetch->lock);
	if (best >= 0)
		return best;
	if (!any)
		return -ENOENT;
	*when = soonest;
	return -EAGAIN;
}

int job_verdict(const struct job *job)
{
	return job->failed || job->unusable ? -EIO : -ENOENT;
}

void job_end(struct fetch *fetch, struct job *job, int error, unsigned int source)
{
	struct fetch_request *request = job->request;
	struct fetch_result result = {
		.error = error,
		.message = job->message,
		.source = source,
	};

	if (request->kind == FETCH_CHUNKS)
		atomic_fetch_sub(&fetch->outstanding, request->count - job->delivered);
	if (error == 0)
		job->message[0] = '\0';
	if (error == 0 && request->kind == FETCH_SIZE)
		result.size = job->size;
	if (error == 0 && request->kind == FETCH_FRONT && job->front_len > 0) {
		result.front = job->front;
		result.front_len = job->front_len;
	}
	request->ops->done(request, &result);
	free(job->front);
	free(job);
}

static void describe(const struct fetch_request *request, char out[DIGEST_NAME_SIZE])
{
	struct digest_name name = digest_pair_name(&request->digests);

	digest_name_format(&name, out);
}

static void put_on_record(struct fetch *fetch, struct source *source, const char *message)
{
	pthread_mutex_lock(&fetch->lock);
	source->errors++;
	snprintf(source->last_error, sizeof(source->last_error), "%s", message);
	source->error_passes = true;
	pthread_mutex_unlock(&fetch->lock);
}

/* It answered as it should: what failed before is over. Lies are not: bytes are found wrong after they came. */
static void take_off_record(struct fetch *fetch, struct source *source)
{
	source_progress(source);
	pthread_mutex_lock(&fetch->lock);
	if (source->error_passes)
		source->last_error[0] = '\0';
	pthread_mutex_unlock(&fetch->lock);
}

/* A transient failure. True: it was one too many, and the source is out. */
static bool stumble(struct job *job, struct source *source, struct attempt *attempt, bool progress,
		    const struct outcome *outcome)
{
	int64_t now = clock_ms();

	if (outcome->answered)
		attempt->barren = progress ? 1 : attempt->barren + 1;
	if (attempt->barren >= FETCH_BARREN_MAX)
		return true;
	/* What brought something may be gone on with at once. */
	if (progress && outcome->retry_after == 0)
		return false;
	attempt->failures++;
	attempt->retry_at = now + backoff_delay(attempt->failures);
	if (source_stumble(source, now, outcome->retry_after))
		log_warning("%s: %s; will be tried again", source->label, outcome->message);
	return false;
}

static void rule_out(struct fetch *fetch, struct job *job, struct source *source, uint64_t bit,
		     const struct outcome *outcome)
{
	char digest[DIGEST_NAME_SIZE];

	describe(job->request, digest);
	job->out |= bit;
	if (outcome->kind == OUTCOME_MISSING) {
		take_off_record(fetch, source);
		log_debug("%s: %s: %s", source->label, digest, outcome->message);
		return;
	}
	job->failed |= bit;
	source->demoted_until = clock_ms() + FETCH_DEMOTED_MS;
	log_warning("%s: %s: %s", source->label, digest, outcome->message);
}

bool job_book(struct fetch *fetch, struct job *job, unsigned int number, bool progress,
	      const struct outcome *outcome, int *error)
{
	struct source *source = &fetch->sources[number];
	struct attempt *attempt = &job->attempts[number];
	uint64_t bit = (uint64_t)1 << number;

	if (outcome->kind == OUTCOME_DONE) {
		take_off_record(fetch, source);
		if (outcome->flawed)
			put_on_record(fetch, source, outcome->message);
		*error = 0;
		return true;
	}
	snprintf(job->message, sizeof(job->message), "%.*s: %.*s",
		 (int)sizeof(job->message) / 2 - 4, source->label, (int)sizeof(job->message) / 2,
		 outcome->message);
	if (outcome->kind == OUTCOME_NO_MEMORY) {
		*error = -ENOMEM;
		return true;
	}
	if (outcome->kind != OUTCOME_MISSING)
		put_on_record(fetch, source, outcome->message);
	if (outcome->kind == OUTCOME_TRANSIENT && !stumble(job, source, attempt, progress, outcome))
		return false;
	rule_out(fetch, job, source, bit, outcome);
	return false;
}
