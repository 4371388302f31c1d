/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions. The index must say what reading the lines one by one says: a random policy over a
 * small universe is written out as text, loaded, and asked; a naive evaluator reads the same lines
 * as a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/policy-model.h"

/* Which verdicts there were, of a line or of none. */
static unsigned int counted[3][2], count_shared, count_lists[2];

struct expected {
	const struct line *line; /* NULL: none matches */
	bool shared, lists;
	unsigned int quota, probes;
};

/* FROM the first line that decides. */
static struct expected read_model(const struct model *model, size_t origin,
				  const struct digest_pair *digests)
{
	struct expected expected = {0};

	for (size_t i = 0; i < model->n_lines; i++) {
		const struct line *line = &model->lines[i];

		if (!expected.line && line_matches(model, line, origin, digests))
			expected.line = line;
		if (!pattern_matches(line->pattern, origin))
			continue;
		if (!expected.quota)
			expected.quota = line->quota;
		if (!expected.probes)
			expected.probes = line->probes;
		expected.lists |= line->list;
	}
	for (size_t s = 0; s < SETS; s++)
		expected.shared |= model->shared[s] && set_holds(model, s, digests);
	return expected;
}

static bool decided(const struct policy_decision *got, const struct expected *expected,
		    unsigned int number)
{
	static const struct line nothing = {.verdict = POLICY_DENY};
	const struct line *line = expected->line ? expected->line : &nothing;

	return got->verdict == line->verdict && got->cached == line->cached &&
	       got->list == line->list && got->quota == (uint64_t)line->quota << 10 &&
	       got->wait_ms == (int64_t)line->wait * 1000 && got->shared == expected->shared &&
	       !got->where.file == !expected->line && got->where.line == number;
}

static void ask(const struct policy *policy, const struct model *model, unsigned int first,
		const struct text *text)
{
	size_t origin = random_below(ARRAY_SIZE(origins));
	const char *name = origins[origin].origin;
	struct digest_pair digests = random_object();
	struct expected expected = read_model(model, origin, &digests);
	struct policy_decision got = policy_decide(policy, name, &digests);
	struct policy_probes probes = policy_probes(policy, name);
	unsigned int number =
		expected.line ? first + (unsigned int)(expected.line - model->lines) : 0;

	if (!decided(&got, &expected, number))
		fail_msg("%s%s: line %u, expected line %u (from %u)\n%s", name,
			 digests.has_sha256 ? "" : " (SHA-256 not known)", got.where.line, number,
			 first, text->bytes);
	if (policy_quota(policy, name) != (uint64_t)expected.quota << 10)
		fail_msg("%s: another quota than %uK\n%s", name, expected.quota, text->bytes);
	if (probes.count != expected.probes || probes.window_ms != (int64_t)expected.probes * 1000)
		fail_msg("%s: other probes than %u\n%s", name, expected.probes, text->bytes);
	if (policy_lists(policy, name) != expected.lists)
		fail_msg("%s: %s\n%s", name, expected.lists ? "nothing listed" : "listed", text->bytes);
	count_lists[expected.lists]++;
	counted[got.verdict][got.where.file != NULL]++;
	count_shared += got.shared;
}

static void ask_sets(const struct policy *policy, const struct model *model)
{
	struct digest_pair digests = random_object();
	char name[DIGEST_NAME_SIZE];

	for (size_t s = 0; s < SETS; s++) {
		snprintf(name, sizeof(name), "s%zu", s);
		assert_true(policy_has_set(policy, name));
		assert_int_equal(policy_set_holds(policy, name, &digests),
				 set_holds(model, s, &digests));
	}
	/* A digest is a target, but no set. */
	for (size_t m = 0; m < MEMBERS; m++) {
		struct digest_name member = member_name(m);

		digest_name_format(&member, name);
		assert_false(policy_has_set(policy, name));
		assert_false(policy_set_holds(policy, name, &digests));
	}
	assert_false(policy_has_set(policy, "s") || policy_has_set(policy, "s00"));
}

static void test_first_match_wins(void **state)
{
	struct model model;
	struct text text;

	for (unsigned int i = 0; i < 4000; i++) {
		size_t before = random_below(SETS + 1);
		struct policy *policy;

		make_model(&model);
		policy = write_model(&model, &text, before);
		for (unsigned int j = 0; j < 50; j++)
			ask(policy, &model, (unsigned int)before + 1, &text);
		ask_sets(policy, &model);
		policy_unref(policy);
	}
	/* All outcomes did happen, or the comparison says little. */
	assert_true(counted[POLICY_DENY][0] > 10000 && counted[POLICY_DENY][1] > 10000);
	assert_true(counted[POLICY_ALLOW][1] > 10000 && counted[POLICY_ASK][1] > 10000);
	assert_int_equal(counted[POLICY_ALLOW][0] + counted[POLICY_ASK][0], 0);
	assert_true(count_shared > 10000 && count_lists[false] > 10000 && count_lists[true] > 10000);
}

/* ---- by hand ---- */

#define HEX(c)                                                                                     \
	c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c  \
		c c c c c c c c c c c c c c c c c c c

