/* SPDX-License-Identifier: Apache-2.0 */
/*
 * International host names, and what is one site. The punycode is what Python's idna 3.13 says, encode(name, uts46=True,
 * transitional=False); the sites are read from https://publicsuffix.org by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/internal.h"

static const struct {
	const char *host, *ascii;
} good[] = {
	{"b\xc3\xbc" "cher.example", "xn--bcher-kva.example"},
	{"B\xc3\x9c" "CHER.example", "xn--bcher-kva.example"},
	{"fa\xc3\x9f.de", "xn--fa-hia.de"},
	{"\xce\xb2\xcf\x8c\xce\xbb\xce\xbf\xcf\x82.com", "xn--nxasmm1c.com"},
	{"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x80\x82\xef\xbc\xaa\xef\xbc\xb0", "xn--wgv71a119e.jp"},
	{"\xef\xbc\xa1\xef\xbc\xa2\xef\xbc\xa3.com", "abc.com"},
	{"\xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a.example", "xn--ngbrx4e.example"},
	{"\xd9\x86\xd8\xa7\xd9\x85\xd9\x87\xe2\x80\x8c\xd8\xa7\xdb\x8c.com", "xn--mgba3gch31f060k.com"},
	{"\xe0\xb7\x81\xe0\xb7\x8a\xe2\x80\x8d\xe0\xb6\xbb\xe0\xb7\x93.com", "xn--10cl1a0b660p.com"},
	{"\xd1\x80\xd0\xbe\xd1\x81\xd1\x81\xd0\xb8\xd1\x8f.\xd1\x80\xd1\x84", "xn--h1alffa9f.xn--p1ai"},
	{"a\xcc\x88.example", "xn--4ca.example"},
	{"stra\xc3\x9f" "e.example", "xn--strae-oqa.example"},
	{"\xc7\x85.example", "xn--d-toa.example"},
	{"\xef\xac\x81.example", "fi.example"},
	{"\xc4\xb0.example", "xn--i-9bb.example"},
	{"\xed\x95\x9c\xea\xb5\xad.kr", "xn--3e0b707e.kr"},
	{"\xe0\xa4\xae\xe0\xa4\xb0\xe0\xa4\xbe\xe0\xa4\xa0\xe0\xa5\x80.\xe0\xa4\xad\xe0\xa4\xbe\xe0\xa4\xb0\xe0\xa4\xa4", "xn--d2b1ag0dl.xn--h2brj9c"},
	{"a\xc2\xad" "b.com", "ab.com"},
	{"xn--bcher-kva.\xc3\xbc.de", "xn--bcher-kva.xn--tda.de"},
	{"\xd0\xb0\xd1\x80\xd1\x80\xd3\x8f\xd0\xb5.com", "xn--80ak6aa92e.com"},
	{"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1", "127.0.0.1"},
};

static void test_known(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char text[POLICY_ORIGIN_SIZE], origin[POLICY_ORIGIN_SIZE];
		char expected[POLICY_ORIGIN_SIZE], dir[POLICY_ORIGIN_SIZE];

		snprintf(text, sizeof(text), "https://%s:8443", good[i].host);
		snprintf(expected, sizeof(expected), "https://%s:8443", good[i].ascii);
		if (policy_origin_parse(text, origin) != 0)
			fail_msg("%s is refused", text);
		assert_string_equal(origin, expected);
		/* A directory has the ASCII name alone. */
		assert_int_equal(policy_origin_to_dir(text, dir), -EINVAL);
		snprintf(text, sizeof(text), "https_%s_0", good[i].host);
		assert_int_equal(policy_origin_from_dir(text, origin), -EINVAL);
		snprintf(text, sizeof(text), "https_%s_0", good[i].ascii);
		assert_int_equal(policy_origin_from_dir(text, origin), 0);
	}
}

