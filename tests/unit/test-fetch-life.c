/* SPDX-License-Identifier: Apache-2.0 */
/* fetch/ over time: waiting, coming back, giving up; and what it must never do or tell. */
#include "tests/unit/fetch-harness.h"

#include <stdlib.h>

static void write_text(const char *name, const char *text, char path[128])
{
	FILE *file;

	snprintf(path, 128, "%s/%s", world.root, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

/* Two buffers for six chunks, none given back: the transfer waits, does not stall, and goes on. */
static void test_no_buffers(void **state)
{
	struct fetch_source_state record;
	struct sink sink;
	struct bed bed;

	bed_init(&bed, 2);
	bed.options.stall_timeout_ms = 100;
	/* Chunks do not end where curl's pieces do. */
	bed_add(&bed, &world.server, "uneven");
	bed_start(&bed);
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink.keep = true;
	fetch_submit(bed.fetch, &sink.request);
	for (unsigned int chunks = 2; chunks <= OBJECT_CHUNKS; chunks += 2) {
		unsigned int asked;

		sink_wait_chunks(&sink, chunks);
		/* wanted() is asked in the meantime: several stall timeouts pass. */
		pthread_mutex_lock(&sink.lock);
		asked = sink.asked;
		while (chunks < OBJECT_CHUNKS && sink.asked < asked + 10)
			pthread_cond_wait(&sink.changed, &sink.lock);
		assert_int_equal(sink.chunks, chunks);
		pthread_mutex_unlock(&sink.lock);
		sink_release(&sink);
	}
	sink_wait(&sink);
	sink_release(&sink);
	assert_int_equal(sink.result.error, 0);
	assert_int_equal(sink.wrong, 0);
	assert_memory_equal(sink.bytes, world.object, OBJECT_SIZE);
	fetch_source_state(bed.fetch, 0, &record);
	assert_int_equal(record.requests, 1);
	assert_int_equal(record.errors, 0);
	sink_destroy(&sink);
	bed_end(&bed);
}

/* Many requests, three buffers, eight connections: every one gets all its bytes. */
static void test_contention(void **state)
{
	struct bed bed;

	bed_init(&bed, 3);
	bed.options.connections = 8;
	bed_add(&bed, &world.server, "honest");
	bed_start(&bed);
	bed_get_parts(&bed, 24);
	bed_end(&bed);
}

/* A server that is down, then says 503, then works. */
static void test_comes_back(void **state)
{
	static const char *const none[] = {NULL};
	struct server server = {0};
	const char *port_args[] = {"--port", NULL, NULL};
	struct fetch_source_state record;
	struct sink sink;
	struct bed bed;

	server_start(&server, none);
	bed_init(&bed, 8);
	bed_add(&bed, &server, "flaky?times=3");
	server_stop(&server);
	bed_start(&bed);
	sink_init(&sink, &bed, FETCH_CHUNKS);
	fetch_submit(bed.fetch, &sink.request);
	/* More often than an answering source would be allowed to fail. */
	pthread_mutex_lock(&sink.lock);
	while (sink.asked < 12 && !sink.done)
		pthread_cond_wait(&sink.changed, &sink.lock);
	assert_false(sink.done);
	pthread_mutex_unlock(&sink.lock);
	fetch_source_state(bed.fetch, 0, &record);
	assert_string_not_equal(record.last_error, "");
	port_args[1] = strrchr(server.base, ':') + 1;
	server_start(&server, port_args);
	sink_wait(&sink);
	assert_int_equal(sink.result.error, 0);
	assert_memory_equal(sink.bytes, world.object, OBJECT_SIZE);
	sink_destroy(&sink);
	/* What failed before is over, but counted; what was a lie is said after the next success, too. */
	fetch_source_state(bed.fetch, 0, &record);
	assert_string_equal(record.last_error, "");
	assert_true(record.errors > 0);
	fetch_blame(bed.fetch, 0, "a lie");
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink_run(&sink);
	assert_int_equal(sink.result.error, 0);
	sink_destroy(&sink);
	fetch_source_state(bed.fetch, 0, &record);
	assert_string_equal(record.last_error, "wrong bytes: a lie");
	bed_end(&bed);
	server_stop(&server);
}

/* Where nothing answers: neither an accept, nor a byte, nor a buffer. */
static void test_unwanted(void **state)
{
	static const char *const never[] = {"--never-accept", NULL};
	struct server dead = {0};
	const struct {
		const struct server *server;
		const char *manner;
		bool keep;
	} cases[] = {
		{&dead, "honest", false},	 {&world.server, "fail", false},
		{&world.server, "stall", false}, {&world.server, "stall-head", false},
		{&world.server, "slow", false},	 {&world.server, "honest", true},
	};

	server_start(&dead, never);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sink sink, queued;
		struct bed bed;

		bed_init(&bed, 1);
		bed.options.connections = 1;
		bed.options.connect_timeout_ms = bed.options.stall_timeout_ms = 60000;
		bed_add(&bed, cases[i].server, cases[i].manner);
		bed_start(&bed);
		sink_init(&sink, &bed, FETCH_CHUNKS);
		sink_init(&queued, &bed, FETCH_CHUNKS);
		sink.keep = cases[i].keep;
		queued.unwanted = true;
		fetch_submit(bed.fetch, &sink.request);
		fetch_submit(bed.fetch, &queued.request);
		sink_wait(&queued);
		assert_int_equal(queued.result.error, -ECANCELED);
		pthread_mutex_lock(&sink.lock);
		assert_false(sink.done);
		sink.unwanted = true;
		pthread_mutex_unlock(&sink.lock);
		sink_wait(&sink);
		assert_int_equal(sink.result.error, -ECANCELED);
		sink_release(&sink);
		sink_destroy(&sink);
		sink_destroy(&queued);
		bed_end(&bed);
	}
	server_stop(&dead);
}

/* Freed in the midst of it; buffers come back while it ends. */
static void test_freed(void **state)
{
	static const char *const manners[] = {"stall", "stall-half", "honest", "fail",
					      "early-chunks"};

	for (size_t i = 0; i < ARRAY_SIZE(manners); i++) {
		struct sink sinks[12];
		struct bed bed;

		bed_init(&bed, 2);
		bed_add(&bed, &world.server, manners[i]);
		bed_start(&bed);
		for (size_t k = 0; k < ARRAY_SIZE(sinks); k++) {
			sink_init(&sinks[k], &bed, FETCH_CHUNKS);
			sinks[k].keep = !strcmp(manners[i], "honest");
			fetch_submit(bed.fetch, &sinks[k].request);
		}
		fetch_free(bed.fetch);
		bed.fetch = NULL;
		for (size_t k = 0; k < ARRAY_SIZE(sinks); k++) {
			assert_true(sinks[k].done);
			if (sinks[k].result.error)
				assert_int_equal(sinks[k].result.error, -ECANCELED);
			sink_release(&sinks[k]);
			sink_destroy(&sinks[k]);
		}
		bed_end(&bed);
	}
}

static void test_private_address(void **state)
{
	struct sink sink;
	struct bed bed;
	char *log;

	server_reset(&world.server);
	bed_init(&bed, 1);
	bed_add(&bed, &world.server, "honest?case=private")->allow_private = false;
	bed_add(&bed, &world.server, "honest")->allow_private = false;
	snprintf(bed.urls[1], sizeof(bed.urls[1]), "http://localhost:1/object");
	bed_start(&bed);
	sink_init(&sink, &bed, FETCH_SIZE);
	sink.request.excluded = 2;
	sink_run(&sink);
	assert_int_equal(sink.result.error, -EIO);
	assert_string_equal(sink.message,
			    "source s0: address 127.0.0.1 is not allowed (allow-private = no)");
	sink_destroy(&sink);
	sink_init(&sink, &bed, FETCH_SIZE);
	sink.request.excluded = 1;
	sink_run(&sink);
	assert_non_null(strstr(sink.message, "is not allowed (allow-private = no)"));
	sink_destroy(&sink);
	bed_end(&bed);
	/* Not even a request line got there. */
	log = server_log(&world.server);
	assert_null(strstr(log, "case=private"));
	free(log);
}

/* A connection that one source may use is not to be had by another. */
static void test_reused_connection(void **state)
{
	struct sink sink;
	struct bed bed;
	char *log;

	bed_init(&bed, 1);
	bed.options.connections = 1;
	bed_add(&bed, &world.server, "honest");
	bed_add(&bed, &world.server, "honest")->allow_private = false;
	bed_start(&bed);
	server_reset(&world.server);
	for (uint64_t excluded = 2; excluded > 0; excluded--) {
		sink_init(&sink, &bed, FETCH_SIZE);
		sink.request.excluded = excluded;
		sink_run(&sink);
		sink_destroy(&sink);
		assert_int_equal(sink.result.error, excluded == 2 ? 0 : -EIO);
	}
	assert_string_equal(sink.message,
			    "source s1: address 127.0.0.1 is not allowed (allow-private = no)");
	log = server_log(&world.server);
	assert_non_null(strstr(log, "\"method\""));
	assert_null(strstr(strstr(log, "\"method\"") + 1, "\"method\""));
	free(log);
	bed_end(&bed);
}

/* A redirect to a place that the source may not reach. */
static void test_redirect_rules(void **state)
{
	char ca[128];
	struct sink sink;
	struct bed bed;

	snprintf(ca, sizeof(ca), "%s/ca.pem", world.root);
	bed_init(&bed, 1);
	bed_add(&bed, &world.tls, "redirect-loopback");
	bed.sources[0].allow_http = false;
	bed.sources[0].ca_file = ca;
	bed_start(&bed);
	assert_int_equal(bed_ask(&bed, FETCH_SIZE, &sink), -EIO);
	assert_string_equal(sink.message,
			    "source s0: redirect: http is not allowed (allow-http = no)");
	bed_end(&bed);
}

static void test_headers(void **state)
{
	static const char *const none[] = {NULL};
	struct server other = {0};
	char path[128], manner[128];
	char *log;
	struct bed bed;

	server_start(&other, none);
	write_text("headers", "# ours\nAuthorization: Bearer s3cret\nX-Team: weights\n", path);
	snprintf(manner, sizeof(manner), "redirect-other?to=%s", other.base);
	bed_init(&bed, 8);
	bed_add(&bed, &world.server, manner)->header_file = path;
	bed_start(&bed);
	server_reset(&world.server);
	assert_int_equal(bed_get(&bed, NULL), 0);
	assert_int_equal(bed_get(&bed, NULL), 0);
	log = server_log(&world.server);
	assert_non_null(strstr(log, "\"authorization\": \"Bearer s3cret\""));
	assert_non_null(strstr(log, "\"x-team\": \"weights\""));
	assert_non_null(strstr(log, "\"user-agent\": \"weightfs/"));
	assert_null(strstr(log, "accept-encoding"));
	assert_null(strstr(log, "referer"));
	assert_null(strstr(log, "cookie"));
	/* The second request went straight to where the first was sent. */
	assert_null(strstr(strstr(log, "\"method\"") + 1, "\"method\""));
	free(log);
	log = server_log(&other);
	assert_non_null(strstr(log, "/honest/object"));
	assert_null(strstr(log, "s3cret"));
	assert_null(strstr(log, "x-team"));
	free(log);
	bed_end(&bed);

	/* Back on its own host it may have them again. */
	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "redirect-relative")->header_file = path;
	bed_start(&bed);
	server_reset(&world.server);
	assert_int_equal(bed_get(&bed, NULL), 0);
	log = server_log(&world.server);
	assert_non_null(strstr(strstr(log, "s3cret") + 1, "s3cret"));
	free(log);
	bed_end(&bed);
	server_stop(&other);
}