static void test_unknown_sha256(void **state)
{
	struct policy *policy = policy_of("set both " HEX("a") " fsverity-" HEX(
		"1") "\n"
		     "set tree fsverity-" HEX("2") "\n"
						   "allow x to both\n"
						   "deny  x to tree\n"
						   "deny  x to sha256:" HEX(
							   "b") "\n"
								"allow x to any\n"
								"deny  y to tree\n"
								"allow y to any\n");
	struct digest_pair unknown = pair_of("fsverity-" HEX("3"));
	struct digest_pair in_both = pair_of("fsverity-" HEX("1"));
	struct digest_pair known = pair_of(HEX("c"));

	/* An allow line does match through the fs-verity digest in the same set. */
	assert_int_equal(policy_decide(policy, "x", &in_both).where.line, 3);
	/* Not through the SHA-256 it may or may not have; the deny line that names one does. */
	assert_int_equal(policy_decide(policy, "x", &unknown).where.line, 5);
	assert_int_equal(policy_decide(policy, "x", &unknown).verdict, POLICY_DENY);
	assert_int_equal(policy_decide(policy, "x", &known).where.line, 6);
	/* A deny line that names fs-verity digests alone is not about SHA-256. */
	assert_int_equal(policy_decide(policy, "y", &unknown).verdict, POLICY_ALLOW);
	policy_unref(policy);

	/* A line that asks is like one that allows. */
	policy = policy_of("set both " HEX("a") " fsverity-" HEX("1") "\n"
			   "ask x to both\n");
	assert_int_equal(policy_decide(policy, "x", &in_both).verdict, POLICY_ASK);
	assert_int_equal(policy_decide(policy, "x", &unknown).verdict, POLICY_DENY);
	policy_unref(policy);
}

static void test_edges(void **state)
{
	struct policy *policy = policy_of("");
	struct digest_pair known = pair_of(HEX("c")), nothing = {0};
	struct policy_decision decision = policy_decide(policy, "local", &known);

	assert_false(decision.verdict == POLICY_ALLOW || decision.cached || decision.list);
	assert_null(decision.where.file);
	policy_unref(policy);
	policy_unref(NULL);

	policy = policy_of("allow any to any with list,cached");
	assert_int_equal(policy_decide(policy, "local", &nothing).verdict, POLICY_ALLOW);
	decision = policy_decide(policy, "https://a.example", &known);
	assert_true(decision.verdict == POLICY_ALLOW && decision.cached && decision.list);
	assert_string_equal(decision.where.file, "test");
	assert_int_equal(decision.where.line, 1);
	/* Without an origin not even `any` matches. */
	assert_int_equal(policy_decide(policy, NULL, &known).verdict, POLICY_DENY);
	policy_unref(policy);

	policy = policy_of("allow https://*.example.com to " HEX("c") " with quota=20G,list\n"
			   "allow https://a.example.com to any with quota=1K\n"
			   "allow any to any");
	decision = policy_decide(policy, "https://a.example.com", &known);
	assert_true(decision.verdict == POLICY_ALLOW && decision.list && decision.quota == (uint64_t)20 << 30);
	assert_int_equal(policy_decide(policy, "https://a.example.com", &nothing).quota, 1024);
	assert_int_equal(policy_decide(policy, "https://b.example.com", &nothing).quota, 0);
	assert_int_equal(policy_quota(policy, "https://a.example.com"), (uint64_t)20 << 30);
	assert_int_equal(policy_quota(policy, "https://example.com"), 0);
	assert_int_equal(policy_quota(policy, "local"), 0);
	assert_int_equal(policy_quota(policy, NULL), 0);
	assert_true(policy_lists(policy, "https://a.example.com") && !policy_lists(policy, "https://example.com"));
	assert_false(policy_lists(policy, "local") || policy_lists(policy, NULL));
	policy_unref(policy);
}

/* Whether anything may be opened at all: the lines behind one about whatever there is do not count. */
static void test_opens(void **state)
{
	struct policy *policy = policy_of("deny bad to any\n"
					  "allow a to " HEX("c") "\n"
					  "ask https://*.example.com to " HEX("d") "\n"
					  "deny b to " HEX("c") "\n"
					  "deny a to any\n"
					  "deny https://x.example.com to any\n"
					  "allow bad to any\n"
					  "allow c to any\n"
					  "deny any to any\n"
					  "allow any to any\n");

	assert_true(policy_opens(policy, "a") && policy_opens(policy, "c"));
	assert_true(policy_opens(policy, "https://x.example.com") && policy_opens(policy, "https://y.example.com"));
	assert_false(policy_opens(policy, "b") || policy_opens(policy, "bad") || policy_opens(policy, "other"));
	assert_false(policy_opens(policy, "https://example.com") || policy_opens(policy, NULL));
	policy_unref(policy);
}

/* A digest in many sets, each for an origin of its own; and one pattern with many sets. */
static void test_many_sets(void **state)
{
	struct digest_pair shared = pair_of(HEX("a")), last = pair_of(HEX("b"));
	_cleanup_free_ char *text = malloc(1 << 20);
	struct policy *policy;
	size_t len = 0;

	assert_non_null(text);
	for (int i = 0; i < 1000; i++)
		len += (size_t)sprintf(text + len,
				       "set s%d " HEX("a") "\nallow https://o%d.example to s%d\n",
				       i, i, i);
	len += (size_t)sprintf(text + len, "set last " HEX("b") "\n");
	for (int i = 0; i < 1000; i++)
		len += (size_t)sprintf(text + len, "deny any to s%d\n", i);
	sprintf(text + len, "allow any to last,s999\n");
	policy = policy_of(text);
	assert_int_equal(policy_decide(policy, "https://o700.example", &shared).where.line, 1402);
	assert_int_equal(policy_decide(policy, "https://o1000.example", &shared).where.line, 2002);
	assert_int_equal(policy_decide(policy, "https://o700.example", &last).where.line, 3002);
	policy_unref(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_match_wins),
		cmocka_unit_test(test_unknown_sha256),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_many_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