static const struct {
	const char *host, *reason;
} bad[] = {
	{"a\xef\xbc\x8f" "b.de", "no host name"},
	{"a\xef\xbc\x9a" "80", "no host name"},
	{"\xef\xbc\x8a.\xc3\xbc.de", "no host name"},
	{"a\xef\xbc\xa0" "b.de", "no host name"},
	{"a\xef\xbc\x9f" "b.de", "no host name"},
	{"a\xef\xbc\x83" "b", "no host name"},
	{"\xc3\xbc\xef\xbc\x85\xef\xbc\x92\xef\xbd\x86.de", "international"},
	{"\xc3\xbc.", "ends with a dot"},
	{"\xc3\xbc\xe3\x80\x82", "ends with a dot"},
	{"\xc3\xbc..de", "empty label"},
	{"\xc3\xbc\xe3\x80\x82\xe3\x80\x82" "de", "empty label"},
	{"-\xc3\xbc.de", "international"},
	{"\xcc\x81" "a.de", "international"},
	{"\xe2\x80\x8d" "a.de", "international"},
	{"xn--a.\xc3\xbc.de", "international"},
	{"\xe2\x98\x83.net", "international"},
	{"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc.de", "international"},
	{"[\xc3\xbc]", "international"},
	{"a\xe3\x80\x80" "b", "no host name"},
	{"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.\xef\xbc\x92\xef\xbc\x95\xef\xbc\x96", "not an IPv4"},
	{"\xef\xbc\x91\xef\xbc\x8e\xef\xbc\x92\xef\xbc\x8e\xef\xbc\x93\xef\xbc\x8e\xef\xbc\x94\xef\xbc\x8e\xef\xbc\x95", "not an IPv4"},
	{"b\xfc" "cher.de", "international"}, /* Latin-1 */
	{"a\xed\xa0\x80", "international"},
};

static void test_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char text[POLICY_ORIGIN_SIZE], origin[POLICY_ORIGIN_SIZE];
		const char *reason = "?";

		snprintf(text, sizeof(text), "https://%s", bad[i].host);
		if (policy_origin_explain(text, origin, &reason) != -EINVAL)
			fail_msg("%s is taken as %s", text, origin);
		if (!strstr(reason, bad[i].reason))
			fail_msg("%s: %s", text, reason);
	}
}

/* A name may be far longer in UTF-8 than in ASCII. */
static void test_long(void **state)
{
	char text[POLICY_ORIGIN_TEXT_SIZE + 8] = "https://", origin[POLICY_ORIGIN_SIZE];

	/* Three labels of 54 characters of three bytes each. */
	for (int label = 0; label < 3; label++) {
		for (int i = 0; i < 54; i++)
			strcat(text, "\xe6\x97\xa5");
		strcat(text, label < 2 ? "." : ":1");
	}
	assert_true(strlen(text) > POLICY_ORIGIN_SIZE);
	assert_int_equal(policy_origin_parse(text, origin), 0);
	assert_int_equal(strncmp(origin, "https://xn--", 12), 0);
	memset(text + 8, 'a', POLICY_ORIGIN_TEXT_SIZE - 8);
	strcpy(text + POLICY_ORIGIN_TEXT_SIZE - 2, "\xc3\xbc");
	assert_int_equal(policy_origin_parse(text, origin), -EINVAL);
}

/* ---- sites ---- */

static const struct {
	const char *host, *site; /* NULL: it has none */
} sites[] = {
	{"example.com", "example.com"},
	{"a.b.example.com", "example.com"},
	{"com", NULL},
	{"co.uk", NULL},
	{"example.co.uk", "example.co.uk"},
	{"www.example.co.uk", "example.co.uk"},
	{"github.io", NULL},
	{"someone.github.io", "someone.github.io"},
	{"amazonaws.com", "amazonaws.com"},
	{"s3.amazonaws.com", NULL},
	{"bucket.s3.amazonaws.com", "bucket.s3.amazonaws.com"},
	{"x.bucket.s3.amazonaws.com", "bucket.s3.amazonaws.com"},
	/* `*.kawasaki.jp`, but `!city.kawasaki.jp`. */
	{"kawasaki.jp", NULL},
	{"x.kawasaki.jp", NULL},
	{"y.x.kawasaki.jp", "y.x.kawasaki.jp"},
	{"city.kawasaki.jp", "city.kawasaki.jp"},
	{"www.city.kawasaki.jp", "city.kawasaki.jp"},
	{"xn--55qx5d.cn", NULL},
	{"a.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"},
	/* Not on the list: the last label is a suffix all the same. */
	{"internal", NULL},
	{"a.internal", "a.internal"},
	{"b.a.internal", "a.internal"},
};

