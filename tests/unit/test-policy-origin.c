/* SPDX-License-Identifier: Apache-2.0 */
/* Origins: one canonical spelling, one directory name, and everything else refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/internal.h"

#define X8   "xxxxxxxx"
#define X63  X8 X8 X8 X8 X8 X8 X8 "xxxxxxx"
#define X61  X8 X8 X8 X8 X8 X8 X8 "xxxxx"
#define H253 X63 "." X63 "." X63 "." X61
#define H254 X63 "." X63 "." X63 "." X61 "x"

static const struct {
	const char *text, *origin, *dir;
} good[] = {
	{"https://app.example.com", "https://app.example.com", "https_app.example.com_0"},
	{"HTTPS://App.Example.COM", "https://app.example.com", "https_app.example.com_0"},
	{"https://a.example:443", "https://a.example", "https_a.example_0"},
	{"https://a.example:0443", "https://a.example", "https_a.example_0"},
	{"https://a.example:80", "https://a.example:80", "https_a.example_80"},
	{"http://a.example:80", "http://a.example", "http_a.example_0"},
	{"http://a.example:443", "http://a.example:443", "http_a.example_443"},
	{"https://a.example:1", "https://a.example:1", "https_a.example_1"},
	{"https://a.example:65535", "https://a.example:65535", "https_a.example_65535"},
	{"https://localhost:8080", "https://localhost:8080", "https_localhost_8080"},
	{"https://XN--BCHER-KVA.example", "https://xn--bcher-kva.example",
	 "https_xn--bcher-kva.example_0"},
	/* A `_` in the host: the separators are the first and the last. */
	{"https://a_b.example", "https://a_b.example", "https_a_b.example_0"},
	{"https://_:8080", "https://_:8080", "https___8080"},
	{"https://a_0", "https://a_0", "https_a_0_0"},
	{"https://a_8080:443", "https://a_8080", "https_a_8080_0"},
	/* IPv4, and its odd spellings. */
	{"https://127.0.0.1", "https://127.0.0.1", "https_127.0.0.1_0"},
	{"https://0x7f.1", "https://127.0.0.1", "https_127.0.0.1_0"},
	{"https://2130706433", "https://127.0.0.1", "https_127.0.0.1_0"},
	{"https://010.1.2.3", "https://8.1.2.3", "https_8.1.2.3_0"},
	/* IPv6 as the WHATWG serializer writes it. */
	{"https://[::1]", "https://[::1]", "https_[__1]_0"},
	{"https://[::]", "https://[::]", "https_[__]_0"},
	{"https://[ABCD::EF]:8443", "https://[abcd::ef]:8443", "https_[abcd__ef]_8443"},
	{"https://[0:0:0:0:0:0:0:1]", "https://[::1]", "https_[__1]_0"},
	{"https://[1:0:0:2:0:0:0:3]", "https://[1:0:0:2::3]", "https_[1_0_0_2__3]_0"},
	{"https://[1:0:0:2:2:0:0:3]", "https://[1::2:2:0:0:3]", "https_[1__2_2_0_0_3]_0"},
	{"https://[1:0:2:3:4:5:6:7]", "https://[1:0:2:3:4:5:6:7]", "https_[1_0_2_3_4_5_6_7]_0"},
	{"https://[1:2:3:4:5:6:0:0]", "https://[1:2:3:4:5:6::]", "https_[1_2_3_4_5_6__]_0"},
	{"https://[::FFFF:129.144.52.38]", "https://[::ffff:8190:3426]",
	 "https_[__ffff_8190_3426]_0"},
	{"https://[::ffff:102:304]", "https://[::ffff:102:304]", "https_[__ffff_102_304]_0"},
	{"https://[64:ff9b::1.2.3.4]", "https://[64:ff9b::102:304]", "https_[64_ff9b__102_304]_0"},
	/* The longest. */
	{"https://" H253 ":65535", "https://" H253 ":65535", "https_" H253 "_65535"},
	/* Local names. */
	{"local", "local", "local"},
	{"a", "a", "a"},
	{"translator-2.beta_x", "translator-2.beta_x", "translator-2.beta_x"},
	{"https", "https", "https"},
	{"httpsx_a_0", "httpsx_a_0", "httpsx_a_0"},
	{X63 "x", X63 "x", X63 "x"},
};

