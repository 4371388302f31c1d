/* SPDX-License-Identifier: Apache-2.0 */
/* Probe budgets, with a clock and a policy of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <time.h>
#include "fs/origins/budget.h"

static int64_t now_ms = 1000000;
static struct policy_probes allowed;

int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
	out->tv_sec = now_ms / 1000;
	out->tv_nsec = now_ms % 1000 * 1000000;
	return 0;
}

struct policy_probes view_probes(struct weightfs *fs, const struct view *view)
{
	return allowed;
}

static const struct view a = {.number = 1, .uid = 7, .web = true, .origin = "https://a.example"};
static const struct view b = {.number = 2, .uid = 7, .web = true, .origin = "https://b.example"};

static bool look(const struct view *view, unsigned int seed)
{
	struct digest_name name = {.kind = DIGEST_SHA256};

	memcpy(name.digest.bytes, &seed, sizeof(seed));
	return budget_spend(NULL, view, &name);
}

static int no_budgets(void **state)
{
	budgets_free();
	return 0;
}

static void test_none(void **state)
{
	allowed = (struct policy_probes){0};
	for (unsigned int i = 0; i < 1000; i++)
		assert_true(look(&a, i));
	assert_false(budget_is_kept(NULL, &a) || budget_is_spent(NULL, &a));
}

static void test_distinct_names(void **state)
{
	allowed = (struct policy_probes){3, 60000};
	for (unsigned int i = 0; i < 30; i++)
		assert_true(look(&a, i % 3));
	assert_false(budget_is_spent(NULL, &a));
	assert_false(look(&a, 3));
	assert_true(budget_is_spent(NULL, &a));
	/* All is absent, also what was asked for before; to this view alone. */
	assert_false(look(&a, 0));
	assert_false(budget_is_spent(NULL, &b));
	assert_true(look(&b, 0));
	now_ms += 59999;
	assert_false(look(&a, 0));
	now_ms += 1;
	assert_false(budget_is_spent(NULL, &a));
	for (unsigned int i = 10; i < 13; i++)
		assert_true(look(&a, i));
	assert_false(look(&a, 13));
}

/* What was longer ago than the window does not count. */
static void test_window(void **state)
{
	allowed = (struct policy_probes){2, 1000};
	for (unsigned int i = 0; i < 100; i++) {
		assert_true(look(&a, i));
		now_ms += 501;
	}
	assert_true(look(&a, 100));
	assert_false(look(&a, 101));
}

/* A reload with another budget holds from then on. */
static void test_other_budget(void **state)
{
	allowed = (struct policy_probes){1, 1000};
	assert_true(look(&a, 1));
	assert_false(look(&a, 2));
	allowed = (struct policy_probes){0};
	assert_true(look(&a, 3));
	assert_false(budget_is_spent(NULL, &a));
	allowed = (struct policy_probes){2, 1000};
	assert_true(budget_is_spent(NULL, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_none, no_budgets),
		cmocka_unit_test_teardown(test_distinct_names, no_budgets),
		cmocka_unit_test_teardown(test_window, no_budgets),
		cmocka_unit_test_teardown(test_other_budget, no_budgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
