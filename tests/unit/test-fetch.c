/* SPDX-License-Identifier: Apache-2.0 */
/* The real fetch against a server that does everything wrong. */
#include "tests/unit/fetch-harness.h"

static unsigned int count(const char *text, const char *what)
{
	unsigned int n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

/* What one source in one manner makes of a request for the whole object. */
static int get_from(const char *manner, char message[FETCH_MESSAGE_SIZE])
{
	struct bed bed;
	int r;

	server_reset(&world.server);
	bed_init(&bed, 8);
	bed_add(&bed, &world.server, manner);
	bed_start(&bed);
	r = bed_get(&bed, message);
	bed_end(&bed);
	return r;
}

static void test_good_enough(void **state)
{
	static const char *const manners[] = {
		"honest",
		"norange",
		"nolength",
		"long",
		"endless",
		"early-chunks",
		"flaky",
		"throttle",
		"redirect-relative",
		"redirect-loopback",
		"redirect-endless",
		"redirect-signed",
	};

	for (size_t i = 0; i < ARRAY_SIZE(manners); i++) {
		char message[FETCH_MESSAGE_SIZE];
		int r = get_from(manners[i], message);

		if (r)
			fail_msg("%s: %d %s", manners[i], r, message);
		assert_string_equal(message, "");
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *manner;
		int error;
		const char *message;
	} cases[] = {
		{"missing", -ENOENT, "source s0: HTTP 404"},
		{"forbidden", -EIO, "source s0: HTTP 403"},
		{"wrongrange", -EIO, "source s0: another Content-Range than asked for"},
		{"gzip", -EIO, "source s0: Content-Length is not that of the range"},
		{"lengthlie", -EIO, "source s0: Content-Length is not that of the range"},
		{"unknown-size", -EIO, "source s0: Content-Range does not tell the size"},
		{"no-content-range", -EIO, "source s0: HTTP 206 without Content-Range"},
		{"redirect-loop", -EIO, "source s0: more than 3 redirects"},
		{"redirect-file", -EIO,
		 "source s0: redirect: the scheme is neither https nor http"},
		{"endless-headers", -EIO, "source s0: malformed header (too much of it)"},
		{"garbage", -EIO, "source s0: Received HTTP/0.9 when not allowed"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char message[FETCH_MESSAGE_SIZE];
		int r = get_from(cases[i].manner, message);
		char *log = server_log(&world.server);

		if (!strcmp(cases[i].manner, "gzip"))
			assert_non_null(strstr(message, "cont"));
		else
			assert_string_equal(message, cases[i].message);
		assert_int_equal(r, cases[i].error);
		/* Final means final. */
		assert_int_equal(count(log, "\"method\""),
				 strcmp(cases[i].manner, "redirect-loop") ? 1 : 4);
		free(log);
	}
}

/* Some chunks from a source that breaks off, the rest from another: none twice, none missing. */
static void test_mixed(void **state)
{
	static const char *const manners[] = {"early", "short", "early-chunks", "stall-half",
					      "slow"};

	for (size_t i = 0; i < ARRAY_SIZE(manners); i++) {
		struct bed bed;

		server_reset(&world.server);
		bed_init(&bed, 8);
		bed_add(&bed, &world.server, manners[i])->priority = 5;
		bed_add(&bed, &world.server, "honest");
		bed_start(&bed);
		assert_int_equal(bed_get(&bed, NULL), 0);
		bed_end(&bed);
	}
}

/* An answer that never brings a chunk is final after five; one that is no answer is not. */
static void test_barren(void **state)
{
	char message[FETCH_MESSAGE_SIZE];
	struct sink sink;
	struct bed bed;
	char *log;

	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "stall");
	bed.options.stall_timeout_ms = 100;
	bed_start(&bed);
	server_reset(&world.server);
	assert_int_equal(bed_get(&bed, message), -EIO);
	assert_string_equal(message, "source s0: stalled");
	log = server_log(&world.server);
	assert_int_equal(count(log, "\"method\""), 5);
	free(log);

	/* Half of a single chunk each time is no progress. */
	bed_end(&bed);
	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "early");
	bed_start(&bed);
	server_reset(&world.server);
	sink_chunks(&sink, &bed, 1, 1);
	sink_run(&sink);
	assert_int_equal(sink.result.error, -EIO);
	assert_int_equal(sink.chunks, 0);
	assert_string_equal(sink.message, "source s0: the reply ended early");
	log = server_log(&world.server);
	assert_int_equal(count(log, "\"method\""), 5);
	free(log);
	sink_destroy(&sink);
	bed_end(&bed);
}