static void test_canonical(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char origin[POLICY_ORIGIN_SIZE], dir[POLICY_ORIGIN_SIZE];
		char back[POLICY_ORIGIN_SIZE], again[POLICY_ORIGIN_SIZE];

		assert_int_equal(policy_origin_parse(good[i].text, origin), 0);
		assert_string_equal(origin, good[i].origin);
		assert_int_equal(policy_origin_parse(origin, again), 0);
		assert_string_equal(again, origin);
		assert_int_equal(policy_origin_to_dir(origin, dir), 0);
		assert_string_equal(dir, good[i].dir);
		assert_int_equal(policy_origin_from_dir(dir, back), 0);
		assert_string_equal(back, origin);
		assert_int_equal(policy_origin_is_web(origin), strchr(origin, ':') != NULL);
		if (strcmp(good[i].text, good[i].origin) != 0)
			assert_int_equal(policy_origin_to_dir(good[i].text, dir), -EINVAL);
	}
}

static const struct {
	const char *text, *reason;
} bad[] = {
	{"", "nor a local name"},
	{"null", "opaque"},
	{"any", "nor a local name"},
	{"none", "nor a local name"},
	{"Local", "nor a local name"},
	{"9x", "nor a local name"},
	{"a/b", "nor a local name"},
	{"..", "nor a local name"},
	{".hidden", "nor a local name"},
	{"a b", "nor a local name"},
	{"b\xc3\xbc", "nor a local name"},
	{X63 "xx", "nor a local name"},
	{"https:a.example", "nor a local name"},
	{"https:/a.example", "nor a local name"},
	{"https_a.example_0", "directory of a web origin"},
	{"http_", "directory of a web origin"},
	{"file:///etc", "only https://"},
	{"ftp://a.example", "only https://"},
	{"://a.example", "only https://"},
	{"blob:https://a.example", "only https://"},
	{" https://a.example", "blanks"},
	{"https://a.example/", "path"},
	{"https://a.example/x", "path"},
	{"https://a.example\\x", "path"},
	{"https:///a.example", "path"},
	{"https://a.example?", "query"},
	{"https://a.example#", "query or fragment"},
	{"https://a.example#x", "query or fragment"},
	{"https://@a.example", "user name"},
	{"https://:@a.example", "user name"},
	{"https://u:p@a.example", "user name"},
	{"https://", "host is missing"},
	{"https://:443", "host is missing"},
	{"https://a.example:", "port is missing"},
	{"https://[::1]:", "port is missing"},
	{"https://a.example:0", "1 to 65535"},
	{"https://a.example:65536", "1 to 65535"},
	{"https://a.example:99999999999999999999", "1 to 65535"},
	{"https://a.example:80a", "1 to 65535"},
	{"https://a.example:+80", "1 to 65535"},
	{"https://a.example:-1", "1 to 65535"},
	{"https://a.example:1:2", ""},
	{"https://a.example.", "ends with a dot"},
	{"https://1.2.3.4.", "ends with a dot"},
	{"https://.", "empty label"},
	{"https://.a", "empty label"},
	{"https://a..b", "empty label"},
	{"https://" X63 "x.example", "longer than 63"},
	{"https://" H254, "longer than 253"},
	{"https://%61.example", "percent"},
	{"https://a%2fb", "percent"},
	{"https://[fe80::1%25eth0]", "percent-encoding or zone"},
	{"https://a\x7f.example", "control"},
	{"https://a\n.example", "control"},
	{"https://a b", "blanks"},
	{"https://*.example.com", "'*.'"},
	{"https://a;b", "not valid"},
	{"https://a,b", ""},
	{"https://a~b", "no host name"},
	{"https://256.1.1.1", "not an IPv4"},
	{"https://1.2.3.4.5", "not an IPv4"},
	{"https://1.2.3.256", "not an IPv4"},
	{"https://0x", "not an IPv4"},
	{"https://a.0x4", "not an IPv4"},
	{"https://4294967296", "not an IPv4"},
	{"https://08.1.1.1", "not an IPv4"},
	{"https://[::1", "not valid"},
	{"https://[]", ""},
	{"https://[1:2]", ""},
	{"https://[1::2::3]", ""},
	{"https://[::1]x", ""},
	{"https://[v1.a]", ""},
	{"https://::1", ""},
};

static void test_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char out[POLICY_ORIGIN_SIZE] = "untouched";
		const char *reason = "?";

		if (policy_origin_explain(bad[i].text, out, &reason) != -EINVAL)
			fail_msg("'%s' was accepted", bad[i].text);
		if (!strstr(reason, bad[i].reason))
			fail_msg("'%s': %s", bad[i].text, reason);
		assert_int_equal(policy_origin_parse(bad[i].text, out), -EINVAL);
		assert_int_equal(policy_origin_to_dir(bad[i].text, out), -EINVAL);
		assert_string_equal(out, "untouched");
	}
}

