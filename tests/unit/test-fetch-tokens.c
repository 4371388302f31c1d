/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as registries want them: challenges, and what becomes of requests meanwhile. */
#include "tests/unit/fetch-harness.h"

#include <stdlib.h>
#include "fetch/exchange.h"

static void test_challenges(void **state)
{
	static const char *const cases[][2] = {
		{"Bearer realm=\"https://a/t\"", "https://a/t"},
		{"bearer  Realm = https://a/t , service=x", "https://a/t?service=x"},
		{"Bearer "
		 "realm=\"https://a/t?x=1\",service=\"r.io\",scope=\"repository:o/n:pull,push\"",
		 "https://a/t?x=1&service=r.io&scope=repository%3ao%2fn%3apull%2cpush"},
		{"Bearer error=\"x\",realm=\"https://a/t\",scope=\"a \\\"b\\\"\"",
		 "https://a/t?scope=a+%22b%22"},
		{"Bearer realm=\"https://a/t\",realm=\"https://b/t\",scope=\"\"", "https://a/t"},
		{"Basic realm=\"https://a/t\"", NULL},
		{"Bearer", NULL},
		{"Bearer ", NULL},
		{"Bearer realm", NULL},
		{"Bearer realm=", NULL},
		{"Bearer realm=\"https://a/t", NULL},
		{"Bearer scope=\"x\"", NULL},
		{"Bearer realm=\"relative\",scope=x", NULL},
		{"Bearer =x", NULL},
		{"Bearer realm=\"https://a/t\"; x", NULL},
		{"Bearer realm=\"https://a/t\\", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *url = challenge_url(cases[i][0]);

		if (!url != !cases[i][1] || (url && strcasecmp(url, cases[i][1]) != 0))
			fail_msg("%s: %s", cases[i][0], url ? url : "NULL");
		free(url);
	}
}

static void test_answers(void **state)
{
	static const char *const cases[][2] = {
		{"{\"token\":\"a.b-c_d~e+f/g==\"}", "Authorization: Bearer a.b-c_d~e+f/g=="},
		{"{\"access_token\":\"x\",\"expires_in\":300}", "Authorization: Bearer x"},
		{"{\"token\":\"x\",\"access_token\":\"y\"}", "Authorization: Bearer x"},
		{"{\"token\":\"\"}", NULL},
		{"{\"token\":\"a\\r\\nX: y\"}", NULL},
		{"{\"token\":\"a b\"}", NULL},
		{"{\"token\":7}", NULL},
		{"[\"token\"]", NULL},
		{"{\"token\":\"x\"", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *header = challenge_header(cases[i][0], strlen(cases[i][0]));

		if (!header != !cases[i][1] || (header && strcmp(header, cases[i][1]) != 0))
			fail_msg("%s: %s", cases[i][0], header ? header : "NULL");
		free(header);
	}
}

static struct fetch_group_options options = {
	.name = "import oci",
	.allow_http = true,
	.allow_private = true,
	.token_challenge = true,
};

/* The object at PATH of the server. */
static struct fetch_places *make_places(const char *path)
{
	char url[512];
	struct fetch_place place = {.url = url};
	struct fetch_places *places;

	snprintf(url, sizeof(url), "%s/%s", world.server.base, path);
	assert_int_equal(fetch_group_new(&options, &place.group), 0);
	assert_int_equal(fetch_places_new(&place, 1, &places), 0);
	fetch_group_unref(place.group);
	return places;
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

static struct bed bed;

static void start(void)
{
	server_reset(&world.server);
	bed_init(&bed, 16);
	bed_start(&bed);
}

static int get_as(const char *path, uint32_t party, struct sink *sink)
{
	struct fetch_places *places = make_places(path);

	sink_init(sink, &bed, FETCH_CHUNKS);
	sink->request.places = places;
	sink->request.party = party;
	sink_run(sink);
	if (sink->result.error == 0)
		sink_assert_good(sink);
	sink_destroy(sink);
	fetch_places_unref(places);
	return sink->result.error;
}

static int get(const char *path, struct sink *sink)
{
	return get_as(path, 0, sink);
}

static void assert_message(const struct sink *sink, const char *text)
{
	char message[FETCH_MESSAGE_SIZE];

	snprintf(message, sizeof(message), "import oci: %s: %s", world.server.base, text);
	assert_string_equal(sink->message, message);
}

static void test_token(void **state)
{
	struct sink sink;

	start();
	assert_int_equal(get("registry/object", &sink), 0);
	assert_int_equal(count(&world.server, "/registry/object"), 2);
	assert_int_equal(count(&world.server, "\"path\": \"/token/x?service=a+%22test%22&scope="),
			 1);
	/* It is kept, for all of its folder, but for this party. */
	assert_int_equal(get("registry/object", &sink), 0);
	assert_int_equal(get("registry/object?other", &sink), 0);
	assert_int_equal(count(&world.server, "/token/"), 1);
	assert_int_equal(count(&world.server, "\"method\""), 5);
	assert_int_equal(get_as("registry/object", 1, &sink), 0);
	assert_int_equal(count(&world.server, "/token/"), 2);
	assert_int_equal(count(&world.server, "Bearer t0"), 3);
	assert_int_equal(count(&world.server, "Bearer t1"), 1);
	bed_end(&bed);
}

/* A token that has run out is asked for anew, once; one that never helps is the end. */
static void test_expired(void **state)
{
	struct sink sink;

	start();
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(get("registry/object?uses=2", &sink), 0);
	assert_int_equal(count(&world.server, "/token/"), 3);
	/* The first, 6 answers, and each token's end. */
	assert_int_equal(count(&world.server, "/registry/"), 9);
	bed_end(&bed);

	start();
	assert_int_equal(get("registry/object?uses=0", &sink), -EIO);
	assert_message(&sink, "HTTP 401: the token is refused");
	assert_int_equal(count(&world.server, "/token/"), 2);
	bed_end(&bed);
}

/* Many that need one token ask for one. */
static void test_together(void **state)
{
	struct fetch_places *places = make_places("registry/object");
	struct sink sinks[12];

	start();
	for (size_t i = 0; i < ARRAY_SIZE(sinks); i++) {
		sink_init(&sinks[i], &bed, FETCH_CHUNKS);
		sinks[i].request.places = places;
		fetch_submit(bed.fetch, &sinks[i].request);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sinks); i++) {
		sink_wait(&sinks[i]);
		sink_assert_good(&sinks[i]);
		sink_destroy(&sinks[i]);
	}
	assert_int_equal(count(&world.server, "\"path\": \"/token/"), 1);
	bed_end(&bed);
	fetch_places_unref(places);
}

/* The credential goes to a realm on the place's own host, and to no other. */
static void test_credential(void **state)
{
	static const char *const none[] = {NULL};
	struct server other = {0};
	struct sink sink;
	char path[256];

	server_start(&other, none);
	options.authorization = "Basic czNjcmV0";
	start();
	assert_int_equal(get("registry/object", &sink), 0);
	assert_int_equal(count(&world.server, "Basic czNjcmV0"), 2);
	bed_end(&bed);

	/* This realm gives tokens that the registry does not know. */
	start();
	snprintf(path, sizeof(path), "registry/object?realm=%s/token/x", other.base);
	assert_int_equal(get(path, &sink), -EIO);
	assert_message(&sink, "HTTP 401: the token is refused");
	assert_int_equal(count(&other, "\"method\""), 2);
	assert_int_equal(count(&other, "czNjcmV0"), 0);
	assert_int_equal(count(&other, "Bearer"), 0);
	bed_end(&bed);
	options.authorization = NULL;
	server_stop(&other);
}

static void test_bad_realms(void **state)
{
	static const char *const cases[][2] = {
		{"registry/object?realm=ftp://127.0.0.1/",
		 "HTTP 401: the scheme is neither https nor http"},
		{"registry/object?realm=relative", "HTTP 401: its challenge cannot be understood"},
		{"registry/object?realm=BASE/token/x?status=403", "asking for a token: HTTP 403"},
		{"registry/object?realm=BASE/redirect-relative/object",
		 "asking for a token: HTTP 302"},
		{"registry/object?realm=BASE/honest/object",
		 "asking for a token: no token in the answer"},
		{"registry/object?realm=BASE/honest/empty",
		 "asking for a token: no token in the answer"},
		{"registry/object?realm=BASE/garbage/x",
		 "asking for a token: Received HTTP/0.9 when not allowed"},
	};
	struct sink sink;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[256];
		const char *base = strstr(cases[i][0], "BASE");

		snprintf(path, sizeof(path), "%.*s%s%s",
			 base ? (int)(base - cases[i][0]) : (int)strlen(cases[i][0]), cases[i][0],
			 base ? world.server.base : "", base ? base + 4 : "");
		start();
		assert_int_equal(get(path, &sink), -EIO);
		assert_message(&sink, cases[i][1]);
		bed_end(&bed);
	}
}

/* A realm that says nothing holds up nobody else, and nothing when all ends. */
static void test_silent_realm(void **state)
{
	struct fetch_places *places;
	struct sink silent, sink;
	char path[256];

	snprintf(path, sizeof(path), "registry/object?realm=%s/token/x?hang=1", world.server.base);
	places = make_places(path);
	start();
	sink_init(&silent, &bed, FETCH_CHUNKS);
	silent.request.places = places;
	fetch_submit(bed.fetch, &silent.request);
	/* As another party, whose token does not help. */
	assert_int_equal(get_as("registry/object", 1, &sink), 0);
	assert_false(silent.done);
	/* Stalled, and tried again, as long as it is wanted. */
	for (unsigned int n = 0; n < 2;)
		n = count(&world.server, "\"path\": \"/token/x?hang");
	pthread_mutex_lock(&silent.lock);
	silent.unwanted = true;
	pthread_mutex_unlock(&silent.lock);
	sink_wait(&silent);
	assert_int_equal(silent.result.error, -ECANCELED);
	sink_destroy(&silent);

	sink_init(&silent, &bed, FETCH_CHUNKS);
	silent.request.places = places;
	fetch_submit(bed.fetch, &silent.request);
	for (unsigned int n = 0; n < 3;)
		n = count(&world.server, "\"path\": \"/token/x?hang");
	bed_end(&bed);
	assert_int_equal(silent.result.error, -ECANCELED);
	sink_destroy(&silent);
	fetch_places_unref(places);
}

/* Who waits for a token is answered by another source meanwhile. */
static void test_other_source(void **state)
{
	struct fetch_places *places;
	struct sink sink;
	char path[256];

	snprintf(path, sizeof(path), "registry/object?realm=%s/token/x?hang=1", world.server.base);
	options.priority = 1;
	places = make_places(path);
	options.priority = 0;
	server_reset(&world.server);
	bed_init(&bed, 8);
	bed_add(&bed, &world.server, "honest");
	bed_start(&bed);
	sink_init(&sink, &bed, FETCH_CHUNKS);
	sink.request.places = places;
	sink_run(&sink);
	sink_assert_good(&sink);
	assert_int_equal(sink.per_source[0], OBJECT_CHUNKS);
	assert_int_equal(count(&world.server, "\"path\": \"/registry/"), 1);
	sink_destroy(&sink);
	bed_end(&bed);
	fetch_places_unref(places);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_challenges),   cmocka_unit_test(test_answers),
		cmocka_unit_test(test_token),	     cmocka_unit_test(test_expired),
		cmocka_unit_test(test_together),     cmocka_unit_test(test_credential),
		cmocka_unit_test(test_bad_realms),   cmocka_unit_test(test_silent_realm),
		cmocka_unit_test(test_other_source),
	};

	return cmocka_run_group_tests_name("fetch-tokens", tests, world_set_up, world_tear_down);
}
