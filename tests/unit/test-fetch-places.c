/* SPDX-License-Identifier: Apache-2.0 */
/* Places of single objects beside the configured sources. */
#include "tests/unit/fetch-harness.h"

#include <stdlib.h>

static struct fetch_group *make_group(const char *name, int priority, const char *authorization)
{
	struct fetch_group_options options = {
		.name = name,
		.priority = priority,
		.allow_http = true,
		.allow_private = true,
		.authorization = authorization,
	};
	struct fetch_group *group;

	assert_int_equal(fetch_group_new(&options, &group), 0);
	return group;
}

/* PATH below BASE, of GROUP, which is given away. */
static struct fetch_places *make_places(struct fetch_group *group, const char *base,
					const char *path)
{
	char url[512], tree[512];
	struct fetch_place place = {.group = group, .url = url, .tree = tree};
	const char *query = path + strcspn(path, "?");
	struct fetch_places *places;

	snprintf(url, sizeof(url), "%s/%s", base, path);
	snprintf(tree, sizeof(tree), "%s/%.*s.tree%s", base, (int)(query - path), path, query);
	assert_int_equal(fetch_places_new(&place, 1, &places), 0);
	fetch_group_unref(group);
	return places;
}

/* All of the object; the error. */
static int get(struct bed *bed, struct fetch_places *places, struct sink *sink)
{
	sink_init(sink, bed, FETCH_CHUNKS);
	sink->request.places = places;
	sink_run(sink);
	if (sink->result.error == 0)
		sink_assert_good(sink);
	sink_destroy(sink);
	return sink->result.error;
}

static unsigned int count(const struct server *server, const char *what)
{
	char *log = server_log(server);
	unsigned int n = 0;

	for (const char *p = log; (p = strstr(p, what)); p++)
		n++;
	free(log);
	return n;
}

static void test_alone(void **state)
{
	struct fetch_places *places =
		make_places(make_group("catalog hub", 0, NULL), world.server.base, "honest/object");
	struct fetch_source_state record;
	struct sink sink;
	struct bed bed;
	char name[128];

	bed_init(&bed, 8);
	bed_start(&bed);
	assert_int_equal(fetch_source_count(bed.fetch), 0);
	assert_int_equal(get(&bed, NULL, &sink), -ENOENT);
	assert_int_equal(get(&bed, places, &sink), 0);
	assert_int_equal(fetch_source_count(bed.fetch), 1);
	fetch_source_state(bed.fetch, 0, &record);
	snprintf(name, sizeof(name), "catalog hub: %s", world.server.base);
	assert_string_equal(record.name, name);
	assert_int_equal(record.bytes, OBJECT_SIZE);
	assert_int_equal(record.requests, 1);
	assert_false(record.configured);

	sink_init(&sink, &bed, FETCH_SIZE);
	sink.request.places = places;
	sink_run(&sink);
	assert_int_equal(sink.result.error, 0);
	assert_int_equal(sink.result.size, OBJECT_SIZE);
	sink_destroy(&sink);
	sink_init(&sink, &bed, FETCH_FRONT);
	sink.request.places = places;
	sink_run(&sink);
	assert_int_equal(sink.result.error, 0);
	assert_true(sink.front_right);
	sink_destroy(&sink);
	/* The same source for all of it; and others' requests do not ask it. */
	assert_int_equal(fetch_source_count(bed.fetch), 1);
	assert_int_equal(get(&bed, NULL, &sink), -ENOENT);
	bed_end(&bed);
	fetch_places_unref(places);
}

/* Before configured ones or after them, by priority; and each for the other. */
static void test_beside_sources(void **state)
{
	static const struct {
		const char *source, *place;
		int priority;
		unsigned int who;
		int error;
	} cases[] = {
		{"honest", "honest/object", 0, 0, 0},
		{"honest", "honest/object", 1, 1, 0},
		{"honest", "honest/object", -1, 0, 0},
		{"missing", "honest/object", 0, 1, 0},
		{"honest", "missing/object", 1, 0, 0},
		{"forbidden", "honest/object", 0, 1, 0},
		{"fail", "honest/object", 0, 1, 0},
		{"missing", "missing/object", 0, 0, -ENOENT},
		{"missing", "forbidden/object", 0, 0, -EIO},
		{"forbidden", "missing/object", 0, 0, -EIO},
	};
	struct sink sink;
	struct bed bed;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fetch_places *places =
			make_places(make_group("catalog hub", cases[i].priority, NULL),
				    world.server.base, cases[i].place);

		bed_init(&bed, 8);
		bed_add(&bed, &world.server, cases[i].source);
		bed_start(&bed);
		if (get(&bed, places, &sink) != cases[i].error)
			fail_msg("%zu: %d %s", i, sink.result.error, sink.message);
		if (cases[i].error == 0)
			assert_int_equal(sink.per_source[cases[i].who], OBJECT_CHUNKS);
		bed_end(&bed);
		fetch_places_unref(places);
	}
}