static void test_refused_dirs(void **state)
{
	static const char *const dirs[] = {
		"",
		".",
		"..",
		"any",
		"https_",
		"https__0",
		"https_a",
		"https_a_",
		"https_0",
		"https_a_443", /* the default port is 0 */
		"http_a_80",
		"https_a_00",
		"https_a_08080",
		"https_a_65536",
		"https_a_-1",
		"https_a_x",
		"https_A_0",
		"HTTPS_a_0",
		"https_a:443_0",
		"https_a_0_",
		"https_a/b_0",
		"https_127.1_0",
		"https_[::1]_0",
		"https_[0_0__1]_0",
		"https_[__1_0",
		"https_[__FF]_0",
		"https_u@a_0",
		"https_a._0",
		"https_*.a_0",
		"https_%61_0",
		"https://a",
		"ftp_a_0",
		"https_" H253 "x_0",
		"https_" H253 "_65535" H253,
	};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		char out[POLICY_ORIGIN_SIZE] = "untouched";
		int r = policy_origin_from_dir(dirs[i], out);

		/* Looks like nothing: a local name, of itself. */
		if (!strcmp(dirs[i], "ftp_a_0")) {
			assert_int_equal(r, 0);
			assert_string_equal(out, dirs[i]);
			continue;
		}
		if (r != -EINVAL)
			fail_msg("'%s' was accepted as %s", dirs[i], out);
		assert_string_equal(out, "untouched");
	}
}

/* Whatever string is accepted by one side comes back the same from the other. */
static void test_round_trip(void **state)
{
	static const char *const parts[] = {"https", "http", "://", "_", "a",	".",
					    "[",     "]",    ":",   "0", "80",	"443",
					    "::1",   "127",  "x-y", "B", "__1", "0x7f"};
	unsigned int seed = 1, accepted = 0;

	for (unsigned int i = 0; i < 300000; i++) {
		char text[POLICY_ORIGIN_SIZE] = "", one[POLICY_ORIGIN_SIZE],
		     two[POLICY_ORIGIN_SIZE];
		unsigned int n = 1 + (seed >> 16) % 7;

		/* Half of them with a good beginning, or few would be accepted. */
		if (i % 2)
			strcat(text, i % 4 == 1 ? "https://" : "https_");
		for (unsigned int j = 0; j < n; j++) {
			seed = seed * 1103515245 + 12345;
			strcat(text, parts[(seed >> 16) % ARRAY_SIZE(parts)]);
		}
		seed = seed * 1103515245 + 12345;
		if (policy_origin_from_dir(text, one) == 0) {
			assert_int_equal(policy_origin_to_dir(one, two), 0);
			assert_string_equal(two, text);
			accepted++;
		}
		if (policy_origin_parse(text, one) == 0) {
			assert_int_equal(policy_origin_to_dir(one, two), 0);
			assert_null(strchr(two, '/'));
			assert_int_equal(policy_origin_from_dir(two, text), 0);
			assert_string_equal(text, one);
			accepted++;
		}
	}
	assert_true(accepted > 5000);
}

static void test_below(void **state)
{
	char out[POLICY_ORIGIN_SIZE];
	const char *reason;

	assert_int_equal(policy_origin_below("https://*.Example.com:443", out, &reason), 0);
	assert_string_equal(out, "https://example.com");
	assert_int_equal(policy_origin_below("http://*.internal:8080", out, &reason), 0);
	assert_string_equal(out, "http://internal:8080");
	assert_int_equal(policy_origin_below("https://*.1.2.3.4", out, &reason), -EINVAL);
	assert_string_equal(reason, "'*.' is not for addresses");
	assert_int_equal(policy_origin_below("https://*.2.3", out, &reason), -EINVAL);
	assert_int_equal(policy_origin_below("https://*.[::1]", out, &reason), -EINVAL);
	assert_int_equal(policy_origin_below("https://*.*.example", out, &reason), -EINVAL);
	assert_int_equal(policy_origin_below("https://*.", out, &reason), -EINVAL);
	assert_int_equal(policy_origin_below("https://*.a/", out, &reason), -EINVAL);
	assert_int_equal(policy_origin_below("ftp://*.a", out, &reason), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical),    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_dirs), cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
