/* SPDX-License-Identifier: Apache-2.0 */
/* What does not parse, and where that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/policy-machine.h"

#define CGROUP "a cgroup's path such as /system.slice expected"
#define OPTIONS                                                                                    \
	"'cached', 'list', 'quota=SIZE', 'probes=N/TIME' or 'wait=TIME' expected"
#define PROBES "a number and a time such as 16/1m expected"
#define NAMES  "CATALOG:PATTERN such as hub:Qwen/* expected"
#define UNIT   "a unit's name such as app.service expected"

static const struct {
	const char *text, *message;
} bad[] = {
	/* Statements. */
	{"permit any to any\n",
	 "p:1:1: 'caller', 'broker', 'set', 'include', 'allow', 'ask' or 'deny' expected, not 'permit'"},
	{"\n # x\n\t Allow any to any\n",
	 "p:3:3: 'caller', 'broker', 'set', 'include', 'allow', 'ask' or 'deny' expected, not 'Allow'"},
	{"\xef\xbb\xbf"
	 "allow any to any\n",
	 "p:1:1: 'caller', 'broker', 'set', 'include', 'allow', 'ask' or 'deny' expected, not '\xef\xbb\xbf"
	 "allow'"},
	/* broker */
	{"broker", "p:1:7: 'uid', 'user', 'gid', 'cgroup' or 'unit' expected"},
	{"broker any", "p:1:8: 'any' is no broker: then everybody could be every origin"},
	{"broker all", "p:1:8: 'uid', 'user', 'gid', 'cgroup' or 'unit' expected, not 'all'"},
	{"broker uid", "p:1:11: a number expected"},
	{"broker user bob", "p:1:13: no user is called 'bob'"},
	{"broker user anna is local", "p:1:18: the end of the line expected, not 'is'"},
	/* caller */
	{"caller", "p:1:7: 'uid', 'user', 'gid', 'cgroup', 'unit' or 'any' expected"},
	{"caller  # x", "p:1:9: 'uid', 'user', 'gid', 'cgroup', 'unit' or 'any' expected"},
	{"caller all is local", "p:1:8: 'uid', 'user', 'gid', 'cgroup', 'unit' or 'any' expected, not 'all'"},
	{"caller cgroup", "p:1:14: " CGROUP},
	{"caller cgroup x is a", "p:1:15: " CGROUP ", not 'x'"},
	{"caller cgroup //x is a", "p:1:15: " CGROUP ", not '//x'"},
	{"caller cgroup /x/ is a", "p:1:15: " CGROUP ", not '/x/'"},
	{"caller cgroup /x//y is a", "p:1:15: " CGROUP ", not '/x//y'"},
	{"caller cgroup /. is a", "p:1:15: " CGROUP ", not '/.'"},
	{"caller cgroup /x/../y is a", "p:1:15: " CGROUP ", not '/x/../y'"},
	{"caller unit", "p:1:12: " UNIT},
	{"caller unit x is a", "p:1:13: " UNIT ", not 'x'"},
	{"caller unit .service is a", "p:1:13: " UNIT ", not '.service'"},
	{"caller unit x.services is a", "p:1:13: " UNIT ", not 'x.services'"},
	{"caller unit a/x.service is a", "p:1:13: " UNIT ", not 'a/x.service'"},
	{"caller unit x@.service is a", "p:1:13: " UNIT ", not 'x@.service'"},
	{"caller unit x?.service is a", "p:1:13: " UNIT ", not 'x?.service'"},
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
	{"caller any is https://b.de\xef\xbc\x8fx",
	 "p:1:15: 'https://b.de\xef\xbc\x8fx' is no origin: "
	 "the host has a character that no host name has"},
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
	{"set x y", "p:1:7: a digest or 'shared' expected, not 'y'"},
	{"set x name", "p:1:11: CATALOG:PATTERN expected"},
	{"set x name hub", "p:1:12: " NAMES ", not 'hub'"},
	{"set x name hub:", "p:1:12: " NAMES ", not 'hub:'"},
	{"set x name Hub:*", "p:1:12: " NAMES ", not 'Hub:*'"},
	{"set x name hub:/a", "p:1:12: " NAMES ", not 'hub:/a'"},
	{"set x name hub:a//b", "p:1:12: " NAMES ", not 'hub:a//b'"},
	{"set x name hub:a/../b", "p:1:12: " NAMES ", not 'hub:a/../b'"},
	{"set x name hub:a/", "p:1:12: " NAMES ", not 'hub:a/'"},
	{"set x name hub:a b", "p:1:18: 'shared' or the end of the line expected, not 'b'"},
	{"set x " A64 " shared shared", "p:1:79: the end of the line expected, not 'shared'"},
	{"set x shared " A64, "p:1:14: the end of the line expected, not '" A64 "'"},
	{"set x file f shared g", "p:1:21: the end of the line expected, not 'g'"},
	{"set x " A64 " " A32, "p:1:72: a digest or 'shared' expected, not '" A32 "'"},
	{"set x SHA256-" A64,
	 "p:1:7: a digest or 'shared' expected, not 'SHA256-" A32 "aaaaaaaaaaaaaaaaaaaaaaaaa'"},
	{"set x file", "p:1:11: a path expected"},
	{"set x file f g", "p:1:14: 'shared' or the end of the line expected, not 'g'"},
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
	{"allow any to any with", "p:1:22: " OPTIONS},
	{"allow any to any with x", "p:1:23: " OPTIONS ", not 'x'"},
	{"allow any to any with list,", "p:1:28: " OPTIONS},
	{"allow any to any with list,list", "p:1:28: 'list' stands here twice"},
	{"allow any to any with quota", "p:1:23: " OPTIONS ", not 'quota'"},
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
	{"allow any to any with wait=60s", "p:1:23: 'wait' is for 'ask' lines only"},
	{"ask any to any with wait=1s,wait=1s", "p:1:29: 'wait' stands here twice"},
	{"ask any to any with wait=", "p:1:26: a time such as 60s expected"},
	{"ask any to any with wait=0", "p:1:26: a time such as 60s expected, not '0'"},
	{"ask any to any with wait=60", "p:1:26: a time such as 60s expected, not '60'"},
	{"ask any to any with wait=-1s", "p:1:26: a time such as 60s expected, not '-1s'"},
	{"ask any to any with wait=25h", "p:1:26: '25h' is too large"},
	{"ask any to any with wait", "p:1:21: " OPTIONS ", not 'wait'"},
	{"ask any to any with probes", "p:1:21: " OPTIONS ", not 'probes'"},
	{"ask any to any with probes=", "p:1:28: " PROBES},
	{"ask any to any with probes=16", "p:1:28: " PROBES ", not '16'"},
	{"ask any to any with probes=16/", "p:1:31: a time such as 60s expected"},
	{"ask any to any with probes=/1m", "p:1:28: " PROBES ", not '/1m'"},
	{"ask any to any with probes=0/1m", "p:1:28: " PROBES ", not '0/1m'"},
	{"ask any to any with probes=x/1m", "p:1:28: " PROBES ", not 'x/1m'"},
	{"ask any to any with probes=16/1m/2", "p:1:31: a time such as 60s expected, not '1m/2'"},
	{"ask any to any with probes=16/0", "p:1:31: a time such as 60s expected, not '0'"},
	{"ask any to any with probes=1000001/1m", "p:1:28: '1000001/1m' is too large"},
	{"ask any to any with probes=99999999999999999999/1m",
	 "p:1:28: '99999999999999999999/1m' is too large"},
	{"ask any to any with probes=16/366d", "p:1:31: '366d' is too large"},
	{"allow any to any with probes=1/1s,probes=1/1s", "p:1:35: 'probes' stands here twice"},
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_user_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