/* A kept redirect that has run out is asked for anew, and nobody notices. */
static void test_signed_urls(void **state)
{
	struct fetch_source_state record;
	struct bed bed;

	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "redirect-signed");
	bed_start(&bed);
	server_reset(&world.server);
	for (int i = 0; i < 5; i++)
		assert_int_equal(bed_get(&bed, NULL), 0);
	fetch_source_state(bed.fetch, 0, &record);
	/* 5 bodies, 2 resolutions, 1 refusal. */
	assert_int_equal(record.requests, 8);
	assert_int_equal(record.errors, 0);
	bed_end(&bed);
}

static void test_tls(void **state)
{
	char ca[128];
	char message[FETCH_MESSAGE_SIZE];
	struct bed bed;

	snprintf(ca, sizeof(ca), "%s/ca.pem", world.root);
	bed_init(&bed, 8);
	bed_add(&bed, &world.tls, "honest");
	bed.sources[0].allow_http = false;
	bed.sources[0].ca_file = ca;
	bed_start(&bed);
	assert_int_equal(bed_get(&bed, NULL), 0);
	assert_int_equal(bed_get(&bed, NULL), 0);
	bed_end(&bed);

	/* Not known to the system: final, at once. */
	bed_init(&bed, 8);
	bed_add(&bed, &world.tls, "honest");
	bed_start(&bed);
	assert_int_equal(bed_get(&bed, message), -EIO);
	assert_non_null(strstr(message, "certificate"));
	bed_end(&bed);

	/* The right CA and another name. */
	bed_init(&bed, 8);
	bed_add(&bed, &world.tls, "honest");
	bed.sources[0].ca_file = ca;
	snprintf(bed.urls[0], sizeof(bed.urls[0]), "https://localhost%s/honest/object",
		 strrchr(world.tls.base, ':'));
	bed_start(&bed);
	assert_int_equal(bed_get(&bed, message), -EIO);
	assert_non_null(strstr(message, "localhost"));
	bed_end(&bed);
}