static void test_sites(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(sites); i++) {
		const char *site = policy_registrable(sites[i].host);

		if (!site != !sites[i].site || (site && strcmp(site, sites[i].site) != 0))
			fail_msg("%s: %s", sites[i].host, site ? site : "(none)");
	}
}

static void test_hosts(void **state)
{
	char host[POLICY_HOST_SIZE];

	assert_true(policy_host("https://a.example.com:8443", host));
	assert_string_equal(host, "a.example.com");
	assert_true(policy_host("http://a1", host));
	assert_string_equal(host, "a1");
	assert_true(policy_host("https://1a.2b", host));
	assert_false(policy_host("https://1.2.3.4", host));
	assert_false(policy_host("https://1.2.3.4:80", host));
	assert_false(policy_host("https://[::1]", host));
	assert_false(policy_host("local", host));
}

/* What a line says about all sites of a suffix, or about one that is none. */
static void test_patterns(void **state)
{
	static const struct {
		const char *pattern, *message; /* NULL: it is good */
	} patterns[] = {
		{"https://*.com", "would cover the whole public suffix 'com'"},
		{"https://*.github.io:8443", "would cover the whole public suffix 'github.io'"},
		{"http://*.kawasaki.jp", "would cover the whole public suffix 'kawasaki.jp'"},
		{"https://*.x.kawasaki.jp", "would cover the whole public suffix 'x.kawasaki.jp'"},
		{"https://*.\xe5\x85\xac\xe5\x8f\xb8.cn", "public suffix 'xn--55qx5d.cn'"},
		{"https://*.COM", "public suffix 'com'"},
		{"https://*.internal", NULL},
		{"https://*.amazonaws.com", NULL},
		{"https://*.someone.github.io", NULL},
		{"site:https://example.com", NULL},
		{"site:HTTP://Example.com:80", NULL},
		{"site:https://a.internal", NULL},
		{"site:https://b\xc3\xbc" "cher.example", NULL},
		{"site:https://www.example.com", "'www.example.com' is part of 'example.com'"},
		{"site:https://com", "'com' is a public suffix or a single label"},
		{"site:https://internal", "a public suffix or a single label"},
		{"site:https://github.io", "a public suffix or a single label"},
		{"site:https://example.com:8443", "a site has no port"},
		{"site:https://127.0.0.1", "a domain that somebody registered"},
		{"site:https://[::1]", "a domain that somebody registered"},
		{"site:local", "a domain that somebody registered"},
		{"site:https://*.example.com", "'*.' is for the front"},
		{"site:https://example.com/", "no path"},
		{"site:", "nor a local name"},
		{"site:site:https://example.com", "only https://"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		struct policy_error error = {.message = ""};
		struct policy *policy = NULL;
		char text[256];

		snprintf(text, sizeof(text), "allow %s to any", patterns[i].pattern);
		if (policy_parse("p", text, strlen(text), NULL, &policy, &error) == 0) {
			if (patterns[i].message)
				fail_msg("%s is accepted", patterns[i].pattern);
			policy_unref(policy);
		} else if (!patterns[i].message || !strstr(error.message, patterns[i].message)) {
			fail_msg("%s: %s", patterns[i].pattern, error.message);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long),  cmocka_unit_test(test_sites),
		cmocka_unit_test(test_hosts), cmocka_unit_test(test_patterns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