static void test_parts(void **state)
{
	struct bed bed;

	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "honest");
	bed_start(&bed);
	for (uint64_t first = 0; first < OBJECT_CHUNKS; first++) {
		struct sink sink;

		sink_chunks(&sink, &bed, first, OBJECT_CHUNKS - first > 1 ? 2 : 1);
		sink_run(&sink);
		assert_int_equal(sink.result.error, 0);
		assert_int_equal(sink.chunks, sink.request.count);
		assert_memory_equal(sink.bytes, world.object + first * CHUNK_SIZE,
				    first < 4 ? 2 * CHUNK_SIZE : OBJECT_SIZE - first * CHUNK_SIZE);
		sink_destroy(&sink);
	}
	bed_end(&bed);
}

static void test_part_without_range(void **state)
{
	struct sink sink;
	struct bed bed;
	char *log;

	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "norange");
	bed_start(&bed);
	server_reset(&world.server);
	sink_chunks(&sink, &bed, 0, 2);
	sink_run(&sink);
	assert_int_equal(sink.result.error, -EIO);
	assert_string_equal(sink.message, "source s0: ignores Range");
	assert_int_equal(sink.chunks, 0);
	log = server_log(&world.server);
	assert_int_equal(count(log, "\"method\""), 1);
	free(log);
	sink_destroy(&sink);
	bed_end(&bed);
}

/* A break costs what was partial, and nothing that was delivered. */
static void test_resume(void **state)
{
	char line[128];
	char *log;

	assert_int_equal(get_from("early-chunks", NULL), 0);
	log = server_log(&world.server);
	assert_int_equal(count(log, "\"method\""), OBJECT_CHUNKS);
	for (uint64_t i = 0; i < OBJECT_CHUNKS; i++) {
		snprintf(line, sizeof(line), "\"range\": \"bytes=%llu-%llu\"",
			 (unsigned long long)(i * CHUNK_SIZE), (unsigned long long)OBJECT_SIZE - 1);
		assert_non_null(strstr(log, line));
	}
	free(log);
}

static void test_size(void **state)
{
	static const char *const manners[] = {"honest", "norange", "redirect-relative", "flaky"};
	struct sink sink;
	struct bed bed;

	for (size_t i = 0; i < ARRAY_SIZE(manners); i++) {
		server_reset(&world.server);
		bed_init(&bed, 1);
		bed_add(&bed, &world.server, "missing");
		bed_add(&bed, &world.server, manners[i]);
		bed_start(&bed);
		assert_int_equal(bed_ask(&bed, FETCH_SIZE, &sink), 0);
		assert_int_equal(sink.result.size, OBJECT_SIZE);
		assert_int_equal(sink.result.source, 1);
		bed_end(&bed);
	}
	bed_init(&bed, 1);
	bed_add(&bed, &world.server, "honest");
	snprintf(bed.urls[0], sizeof(bed.urls[0]), "%s/honest/empty", world.server.base);
	bed_add(&bed, &world.server, "unknown-size");
	bed_start(&bed);
	assert_int_equal(bed_ask(&bed, FETCH_SIZE, &sink), 0);
	assert_int_equal(sink.result.size, 0);
	bed_end(&bed);
	bed_init(&bed, 1);
	bed_add(&bed, &world.server, "unknown-size");
	bed_start(&bed);
	assert_int_equal(bed_ask(&bed, FETCH_SIZE, &sink), -EIO);
	assert_string_equal(sink.message, "source s0: does not tell the size");
	bed_end(&bed);
}

static void test_front(void **state)
{
	static const char *const manners[] = {"honest",	      "norange",  "long", "endless",
					      "unknown-size", "nolength", "flaky"};

	for (size_t i = 0; i < ARRAY_SIZE(manners); i++) {
		struct sink sink;
		struct bed bed;

		server_reset(&world.server);
		bed_init(&bed, 1);
		bed_add(&bed, &world.server, "honest")->tree = NULL;
		bed_add(&bed, &world.server, manners[i]);
		bed_start(&bed);
		if (bed_ask(&bed, FETCH_FRONT, &sink))
			fail_msg("%s: %s", manners[i], sink.message);
		assert_true(sink.front_right);
		assert_int_equal(sink.result.front_len, TREE_SIZE / 2);
		assert_int_equal(sink.result.source, 1);
		bed_end(&bed);
	}
}

/* A tree file that is shorter than it might have been is all that there is of it. */
static void test_whole_tree_file(void **state)
{
	static const char *const manners[] = {"honest", "norange", "norange-nolength", "nolength",
					      "flaky",	"short",   "unknown-size"};

	for (size_t i = 0; i < ARRAY_SIZE(manners); i++) {
		/* Cut short; or a range of what has no known length, which may be too little. */
		bool refused = !strcmp(manners[i], "short") || !strcmp(manners[i], "unknown-size");
		struct sink sink;
		struct bed bed;

		server_reset(&world.server);
		bed_init(&bed, 1);
		bed_add(&bed, &world.server, manners[i]);
		bed_start(&bed);
		sink_init(&sink, &bed, FETCH_FRONT);
		sink.request.size = 100 * TREE_SIZE;
		sink_run(&sink);
		if (sink.result.error != (refused ? -EIO : 0))
			fail_msg("%s: %d %s", manners[i], sink.result.error, sink.message);
		assert_int_equal(sink.front_right, !refused);
		assert_int_equal(sink.result.front_len, refused ? 0 : TREE_SIZE);
		sink_destroy(&sink);
		bed_end(&bed);
	}
}

