/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision: the lowest rule among those that the policy's index finds.
 *
 * An origin matches few patterns: `any`, itself, and a `*.` pattern for each domain above it. An
 * object is in few targets. For each such pattern the shorter of the two lists, the pattern's pairs
 * and the object's targets, is walked, and each item looked up in the longer one by bisection. So
 * neither the size of the sets nor the number of rules is walked, and nothing is allocated, locked
 * or written.
 */
#include "policy/internal.h"

#include <string.h>

/* ---- the policy's life ---- */

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	for (size_t i = 0; i < policy->n_files; i++)
		free(policy->files[i]);
	for (size_t i = 0; i < policy->n_callers; i++)
		free(policy->callers[i].origin);
	for (size_t i = 0; i < policy->n_patterns; i++)
		free(policy->patterns[i].key);
	free(policy->files);
	free(policy->callers);
	free(policy->rules);
	free(policy->patterns);
	free(policy->pairs);
	free(policy->entries);
	free(policy);
}

struct policy *policy_ref(struct policy *policy)
{
	atomic_fetch_add_explicit(&policy->references, 1, memory_order_relaxed);
	return policy;
}

void policy_unref(struct policy *policy)
{
	if (policy && atomic_fetch_sub_explicit(&policy->references, 1, memory_order_acq_rel) == 1)
		policy_free(policy);
}

/* ---- callers ---- */

bool policy_needs_groups(const struct policy *policy)
{
	return policy->needs_groups;
}

/* The first line of KIND and ID if it comes before BEST (NULL: none yet). */
static const struct caller *earlier_caller(const struct policy *policy, enum caller_kind kind,
					   uint32_t id, const struct caller *best)
{
	size_t low = 0, high = policy->n_callers;
	const struct caller *found;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		found = &policy->callers[middle];
		if (found->kind < kind || (found->kind == kind && found->id < id))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == policy->n_callers)
		return best;
	found = &policy->callers[low];
	if (found->kind != kind || found->id != id || (best && best->order < found->order))
		return best;
	return found;
}

const char *policy_origin_of(const struct policy *policy, const struct policy_caller *caller,
			     struct policy_where *where)
{
	const struct caller *best = NULL;

	if (where)
		*where = (struct policy_where){0};
	if (!caller->identified)
		return NULL;
	best = earlier_caller(policy, CALLER_ANY, 0, best);
	best = earlier_caller(policy, CALLER_UID, caller->uid, best);
	if (policy->needs_groups) {
		best = earlier_caller(policy, CALLER_GID, caller->gid, best);
		for (size_t i = 0; caller->groups && i < caller->n_groups; i++)
			best = earlier_caller(policy, CALLER_GID, caller->groups[i], best);
	}
	if (!best)
		return NULL;
	if (where)
		*where = best->where;
	return best->origin;
}

/* ---- the index ---- */

/* The entries of one digest: one for each target that holds it, sorted by target. */
struct run {
	const struct entry *first;
	size_t n;
};

static int compare_names(const struct digest_name *a, const struct digest_name *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return memcmp(a->digest.bytes, b->digest.bytes, DIGEST_SIZE);
}

/* The index of the first entry that is not before (NAME, TARGET). */
static size_t entry_bound(const struct entry *entries, size_t n, const struct digest_name *name,
			  uint64_t target)
{
	size_t low = 0;

	while (low < n) {
		size_t middle = low + (n - low) / 2;
		int order = compare_names(&entries[middle].name, name);

		if (order < 0 || (order == 0 && entries[middle].target < target))
			low = middle + 1;
		else
			n = middle;
	}
	return low;
}

static struct run find_run(const struct policy *policy, enum digest_kind kind,
			   const struct digest *digest)
{
	struct digest_name name = {kind, *digest};
	size_t first, end;

	if (policy->n_entries == 0)
		return (struct run){0};
	first = entry_bound(policy->entries, policy->n_entries, &name, 0);
	end = first + entry_bound(policy->entries + first, policy->n_entries - first, &name,
				  (uint64_t)UINT32_MAX + 1);
	return (struct run){policy->entries + first, end - first};
}

static bool run_has(const struct run *run, uint32_t target)
{
	size_t at = entry_bound(run->first, run->n, &run->first->name, target);

	return at < run->n && run->first[at].target == target;
}