static void test_bad_files(void **state)
{
	char path[128];
	struct bed bed;

	bed_init(&bed, 1);
	bed_add(&bed, &world.server, "honest")->header_file = "/nonexistent/headers";
	bed.options.sources = bed.sources;
	bed.options.n_sources = 1;
	assert_int_equal(fetch_new(&bed.options, &bed.fetch), -ENOENT);
	write_text("bad", "A: b\nHost: c\n", path);
	bed.sources[0].header_file = path;
	assert_int_equal(fetch_new(&bed.options, &bed.fetch), -EINVAL);
	bed.sources[0].header_file = NULL;
	bed.sources[0].ca_file = path;
	assert_int_equal(fetch_new(&bed.options, &bed.fetch), -EINVAL);
	bed.sources[0].ca_file = NULL;
	bed.sources[0].allow_http = false;
	assert_int_equal(fetch_new(&bed.options, &bed.fetch), -EINVAL);
	fetch_free(NULL);
	bed_end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_buffers),
		cmocka_unit_test(test_contention),
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_unwanted),
		cmocka_unit_test(test_freed),
		cmocka_unit_test(test_private_address),
		cmocka_unit_test(test_reused_connection),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_signed_urls),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_redirect_rules),
		cmocka_unit_test(test_bad_files),
	};

	return cmocka_run_group_tests_name("fetch-life", tests, world_set_up_tls, world_tear_down);
}
