/* SPDX-License-Identifier: Apache-2.0 */
/* Who is which origin, and policies that are replaced while others still use them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/policy.h"
#include "tests/unit/policy-testing.h"

struct text {
	char bytes[16384];
	size_t len;
};

static void add(struct text *text, const char *format, ...) printf_like(2, 3);
static void add(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text->len += (size_t)vsnprintf(text->bytes + text->len, sizeof(text->bytes) - text->len,
				       format, args);
	va_end(args);
	assert_true(text->len < sizeof(text->bytes));
}

static void test_callers(void **state)
{
	for (unsigned int round = 0; round < 3000; round++) {
		struct {
			uint32_t kind, id; /* 0 any, 1 uid, 2 gid */
		} lines[8];
		size_t n = random_below(ARRAY_SIZE(lines) + 1);
		struct text text = {.len = 0};
		struct policy *policy;
		bool gids = false;

		add(&text, "# callers\n");
		for (size_t i = 0; i < n; i++) {
			static const char *const kinds[] = {"any", "uid ", "gid "};

			lines[i].kind = one_in(6) ? 0 : 1 + random_below(2);
			lines[i].id = lines[i].kind ? random_below(4) : 0;
			gids |= lines[i].kind == 2;
			add(&text, "caller %s", kinds[lines[i].kind]);
			if (lines[i].kind)
				add(&text, "%u", lines[i].id);
			add(&text, " is origin%zu\n", i);
		}
		policy = policy_of(text.bytes);
		assert_int_equal(policy_needs_groups(policy), gids);
		for (unsigned int j = 0; j < 20; j++) {
			gid_t groups[] = {random_below(5), random_below(5)};
			struct policy_caller caller = {!one_in(10), random_below(5),
						       random_below(5), groups, random_below(3)};
			struct policy_where where = {"x", 99};
			const char *origin = policy_origin_of(policy, &caller, &where);
			size_t i;

			for (i = 0; i < n && caller.identified; i++) {
				bool in_group = lines[i].id == caller.gid;

				for (size_t g = 0; g < caller.n_groups; g++)
					in_group |= lines[i].id == groups[g];
				if (lines[i].kind == 0 || (lines[i].kind == 2 && in_group) ||
				    (lines[i].kind == 1 && lines[i].id == caller.uid))
					break;
			}
			if (!caller.identified || i == n) {
				assert_null(origin);
				assert_null(where.file);
				continue;
			}
			assert_non_null(origin);
			assert_int_equal(where.line, i + 2);
			assert_int_equal(atoi(origin + strlen("origin")), i);
		}
		policy_unref(policy);
	}
}

static void test_groups_may_be_missing(void **state)
{
	struct policy *policy =
		policy_of("caller uid 0 is root\ncaller any is HTTPS://A.example:443\n");
	struct policy_caller caller = {.identified = true, .uid = 7, .n_groups = 3};

	assert_false(policy_needs_groups(policy));
	assert_string_equal(policy_origin_of(policy, &caller, NULL), "https://a.example");
	caller.identified = false;
	assert_null(policy_origin_of(policy, &caller, NULL));
	policy_unref(policy);
}

/* ---- references ---- */

struct shared {
	pthread_mutex_t mutex;
	struct policy *current; /* protected by mutex */
	bool stop;		/* protected by mutex */
};

static struct policy *take(struct shared *shared)
{
	struct policy *policy;

	pthread_mutex_lock(&shared->mutex);
	policy = shared->stop ? NULL : policy_ref(shared->current);
	pthread_mutex_unlock(&shared->mutex);
	return policy;
}

static void *reader(void *arg)
{
	struct digest_pair digests = {0};
	struct shared *shared = arg;
	struct policy *policy;
	uintptr_t wrong = 0;

	while ((policy = take(shared))) {
		wrong += policy_decide(policy, "local", &digests).verdict != POLICY_ALLOW;
		policy_unref(policy);
	}
	return (void *)wrong;
}

/* A reload while others decide: the last user frees, whoever that is. */
static void test_references(void **state)
{
	static const char text[] = "caller any is local\nallow local to any\n";
	struct shared shared = {.mutex = PTHREAD_MUTEX_INITIALIZER, .current = policy_of(text)};
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, &shared), 0);
	for (int i = 0; i < 500; i++) {
		struct policy *old, *new = policy_of(text);

		pthread_mutex_lock(&shared.mutex);
		old = shared.current;
		shared.current = new;
		pthread_mutex_unlock(&shared.mutex);
		policy_unref(old);
	}
	pthread_mutex_lock(&shared.mutex);
	shared.stop = true;
	pthread_mutex_unlock(&shared.mutex);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		void *wrong;

		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	policy_unref(shared.current);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_callers),
		cmocka_unit_test(test_groups_may_be_missing),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