/* The first line that has this pair's target, or POLICY_NO_RULE. */
static uint32_t pair_rule(const struct pair *pairs, size_t n, uint32_t target)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (pairs[middle].target < target)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && pairs[low].target == target ? pairs[low].rule : POLICY_NO_RULE;
}

static uint32_t first_common(const struct pair *pairs, size_t n, const struct run *run)
{
	uint32_t best = POLICY_NO_RULE;

	if (n < run->n) {
		for (size_t i = 0; i < n; i++) {
			if (pairs[i].rule < best && run_has(run, pairs[i].target))
				best = pairs[i].rule;
		}
		return best;
	}
	for (size_t i = 0; i < run->n; i++) {
		uint32_t rule = pair_rule(pairs, n, run->first[i].target);

		if (rule < best)
			best = rule;
	}
	return best;
}

/* ---- the patterns of an origin ---- */

/* The pattern among the N, all of one kind, for the first LEN bytes of SCHEME followed by REST. */
static const struct pattern *find_pattern(const struct pattern *patterns, size_t n,
					  const char *scheme, size_t len, const char *rest)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *text = patterns[middle].key + 1;
		int order = strncmp(text, scheme, len);

		if (order == 0)
			order = strcmp(text + len, rest);
		if (order == 0)
			return &patterns[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Each pattern that ORIGIN matches. */
static void each_pattern(const struct policy *policy, const char *origin,
			 void (*visit)(void *arg, const struct pattern *pattern), void *arg)
{
	const struct pattern *below = policy->patterns + 1;
	const struct pattern *exact = below + policy->n_below, *found;
	const char *host = policy->n_below ? strstr(origin, "://") : NULL;
	size_t scheme = host ? (size_t)(host + 3 - origin) : 0;

	visit(arg, &policy->patterns[0]);
	found = find_pattern(exact, policy->n_patterns - 1 - policy->n_below, "", 0, origin);
	if (found)
		visit(arg, found);
	/* A dot in a canonical web origin stands between two labels, or in an IPv4 address,
	 * which no pattern covers. */
	for (const char *dot = host ? strchr(host, '.') : NULL; dot; dot = strchr(dot + 1, '.')) {
		found = find_pattern(below, policy->n_below, origin, scheme, dot + 1);
		if (found)
			visit(arg, found);
	}
}

/* ---- deciding ---- */

struct question {
	const struct policy *policy;
	struct run sha256, fsverity; /* the targets that hold the object by either digest */
	bool has_sha256;
	uint32_t best; /* the first line that matches so far */
};

static void ask_rule(struct question *question, uint32_t rule)
{
	if (rule < question->best)
		question->best = rule;
}

static void ask_pattern(void *arg, const struct pattern *pattern)
{
	struct question *question = arg;
	const struct pair *pairs;

	ask_rule(question, pattern->any_rule);
	if (!question->has_sha256)
		ask_rule(question, pattern->sha_deny);
	if (pattern->n == 0)
		return;
	pairs = question->policy->pairs + pattern->first;
	ask_rule(question, first_common(pairs, pattern->n, &question->sha256));
	ask_rule(question, first_common(pairs, pattern->n, &question->fsverity));
}

struct policy_decision policy_decide(const struct policy *policy, const char *origin,
				     const struct digest_pair *digests)
{
	struct question question = {
		.policy = policy,
		.has_sha256 = digests->has_sha256,
		.best = POLICY_NO_RULE,
	};

	/* Whoever has no origin matches nothing, not even `any`. */
	if (!origin)
		return (struct policy_decision){0};
	if (digests->has_sha256)
		question.sha256 = find_run(policy, DIGEST_SHA256, &digests->sha256);
	if (digests->has_fsverity)
		question.fsverity = find_run(policy, DIGEST_FSVERITY, &digests->fsverity);
	each_pattern(policy, origin, ask_pattern, &question);
	if (question.best == POLICY_NO_RULE)
		return (struct policy_decision){0};
	return policy->rules[question.best];
}

static void ask_quota(void *arg, const struct pattern *pattern)
{
	uint32_t *first = arg;

	if (pattern->quota_rule < *first)
		*first = pattern->quota_rule;
}

uint64_t policy_quota(const struct policy *policy, const char *origin)
{
	uint32_t first = POLICY_NO_RULE;

	if (origin)
		each_pattern(policy, origin, ask_quota, &first);
	return first == POLICY_NO_RULE ? 0 : policy->rules[first].quota;
}
