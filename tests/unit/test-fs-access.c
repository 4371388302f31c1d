/* SPDX-License-Identifier: Apache-2.0 */
/* Whose view may a caller look up? The policy and the caller are stand-ins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "fs/origins/access.h"
#include "fs/origins/caller.h"

static struct weightfs fs;
static struct policy_caller who;
static const char *origin_of_who;
static uid_t broker; /* the policy has `broker uid N` */
static unsigned int asked;

void caller_of_request(struct callers *callers, const struct policy *policy, fuse_req_t request,
		       struct caller *out)
{
	asked++;
	out->who = who;
}

void *fuse_req_userdata(fuse_req_t request)
{
	return &fs;
}

const char *policy_origin_of(const struct policy *policy, const struct policy_caller *caller,
			     struct policy_where *where)
{
	return caller->identified ? origin_of_who : NULL;
}

/* As bad as it could be: it does not look whether the caller is known. */
bool policy_is_broker(const struct policy *policy, const struct policy_caller *caller,
		      struct policy_where *where)
{
	return caller->uid == broker;
}

int policy_load(const char *file, const struct policy_names *names, struct policy **out,
		struct policy_error *error)
{
	return -ENOENT;
}

int policy_parse(const char *name, const char *text, size_t len, const struct policy_names *names,
		 struct policy **out, struct policy_error *error)
{
	return -EINVAL;
}

void policy_error_format(const struct policy_error *error, char *out, size_t size)
{
	out[0] = '\0';
}

struct policy *policy_ref(struct policy *policy)
{
	return policy;
}

void policy_unref(struct policy *policy)
{
}

static bool finds(uid_t uid, const char *origin)
{
	return access_finds_view(NULL, NULL, uid, origin);
}

static void test_own(void **state)
{
	who = (struct policy_caller){.identified = true, .uid = 7};
	origin_of_who = "local";
	broker = 8;
	assert_true(finds(7, "local"));
	assert_false(finds(7, "translator"));
	assert_false(finds(7, "https://local"));
	assert_false(finds(8, "local"));
	assert_false(finds(0, "local"));
	origin_of_who = NULL;
	assert_false(finds(7, "local"));
}

static void test_brokers(void **state)
{
	who = (struct policy_caller){.identified = true, .uid = 7};
	origin_of_who = "local";
	broker = 7;
	assert_true(finds(7, "local"));
	assert_true(finds(7, "https://app.example.com"));
	/* Of one's own user. */
	assert_false(finds(8, "local"));
	assert_false(finds(0, "https://app.example.com"));
	origin_of_who = NULL;
	assert_true(finds(7, "https://app.example.com"));
	assert_false(finds(8, "https://app.example.com"));
	/* Root needs no line. */
	who.uid = 0;
	assert_true(finds(8, "https://app.example.com"));
	assert_true(finds(0, "local"));
}

static void test_nobody(void **state)
{
	origin_of_who = "local";
	for (uid_t uid = 0; uid < 8; uid += 7) {
		who = (struct policy_caller){.identified = false, .uid = uid};
		broker = uid;
		assert_false(finds(uid, "local"));
		assert_false(finds(uid, "https://app.example.com"));
		assert_null(access_origin(NULL, NULL));
	}
	/* Once a decision: who it is may cost a look at its process. */
	asked = 0;
	assert_false(finds(7, "local"));
	assert_int_equal(asked, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_brokers),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests_name("fs-access", tests, NULL, NULL);
}
