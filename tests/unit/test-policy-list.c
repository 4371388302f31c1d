/* SPDX-License-Identifier: Apache-2.0 */
/* Sets that are made of files and of catalogs: what is in them, and what is not to be had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/policy-machine.h"
#include "tests/unit/policy-testing.h"

#define C64 "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define A62 A32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define D64 "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"

static bool holds(const struct policy *policy, const char *set, const char *digest)
{
	struct digest_pair digests = pair_of(digest);

	return policy_set_holds(policy, set, &digests);
}

static void check_warning(const struct policy *policy, size_t i, const char *expected)
{
	char message[1024];

	assert_non_null(policy_warning(policy, i));
	policy_error_format(policy_warning(policy, i), message, sizeof(message));
	assert_string_equal(message, expected);
}

/* ---- the public hash list ---- */

#define PUBLIC                                                                                     \
	"// Public Hash List (PHL)\n"                                                              \
	"// VERSION: 2026-06-19T13:20:00Z\n"                                                       \
	"// Algorithm: SHA-256 (lowercase hex, 64 chars)\n"                                        \
	"//\n"                                                                                     \
	"// ===BEGIN SHA-256===\n"                                                                 \
	"// somebody \xe2\x80\x94 e.g. https://code.example/" A32 "\n" A64 "\n"                   \
	"// ===END SHA-256===\n\n"                                                                 \
	"// ===BEGIN SHA-256 HUGGING-FACE===\n" B64 "\n"                                           \
	"// ===END SHA-256 HUGGING-FACE===\n"                                                      \
	"// ===BEGIN SHA-384===\n" C64 C32 "\n" D64 "\n"                                           \
	"// ===END SHA-384===\n"
#define C32 "cccccccccccccccccccccccccccccccc"

static void test_public_list(void **state)
{
	static const struct fake_file files[] = {
		{"/etc/list", PUBLIC},
		{"/etc/loose", "[one]\n== two ==\n===BEGIN SHA-256===\n" A64 " # why\n"
			       "===END SHA-256===\n  // x\n# ===BEGIN SHA-256===\n"
			       "#===END SHA-256===\nfsverity-" B64 "\n[" A32 "]\n\t\n" C64},
		{NULL, NULL},
	};
	struct policy *policy = parse_good(files, "set public file list shared\n"
						  "set loose file loose\n"
						  "allow x to public\nallow y to any\n");
	struct digest_pair a = pair_of(A64), c = pair_of(C64);

	assert_true(holds(policy, "public", A64) && holds(policy, "public", B64));
	/* Another algorithm's digests are not ours, however long they are. */
	assert_false(holds(policy, "public", C64) || holds(policy, "public", D64));
	assert_true(holds(policy, "loose", A64) && holds(policy, "loose", "fsverity-" B64));
	assert_true(holds(policy, "loose", C64));
	assert_null(policy_warning(policy, 0));
	/* Shared, whatever line decides. */
	assert_true(policy_decide(policy, "x", &a).shared);
	assert_true(policy_decide(policy, "y", &a).shared);
	assert_true(policy_decide(policy, "z", &a).shared);
	assert_false(policy_decide(policy, NULL, &a).shared);
	assert_false(policy_decide(policy, "y", &c).shared);
	/* By either digest. */
	c.has_fsverity = true;
	c.fsverity = a.sha256;
	assert_false(policy_decide(policy, "y", &c).shared);
	policy_unref(policy);
}

/* ---- what is missing or bad ---- */

