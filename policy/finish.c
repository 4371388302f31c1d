/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How what was read becomes a policy: is all there that is needed; then everything is sorted, so
 * that decisions find it.
 *
 * Patterns and targets are numbered in the order of first mention until here, from here on by where
 * they stand.
 */
#include "policy/internal.h"

#include <string.h>

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static void sort(void *items, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	if (n > 1)
		qsort(items, n, size, compare);
}

/* ---- what must be there ---- */

/* That a deny line with TARGET denies everything, unless it is said already why. */
static int warn_of_open(struct draft *draft, const struct target *target)
{
	struct policy_error warning;

	if (target->missing)
		return 0;
	(void)policy_fail(&warning, &target->denied, "set '%s' is empty: 'deny' matches every object", target->name);
	return policy_draft_warning(draft, &warning);
}

/* A deny line whose set could not be had, or has nothing in it, would deny nothing. */
static int check_targets(struct draft *draft, struct policy_error *error)
{
	const struct policy *policy = draft->policy;
	char why[sizeof(error->message) + sizeof(error->file) + 64] = "it is empty";

	for (size_t i = 0; i < policy->n_targets; i++) {
		const struct target *target = &policy->targets[i];

		if (!target->defined)
			return policy_fail(error, &target->place, "no set is called '%s'",
					   target->name);
		if (target->filled || !target->denied.line)
			continue;
		if (policy_target_is_open(target)) {
			if (warn_of_open(draft, target) < 0)
				return -ENOMEM;
			continue;
		}
		if (target->missing)
			policy_error_format(&policy->warnings[target->missing - 1], why, sizeof(why));
		return policy_fail(error, &target->denied, "'deny' cannot do without set '%s': %s",
				   target->name, why);
	}
	return 0;
}

/* ---- callers, paths ---- */

static int compare_callers(const void *a, const void *b)
{
	const struct caller *x = a, *y = b;

	if (x->kind != y->kind)
		return COMPARE(x->kind, y->kind);
	if (x->id != y->id)
		return COMPARE(x->id, y->id);
	if (x->text && strcmp(x->text, y->text) != 0)
		return strcmp(x->text, y->text);
	return COMPARE(x->order, y->order);
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_paths(struct policy *policy)
{
	size_t kept = 0;

	sort(policy->paths, policy->n_paths, sizeof(*policy->paths), compare_paths);
	for (size_t i = 0; i < policy->n_paths; i++) {
		if (kept && strcmp(policy->paths[kept - 1], policy->paths[i]) == 0)
			free(policy->paths[i]);
		else
			policy->paths[kept++] = policy->paths[i];
	}
	policy->n_paths = kept;
}

/* ---- targets ---- */

/* A target and its number before sorting. */
struct numbered {
	struct target target;
	uint32_t id;
};

static int compare_targets(const void *a, const void *b)
{
	return strcmp(((const struct numbered *)a)->target.name,
		      ((const struct numbered *)b)->target.name);
}

static int compare_numbers(const void *a, const void *b)
{
	return COMPARE(*(const uint32_t *)a, *(const uint32_t *)b);
}

static void sort_rule_targets(struct policy *policy)
{
	for (size_t i = 0; i < policy->n_rules; i++) {
		struct rule *rule = &policy->rules[i];
		uint32_t *targets;
		size_t kept = 0;

		if (rule->n == 0)
			continue;
		targets = policy->rule_targets + rule->first;
		sort(targets, rule->n, sizeof(*targets), compare_numbers);
		for (size_t j = 0; j < rule->n; j++) {
			if (kept == 0 || targets[kept - 1] != targets[j])
				targets[kept++] = targets[j];
		}
		rule->n = kept;
	}
}

static int sort_targets(struct policy *policy)
{
	size_t n = policy->n_targets;
	_cleanup_free_ struct numbered *sorted = calloc(n + 1, sizeof(*sorted));
	_cleanup_free_ uint32_t *now = calloc(n + 1, sizeof(*now));

	if (!sorted || !now)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = (struct numbered){policy->targets[i], (uint32_t)i};
	sort(sorted, n, sizeof(*sorted), compare_targets);
	for (size_t i = 0; i < n; i++) {
		policy->targets[i] = sorted[i].target;
		now[sorted[i].id] = (uint32_t)i;
	}
	for (size_t i = 0; i < policy->n_entries; i++)
		policy->entries[i].target = now[policy->entries[i].target];
	for (size_t i = 0; i < policy->n_pairs; i++)
		policy->pairs[i].target = now[policy->pairs[i].target];
	for (size_t i = 0; i < policy->n_rule_targets; i++)
		policy->rule_targets[i] = now[policy->rule_targets[i]];
	sort_rule_targets(policy);
	return 0;
}

/* ---- entries ---- */

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = digest_name_compare(&x->name, &y->name);

	return order ? order : COMPARE(x->target, y->target);
}

