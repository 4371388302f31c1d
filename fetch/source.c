/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources: setting one up, and its record.
 *
 * A source is well (streak = 0), or it stumbled: then nobody asks it before retry_at, and after
 * that one transfer at a time tries it until one brings something. So a server that is down is not
 * hammered by everything that waits for it, and one that comes back is in full use at the first
 * sign of life.
 */
#include "fetch/internal.h"
#include "common/clock.h"
#include "common/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static int set_template(const struct fetch_source *from, const char *key, const char *text,
			struct template *out)
{
	char message[FETCH_MESSAGE_SIZE];
	int r = template_parse(text, from->allow_http, out, message);

	if (r < 0)
		log_error("source %s: %s: %s", from->name, key, message);
	return r;
}

static void set_pace(struct source *source, unsigned int connections)
{
	pace_init(&source->pace, connections);
	source->limit = source->pace.limit;
}

int source_init(struct source *source, const struct fetch_source *from, unsigned int connections)
{
	int r;

	r = group_of_source(from, &source->group);
	if (r < 0)
		return r;
	set_pace(source, connections);
	source->name = strdup(from->name);
	if (!source->name)
		return -ENOMEM;
	if (asprintf(&source->label, "source %s", from->name) < 0) {
		source->label = NULL;
		return -ENOMEM;
	}
	r = set_template(from, "url", from->url, &source->url);
	if (r == 0 && from->tree)
		r = set_template(from, "tree", from->tree, &source->tree);
	return r;
}

int source_init_dynamic(struct source *source, struct fetch_group *group, const char *origin,
			unsigned int number, unsigned int connections)
{
	static const char https[] = "https://";
	const char *host = strncmp(origin, https, strlen(https)) ? origin : origin + strlen(https);

	set_pace(source, connections);
	source->group = fetch_group_ref(group);
	source->origin = strdup(origin);
	source->lease = calloc(1, sizeof(*source->lease));
	if (!source->origin || !source->lease)
		return -ENOMEM;
	atomic_init(&source->lease->refs, 1);
	source->lease->source = number;
	if (asprintf(&source->name, "%s: %s", group->name, host) < 0) {
		source->name = NULL;
		return -ENOMEM;
	}
	source->label = strdup(source->name);
	return source->label ? 0 : -ENOMEM;
}

void source_destroy(struct source *source)
{
	lease_unref(source->lease);
	free(source->origin);
	free(source->label);
	redirect_forget_all(source);
	token_forget_all(source);
	fetch_group_unref(source->group);
	free(source->tree.text);
	free(source->url.text);
	free(source->name);
}

int64_t backoff_limit(unsigned int failures)
{
	int64_t limit = FETCH_BACKOFF_BASE;

	while (failures-- > 1 && limit < FETCH_BACKOFF_MAX)
		limit *= 2;
	return limit < FETCH_BACKOFF_MAX ? limit : FETCH_BACKOFF_MAX;
}

int64_t backoff_delay(unsigned int failures)
{
	uint32_t random = 0;

	/* Too early in the boot for randomness: no jitter then. */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return backoff_limit(failures);
	return (int64_t)(random % (uint32_t)(backoff_limit(failures) + 1));
}

void source_progress(struct source *source)
{
	source->streak = 0;
	source->demoted_until = 0;
}

bool source_stumble(struct source *source, int64_t now, int64_t retry_after)
{
	bool first = source->streak == 0;

	if (retry_after > 0 && now + retry_after > source->hold_until)
		source->hold_until = now + retry_after;
	/* Transfers that ran side by side fail side by side: that is one stumble. */
	if (first || now >= source->retry_at) {
		source->streak++;
		source->retry_at = now + backoff_delay(source->streak);
	}
	return first;
}

void source_lied(struct source *source, int64_t now)
{
	source->lies++;
	if (source->lies >= FETCH_LIES_MAX)
		source->alone_until = now + FETCH_ALONE_MS;
}

int64_t source_ready_at(const struct source *source, int64_t now)
{
	int64_t at = source->hold_until;

	if (source->streak > 0 && source->retry_at > at)
		at = source->retry_at;
	if (source->streak > 0 && source->active > 0 && at <= now)
		return INT64_MAX;
	return at;
}

bool source_before(const struct source *a, const struct source *b, int64_t now)
{
	bool a_lied = a->lies > 0, b_lied = b->lies > 0;
	bool a_failed = a->streak > 0 || a->demoted_until > now;
	bool b_failed = b->streak > 0 || b->demoted_until > now;

	if (a_lied != b_lied)
		return b_lied;
	if (a_failed != b_failed)
		return b_failed;
	return a->group->priority > b->group->priority;
}

void fetch_blame(struct fetch *fetch, unsigned int number, const char *what)
{
	struct source *source = &fetch->sources[number];
	char label[FETCH_NAME_SIZE];
	uint64_t lies;

	pthread_mutex_lock(&fetch->lock);
	source_lied(source, clock_ms());
	lies = source->lies;
	snprintf(label, sizeof(label), "%s", source->label);
	snprintf(source->last_error, sizeof(source->last_error), "wrong bytes: %s", what);
	source->error_passes = false;
	fetch->blamed = true;
	pthread_mutex_unlock(&fetch->lock);
	log_warning("%s: wrong bytes: %s%s", label, what,
		    lies >= FETCH_LIES_MAX ? "; left alone for ten minutes" : "");
	curl_multi_wakeup(fetch->multi);
}

size_t fetch_source_count(const struct fetch *fetch)
{
	pthread_mutex_t *lock = &((struct fetch *)(uintptr_t)fetch)->lock;
	size_t n;

	pthread_mutex_lock(lock);
	n = fetch->n_sources;
	pthread_mutex_unlock(lock);
	return n;
}

void fetch_source_state(struct fetch *fetch, unsigned int number, struct fetch_source_state *out)
{
	const struct source *source = &fetch->sources[number];
	int64_t now = clock_ms();

	pthread_mutex_lock(&fetch->lock);
	*out = (struct fetch_source_state){
		.configured = !source->origin,
		.requests = source->requests,
		.bytes = source->bytes,
		.errors = source->errors,
		.lies = source->lies,
		.alone_ms = source->alone_until > now ? source->alone_until - now : 0,
		.limit = source->limit,
		.rate = source->rate,
		.rtt_us = source->rtt,
	};
	snprintf(out->name, sizeof(out->name), "%s", source->name);
	memcpy(out->last_error, source->last_error, sizeof(out->last_error));
	pthread_mutex_unlock(&fetch->lock);
}