static const struct {
	const char *text, *message;
} bad[] = {
	{A64 "a", "/etc/list:1:1: a digest expected, not '" A64 "'"},
	{A64 "\n" A32 "\n", "/etc/list:2:1: a digest expected, not '" A32 "'"},
	{A64 "\nAAAA\n", "/etc/list:2:1: a digest expected, not 'AAAA'"},
	{"version https://git-lfs.example/spec/v1\n",
	 "/etc/list:1:1: a digest expected, not 'version'"},
	{"<html>\n", "/etc/list:1:1: a digest expected, not '<html>'"},
	{A64 " model\n", "/etc/list:1:66: one digest a line"},
	{A64 " // why\n", "/etc/list:1:66: one digest a line"},
	{A64 "\r\n", "/etc/list:1:65: a carriage return: lines must end with a newline alone"},
	{"[" A64 "\n", "/etc/list:1:1: a digest expected, not '[" A62 "a'"},
	/* Cut short. */
	{"// ===BEGIN SHA-256===\n" A64 "\n",
	 "/etc/list:1:4: the list ends in the section that begins here"},
	{"// ===BEGIN SHA-256===\n// ===BEGIN SHA-256===\n",
	 "/etc/list:2:4: a section within that of line 1"},
	{"// ===END SHA-256===\n", "/etc/list:1:4: no section ends here"},
};

static void test_bad_list(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fake_file files[] = {{"/etc/list", bad[i].text}, {NULL, NULL}};
		const char *shared = "set own " B64 "\nset s file list shared\n"
				     "allow x to s,own\nallow y to s\n";
		const char *own = "set s file list\n";
		struct digest_pair a = pair_of(A64);
		struct policy *policy = parse_good(files, shared);
		char message[1024];

		check_warning(policy, 0, bad[i].message);
		assert_null(policy_warning(policy, 1));
		assert_true(policy_has_set(policy, "s"));
		/* Nothing of what was read before the error. */
		assert_false(holds(policy, "s", A64));
		assert_true(holds(policy, "own", B64));
		assert_int_equal(policy_decide(policy, "x", &a).verdict, POLICY_DENY);
		assert_int_equal(line_for(policy, "x", B64), 3);
		policy_unref(policy);
		policy = NULL;
		assert_int_equal(parse(files, "/etc/p", own, strlen(own), &policy, message),
				 -EINVAL);
		assert_string_equal(message, bad[i].message);
		assert_null(policy);
	}
}

static void test_missing_list(void **state)
{
	const char *text = "set s file none shared\nset t shared\nask x to t\nallow x to any,s\n";
	struct policy *policy = parse_good(NULL, text);
	struct digest_pair unknown = pair_of("fsverity-" A64);

	check_warning(policy, 0, "/etc/p:1:12: /etc/none: No such file or directory");
	assert_string_equal(policy_path(policy, 0), "/etc/none");
	assert_null(policy_path(policy, 1));
	/* An empty set names no SHA-256. */
	assert_int_equal(policy_decide(policy, "x", &unknown).verdict, POLICY_ALLOW);
	policy_unref(policy);
}