/* Each digest once in a target, and each of its entries says whether one of them is shared. */
static void sort_entries(struct policy *policy)
{
	struct entry *entries = policy->entries;
	size_t kept = 0, first = 0;

	sort(entries, policy->n_entries, sizeof(*entries), compare_entries);
	for (size_t i = 0; i < policy->n_entries; i++) {
		if (kept == 0 || compare_entries(&entries[kept - 1], &entries[i]) != 0)
			entries[kept++] = entries[i];
	}
	policy->n_entries = kept;
	while (first < kept) {
		bool shared = false;
		size_t end = first;

		for (; end < kept && digest_name_compare(&entries[first].name, &entries[end].name) == 0;
		     end++)
			shared |= policy->targets[entries[end].target].shared;
		for (; first < end; first++)
			entries[first].shared = shared;
	}
}

/* ---- pairs ---- */

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	if (x->pattern != y->pattern)
		return COMPARE(x->pattern, y->pattern);
	if (x->target != y->target)
		return COMPARE(x->target, y->target);
	return COMPARE(x->rule, y->rule);
}

/*
 * Each pattern's pairs together, of each target only the first line. A later line with the same
 * pattern and target never decides: what it would match, the first one has matched. That holds for
 * objects with an unknown SHA-256 too, because the deny lines that match all of them are kept
 * apart.
 */
static void sort_pairs(struct policy *policy)
{
	struct pair *pairs = policy->pairs;
	size_t kept = 0;

	for (size_t i = 0; i < policy->n_pairs; i++) {
		struct pattern *pattern = &policy->patterns[pairs[i].pattern];
		const struct target *target = &policy->targets[pairs[i].target];

		if (policy->rules[pairs[i].rule].decision.verdict != POLICY_DENY)
			continue;
		if (target->has_sha256 && pairs[i].rule < pattern->sha_deny)
			pattern->sha_deny = pairs[i].rule;
		if (policy_target_is_open(target) && pairs[i].rule < pattern->any_rule)
			pattern->any_rule = pairs[i].rule;
	}
	sort(pairs, policy->n_pairs, sizeof(*pairs), compare_pairs);
	for (size_t i = 0; i < policy->n_pairs; i++) {
		struct pattern *pattern = &policy->patterns[pairs[i].pattern];

		if (kept && pairs[kept - 1].pattern == pairs[i].pattern &&
		    pairs[kept - 1].target == pairs[i].target)
			continue;
		if (pattern->n++ == 0)
			pattern->first = kept;
		pairs[kept++] = pairs[i];
	}
	policy->n_pairs = kept;
}

/* ---- patterns ---- */

static int compare_patterns(const void *a, const void *b)
{
	return strcmp(((const struct pattern *)a)->key, ((const struct pattern *)b)->key);
}

/* After the pairs, which name a pattern by its number. */
static int sort_patterns(struct policy *policy)
{
	_cleanup_free_ uint32_t *now = calloc(policy->n_patterns, sizeof(*now));

	if (!now)
		return -ENOMEM;
	sort(policy->patterns + 1, policy->n_patterns - 1, sizeof(*policy->patterns),
	     compare_patterns);
	for (size_t i = 0; i < policy->n_patterns; i++) {
		struct pattern *pattern = &policy->patterns[i];

		policy->n_below += pattern->key[0] == PATTERN_BELOW;
		policy->n_site += pattern->key[0] == PATTERN_SITE;
		now[pattern->id] = (uint32_t)i;
	}
	for (size_t i = 0; i < policy->n_rules; i++)
		policy->rules[i].pattern = now[policy->rules[i].pattern];
	return 0;
}

int policy_draft_finish(struct draft *draft, struct policy **out, struct policy_error *error)
{
	struct policy *policy = draft->policy;
	int r;

	r = check_targets(draft, error);
	if (r == 0)
		r = sort_targets(policy);
	if (r < 0)
		return r;
	sort_entries(policy);
	sort_pairs(policy);
	r = sort_patterns(policy);
	if (r < 0)
		return r;
	sort(policy->callers.items, policy->callers.n, sizeof(*policy->callers.items),
	     compare_callers);
	sort(policy->brokers.items, policy->brokers.n, sizeof(*policy->brokers.items),
	     compare_callers);
	sort_paths(policy);
	r = policy_find_heavy(policy);
	if (r < 0)
		return r;
	*out = steal_pointer(draft->policy);
	return 0;
}
