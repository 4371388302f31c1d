/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests in many targets, and patterns with many.
 *
 * A decision walks the shorter one of an object's targets and a pattern's pairs. Where both are long, because
 * hundreds of sets hold the same digest and hundreds of lines about the same origins name these sets, it would take its
 * time. So for each two of those the first line in common is found when the policy is loaded.
 */
#include "policy/internal.h"

#define LONG_MIN    32		     /* what is walked in a decision, at most, if that can be had */
#define STEPS_MAX   ((size_t)1 << 26) /* what finding out may take: far less than a second */
#define ENTRIES_MAX ((size_t)1 << 22) /* … and keep: 16 MiB */

/* How many entries the digest has that begins at FIRST. */
static size_t run_length(const struct policy *policy, size_t first)
{
	size_t end = first + 1;

	while (end < policy->n_entries &&
	       digest_name_compare(&policy->entries[first].name, &policy->entries[end].name) == 0)
		end++;
	return end - first;
}

static size_t number_digests(struct policy *policy, size_t min)
{
	size_t n = 0;

	for (size_t first = 0, len; first < policy->n_entries; first += len) {
		uint32_t heavy = POLICY_NOT_HEAVY;

		len = run_length(policy, first);
		if (len > min)
			heavy = (uint32_t)n++;
		for (size_t i = first; i < first + len; i++)
			policy->entries[i].heavy = heavy;
	}
	return n;
}

static size_t number_patterns(struct policy *policy, size_t min)
{
	size_t n = 0;

	for (size_t i = 0; i < policy->n_patterns; i++)
		policy->patterns[i].heavy =
			policy->patterns[i].n > min ? (uint32_t)n++ : POLICY_NOT_HEAVY;
	return n;
}

/* RULES has the first line of PATTERN for each target, or POLICY_NO_RULE. */
static void fill_pattern(struct policy *policy, const struct pattern *pattern,
			 const uint32_t *rules)
{
	for (size_t i = 0; i < policy->n_entries; i++) {
		const struct entry *entry = &policy->entries[i];
		uint32_t rule = rules[entry->target], *cell;

		if (entry->heavy == POLICY_NOT_HEAVY)
			continue;
		cell = &policy->heavy[entry->heavy * policy->n_heavy + pattern->heavy];
		if (rule < *cell)
			*cell = rule;
	}
}

int policy_find_heavy(struct policy *policy)
{
	_cleanup_free_ uint32_t *rules = calloc(policy->n_targets + 1, sizeof(*rules));
	size_t min = LONG_MIN, digests, patterns;

	if (!rules)
		return -ENOMEM;
	for (;; min *= 2) {
		digests = number_digests(policy, min);
		patterns = number_patterns(policy, min);
		if (digests == 0 || patterns == 0 ||
		    (patterns <= STEPS_MAX / policy->n_entries && patterns <= ENTRIES_MAX / digests))
			break;
	}
	policy->n_heavy = patterns;
	policy->heavy = calloc(digests * patterns + 1, sizeof(*policy->heavy));
	if (!policy->heavy)
		return -ENOMEM;
	for (size_t i = 0; i < digests * patterns; i++)
		policy->heavy[i] = POLICY_NO_RULE;
	for (size_t i = 0; i < policy->n_targets; i++)
		rules[i] = POLICY_NO_RULE;
	for (size_t i = 0; i < policy->n_patterns; i++) {
		const struct pattern *pattern = &policy->patterns[i];
		const struct pair *pairs;

		if (digests == 0 || pattern->heavy == POLICY_NOT_HEAVY)
			continue;
		pairs = policy->pairs + pattern->first;
		for (size_t j = 0; j < pattern->n; j++)
			rules[pairs[j].target] = pairs[j].rule;
		fill_pattern(policy, pattern, rules);
		for (size_t j = 0; j < pattern->n; j++)
			rules[pairs[j].target] = POLICY_NO_RULE;
	}
	return 0;
}
