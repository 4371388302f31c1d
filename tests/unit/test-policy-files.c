/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a policy is made of: patterns, loops, errors, reloads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "policy/policy.h"
#include "tests/unit/policy-testing.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char folder[] = "/tmp/test-policy-XXXXXX";

static int make_folder(void **state)
{
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void check_load(const char *path, int r, const char *expected)
{
	struct policy *policy = NULL;
	struct policy_error error;
	char message[1024];

	assert_int_equal(policy_load(path, NULL, &policy, &error), r);
	policy_error_format(&error, message, sizeof(message));
	assert_string_equal(message, expected);
	assert_null(policy);
}

static struct policy *load(const char *path)
{
	struct policy *policy;
	struct policy_error error;
	char message[1024];

	if (policy_load(path, NULL, &policy, &error) == 0)
		return policy;
	policy_error_format(&error, message, sizeof(message));
	fail_msg("%s", message);
	return NULL;
}

static void test_load(void **state)
{
	struct digest_pair a = pair_of(A64), b = pair_of(B64);
	struct policy_decision decision;
	struct policy *policy;

	/* A folder with all that a pattern could take for its own. */
	assert_int_equal(mkdir("od[d]*\\?", 0700), 0);
	assert_int_equal(mkdir("od[d]*\\?/policy.d", 0700), 0);
	assert_int_equal(mkdir("odd", 0700), 0);
	put("odd/trap.rules", "trap");
	put("od[d]*\\?/main", "include policy.d/*.rules\ncaller user root is local\n");
	put("od[d]*\\?/policy.d/B.rules", "allow local to list\nset list file list.txt\n");
	put("od[d]*\\?/policy.d/a.rules", "deny local to any\n");
	put("od[d]*\\?/policy.d/.hidden.rules", "trap\n");
	put("od[d]*\\?/policy.d/c.rules~", "trap\n");
	put("od[d]*\\?/policy.d/list.txt", A64 "\n");
	policy = load("od[d]*\\?/main");
	decision = policy_decide(policy, "local", &a);
	/* By byte values, not by a locale: B before a. */
	assert_true(decision.verdict == POLICY_ALLOW);
	assert_string_equal(decision.where.file, "od[d]*\\?/policy.d/B.rules");
	decision = policy_decide(policy, "local", &b);
	assert_false(decision.verdict == POLICY_ALLOW);
	assert_string_equal(decision.where.file, "od[d]*\\?/policy.d/a.rules");
	assert_string_equal(
		policy_origin_of(policy, &(struct policy_caller){.identified = true}, NULL),
		"local");
	policy_unref(policy);
}

/* File I names the digests 0 … I, so digest J stands in the files J … 7: each must be found in the
 * first file that has it, whatever readdir() says. */
static void test_glob_order(void **state)
{
	static const char order[] = "52701643";
	struct policy *policy;

	assert_int_equal(mkdir("sorted", 0700), 0);
	for (const char *c = order; *c; c++) {
		char path[32], text[8 * 80] = "allow local to ";
		size_t len = strlen(text);

		for (char digit = '0'; digit <= *c; digit++) {
			memset(text + len, digit, 64);
			text[len + 64] = digit < *c ? ',' : '\0';
			len += 65;
		}
		snprintf(path, sizeof(path), "sorted/%c.rules", *c);
		put(path, text);
	}
	put("all", "include sorted/?.rules\n");
	policy = load("all");
	for (char digit = '0'; digit < '8'; digit++) {
		char hex[DIGEST_HEX_SIZE] = "", path[32];
		struct digest_pair digests;

		memset(hex, digit, 64);
		digests = pair_of(hex);
		snprintf(path, sizeof(path), "sorted/%c.rules", digit);
		assert_string_equal(policy_decide(policy, "local", &digests).where.file, path);
	}
	policy_unref(policy);
}

static void test_load_errors(void **state)
{
	struct policy *policy;

	check_load("missing", -ENOENT, "missing: No such file or directory");
	assert_int_equal(mkdir("a-folder", 0700), 0);
	check_load("a-folder", -EISDIR, "a-folder: Is a directory");
	put("includes-folder", "include a-folde[r]\n");
	check_load("includes-folder", -EISDIR, "includes-folder:1:9: a-folder: Is a directory");
	assert_int_equal(mkfifo("a-pipe", 0600), 0);
	check_load("a-pipe", -EMEDIUMTYPE, "a-pipe: not a regular file");
	put("includes-pipe", "include a-pip[e]\n");
	check_load("includes-pipe", -EMEDIUMTYPE, "includes-pipe:1:9: a-pipe: not a regular file");
	put("list-is-pipe", "set x file a-pipe\n");
	check_load("list-is-pipe", -EMEDIUMTYPE, "list-is-pipe:1:12: a-pipe: not a regular file");
	put("public-list-is-pipe", "set x file a-pipe shared\n");
	policy = load("public-list-is-pipe");
	assert_string_equal(policy_warning(policy, 0)->message, "a-pipe: not a regular file");
	policy_unref(policy);
	put("no-list", "\nset x file no/such/list\n");
	check_load("no-list", -ENOENT, "no-list:2:12: no/such/list: No such file or directory");
	put("no-user", "caller user no.such.user is x\n");
	check_load("no-user", -EINVAL, "no-user:1:13: no user is called 'no.such.user'");
	put("glob-of-nothing", "include no/such/*\n");
	policy_unref(load("glob-of-nothing"));
}

/* Which file would have to be there for the load to go well. */
static void test_unread(void **state)
{
	char name[600], text[700];
	struct policy_error error;
	struct policy *policy;

	put("waits", "include no/such.rules\n");
	assert_int_equal(policy_load("waits", NULL, &policy, &error), -ENOENT);
	assert_string_equal(error.file, "waits");
	assert_string_equal(error.unread, "no/such.rules");
	put("wrong", "alow any to any\n");
	assert_int_equal(policy_load("wrong", NULL, &policy, &error), -EINVAL);
	assert_string_equal(error.unread, "");
	/* None rather than a part of it. */
	memset(name, 'x', sizeof(name));
	snprintf(text, sizeof(text), "include %.200s/%.200s/%.200s\n", name, name, name);
	put("long", text);
	assert_int_equal(policy_load("long", NULL, &policy, &error), -ENOENT);
	assert_string_equal(error.unread, "");
}

/* A folder that cannot be read may hold a deny line: an error, not an empty list. */
static void test_locked_folder(void **state)
{
	bool root = geteuid() == 0;

	put("locked-glob", "include locked/*\n");
	assert_int_equal(mkdir("locked", 0000), 0);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(chmod("locked-glob", 0644), 0);
	if (root && seteuid(65534) < 0)
		skip();
	check_load("locked-glob", -EACCES, "locked-glob:1:9: locked/*: Permission denied");
	if (root)
		assert_int_equal(seteuid(0), 0);
}

static void test_loops(void **state)
{
	put("self", "# me\n  include self\n");
	check_load("self", -EINVAL, "self:2:11: self includes itself");
	put("top", "deny any to any\ninclude one\n");
	put("one", "include two\n");
	put("two", "\n\n\tinclude ./alia[s]\n");
	assert_int_equal(symlink("one", "alias"), 0);
	check_load("top", -EINVAL, "two:3:10: one, included at top:2, includes itself");
	/* Twice, but not within itself, is no loop. */
	put("twice", "include leaf\ninclude ./leaf\n");
	put("leaf", "allow any to any\n");
	policy_unref(load("twice"));
}

/* Everything that may change what is loaded: also what is missing, and where there may be more. */
static void test_paths(void **state)
{
	static const char *const expected[] = {
		"confs", "confs/a", "confs/a/p.rules", "confs/b", "leaf", "lists/gone",
		"lists/here", "watched", "watched.d", "watched.d/1.rules",
	};
	struct policy *policy;

	assert_int_equal(mkdir("watched.d", 0700), 0);
	assert_int_equal(mkdir("lists", 0700), 0);
	assert_int_equal(mkdir("confs", 0700), 0);
	assert_int_equal(mkdir("confs/a", 0700), 0);
	assert_int_equal(mkdir("confs/b", 0700), 0);
	put("watched.d/1.rules", "allow local to any\n");
	put("confs/a/p.rules", "allow local to any\n");
	put("lists/here", A64 "\n");
	put("leaf", "allow any to any\n");
	put("watched", "include watched.d/*.rules\n"
		       "include leaf\ninclude leaf\n"
		       "include confs/?/*.rules\n"
		       "set a file lists/here\nset b file lists/gone shared\n");
	policy = load("watched");
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_non_null(policy_path(policy, i));
		assert_string_equal(policy_path(policy, i), expected[i]);
	}
	assert_null(policy_path(policy, ARRAY_SIZE(expected)));
	policy_unref(policy);

	/* A folder of the same name as a pattern, one that is missing, and the root. */
	assert_int_equal(mkdir("w[1]", 0700), 0);
	put("odd-folders", "include w\\[1]/*\ninclude none/*.rules\ninclude *.nothing\n"
			   "include /*.nothing\n");
	policy = load("odd-folders");
	assert_string_equal(policy_path(policy, 0), ".");
	assert_string_equal(policy_path(policy, 1), "/");
	assert_string_equal(policy_path(policy, 2), "none");
	assert_string_equal(policy_path(policy, 3), "odd-folders");
	assert_string_equal(policy_path(policy, 4), "w[1]");
	assert_null(policy_path(policy, 5));
	policy_unref(policy);

	/* Memory is no file. */
	policy = policy_of("allow any to any");
	assert_null(policy_path(policy, 0));
	policy_unref(policy);
}

/* What a daemon does: load, use, load again, sometimes with an error. Sanitizers count. */
static void test_reloads(void **state)
{
	struct policy *current = NULL, *next;
	struct policy_error error;

	put("list", A64 "\n" B64 "\n");
	put("rules", "allow local to list\nset list file list\n");
	for (int i = 0; i < 50; i++) {
		put("main", i % 3 == 2 ? "include rules\ninclude leaf\nset list file list\n"
				       : "include rules\n");
		if (policy_load("main", NULL, &next, &error) < 0) {
			assert_int_equal(i % 3, 2);
			assert_string_equal(error.file, "main");
			assert_int_equal(error.line, 3);
			continue;
		}
		assert_true(i % 3 != 2);
		policy_unref(current);
		current = next;
		assert_int_equal(line_for(current, "local", B64), 1);
	}
	policy_unref(current);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),	    cmocka_unit_test(test_glob_order),
		cmocka_unit_test(test_load_errors), cmocka_unit_test(test_locked_folder),
		cmocka_unit_test(test_loops),	    cmocka_unit_test(test_reloads),
		cmocka_unit_test(test_unread),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