static void test_empty_tree_file(void **state)
{
	struct sink sink;
	struct bed bed;

	bed_init(&bed, 1);
	bed_add(&bed, &world.server, "honest");
	snprintf(bed.trees[0], sizeof(bed.trees[0]), "%s/honest/empty", world.server.base);
	bed_start(&bed);
	assert_int_equal(bed_ask(&bed, FETCH_FRONT, &sink), 0);
	assert_null(sink.result.front);
	assert_int_equal(sink.result.front_len, 0);
	bed_end(&bed);
}

static void test_nobody_to_ask(void **state)
{
	struct sink sink;
	struct bed bed;

	bed_init(&bed, 1);
	bed_start(&bed);
	assert_int_equal(bed_get(&bed, NULL), -ENOENT);
	bed_end(&bed);

	bed_init(&bed, 1);
	snprintf(bed.urls[0], sizeof(bed.urls[0]), "%s/honest/{fsverity}", world.server.base);
	bed_add(&bed, &world.server, "honest")->url = "http://h.invalid/{fsverity}";
	bed_add(&bed, &world.server, "missing");
	bed_start(&bed);
	assert_int_equal(bed_get(&bed, NULL), -ENOENT);
	/* Excluded ones might know it. */
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink.request.excluded = 2;
	sink_run(&sink);
	assert_int_equal(sink.result.error, -EIO);
	sink_destroy(&sink);
	/* No such chunk. */
	sink_chunks(&sink, &bed, OBJECT_CHUNKS, 1);
	sink_run(&sink);
	assert_int_equal(sink.result.error, -EIO);
	sink_destroy(&sink);
	bed_end(&bed);
}

static void test_other_source_at_once(void **state)
{
	static const char *const first[] = {"fail",  "missing",		  "wrongrange",
					    "reset", "throttle?after=60", "garbage"};

	for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
		struct fetch_source_state record;
		struct sink sink;
		struct bed bed;

		server_reset(&world.server);
		bed_init(&bed, 8);
		bed_add(&bed, &world.server, "honest")->priority = 1;
		bed_add(&bed, &world.server, first[i])->priority = 2;
		bed_start(&bed);
		sink_init(&sink, &bed, FETCH_CHUNKS);
		sink_run(&sink);
		assert_int_equal(sink.result.error, 0);
		assert_int_equal(sink.per_source[0], OBJECT_CHUNKS);
		sink_destroy(&sink);
		fetch_source_state(bed.fetch, 1, &record);
		assert_string_equal(record.name, "s1");
		assert_int_equal(record.requests, 1);
		assert_int_equal(record.errors, strcmp(first[i], "missing") != 0);
		fetch_source_state(bed.fetch, 0, &record);
		assert_int_equal(record.bytes, OBJECT_SIZE);
		bed_end(&bed);
	}
}

static void test_blame(void **state)
{
	struct fetch_source_state record;
	char message[FETCH_MESSAGE_SIZE];
	struct sink sink;
	struct bed bed;

	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "flip")->priority = 5;
	bed_add(&bed, &world.server, "honest");
	bed_start(&bed);
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink_run(&sink);
	assert_int_equal(sink.result.error, 0);
	assert_int_equal(sink.per_source[0], OBJECT_CHUNKS);
	assert_true(memcmp(sink.bytes, world.object, OBJECT_SIZE) != 0);
	sink_destroy(&sink);
	fetch_blame(bed.fetch, 0, "the test says so");
	assert_int_equal(bed_get(&bed, NULL), 0); /* the other one now */
	fetch_blame(bed.fetch, 0, "again");
	fetch_blame(bed.fetch, 0, "and again");
	fetch_source_state(bed.fetch, 0, &record);
	assert_int_equal(record.lies, 3);
	assert_string_equal(record.last_error, "wrong bytes: and again");
	/* Left alone, even when there is nobody else. */
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink.request.excluded = 2;
	sink_run(&sink);
	assert_int_equal(sink.result.error, -EIO);
	memcpy(message, sink.message, sizeof(message));
	assert_string_equal(message, "source s0: left alone after wrong bytes");
	sink_destroy(&sink);
	bed_end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_enough),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_barren),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_part_without_range),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_front),
		cmocka_unit_test(test_whole_tree_file),
		cmocka_unit_test(test_empty_tree_file),
		cmocka_unit_test(test_nobody_to_ask),
		cmocka_unit_test(test_other_source_at_once),
		cmocka_unit_test(test_blame),
	};

	return cmocka_run_group_tests_name("fetch", tests, world_set_up, world_tear_down);
}