static void test_cannot_be_used(void **state)
{
	struct fetch_group_options options = {.name = "catalog hub", .allow_private = true};
	struct fetch_places *places, *bad;
	struct fetch_group *group;
	struct fetch_place place;
	struct sink sink;
	struct bed bed;

	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "missing");
	bed_start(&bed);
	assert_int_equal(fetch_group_new(&options, &group), 0);
	places = make_places(group, world.server.base, "honest/object");
	assert_int_equal(get(&bed, places, &sink), -EIO);
	assert_int_equal(fetch_source_count(bed.fetch), 1);
	fetch_places_unref(places);

	options.allow_http = true;
	options.allow_private = false;
	assert_int_equal(fetch_group_new(&options, &group), 0);
	places = make_places(group, world.server.base, "honest/object");
	assert_int_equal(get(&bed, places, &sink), -EIO);
	assert_non_null(strstr(sink.message, "address 127.0.0.1 is not allowed"));
	fetch_places_unref(places);

	/* No place of what is asked for. */
	place = (struct fetch_place){.group = make_group("x", 0, NULL), .tree = "http://127.0.0.1"};
	assert_int_equal(fetch_places_new(&place, 1, &places), 0);
	assert_int_equal(get(&bed, places, &sink), -ENOENT);
	fetch_places_unref(places);
	assert_int_equal(fetch_places_new(&place, FETCH_PLACES_MAX + 1, &bad), -E2BIG);
	fetch_group_unref(place.group);
	bed_end(&bed);

	options.authorization = "a\nb";
	assert_int_equal(fetch_group_new(&options, &group), -EINVAL);
	options.authorization = NULL;
	options.ca_file = "/nowhere";
	assert_int_equal(fetch_group_new(&options, &group), -EINVAL);
}

/* Another group is another source, also on the same host; an equal group is the same. */
static void test_groups(void **state)
{
	static const char *const names[] = {"a", "b", "a"};
	struct sink sink;
	struct bed bed;

	bed_init(&bed, 8);
	bed_start(&bed);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct fetch_places *places = make_places(make_group(names[i], 0, NULL),
							  world.server.base, "honest/object");

		assert_int_equal(get(&bed, places, &sink), 0);
		fetch_places_unref(places);
	}
	assert_int_equal(fetch_source_count(bed.fetch), 2);
	bed_end(&bed);
}

/* The first of several on one host; all of those on several. */
static void test_several(void **state)
{
	struct fetch_group *group = make_group("catalog hub", 0, NULL);
	static const char *const none[] = {NULL};
	struct server other = {0};
	char urls[3][128];
	struct fetch_place list[3];
	struct fetch_places *places;
	struct sink sink;
	struct bed bed;

	server_start(&other, none);
	snprintf(urls[0], sizeof(urls[0]), "%s/missing/object", world.server.base);
	snprintf(urls[1], sizeof(urls[1]), "%s/honest/object", world.server.base);
	snprintf(urls[2], sizeof(urls[2]), "%s/honest/object", other.base);
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		list[i] = (struct fetch_place){.group = group, .url = urls[i]};
	bed_init(&bed, 8);
	bed_start(&bed);
	assert_int_equal(fetch_places_new(list, 2, &places), 0);
	assert_int_equal(get(&bed, places, &sink), -ENOENT);
	fetch_places_unref(places);
	assert_int_equal(fetch_places_new(list, 3, &places), 0);
	assert_int_equal(get(&bed, places, &sink), 0);
	assert_int_equal(sink.per_source[1], OBJECT_CHUNKS);
	fetch_places_unref(places);
	fetch_group_unref(group);
	bed_end(&bed);
	server_stop(&other);
}

