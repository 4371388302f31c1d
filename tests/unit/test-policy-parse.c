/* SPDX-License-Identifier: Apache-2.0 */
/* What parses, what does not and where that is said. Files are made up; test-policy-files.c has
 * real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/io.h"
#include "policy/internal.h"
#include "tests/unit/policy-testing.h"

#define A32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B32 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define A64 A32 A32
#define B64 B32 B32

/* ---- a machine of our own ---- */

struct fake_file {
	const char *path, *text;
};

/* ARG is an array of fake_file that ends with a NULL path, sorted where a glob is used. */
static int fake_read(void *arg, const char *path, size_t limit, struct policy_text *out)
{
	const struct fake_file *files = arg;

	for (size_t i = 0; files && files[i].path; i++) {
		if (strcmp(files[i].path, path) != 0)
			continue;
		out->text = strdup(files[i].text);
		out->len = strlen(files[i].text);
		out->dev = 1;
		out->ino = i + 1;
		return out->text ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

static int fake_glob(void *arg, const char *directory, const char *pattern, char ***paths,
		     size_t *n)
{
	const struct fake_file *files = arg;
	size_t skip = strlen(directory);

	if (!strcmp(pattern, "/locked/*"))
		return -EACCES;
	*paths = calloc(100, sizeof(**paths));
	*n = 0;
	assert_non_null(*paths);
	for (size_t i = 0; files && files[i].path; i++) {
		if (!strncmp(files[i].path, directory, skip) &&
		    !fnmatch(pattern, files[i].path + skip, FNM_PATHNAME))
			(*paths)[(*n)++] = strdup(files[i].path);
	}
	return 0;
}

static int fake_user(void *arg, const char *name, uid_t *uid)
{
	if (!strcmp(name, "anna") || !strcmp(name, "translator")) {
		*uid = 1001;
		return 0;
	}
	return !strcmp(name, "broken") ? -EIO : -ENOENT;
}

static int parse(const struct fake_file *files, const char *name, const char *text, size_t len,
		 struct policy **out, char message[1024])
{
	struct policy_system system = {fake_read, fake_glob, fake_user, (void *)(uintptr_t)files};
	struct policy_error error = {.file = "untouched"};
	int r = policy_parse_with(&system, name, text, len, out, &error);

	policy_error_format(&error, message, 1024);
	return r;
}

static struct policy *parse_good(const struct fake_file *files, const char *text)
{
	struct policy *policy = NULL;
	char message[1024];

	if (parse(files, "/etc/p", text, strlen(text), &policy, message) < 0)
		fail_msg("%s", message);
	/* An output of errors is set by errors only. */
	assert_string_equal(message, "untouched: ");
	return policy;
}

/* ---- errors ---- */

static const struct {
	const char *text, *message;
} bad[] = {
	/* Statements. */
	{"permit any to any\n",
	 "p:1:1: 'caller', 'set', 'include', 'allow' or 'deny' expected, not 'permit'"},
	{"\n # x\n\t Allow any to any\n",
	 "p:3:3: 'caller', 'set', 'include', 'allow' or 'deny' expected, not 'Allow'"},
	{"\xef\xbb\xbf"
	 "allow any to any\n",
	 "p:1:1: 'caller', 'set', 'include', 'allow' or 'deny' expected, not '\xef\xbb\xbf"
	 "allow'"},
	{"ask any to any\n", "p:1:1: 'ask' is not supported by this version"},
	{"broker user anna\n", "p:1:1: 'broker' is not supported by this version"},
	/* caller */
	{"caller", "p:1:7: 'uid', 'user', 'gid' or 'any' expected"},
	{"caller  # x", "p:1:9: 'uid', 'user', 'gid' or 'any' expected"},
	{"caller all is local", "p:1:8: 'uid', 'user', 'gid' or 'any' expected, not 'all'"},
	{"caller cgroup /x is local", "p:1:8: 'cgroup' is not supported by this version"},
	{"caller unit x.service is local", "p:1:8: 'unit' is not supported by this version"},
	{"caller uid", "p:1:11: a number expected"},
	{"caller uid is local", "p:1:12: a number from 0 to 4294967294 expected, not 'is'"},
	{"caller uid 4294967295 is a",
	 "p:1:12: a number from 0 to 4294967294 expected, not '4294967295'"},
	{"caller uid 99999999999999999999 is a",
	 "p:1:12: a number from 0 to 4294967294 expected, not '99999999999999999999'"},
	{"caller gid -1 is a", "p:1:12: a number from 0 to 4294967294 expected, not '-1'"},
	{"caller gid 007 is a", "p:1:12: a number from 0 to 4294967294 expected, not '007'"},
	{"caller gid 0x1 is a", "p:1:12: a number from 0 to 4294967294 expected, not '0x1'"},
	{"caller user", "p:1:12: a user's name expected"},
	{"caller user bob is a", "p:1:13: no user is called 'bob'"},
	{"caller any local", "p:1:12: 'is' expected, not 'local'"},
	{"caller any is", "p:1:14: an origin expected"},
	{"caller any is any", "p:1:15: 'any' is no origin: neither https://HOST[:PORT], "
			      "http://HOST[:PORT] nor a local name"},
	{"caller any is https://a/", "p:1:15: 'https://a/' is no origin: an origin has no path, "
				     "not even a last '/'"},
	{"caller any is https://*.a", "p:1:15: 'https://*.a' is no origin: '*.' is for the front "
				      "of a pattern's host, and stands for whole labels"},
	{"caller any is https://b\xc3\xbc.de",
	 "p:1:15: 'https://b\xc3\xbc.de' is no origin: "
	 "write an international host name as punycode (xn--...)"},
	{"caller any is a b", "p:1:17: the end of the line expected, not 'b'"},
	{"caller any is a#b",
	 "p:1:15: 'a#b' is no origin: neither https://HOST[:PORT], http://HOST[:PORT] nor "
	 "a local name"},
	/* set */
	{"set", "p:1:4: a set's name expected"},
	{"set any " A64, "p:1:5: a set's name ([a-z][a-z0-9._-]*) expected, not 'any'"},
	{"set Ours " A64, "p:1:5: a set's name ([a-z][a-z0-9._-]*) expected, not 'Ours'"},
	{"set a,b " A64, "p:1:5: a set's name ([a-z][a-z0-9._-]*) expected, not 'a,b'"},
	{"set sha256-x " A64, "p:1:5: a set's name ([a-z][a-z0-9._-]*) expected, not 'sha256-x'"},
	{"set " A64 " " A64, "p:1:5: a set's name ([a-z][a-z0-9._-]*) expected, not '" A64 "'"},
	{"set " A64 "aa " A64, "p:1:5: a set's name ([a-z][a-z0-9._-]*) expected, not '" A64 "'"},
	{"set x", "p:1:6: 'file' or a digest expected"},
	{"set x y", "p:1:7: a digest expected, not 'y'"},
	{"set x name hub:Qwen/*", "p:1:7: 'name' is not supported by this version"},
	{"set x " A64 " " A32, "p:1:72: a digest expected, not '" A32 "'"},
	{"set x SHA256-" A64,
	 "p:1:7: a digest expected, not 'SHA256-" A32 "aaaaaaaaaaaaaaaaaaaaaaaaa'"},
	{"set x file", "p:1:11: a path expected"},
	{"set x file f shared", "p:1:14: 'shared' is not supported by this version"},
	{"set x file f g", "p:1:14: the end of the line expected, not 'g'"},
	{"set x file none", "p:1:12: none: No such file or directory"},
	{"set x " A64 "\nset x " B64, "p:2:5: set 'x' was defined before, at p:1"},
	{"set x file hex-upper", "hex-upper:2:2: a digest expected, not 'AA'"},
	{"set x file two", "two:1:66: one digest a line"},
	{"set x file crlf", "crlf:1:65: a carriage return: lines must end with a newline alone"},
	/* include */
	{"include", "p:1:8: a path expected"},
	{"include x y", "p:1:11: the end of the line expected, not 'y'"},
	{"include none", "p:1:9: none: No such file or directory"},
	{"include /locked/*", "p:1:9: /locked/*: Permission denied"},
	{"include wrong", "wrong:2:9: 'to' expected, not 'too'"},
	/* allow, deny */
	{"allow", "p:1:6: 'any' or an origin expected"},
	{"allow any", "p:1:10: 'to' expected"},
	{"allow any to", "p:1:13: 'any', a set or a digest expected"},
	{"allow any to Any", "p:1:14: 'any', a set or a digest expected, not 'Any'"},
	{"allow any to a,", "p:1:16: 'any', a set or a digest expected"},
	{"allow any to ,a", "p:1:14: 'any', a set or a digest expected"},
	{"allow any to any,,any", "p:1:18: 'any', a set or a digest expected"},
	{"allow any to any, any", "p:1:18: 'any', a set or a digest expected"},
	{"allow any to any any", "p:1:18: 'with' or the end of the line expected, not 'any'"},
	{"allow any to sha256:" A32,
	 "p:1:14: 'any', a set or a digest expected, not 'sha256:" A32 "'"},
	{"allow any to nope", "p:1:14: no set is called 'nope'"},
	{"allow any to a,b\nset a " A64 "\n", "p:1:16: no set is called 'b'"},
	{"allow * to any", "p:1:7: '*' is no origin: neither https://HOST[:PORT], "
			   "http://HOST[:PORT] nor a local name"},
	{"allow https://* to any", "p:1:7: 'https://*' is no origin: '*.' is for the front of a "
				   "pattern's host, and stands for whole labels"},
	{"allow https://*.1.2.3.4 to any",
	 "p:1:7: 'https://*.1.2.3.4' is no origin: '*.' is not for addresses"},
	{"deny https://*.a.*.b to any",
	 "p:1:6: 'https://*.a.*.b' is no origin: '*.' is for the front of a pattern's host, "
	 "and stands for whole labels"},
	{"deny any to any with list", "p:1:17: 'deny' takes no 'with'"},
	{"deny any to any x", "p:1:17: the end of the line expected, not 'x'"},
	{"allow any to any with", "p:1:22: 'cached', 'list' or 'quota=SIZE' expected"},
	{"allow any to any with x", "p:1:23: 'cached', 'list' or 'quota=SIZE' expected, not 'x'"},
	{"allow any to any with list,", "p:1:28: 'cached', 'list' or 'quota=SIZE' expected"},
	{"allow any to any with list,list", "p:1:28: 'list' stands here twice"},
	{"allow any to any with quota", "p:1:23: 'cached', 'list' or 'quota=SIZE' expected, not 'quota'"},
	{"allow any to any with list,quota=", "p:1:34: a size such as 20G expected"},
	{"allow any to any with quota=20X", "p:1:29: a size such as 20G expected, not '20X'"},
	{"allow any to any with quota=5%", "p:1:29: a size such as 20G expected, not '5%'"},
	{"allow any to any with quota=0", "p:1:29: a size such as 20G expected, not '0'"},
	{"allow any to any with quota=-1", "p:1:29: a size such as 20G expected, not '-1'"},
	{"allow any to any with quota=00000000000000000000000000000020G",
	 "p:1:29: a size such as 20G expected, not '00000000000000000000000000000020G'"},
	{"allow any to any with quota=8388608T", "p:1:29: '8388608T' is too large"},
	{"allow any to any with quota=99999999999999999999,list",
	 "p:1:29: '99999999999999999999' is too large"},
	{"allow any to any with quota=1,list,quota=2", "p:1:36: 'quota' stands here twice"},
	{"deny any to any with quota=1", "p:1:17: 'deny' takes no 'with'"},
	{"allow any to any with list cached", "p:1:28: the end of the line expected, not 'cached'"},
};

static const struct fake_file bad_files[] = {
	{"hex-upper", "# a list\n AA\n"},
	{"two", A64 " model.bin\n"},
	{"crlf", A64 "\r\n"},
	{"wrong", "deny any to any\nallow\ta too any\n"},
	{"f", ""},
	{NULL, NULL},
};

static void test_errors(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct policy *policy = NULL;
		char message[1024];
		int r = parse(bad_files, "p", bad[i].text, strlen(bad[i].text), &policy, message);
		bool missing = strstr(bad[i].message, "No such") != NULL;
		bool locked = strstr(bad[i].message, "denied") != NULL;

		if (strcmp(message, bad[i].message) != 0)
			fail_msg("%s\n gave     %s\n expected %s", bad[i].text, message,
				 bad[i].message);
		assert_int_equal(r, missing ? -ENOENT : locked ? -EACCES : -EINVAL);
		assert_null(policy);
	}
}

/* Not "no such user": the database could not be asked. */
static void test_user_error(void **state)
{
	const char *text = "caller user broken is a";
	struct policy *policy = NULL;
	char message[1024];

	assert_int_equal(parse(NULL, "p", text, strlen(text), &policy, message), -EIO);
	assert_string_equal(message,
			    "p:1:13: user 'broken' cannot be looked up: Input/output error");
	assert_null(policy);
}

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
				  "allow last to list,later,sha256-" B64 " with list,cached\n"
				  "deny https://*.Example.com:443 to any,empty\n"
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
	assert_int_equal(examples, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),	      cmocka_unit_test(test_user_error),
		cmocka_unit_test(test_forms),	      cmocka_unit_test(test_comment_marks),
		cmocka_unit_test(test_include_order), cmocka_unit_test(test_include_depth),
		cmocka_unit_test(test_include_bomb),  cmocka_unit_test(test_duplicate_in_include),
		cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
