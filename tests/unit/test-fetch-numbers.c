/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of the sources that places make: there are fewer than hosts. */
#include "tests/unit/places-testing.h"

#include <stdlib.h>

/* Host I of many, which are all the same server. */
static struct fetch_places *host_of(const struct server *server, uint32_t owner, unsigned int i,
				    const char *path)
{
	char base[64];

	snprintf(base, sizeof(base), "http://127.0.%u.%u%s", 1 + i / 100, 1 + i % 100,
		 strrchr(server->base, ':'));
	return make_owned_places(make_group(owner ? "import hf" : "catalog hub", 0, NULL), owner, base, path);
}

static struct fetch_places *host(const struct server *server, unsigned int i, const char *path)
{
	return host_of(server, 0, i, path);
}

/* It answers for all of 127.0.0.0/8. */
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

/* However many hosts users name and hold, others have numbers, and so have signed catalogs. */
static void test_owners(void **state)
{
	struct fetch_places *held[3][FETCH_OWNER_NUMBERS], *places;
	struct server server = {0};
	struct sink sink;
	struct bed bed;

	server_of_many(&server);
	bed_init(&bed, 8);
	bed_start(&bed);
	for (uint32_t owner = 1; owner <= 2; owner++) {
		for (unsigned int i = 0; i < FETCH_OWNER_NUMBERS; i++) {
			held[owner][i] = host_of(&server, owner, i, "honest/object");
			assert_int_equal(get(&bed, held[owner][i], &sink), 0);
		}
		places = host_of(&server, owner, FETCH_OWNER_NUMBERS, "honest/object");
		assert_int_equal(get(&bed, places, &sink), -EIO);
		assert_string_equal(sink.message, "import hf: more than 16 hosts at once");
		/* Its own it may use again. */
		fetch_places_unref(held[owner][3]);
		assert_int_equal(get(&bed, places, &sink), 0);
		assert_int_equal(sink.per_source[(owner - 1) * FETCH_OWNER_NUMBERS + 3], OBJECT_CHUNKS);
		held[owner][3] = places;
	}
	/* Owners have half of all. */
	places = host_of(&server, 3, 0, "honest/object");
	assert_int_equal(get(&bed, places, &sink), -EIO);
	fetch_places_unref(held[1][0]);
	assert_int_equal(get(&bed, places, &sink), 0);
	assert_int_equal(sink.per_source[0], OBJECT_CHUNKS);
	fetch_places_unref(places);
	places = host(&server, 0, "honest/object");
	assert_int_equal(get(&bed, places, &sink), 0);
	assert_int_equal(sink.per_source[FETCH_OWNERS_NUMBERS], OBJECT_CHUNKS);
	fetch_places_unref(places);
	bed_end(&bed);
	for (uint32_t owner = 1; owner <= 2; owner++)
		for (unsigned int i = owner == 1; i < FETCH_OWNER_NUMBERS; i++)
			fetch_places_unref(held[owner][i]);
	server_stop(&server);
}

/* What one owner named and was not there is nothing to others; another set of the same places holds no number. */
static void test_owners_lies(void **state)
{
	struct fetch_places *one, *other, *copy;
	struct server server = {0};
	struct sink sink;
	struct bed bed;

	server_of_many(&server);
	bed_init(&bed, 8);
	bed_start(&bed);
	one = host_of(&server, 1, 0, "honest/object");
	copy = host_of(&server, 1, 0, "honest/object");
	assert_int_equal(get(&bed, copy, &sink), 0);
	assert_int_equal(sink.per_source[0], OBJECT_CHUNKS);
	fetch_places_unref(copy);
	/* Nobody holds it: it is another's as soon as they are all used. */
	for (unsigned int i = 1; i <= FETCH_OWNER_NUMBERS; i++) {
		other = host_of(&server, 1, i, "honest/object");
		assert_int_equal(get(&bed, other, &sink), 0);
		assert_int_equal(sink.per_source[i % FETCH_OWNER_NUMBERS], OBJECT_CHUNKS);
		fetch_places_unref(other);
	}
	assert_int_equal(get(&bed, one, &sink), 0);
	assert_int_equal(sink.per_source[1], OBJECT_CHUNKS);
	for (unsigned int i = 0; i < 3; i++)
		fetch_blame(bed.fetch, 1, "what is not there");
	other = host_of(&server, 2, 0, "honest/object");
	assert_int_equal(get(&bed, other, &sink), 0);
	assert_int_equal(sink.per_source[FETCH_OWNER_NUMBERS], OBJECT_CHUNKS);
	fetch_places_unref(other);
	fetch_places_unref(one);
	bed_end(&bed);
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

/* The number of a host goes to another while its realm has not answered yet. */
static void test_silent_realm(void **state)
{
	struct fetch_group_options options = {
		.name = "import oci",
		.allow_http = true,
		.allow_private = true,
		.token_challenge = true,
	};
	struct fetch_group *group;
	struct fetch_places *places;
	struct server server = {0};
	struct sink sink;
	struct bed bed;
	char path[256];

	server_of_many(&server);
	bed_init(&bed, 8);
	bed.options.stall_timeout_ms = 2000;
	bed_start(&bed);
	assert_int_equal(fetch_group_new(&options, &group), 0);
	snprintf(path, sizeof(path), "registry/object?realm=%s/token/x?hang=1", server.base);
	places = make_places(group, server.base, path);
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink.request.places = places;
	fetch_submit(bed.fetch, &sink.request);
	while (server_count(&server, "\"path\": \"/token/x?hang") == 0)
		;
	pthread_mutex_lock(&sink.lock);
	sink.unwanted = true;
	pthread_mutex_unlock(&sink.lock);
	sink_wait(&sink);
	assert_int_equal(sink.result.error, -ECANCELED);
	sink_destroy(&sink);
	fetch_places_unref(places);
	/* All numbers go to others. */
	for (unsigned int i = 0; i < FETCH_SOURCES_MAX; i++) {
		places = host(&server, i, "missing/object");
		assert_int_equal(get(&bed, places, &sink), -ENOENT);
		fetch_places_unref(places);
	}
	/* Longer than the realm may be silent. */
	places = host(&server, 0, "stall/object");
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink.request.places = places;
	fetch_submit(bed.fetch, &sink.request);
	while (server_count(&server, "/stall/object") < 2)
		;
	pthread_mutex_lock(&sink.lock);
	sink.unwanted = true;
	pthread_mutex_unlock(&sink.lock);
	sink_wait(&sink);
	sink_destroy(&sink);
	fetch_places_unref(places);
	bed_end(&bed);
	server_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_hosts),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_owners_lies),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_silent_realm),
	};

	return cmocka_run_group_tests_name("fetch-numbers", tests, world_set_up, world_tear_down);
}