/* A lie counts for the place's source, not for the configured one of the same host. */
static void test_lies(void **state)
{
	struct fetch_places *places =
		make_places(make_group("catalog hub", 5, NULL), world.server.base, "honest/object");
	struct fetch_source_state record;
	struct sink sink;
	struct bed bed;

	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "honest");
	bed_start(&bed);
	assert_int_equal(get(&bed, places, &sink), 0);
	assert_int_equal(sink.per_source[1], OBJECT_CHUNKS);
	fetch_blame(bed.fetch, 1, "the test says so");
	fetch_source_state(bed.fetch, 1, &record);
	assert_int_equal(record.lies, 1);
	assert_string_equal(record.last_error, "wrong bytes: the test says so");
	fetch_source_state(bed.fetch, 0, &record);
	assert_int_equal(record.lies, 0);
	/* Last from now on. */
	assert_int_equal(get(&bed, places, &sink), 0);
	assert_int_equal(sink.per_source[0], OBJECT_CHUNKS);
	/* Alone, it is asked again, but not if the request says so, and not after three. */
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink.request.places = places;
	sink.request.excluded = 1;
	sink_run(&sink);
	sink_assert_good(&sink);
	sink_destroy(&sink);
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink.request.places = places;
	sink.request.excluded = 3;
	sink_run(&sink);
	assert_int_equal(sink.result.error, -EIO);
	sink_destroy(&sink);
	fetch_blame(bed.fetch, 1, "again");
	fetch_blame(bed.fetch, 1, "and again");
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink.request.places = places;
	sink.request.excluded = 1;
	sink_run(&sink);
	assert_int_equal(sink.result.error, -EIO);
	assert_non_null(strstr(sink.message, "left alone after wrong bytes"));
	sink_destroy(&sink);
	bed_end(&bed);
	fetch_places_unref(places);
}

/* A credential goes to the place's own host, redirects or not, and to nobody else. */
static void test_credential(void **state)
{
	static const char *const none[] = {NULL};
	struct server other = {0};
	struct fetch_places *places;
	struct sink sink;
	struct bed bed;
	char path[128];

	server_start(&other, none);
	server_reset(&world.server);
	snprintf(path, sizeof(path), "redirect-other/object?to=%s", other.base);
	places = make_places(make_group("import hf", 0, "Bearer s3cret"), world.server.base, path);
	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "missing");
	bed_start(&bed);
	/* Twice: the second time by the redirect that was kept. */
	assert_int_equal(get(&bed, places, &sink), 0);
	assert_int_equal(get(&bed, places, &sink), 0);
	assert_int_equal(count(&world.server, "\"method\""), 3);
	assert_int_equal(count(&world.server, "Bearer s3cret"), 1);
	assert_int_equal(count(&other, "\"method\""), 2);
	assert_int_equal(count(&other, "s3cret"), 0);
	fetch_places_unref(places);
	bed_end(&bed);
	server_stop(&other);
}

static void test_refused(void **state)
{
	static const struct {
		const char *path, *authorization, *message;
	} cases[] = {
		{"fail/object?status=401", NULL, "HTTP 401: a token is needed"},
		{"fail/object?status=401", "Bearer x", "HTTP 401: the token is refused"},
		{"forbidden/object", NULL, "HTTP 403: access is refused; it may need a token"},
		{"forbidden/object", "Bearer x", "HTTP 403: the token gives no access to it"},
	};
	char message[FETCH_MESSAGE_SIZE];
	struct sink sink;
	struct bed bed;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fetch_places *places =
			make_places(make_group("import hf", 0, cases[i].authorization),
				    world.server.base, cases[i].path);

		server_reset(&world.server);
		bed_init(&bed, 8);
		bed_start(&bed);
		assert_int_equal(get(&bed, places, &sink), -EIO);
		snprintf(message, sizeof(message), "import hf: %s: %s", world.server.base,
			 cases[i].message);
		assert_string_equal(sink.message, message);
		assert_int_equal(count(&world.server, "\"method\""), 1);
		bed_end(&bed);
		fetch_places_unref(places);
	}
}

/* --- numbers --- */

/* Host I of many, which are all the same server. */
static struct fetch_places *host(const struct server *server, unsigned int i, const char *path)
{
	char base[64];

	snprintf(base, sizeof(base), "http://127.0.%u.%u%s", 1 + i / 100, 1 + i % 100,
		 strrchr(server->base, ':'));
	return make_places(make_group("catalog hub", 0, NULL), base, path);
}

static void server_of_many(struct server *server)
{
	static const char *const args[] = {"--host", "0.0.0.0", NULL};

	server_start(server, args);
}

