/* SPDX-License-Identifier: Apache-2.0 */
/* What parses. Files are made up; test-policy-files.c has real ones, test-policy-errors.c what does
 * not parse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/io.h"
#include "tests/unit/policy-machine.h"
#include "tests/unit/policy-testing.h"

/* ---- what parses ---- */

static void test_forms(void **state)
{
	static const struct fake_file files[] = {
		{"/etc/list", "# comment\n\n  sha256:" B64 "  # why\n" B64 "\nfsverity-" A64},
		{"/etc/empty", ""},
		{NULL, NULL},
	};
	struct policy *policy =
		parse_good(files, "\t caller\tuser  anna is HTTP://Example.com:80 # x\n"
				  "#caller any is nobody\n"
				  "caller uid 4294967294 is last\n"
				  "allow last to list,empty,later,sha256-" B64 " with list,cached\n"
				  "deny https://*.Example.com:443 to any,list\n"
				  "set list file /etc/list\n"
				  "set empty file empty\n"
				  "set later " B64 " sha256-" B64 " fsverity-" B64 "\t# all\n"
				  "allow https://x.example.com to any\n"
				  "allow https://example.com to any");
	struct policy_caller anna = {.identified = true, .uid = 1001};
	struct policy_caller last = {.identified = true, .uid = 4294967294};
	struct policy_where where;

	assert_string_equal(policy_origin_of(policy, &anna, &where), "http://example.com");
	assert_int_equal(where.line, 1);
	assert_string_equal(where.file, "/etc/p");
	assert_string_equal(policy_origin_of(policy, &last, &where), "last");
	assert_int_equal(where.line, 3);
	assert_int_equal(line_for(policy, "last", B64), 4);
	assert_int_equal(line_for(policy, "last", "fsverity-" A64), 4);
	assert_int_equal(line_for(policy, "last", "fsverity-" B64), 4);
	assert_int_equal(line_for(policy, "last", A64), 0);
	assert_int_equal(line_for(policy, "https://x.example.com", A64), 5);
	assert_int_equal(line_for(policy, "https://example.com", A64), 10);
	policy_unref(policy);
}

/* A comment mark inside a word belongs to it; one at its front does not. */
static void test_comment_marks(void **state)
{
	static const struct fake_file files[] = {
		{"/etc/a#b", "allow any to any\n"},
		{NULL, NULL},
	};
	struct policy *policy = parse_good(files, "include a#b #c\n");

	assert_int_equal(line_for(policy, "local", A64), 1);
	policy_unref(policy);
}

/* ---- includes, without a disk ---- */

static void test_include_order(void **state)
{
	static const struct fake_file files[] = {
		{"/etc/d/10-a.rules", "deny x to " A64 "\ninclude sub/more\n"},
		{"/etc/d/20-b.rules", "allow x to any\n"},
		{"/etc/d/note.txt", "not a policy\n"},
		{"/etc/d/sub/more", "\n\ndeny x to ours\nset ours file ../digests\n"},
		{"/etc/d/sub/../digests", B64},
		{NULL, NULL},
	};
	struct policy *policy =
		parse_good(files, "include d/*.rules\ndeny x to any\ninclude none/*\n");
	struct digest_pair b = pair_of(B64);
	struct policy_decision decision = policy_decide(policy, "x", &b);

	assert_int_equal(line_for(policy, "x", A64), 1);
	assert_string_equal(decision.where.file, "/etc/d/sub/more");
	assert_int_equal(decision.where.line, 3);
	b.sha256.bytes[0] = 0;
	decision = policy_decide(policy, "x", &b);
	assert_string_equal(decision.where.file, "/etc/d/20-b.rules");
	assert_true(decision.verdict == POLICY_ALLOW);
	policy_unref(policy);
}

static void test_include_depth(void **state)
{
	static const struct fake_file files[] = {
		{"/etc/1", "include 2"}, {"/etc/2", "include 3"}, {"/etc/3", "include 4"},
		{"/etc/4", "include 5"}, {"/etc/5", "include 6"}, {"/etc/6", "include 7"},
		{"/etc/7", "include 8"}, {"/etc/8", "#"},	  {NULL, NULL},
	};
	struct fake_file deeper[ARRAY_SIZE(files) + 1];
	struct policy *policy = parse_good(files, "include 1\n");
	char message[1024];

	policy_unref(policy);
	memcpy(deeper, files, sizeof(files));
	deeper[7].text = "allow any to any\n\n include 9";
	deeper[8] = (struct fake_file){"/etc/9", ""};
	deeper[9] = (struct fake_file){NULL, NULL};
	policy = NULL;
	assert_int_equal(parse(deeper, "/etc/p", "include 1\n", 10, &policy, message), -EINVAL);
	assert_string_equal(message, "/etc/8:3:10: includes are nested more than 8 deep");
	assert_null(policy);
}

static void test_include_bomb(void **state)
{
	struct fake_file files[8] = {0};
	char paths[7][16], texts[7][200];
	struct policy *policy = NULL;
	char message[1024];

	for (int i = 0; i < 7; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/f%d", i);
		texts[i][0] = '\0';
		for (int j = 0; i < 6 && j < 8; j++)
			snprintf(texts[i] + strlen(texts[i]), 24, "include f%d\n", i + 1);
		files[i] = (struct fake_file){paths[i], texts[i]};
	}
	assert_int_equal(parse(files, "/p", "include f0", 10, &policy, message), -EINVAL);
	assert_non_null(strstr(message, ": more than 10000 files are included"));
}

static void test_duplicate_in_include(void **state)
{
	static const struct fake_file files[] = {
		{"/etc/a", "# x\nset one " A64 "\n"},
		{NULL, NULL},
	};
	struct policy *policy;
	char message[1024];
	const char *text = "include a\nallow any to one\nset one " B64 "\n";

	assert_int_equal(parse(files, "/etc/p", text, strlen(text), &policy, message), -EINVAL);
	assert_string_equal(message, "/etc/p:3:5: set 'one' was defined before, at /etc/a:2");
	text = "include a\ninclude a\n";
	assert_int_equal(parse(files, "/etc/p", text, strlen(text), &policy, message), -EINVAL);
	assert_string_equal(message, "/etc/a:2:5: set 'one' was defined before, at /etc/a:2");
}

/* ---- the manual page ---- */

/* Every literal display of the page; what mdoc escapes is not used in them. */
static void test_manual(void **state)
{
	static const struct fake_file files[] = {
		{"/etc/weightfs/policy.d/10-lab.rules", "caller any is lab\n"},
		{"/etc/weightfs/public-hash-list.txt", "# one\n" A64 "\n"},
		{NULL, NULL},
	};
	_cleanup_free_ char *page = NULL;
	unsigned int examples = 0;
	size_t len;

	assert_int_equal(io_read_file(SOURCE_DIR "/man/weightfs-policy.5", 1 << 20, &page, &len),
			 0);
	for (char *at = page; (at = strstr(at, "\n.Bd -literal"));) {
		char *text = strchr(at + 1, '\n') + 1;
		char *end = strstr(text, "\n.Ed\n");

		assert_non_null(end);
		end[1] = '\0';
		assert_null(strchr(text, '\\'));
		policy_unref(parse_good(files, text));
		end[1] = '.';
		examples++;
		at = end;
	}
	assert_int_equal(examples, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),	      cmocka_unit_test(test_comment_marks),
		cmocka_unit_test(test_include_order), cmocka_unit_test(test_include_depth),
		cmocka_unit_test(test_include_bomb),  cmocka_unit_test(test_duplicate_in_include),
		cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
