/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, submitting, ending. */
#include "fetch/internal.h"
#include "common/log.h"

#define BUFFERS_KEPT_MAX 4

static void on_freed(void *arg)
{
	struct fetch *fetch = arg;

	if (atomic_exchange(&fetch->starved, false))
		curl_multi_wakeup(fetch->multi);
}

/* All but the thread. */
static void destroy(struct fetch *fetch)
{
	for (unsigned int i = 0; fetch->transfers && i < fetch->n_transfers; i++)
		curl_easy_cleanup(fetch->transfers[i].exchange.easy);
	for (unsigned int i = 0; fetch->sources && i < fetch->n_sources; i++)
		source_destroy(&fetch->sources[i]);
	curl_multi_cleanup(fetch->multi);
	pthread_mutex_destroy(&fetch->lock);
	free(fetch->transfers);
	free(fetch->sources);
	free(fetch);
	curl_global_cleanup();
}

static int set_up_transfers(struct fetch *fetch)
{
	fetch->multi = curl_multi_init();
	fetch->transfers = calloc(fetch->n_transfers, sizeof(fetch->transfers[0]));
	if (!fetch->multi || !fetch->transfers)
		return -ENOMEM;
	curl_multi_setopt(fetch->multi, CURLMOPT_MAXCONNECTS, (long)fetch->n_transfers);
	for (unsigned int i = 0; i < fetch->n_transfers; i++) {
		fetch->transfers[i].fetch = fetch;
		fetch->transfers[i].exchange.ended = transfer_ended;
		fetch->transfers[i].exchange.easy = curl_easy_init();
		if (!fetch->transfers[i].exchange.easy)
			return -ENOMEM;
	}
	return 0;
}

static int set_up_sources(struct fetch *fetch, const struct fetch_options *options)
{
	fetch->sources = calloc(FETCH_SOURCES_MAX, sizeof(fetch->sources[0]));
	if (!fetch->sources)
		return -ENOMEM;
	for (size_t i = 0; i < options->n_sources; i++) {
		int r = source_init(&fetch->sources[i], &options->sources[i],
				    options->connections);

		fetch->n_configured = ++fetch->n_sources;
		if (r < 0)
			return r;
	}
	return 0;
}

/* What fetch_run_chunks() goes by until something is measured. */
static void set_up_runs(struct fetch *fetch)
{
	struct pace pace;

	pace_init(&pace, fetch->n_transfers);
	atomic_store(&fetch->run, pace_run(&pace));
	atomic_store(&fetch->limit, pace_limit(&pace, false));
	atomic_store(&fetch->window, pace_window(&pace));
}

int fetch_new(const struct fetch_options *options, struct fetch **out)
{
	struct fetch *fetch;
	int r;

	if (options->n_sources > FETCH_SOURCES_MAX || options->connections == 0)
		return -EINVAL;
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return -ENOMEM;
	fetch = calloc(1, sizeof(*fetch));
	if (!fetch) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	pthread_mutex_init(&fetch->lock, NULL);
	fetch->last = &fetch->first;
	fetch->pool = options->pool;
	fetch->n_transfers = options->connections;
	fetch->buffers_kept = pool_count(fetch->pool) / 16 < BUFFERS_KEPT_MAX
				      ? pool_count(fetch->pool) / 16
				      : BUFFERS_KEPT_MAX;
	fetch->connect_timeout = options->connect_timeout_ms;
	fetch->stall_timeout = options->stall_timeout_ms;
	r = set_up_sources(fetch, options);
	set_up_runs(fetch);
	if (r == 0)
		r = set_up_transfers(fetch);
	if (r == 0) {
		pool_on_freed(fetch->pool, on_freed, fetch);
		r = -pthread_create(&fetch->thread, NULL, loop_run, fetch);
		if (r < 0)
			pool_on_freed(fetch->pool, NULL, NULL);
	}
	if (r < 0) {
		destroy(fetch);
		return r;
	}
	*out = fetch;
	return 0;
}

void fetch_stop(struct fetch *fetch)
{
	bool stopped;

	if (!fetch)
		return;
	pthread_mutex_lock(&fetch->lock);
	stopped = fetch->stopping;
	fetch->stopping = true;
	pthread_mutex_unlock(&fetch->lock);
	if (stopped)
		return;
	curl_multi_wakeup(fetch->multi);
	pthread_join(fetch->thread, NULL);
}

void fetch_free(struct fetch *fetch)
{
	if (!fetch)
		return;
	fetch_stop(fetch);
	/* Buffers that are still with others may be put back while this runs, and after. */
	pool_on_freed(fetch->pool, NULL, NULL);
	destroy(fetch);
}

void fetch_submit(struct fetch *fetch, struct fetch_request *request)
{
	static const struct fetch_result canceled = { .error = -ECANCELED, .message = "" };
	bool stopping;

	request->next = NULL;
	pthread_mutex_lock(&fetch->lock);
	stopping = fetch->stopping;
	if (!stopping) {
		*fetch->last = request;
		fetch->last = &request->next;
		if (request->kind == FETCH_CHUNKS)
			atomic_fetch_add(&fetch->outstanding, request->count);
	}
	pthread_mutex_unlock(&fetch->lock);
	if (stopping)
		request->ops->done(request, &canceled);
	else
		curl_multi_wakeup(fetch->multi);
}

void fetch_hurry(struct fetch *fetch)
{
	atomic_store(&fetch->hurried, true);
	curl_multi_wakeup(fetch->multi);
}

uint64_t fetch_run_chunks(struct fetch *fetch, uint64_t count)
{
	uint64_t run = atomic_load(&fetch->run), limit = atomic_load(&fetch->limit);
	uint64_t share = (atomic_load(&fetch->outstanding) + count + limit - 1) / limit;

	if (share < run)
		run = share;
	return run > 0 ? run : 1;
}

uint64_t fetch_window_chunks(struct fetch *fetch)
{
	return atomic_load(&fetch->window);
}