static void test_many_hosts(void **state)
{
	struct fetch_source_state record;
	struct server server = {0};
	struct sink sink;
	struct bed bed;
	char name[64];

	server_of_many(&server);
	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "missing");
	bed_start(&bed);
	for (unsigned int i = 0; i < 130; i++) {
		struct fetch_places *places = host(&server, i, "honest/object");

		assert_int_equal(get(&bed, places, &sink), 0);
		assert_int_equal(sink.per_source[1 + i % 63], OBJECT_CHUNKS);
		fetch_places_unref(places);
	}
	/* The configured one is where it was. */
	assert_int_equal(fetch_source_count(bed.fetch), FETCH_SOURCES_MAX);
	fetch_source_state(bed.fetch, 0, &record);
	assert_string_equal(record.name, "s0");
	assert_true(record.configured);
	/* The last of the 130 hosts, which knows of nobody before it. */
	fetch_source_state(bed.fetch, 1 + 129 % 63, &record);
	snprintf(name, sizeof(name), "catalog hub: http://127.0.2.30%s", strrchr(server.base, ':'));
	assert_string_equal(record.name, name);
	assert_int_equal(record.requests, 1);
	bed_end(&bed);
	server_stop(&server);
}

/* A number stays whose it is as long as places are held; with all of them held there is none for another. */
static void test_held(void **state)
{
	struct fetch_places *held[FETCH_SOURCES_MAX], *places;
	struct fetch_source_state record;
	struct server server = {0};
	struct sink sink;
	struct bed bed;

	server_of_many(&server);
	bed_init(&bed, 8);
	bed_start(&bed);
	for (unsigned int i = 0; i < FETCH_SOURCES_MAX; i++) {
		held[i] = host(&server, i, "honest/object");
		assert_int_equal(get(&bed, held[i], &sink), 0);
	}
	places = host(&server, 64, "honest/object");
	assert_int_equal(get(&bed, places, &sink), -EIO);
	assert_string_equal(sink.message, "catalog hub: more than 64 hosts at once");
	/* Blame is for those who were asked. */
	fetch_blame(bed.fetch, 7, "late");
	fetch_source_state(bed.fetch, 7, &record);
	assert_int_equal(record.lies, 1);
	/* Not the one that is idle for longest, but the one that nobody holds. */
	fetch_places_unref(held[7]);
	assert_int_equal(get(&bed, places, &sink), 0);
	assert_int_equal(sink.per_source[7], OBJECT_CHUNKS);
	fetch_source_state(bed.fetch, 7, &record);
	assert_int_equal(record.lies, 0);
	/* Those that are held know it. */
	assert_int_equal(get(&bed, held[0], &sink), 0);
	assert_int_equal(sink.per_source[0], OBJECT_CHUNKS);
	fetch_places_unref(places);
	bed_end(&bed);
	/* What is held may be given back after the end. */
	for (unsigned int i = 0; i < FETCH_SOURCES_MAX; i++)
		if (i != 7)
			fetch_places_unref(held[i]);
	server_stop(&server);
}

/* Many at once, more hosts than numbers, and somebody who looks all the time: each gets its bytes or is told why not. */
static void test_many_at_once(void **state)
{
	struct fetch_places *places[100];
	struct server server = {0};
	struct sink *sinks = calloc(100, sizeof(*sinks));
	unsigned int good = 0;
	struct bed bed;

	server_of_many(&server);
	bed_init(&bed, 16);
	bed_start(&bed);
	for (unsigned int i = 0; i < 100; i++) {
		places[i] = host(&server, i, i % 3 ? "honest/object" : "flaky/object?times=1");
		sink_init(&sinks[i], &bed, FETCH_CHUNKS);
		sinks[i].request.places = places[i];
		fetch_submit(bed.fetch, &sinks[i].request);
	}
	for (unsigned int i = 0; i < 100; i++) {
		struct fetch_source_state record;

		sink_wait(&sinks[i]);
		for (unsigned int j = 0; j < fetch_source_count(bed.fetch); j++) {
			fetch_source_state(bed.fetch, j, &record);
			assert_memory_equal(record.name, "catalog hub: ", 13);
		}
		if (sinks[i].result.error == 0) {
			sink_assert_good(&sinks[i]);
			good++;
		} else {
			assert_non_null(strstr(sinks[i].message, "hosts at once"));
		}
		fetch_places_unref(places[i]);
		sink_destroy(&sinks[i]);
	}
	assert_true(good >= 64);
	bed_end(&bed);
	server_stop(&server);
	free(sinks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),	       cmocka_unit_test(test_beside_sources),
		cmocka_unit_test(test_cannot_be_used), cmocka_unit_test(test_groups),
		cmocka_unit_test(test_several),	       cmocka_unit_test(test_lies),
		cmocka_unit_test(test_credential),     cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many_hosts),     cmocka_unit_test(test_held),
		cmocka_unit_test(test_many_at_once),
	};

	return cmocka_run_group_tests_name("fetch-places", tests, world_set_up, world_tear_down);
}
