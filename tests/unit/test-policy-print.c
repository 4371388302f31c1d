/* SPDX-License-Identifier: Apache-2.0 */
/* What is printed is the same policy, and what is explained is what decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/policy-model.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char *printed(const struct policy *policy)
{
	char *text = NULL;

	assert_int_equal(policy_print(policy, &text), 0);
	assert_non_null(text);
	return text;
}

static void test_canonical(void **state)
{
	struct policy *policy = policy_of(
		"# comments go\n"
		"caller gid 7 is HTTPS://B\xc3\xbc" "cher.example:443\n"
		"caller any is local\n"
		"broker unit b.service\n"
		"caller cgroup /a/b is x\n"
		"broker cgroup /\n"
		"caller unit a@1.service is x\n"
		"broker uid 7\n"
		"allow  x to sha256-" A64 ",z,any,z with list,cached,quota=1048576\n"
		"ask https://*.Example.com:8443 to z with probes=5/60000ms,wait=3600s\n"
		"set z sha256:" B64 " " A64 " fsverity-" A64 " " B64 " shared\n"
		"deny site:HTTPS://example.com:443 to z,fsverity-" A64 "\n"
		"set a\n"
		"allow any to a with quota=1025,probes=1/1500ms\n");
	_cleanup_free_ char *text = printed(policy);

	assert_string_equal(text, "caller gid 7 is https://xn--bcher-kva.example\n"
				  "caller any is local\n"
				  "caller cgroup /a/b is x\n"
				  "caller unit a@1.service is x\n"
				  "broker unit b.service\n"
				  "broker cgroup /\n"
				  "broker uid 7\n"
				  "set a\n"
				  "set z " A64 " " B64 " fsverity-" A64 " shared\n"
				  "allow x to any," A64 ",z with cached,list,quota=1M\n"
				  "ask https://*.example.com:8443 to z with wait=1h,probes=5/1m\n"
				  "deny site:https://example.com to fsverity-" A64 ",z\n"
				  "allow any to a with quota=1025,probes=1/1500ms\n");
	policy_unref(policy);
	policy = policy_of("");
	free(text);
	text = printed(policy);
	assert_string_equal(text, "");
	policy_unref(policy);
}

static bool same(const struct policy_decision *a, const struct policy_decision *b)
{
	return a->verdict == b->verdict && a->cached == b->cached && a->list == b->list &&
	       a->shared == b->shared && a->quota == b->quota && a->wait_ms == b->wait_ms &&
	       !a->where.file == !b->where.file;
}

/* Line I of the model stands in line SETS + 1 + I of what was printed. */
static void compare(const struct policy *policy, const struct policy *copy, unsigned int first,
		    const char *text)
{
	for (unsigned int j = 0; j < 50; j++) {
		const char *origin = origins[random_below(ARRAY_SIZE(origins))].origin;
		struct digest_pair digests = random_object();
		struct policy_decision a = policy_decide(policy, origin, &digests);
		struct policy_decision b = policy_decide(copy, origin, &digests);
		struct policy_probes p = policy_probes(policy, origin);
		struct policy_probes q = policy_probes(copy, origin);

		if (!same(&a, &b) || (a.where.line && a.where.line - first != b.where.line - SETS - 1))
			fail_msg("%s: line %u, printed line %u\n%s", origin, a.where.line,
				 b.where.line, text);
		assert_int_equal(policy_quota(policy, origin), policy_quota(copy, origin));
		assert_true(p.count == q.count && p.window_ms == q.window_ms);
		assert_int_equal(policy_lists(policy, origin), policy_lists(copy, origin));
	}
}

static void test_round_trip(void **state)
{
	struct model model;
	struct text text;

	for (unsigned int i = 0; i < 2500; i++) {
		size_t before = random_below(SETS + 1);
		_cleanup_free_ char *once = NULL, *twice = NULL;
		struct policy *policy, *copy;

		make_model(&model);
		policy = write_model(&model, &text, before);
		once = printed(policy);
		/* By itself: the catalog is not needed any more. */
		copy = policy_of(once);
		twice = printed(copy);
		assert_string_equal(once, twice);
		compare(policy, copy, (unsigned int)before + 1, once);
		policy_unref(policy);
		policy_unref(copy);
	}
}

/* ---- explaining ---- */

struct steps {
	struct policy_step seen[LINES];
	size_t n, stop; /* after so many it stops */
};

static int keep_step(void *arg, const struct policy_step *step)
{
	struct steps *steps = arg;

	assert_true(steps->n < LINES);
	assert_true(strlen(step->statement) > strlen("ask x to y"));
	steps->seen[steps->n++] = *step;
	return steps->n == steps->stop ? 42 : 0;
}

static void explain_model(const struct policy *policy, const struct model *model, size_t origin,
			  unsigned int first)
{
	struct digest_pair digests = random_object();
	struct steps steps = {.stop = LINES + 1};
	size_t n = 0;
	bool matched = false;

	assert_int_equal(policy_explain(policy, origins[origin].origin, &digests, keep_step, &steps), 0);
	for (size_t i = 0; i < model->n_lines && !matched; i++) {
		const struct line *line = &model->lines[i];

		if (!pattern_matches(line->pattern, origin))
			continue;
		matched = line_matches(model, line, origin, &digests);
		assert_true(n < steps.n);
		assert_int_equal(steps.seen[n].where.line, first + i);
		assert_int_equal(steps.seen[n].matched, matched);
		n++;
	}
	assert_int_equal(steps.n, n);
}

static void test_explained(void **state)
{
	struct model model;
	struct text text;

	for (unsigned int i = 0; i < 1000; i++) {
		struct policy *policy;

		make_model(&model);
		policy = write_model(&model, &text, 0);
		for (size_t origin = 0; origin < ARRAY_SIZE(origins); origin++)
			explain_model(policy, &model, origin, 1);
		policy_unref(policy);
	}
}

static int check_statement(void *arg, const struct policy_step *step)
{
	const char **expected = arg;

	assert_string_equal(step->statement, *expected);
	*expected = NULL;
	return 7;
}

static void test_statement(void **state)
{
	struct policy *policy = policy_of("allow y to any\n"
					  "ask  site:https://example.com to s,any with wait=60s\n"
					  "set s\n"
					  "deny any to any\n");
	const char *expected = "ask site:https://example.com to any,s with wait=1m";
	struct digest_pair digests = pair_of(A64);

	/* What the callback returns ends it. */
	assert_int_equal(policy_explain(policy, "https://a.example.com", &digests, check_statement,
					&expected),
			 7);
	assert_null(expected);
	/* Nothing is about nobody. */
	assert_int_equal(policy_explain(policy, NULL, &digests, check_statement, &expected), 0);
	policy_unref(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_explained),
		cmocka_unit_test(test_statement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
