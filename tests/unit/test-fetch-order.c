/* SPDX-License-Identifier: Apache-2.0 */
/* Who comes first when connections or buffers are short, and how many a source is asked for at once. */
#include "tests/unit/fetch-harness.h"

#include <stdlib.h>
#include <time.h>
#include "common/clock.h"

static unsigned int count(const char *text, const char *what)
{
	unsigned int n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static unsigned int requests_at(const struct server *server)
{
	char *log = server_log(server);
	unsigned int n = count(log, "\"method\"");

	free(log);
	return n;
}

/* Looks again and again, until the deadline. */
static bool again(int64_t deadline)
{
	static const struct timespec little = {.tv_nsec = 2000000};

	if (clock_ms() > deadline)
		fail_msg("not in %d ms", DEADLINE_MS);
	nanosleep(&little, NULL);
	return true;
}

static void wait_for_requests(const struct server *server, unsigned int n)
{
	for (int64_t deadline = clock_ms() + DEADLINE_MS; requests_at(server) < n;)
		again(deadline);
}

static unsigned int kept_by(struct sink *sinks, size_t n)
{
	unsigned int kept = 0;

	for (size_t i = 0; i < n; i++) {
		pthread_mutex_lock(&sinks[i].lock);
		kept += sinks[i].n_kept;
		pthread_mutex_unlock(&sinks[i].lock);
	}
	return kept;
}

static bool is_done(struct sink *sink)
{
	bool done;

	pthread_mutex_lock(&sink->lock);
	done = sink->done;
	pthread_mutex_unlock(&sink->lock);
	return done;
}

/* Where in the server's log the request for CHUNK alone stands. */
static const char *asked_for(const char *log, uint64_t chunk)
{
	char line[96];
	const char *found;

	snprintf(line, sizeof(line), "\"range\": \"bytes=%llu-%llu\"",
		 (unsigned long long)(chunk * CHUNK_SIZE),
		 (unsigned long long)((chunk + 1) * CHUNK_SIZE - 1));
	found = strstr(log, line);
	assert_non_null(found);
	return found;
}

/* One connection, held by a request without buffers: what waits behind it is sorted. */
static void test_demanded_first(void **state)
{
	enum { AHEAD, PROMOTED, AHEAD_TOO, DEMANDED, N };
	struct sink holder, sinks[N];
	struct bed bed;
	char *log;

	server_reset(&world.server);
	bed_init(&bed, 2);
	bed.options.connections = 1;
	bed_add(&bed, &world.server, "honest");
	bed_start(&bed);
	sink_init(&holder, &bed, FETCH_CHUNKS);
	holder.keep = true;
	fetch_submit(bed.fetch, &holder.request);
	sink_wait_chunks(&holder, 2);
	for (unsigned int i = 0; i < N; i++) {
		sink_chunks(&sinks[i], &bed, i + 1, 1);
		if (i == DEMANDED)
			assert_true(fetch_demand(&sinks[i].request));
		fetch_submit(bed.fetch, &sinks[i].request);
	}
	/* It is in the queue when it is asked whether it is wanted. */
	pthread_mutex_lock(&sinks[PROMOTED].lock);
	while (sinks[PROMOTED].asked == 0)
		pthread_cond_wait(&sinks[PROMOTED].changed, &sinks[PROMOTED].lock);
	pthread_mutex_unlock(&sinks[PROMOTED].lock);
	assert_true(fetch_demand(&sinks[PROMOTED].request));
	assert_false(fetch_demand(&sinks[PROMOTED].request)); /* no news */
	fetch_hurry(bed.fetch);
	for (unsigned int chunks = 4; chunks <= OBJECT_CHUNKS; chunks += 2) {
		sink_release(&holder);
		sink_wait_chunks(&holder, chunks);
	}
	sink_release(&holder);
	sink_wait(&holder);
	for (unsigned int i = 0; i < N; i++) {
		sink_wait(&sinks[i]);
		sink_assert_good(&sinks[i]);
	}
	log = server_log(&world.server);
	assert_true(asked_for(log, 1 + PROMOTED) < asked_for(log, 1 + DEMANDED));
	assert_true(asked_for(log, 1 + DEMANDED) < asked_for(log, 1 + AHEAD));
	assert_true(asked_for(log, 1 + AHEAD) < asked_for(log, 1 + AHEAD_TOO));
	free(log);
	for (unsigned int i = 0; i < N; i++)
		sink_destroy(&sinks[i]);
	sink_destroy(&holder);
	bed_end(&bed);
}

/*
 * Prefetches that hang take all the connections that they may have, of their source's pace (4) or of all
 * (3 of 4); one that is demanded has its connection all the same, and so have those that tell sizes.
 */
static void test_connections_kept(void **state)
{
	static const struct {
		unsigned int connections, hanging;
		const char *manner;
	} cases[] = {{16, 4, "hang?times=4"}, {4, 3, "hang?times=3"}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sink sinks[8], demanded, size;
		struct bed bed;

		server_reset(&world.server);
		bed_init(&bed, 16);
		bed.options.connections = cases[i].connections;
		bed.options.stall_timeout_ms = 2 * DEADLINE_MS;
		bed_add(&bed, &world.server, cases[i].manner);
		bed_start(&bed);
		for (size_t k = 0; k < ARRAY_SIZE(sinks); k++) {
			sink_init(&sinks[k], &bed, FETCH_CHUNKS);
			fetch_submit(bed.fetch, &sinks[k].request);
		}
		wait_for_requests(&world.server, cases[i].hanging);
		sink_chunks(&demanded, &bed, 2, 1);
		assert_true(fetch_demand(&demanded.request));
		sink_run(&demanded);
		sink_assert_good(&demanded);
		sink_init(&size, &bed, FETCH_SIZE);
		sink_run(&size);
		assert_int_equal(size.result.error, 0);
		/* Nothing else was started. */
		assert_int_equal(requests_at(&world.server), cases[i].hanging + 2);
		sink_destroy(&demanded);
		sink_destroy(&size);
		fetch_stop(bed.fetch);
		for (size_t k = 0; k < ARRAY_SIZE(sinks); k++)
			sink_destroy(&sinks[k]);
		bed_end(&bed);
	}
}

/* Prefetches fill the memory, but for two buffers: those are for who is blocked. */
static void test_buffers_kept(void **state)
{
	struct sink sinks[8], demanded;
	struct bed bed;
	unsigned int before, n = ARRAY_SIZE(sinks);

	bed_init(&bed, 32);
	bed.options.connections = 16;
	bed_add(&bed, &world.server, "honest");
	bed_start(&bed);
	for (size_t i = 0; i < n; i++) {
		sink_init(&sinks[i], &bed, FETCH_CHUNKS);
		sinks[i].keep = true;
		fetch_submit(bed.fetch, &sinks[i].request);
	}
	for (int64_t deadline = clock_ms() + DEADLINE_MS; kept_by(sinks, n) < 30;)
		again(deadline);
	sink_init(&demanded, &bed, FETCH_CHUNKS);
	assert_true(fetch_demand(&demanded.request));
	sink_run(&demanded);
	sink_assert_good(&demanded);
	assert_int_equal(kept_by(sinks, n), 30);

	/* One of those that wait becomes demanded: it takes what is left. */
	before = 0;
	while (is_done(&sinks[before]))
		before++;
	assert_true(fetch_demand(&sinks[before].request));
	fetch_hurry(bed.fetch);
	for (int64_t deadline = clock_ms() + DEADLINE_MS; kept_by(sinks, n) < 32;)
		again(deadline);
	for (int64_t deadline = clock_ms() + DEADLINE_MS; before < n;
	     before += is_done(&sinks[before])) {
		for (size_t i = 0; i < n; i++)
			sink_release(&sinks[i]);
		again(deadline);
	}
	for (size_t i = 0; i < n; i++) {
		sink_wait(&sinks[i]);
		sink_release(&sinks[i]);
		sink_assert_good(&sinks[i]);
		sink_destroy(&sinks[i]);
	}
	sink_destroy(&demanded);
	bed_end(&bed);
}

/* A server that takes two at a time: everything comes, and few are sent away. */
static void test_sent_away(void **state)
{
	struct fetch_source_state record;
	struct bed bed;
	char *log;

	server_reset(&world.server);
	bed_init(&bed, 64);
	bed.options.connections = 16;
	bed_add(&bed, &world.server, "limited?most=2");
	bed_start(&bed);
	bed_get_parts(&bed, 40);
	log = server_log(&world.server);
	assert_int_equal(count(log, "\"status\": 206"), 40);
	assert_in_range(count(log, "\"status\": 429"), 1, 10);
	free(log);
	fetch_source_state(bed.fetch, 0, &record);
	assert_in_range(record.limit, 1, 2);
	bed_end(&bed);
}

static void test_run_length(void **state)
{
	struct fetch_source_state record;
	struct sink sink;
	struct bed bed;

	bed_init(&bed, 2);
	bed.options.connections = 16;
	bed_add(&bed, &world.server, "honest");
	bed_start(&bed);
	fetch_source_state(bed.fetch, 0, &record);
	assert_int_equal(record.limit, 4);
	assert_int_equal(record.rate, 0);
	assert_int_equal(record.rtt_us, 0);
	/* Nothing is known, four connections may be used. */
	assert_int_equal(fetch_run_chunks(bed.fetch, 0), 1);
	assert_int_equal(fetch_run_chunks(bed.fetch, 1), 1);
	assert_int_equal(fetch_run_chunks(bed.fetch, 16), 4);
	assert_int_equal(fetch_run_chunks(bed.fetch, 1000000), 8);
	assert_int_equal(fetch_window_chunks(bed.fetch), 4 * 3 / 2);
	/* Of six, two are here, and four to come. */
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink.keep = true;
	fetch_submit(bed.fetch, &sink.request);
	sink_wait_chunks(&sink, 2);
	assert_int_equal(fetch_run_chunks(bed.fetch, 0), 1);
	assert_int_equal(fetch_run_chunks(bed.fetch, 4), 2);
	assert_int_equal(fetch_run_chunks(bed.fetch, 5), 3);
	/* Given up, they are not to come any more. */
	pthread_mutex_lock(&sink.lock);
	sink.unwanted = true;
	pthread_mutex_unlock(&sink.lock);
	sink_wait(&sink);
	assert_int_equal(sink.result.error, -ECANCELED);
	assert_int_equal(fetch_run_chunks(bed.fetch, 4), 1);
	sink_release(&sink);
	sink_destroy(&sink);
	assert_int_equal(bed_get(&bed, NULL), 0);
	fetch_source_state(bed.fetch, 0, &record);
	assert_true(record.rtt_us > 0);
	assert_in_range(record.limit, 1, 16);
	bed_end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_demanded_first), cmocka_unit_test(test_connections_kept),
		cmocka_unit_test(test_buffers_kept),   cmocka_unit_test(test_sent_away),
		cmocka_unit_test(test_run_length),
	};

	return cmocka_run_group_tests_name("fetch-order", tests, world_set_up, world_tear_down);
}
