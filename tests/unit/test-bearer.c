/* SPDX-License-Identifier: Apache-2.0 */
/* What registries of images say of their tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/bearer.h"

static void expect(const char *value, const char *realm, const char *service, const char *scope)
{
	struct bearer_challenge challenge;

	assert_int_equal(bearer_challenge_parse(value, &challenge), 0);
	assert_string_equal(challenge.realm, realm);
	assert_string_equal(challenge.service, service);
	assert_string_equal(challenge.scope, scope);
}

static void test_challenges(void **state)
{
	/* Docker's registry */
	expect("Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
	       "scope=\"repository:ai/smollm2:pull\"",
	       "https://auth.docker.io/token", "registry.docker.io", "repository:ai/smollm2:pull");
	/* RFC 9110: schemes and names have no case, blanks around "=" and ",", tokens, escapes, other parameters */
	expect("bearer Realm = \"https://a.example/t\" , error=invalid_token\t,SERVICE=reg",
	       "https://a.example/t", "reg", "");
	expect("Bearer realm=\"a\\\"b\\\\c\"", "a\"b\\c", "", "");
	/* The example of section 11.6.1, with one more behind it. */
	expect("Basic realm=\"simple\", Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\", "
	       "Bearer scope=\"x, y\",realm=\"z\"",
	       "z", "", "x, y");
	expect("Bearer realm=https://a/t?x=1,scope=y", "https://a/t?x=1", "", "y");
	expect("Negotiate, Basic dGVzdA==, , Bearer realm=q", "q", "", "");
	/* A first one without a place to ask does not count; the first value does. */
	expect("Bearer error=x, Bearer realm=\"b\", realm=\"c\"", "b", "", "");
}

static void test_not_challenges(void **state)
{
	static const char *const none[] = {"", ",", "Basic realm=\"x\"", "Bearer", "Bearer abc=",
					   "Bearer service=\"realm\""};
	static const char *const bad[] = {"Bearer realm=\"x", "Bearer realm=\"x\\", "=\"x\"",
					  "Bearer realm=\"x\" y", "\"Bearer\"", "Bearer \"x\"",
					  "Bearer@ realm=x"};
	struct bearer_challenge challenge;
	char *large = malloc(2 * BEARER_VALUE_SIZE);

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_int_equal(bearer_challenge_parse(none[i], &challenge), -ENOENT);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(bearer_challenge_parse(bad[i], &challenge), -EINVAL);
	for (int quoted = 0; quoted < 2; quoted++) {
		strcpy(large, quoted ? "Bearer realm=\"" : "Bearer realm=");
		for (size_t i = strlen(large), n = i + BEARER_VALUE_SIZE; i <= n; i++)
			large[i] = i == n ? '\0' : 'a';
		strcat(large, quoted ? "\"" : "");
		assert_int_equal(bearer_challenge_parse(large, &challenge), -EINVAL);
	}
	free(large);
	assert_true(bearer_challenge_has("Bearer realm=x, BASIC realm=\"y\"", "Basic"));
	assert_false(bearer_challenge_has("Bearer realm=\"Basic\"", "Basic"));
}

static void expect_url(const char *realm, const char *service, const char *scope, const char *url)
{
	struct bearer_challenge challenge = {0};
	char *out;

	strcpy(challenge.realm, realm);
	strcpy(challenge.service, service);
	strcpy(challenge.scope, scope);
	if (!url) {
		assert_int_equal(bearer_token_url(&challenge, &out), -EINVAL);
		return;
	}
	assert_int_equal(bearer_token_url(&challenge, &out), 0);
	assert_string_equal(out, url);
	free(out);
}

static void test_urls(void **state)
{
	expect_url("https://a.example/token", "reg", "repository:a/b:pull",
		   "https://a.example/token?service=reg&scope=repository:a/b:pull");
	expect_url("https://a.example/token?x=1", "a&b=c#", " one:x:pull  two%20 ",
		   "https://a.example/token?x=1&service=a%26b%3Dc%23&scope=one:x:pull&scope=two%2520");
	expect_url("HTTP://a.example", "", "", "HTTP://a.example");
	expect_url("https://a.example/\xc3\xa4", "", "", NULL);
	expect_url("https://a.example/a b", "", "", NULL);
	expect_url("https://a.example/#x", "", "", NULL);
	expect_url("/token", "", "", NULL);
	expect_url("ftp://a.example/x", "y", "", "ftp://a.example/x?service=y");
}

static void expect_token(const char *body, const char *token)
{
	char *out;

	if (!token) {
		assert_int_equal(bearer_token_parse(body, strlen(body), &out), -EINVAL);
		return;
	}
	assert_int_equal(bearer_token_parse(body, strlen(body), &out), 0);
	assert_string_equal(out, token);
	free(out);
}

static void test_tokens(void **state)
{
	expect_token("{\"token\": \"abc.d_f-\", \"expires_in\": 300}", "abc.d_f-");
	expect_token("{\"access_token\": \"x\"}", "x");
	expect_token("{\"token\": \"x\", \"access_token\": \"y\"}", "x");
	expect_token("{\"token\": \"\"}", NULL);
	expect_token("{\"token\": 1}", NULL);
	expect_token("{\"token\": \"a\\r\\nHost: b\"}", NULL);
	expect_token("[\"token\"]", NULL);
	expect_token("", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_challenges),
		cmocka_unit_test(test_not_challenges),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