/* Nobody would be denied what stands in a list that is not there. */
static void test_denied_list(void **state)
{
	static const struct fake_file files[] = {
		{"/etc/list", A64 "\nx\n"}, {"/etc/comments", "# none\n"}, {NULL, NULL}};
	static const struct {
		const char *text, *message;
	} policies[] = {
		{"set s file none shared\nallow x to s\n\ndeny any to " A64 ",s\n",
		 "/etc/p:4:78: 'deny' cannot do without set 's': "
		 "/etc/p:1:12: /etc/none: No such file or directory"},
		{"deny x to s,s\nset s file list shared\n",
		 "/etc/p:1:11: 'deny' cannot do without set 's': "
		 "/etc/list:2:1: a digest expected, not 'x'"},
		{"set s\nallow x to s\ndeny any to s\n",
		 "/etc/p:3:13: 'deny' cannot do without set 's': it is empty"},
		{"set s shared\ndeny any to any,s\n",
		 "/etc/p:2:17: 'deny' cannot do without set 's': it is empty"},
		{"deny x to s\nset s file comments\n",
		 "/etc/p:1:11: 'deny' cannot do without set 's': it is empty"},
		{"deny x to s\nset s file comments shared\n",
		 "/etc/p:1:11: 'deny' cannot do without set 's': it is empty"},
		{"set q name hub:Qwen/*\ndeny x to q\n",
		 "/etc/p:2:11: 'deny' cannot do without set 'q': "
		 "/etc/p:1:12: no catalog is called 'hub'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		struct policy *policy = NULL;
		char message[1024];

		assert_int_equal(parse(files, "/etc/p", policies[i].text, strlen(policies[i].text),
				       &policy, message),
				 -EINVAL);
		assert_string_equal(message, policies[i].message);
		assert_null(policy);
	}
}

/* ---- names ---- */

static const struct {
	const char *name, *digest;
} catalog[] = {
	{"Qwen/Qwen3-0.6B/model.safetensors", A64},
	{"Qwen/README", B64},
	{"Qwen", C64},
	{"other/Qwen/x", "fsverity-" A64},
	{"other/.hidden", D64},
};

static int each(void *arg, const char *name, const char *pattern,
		int (*found)(void *found_arg, const struct digest_name *name), void *found_arg)
{
	struct digest_name digest;
	int r = strcmp(name, "hub") ? -ENOENT : 0;

	if (!strcmp(name, "later"))
		return -EAGAIN;
	if (!strcmp(name, "broken"))
		return -EIO;
	for (size_t i = 0; i < ARRAY_SIZE(catalog) && r == 0; i++) {
		if (!policy_name_matches(pattern, catalog[i].name))
			continue;
		assert_int_equal(digest_name_parse(catalog[i].digest, &digest), 0);
		r = found(found_arg, &digest);
	}
	return r;
}

static void test_names(void **state)
{
	static const struct policy_names names = {each, NULL};
	static const char text[] = "set below name hub:Qwen/* shared\n"
				   "set files name hub:*/*\n"
				   "set all   name hub:*\n"
				   "set exact name hub:Qwen\n"
				   "set empty name hub:nobody/*\n"
				   "set gone  name attic:*\n"
				   "ask   x to empty\n"
				   "allow x to below\n";
	struct digest_pair a = pair_of(A64);
	struct policy_error error;
	struct policy *policy;

	assert_int_equal(policy_parse("p", text, strlen(text), &names, &policy, &error), 0);
	assert_true(holds(policy, "below", A64) && holds(policy, "below", B64));
	assert_false(holds(policy, "below", C64) || holds(policy, "below", "fsverity-" A64));
	assert_true(holds(policy, "files", A64) && holds(policy, "files", "fsverity-" A64));
	assert_false(holds(policy, "files", C64));
	assert_true(holds(policy, "all", C64) && holds(policy, "all", A64));
	assert_true(holds(policy, "exact", C64) && !holds(policy, "exact", B64));
	/* A catalog that is there has no such name: empty, and nothing to warn of. */
	assert_true(policy_has_set(policy, "empty") && policy_has_set(policy, "gone"));
	check_warning(policy, 0, "p:6:16: no catalog is called 'attic'");
	assert_null(policy_warning(policy, 1));
	assert_true(policy_decide(policy, "x", &a).shared);
	policy_unref(policy);
	policy = NULL;
	assert_int_equal(policy_parse("p", "set x name broken:*", 19, &names, &policy, &error), -EIO);
	assert_string_equal(error.message, "catalog 'broken': Input/output error");
	assert_string_equal(error.unread, "");
	assert_null(policy);
	/* But what a deny line names must be something, unless a catalog has to say what. */
	assert_int_equal(policy_parse("p", "set x\ndeny any to x", 19, &names, &policy, &error), -EINVAL);
	assert_string_equal(error.message, "'deny' cannot do without set 'x': it is empty");
	assert_int_equal(error.line, 2);
	assert_int_equal(error.column, 13);
	assert_null(policy);
}

static enum policy_verdict verdict_of(const struct policy *policy, const char *origin, const char *name)
{
	struct digest_pair pair = pair_of(name);

	return policy_decide(policy, origin, &pair).verdict;
}

/* A publisher has left out what the policy denies: nothing becomes open by that, and the policy stands. */
static void test_names_left_out(void **state)
{
	static const struct policy_names names = {each, NULL};
	static const char text[] = "set secret name hub:secret/*\n"
				   "set known  name hub:Qwen/*\n"
				   "deny  x to known,secret\n"
				   "deny  y to known\n"
				   "allow any to any\n";
	struct policy_error error;
	struct policy *policy;

	assert_int_equal(policy_parse("p", text, strlen(text), &names, &policy, &error), 0);
	check_warning(policy, 0, "p:3:18: set 'secret' is empty: 'deny' matches every object");
	assert_null(policy_warning(policy, 1));
	assert_int_equal(verdict_of(policy, "x", C64), POLICY_DENY);
	assert_int_equal(verdict_of(policy, "y", C64), POLICY_ALLOW);
	assert_int_equal(verdict_of(policy, "y", A64), POLICY_DENY);
	policy_unref(policy);
}

/* A catalog that was never fetched: who must not have what it names may have nothing that a later line would give. */
static void test_names_unknown(void **state)
{
	static const struct policy_names names = {each, NULL};
	static const char text[] = "set secret name later:secret/*\n"
				   "set some   name later:some/*\n"
				   "set known  name hub:Qwen/*\n"
				   "allow x to some\n"
				   "ask   x to some\n"
				   "allow x to known\n"
				   "deny  x to known,secret\n"
				   "allow x to any\n"
				   "allow y to any\n";
	_cleanup_free_ char *printed = NULL;
	struct policy_error error;
	struct policy *policy, *again;

	assert_int_equal(policy_parse("p", text, strlen(text), &names, &policy, &error), 0);
	check_warning(policy, 0, "p:1:17: what catalog 'later' says is not known yet");
	check_warning(policy, 1, "p:2:17: what catalog 'later' says is not known yet");
	assert_null(policy_warning(policy, 2));
	assert_int_equal(verdict_of(policy, "x", A64), POLICY_ALLOW); /* by a line before */
	assert_int_equal(verdict_of(policy, "x", C64), POLICY_DENY);
	assert_int_equal(verdict_of(policy, "x", "fsverity-" C64), POLICY_DENY);
	assert_int_equal(verdict_of(policy, "y", C64), POLICY_ALLOW); /* of others it says nothing */
	assert_int_equal(policy_print(policy, &printed), 0);
	assert_non_null(strstr(printed, "\ndeny x to any\n"));
	assert_int_equal(policy_parse("again", printed, strlen(printed), NULL, &again, &error), 0);
	assert_int_equal(verdict_of(again, "x", A64), POLICY_ALLOW);
	assert_int_equal(verdict_of(again, "x", C64), POLICY_DENY);
	assert_int_equal(verdict_of(again, "y", C64), POLICY_ALLOW);
	policy_unref(again);
	policy_unref(policy);
}

static void test_globs(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool matches;
	} globs[] = {
		{"a", "a", true},	      {"a", "A", false},
		{"a", "a/b", false},	      {"*", "a", true},
		{"*", "a/b/c", true},	      {"*", "", false},
		{"a/*", "a/b", true},	      {"a/*", "a/b/c/d", true},
		{"a/*", "a", false},	      {"a/*", "a/", false},
		{"a/*", "ab/c", false},	      {"a*", "ab", true},
		{"a*", "ab/c", false},	      {"*/b", "a/b", true},
		{"*/b", "a/x/b", false},      {"?/b", "a/b", true},
		{"a?b", "a/b", false},	      {"[a-c]/x*", "b/xyz", true},
		{"[!a]/x", "a/x", false},     {"*/*", "a/b/c", true},
		{"*/*", "a", false},	      {"a/*/c", "a/b/c", true},
		{"a/*/c", "a/b/b/c", false},  {"a/*/*", "a/b/c/d", true},
		{"a/*/*", "a/b", false},      {"a/\\*", "a/b", false},
		{"a/\\*", "a/*", true},       {"*.gguf", "x.gguf", true},
		{"a/*.gguf", "a/b/x.gguf", false}, {"a/.*", "a/.b", true},
		{"a/**", "a/b/c", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(globs); i++) {
		if (policy_name_matches(globs[i].pattern, globs[i].name) != globs[i].matches)
			fail_msg("%s, %s", globs[i].pattern, globs[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_public_list),  cmocka_unit_test(test_bad_list),
		cmocka_unit_test(test_missing_list), cmocka_unit_test(test_denied_list),
		cmocka_unit_test(test_names),	     cmocka_unit_test(test_names_left_out),
		cmocka_unit_test(test_names_unknown), cmocka_unit_test(test_globs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
