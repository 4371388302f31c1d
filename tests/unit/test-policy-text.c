/* SPDX-License-Identifier: Apache-2.0 */
/* What is text and what is not, and the limits of lines and messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "policy/internal.h"

static void check_message(const char *text, size_t len, const char *expected)
{
	struct policy *policy = NULL;
	struct policy_error error;
	char message[1024];

	assert_int_equal(policy_parse("p", text, len, NULL, &policy, &error), -EINVAL);
	policy_error_format(&error, message, sizeof(message));
	assert_string_equal(message, expected);
	assert_null(policy);
}

static const struct {
	const char *text, *message;
} bad[] = {
	{"deny any to any\r\n", "p:1:16: a carriage return: lines must end with a newline alone"},
	{"# bell \a\n", "p:1:8: a control character"},
	{"# \x7f\n", "p:1:3: a control character"},
	{"# latin-1 \xfc\n", "p:1:11: not UTF-8"},
	{"# overlong \xc0\xaf", "p:1:12: not UTF-8"},
	{"# overlong \xe0\x80\xaf", "p:1:12: not UTF-8"},
	{"# surrogate \xed\xa0\x80", "p:1:13: not UTF-8"},
	{"# beyond \xf4\x90\x80\x80", "p:1:10: not UTF-8"},
	{"# cut \xe2\x82", "p:1:7: not UTF-8"},
};

static void test_not_text(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check_message(bad[i].text, strlen(bad[i].text), bad[i].message);
	check_message("# a\0b", 5, "p:1:4: a NUL byte");
}

/* UTF-8 from one to four bytes, at the ends of each range. */
static void test_text(void **state)
{
	static const char text[] =
		"# ~ \xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf "
		"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\tend";
	struct policy *policy;
	struct policy_error error;

	assert_int_equal(policy_parse("p", text, strlen(text), NULL, &policy, &error), 0);
	policy_unref(policy);
	assert_int_equal(policy_parse("p", NULL, 0, NULL, &policy, &error), 0);
	policy_unref(policy);
}

#define LONG_LINE ((size_t)1 << 20)

static void test_limits(void **state)
{
	_cleanup_free_ char *text = malloc(LONG_LINE + 1);
	char name[600], file[600], message[1300];
	struct policy *policy = NULL;
	struct policy_error error;

	/* A line may be as long as its file: a printed set is one. */
	assert_non_null(text);
	memset(text, '#', LONG_LINE);
	text[LONG_LINE] = '\n';
	assert_int_equal(policy_parse("p", text, LONG_LINE + 1, NULL, &policy, &error), 0);
	policy_unref(policy);
	policy = NULL;

	/* What is too long for an error is cut between characters. */
	memset(name, 'n', sizeof(name));
	strcpy(name + 510, "\xc3\xbc and more");
	assert_int_equal(policy_parse(name, "x", 1, NULL, &policy, &error), -EINVAL);
	memset(file, 'n', 510);
	file[510] = '\0';
	assert_string_equal(error.file, file);

	error.column = 0;
	policy_error_format(&error, message, sizeof(message));
	assert_non_null(strstr(message, "n:1: 'caller'"));
	error.line = 0;
	policy_error_format(&error, message, sizeof(message));
	assert_non_null(strstr(message, "n: 'caller'"));
	policy_error_format(&error, message, 4);
	assert_string_equal(message, "nnn");
}

/* ---- digests of shared sets, in order ---- */

struct collected {
	char hex[8][DIGEST_NAME_SIZE];
	size_t n, most;
};

static int collect(void *arg, const struct digest_name *name)
{
	struct collected *collected = arg;

	digest_name_format(name, collected->hex[collected->n++]);
	return collected->n == collected->most ? 7 : 0;
}

static void test_each_shared(void **state)
{
	static const char zeros[] = "000000000000000000000000000000000000000000000000000000000000000";
	struct digest_name after = {.kind = DIGEST_SHA256};
	struct collected all = {.most = 8}, two = {.most = 2};
	struct policy_error error;
	struct policy *policy;
	char text[2048];

	snprintf(text, sizeof(text),
		 "set own %s3 %s4\nset public %s4 fsverity-%s1 %s2 shared\nset more %s2 %s9 shared\n"
		 "set empty shared\nallow x to own,public,more,%s5\n",
		 zeros, zeros, zeros, zeros, zeros, zeros, zeros, zeros);
	assert_int_equal(policy_parse("p", text, strlen(text), NULL, &policy, &error), 0);
	assert_int_equal(policy_each_shared(policy, &after, collect, &all), 0);
	assert_int_equal(all.n, 4);
	assert_int_equal(all.hex[0][63], '2');
	assert_int_equal(all.hex[1][63], '4');
	assert_int_equal(all.hex[2][63], '9');
	assert_string_equal(all.hex[3] + 9 + 62, "01");
	/* What the caller says ends it; and on from there. */
	assert_int_equal(policy_each_shared(policy, &after, collect, &two), 7);
	assert_int_equal(two.n, 2);
	assert_int_equal(digest_name_parse(two.hex[1], &after), 0);
	all.n = 0;
	assert_int_equal(policy_each_shared(policy, &after, collect, &all), 0);
	assert_int_equal(all.n, 2);
	assert_int_equal(all.hex[0][63], '9');
	policy_unref(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_text),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_each_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
