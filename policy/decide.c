/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision: the lowest rule among those that the policy's index finds.
 *
 * An origin matches few patterns: `any`, itself, a `*.` pattern for each domain above it, and its
 * site. An object is in few targets. For each such pattern the shorter of the two lists, the pattern's pairs
 * and the object's targets, is walked, and each item looked up in the longer one by bisection; if
 * both are long, heavy.c has looked before. So
 * neither the size of the sets nor the number of rules is walked, and nothing is allocated, locked
 * or written.
 */
#include "policy/internal.h"

#include <string.h>

/* ---- the policy's life ---- */

static void free_callers(struct callers *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].text);
		free(list->items[i].origin);
	}
	free(list->items);
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	for (size_t i = 0; i < policy->n_files; i++)
		free(policy->files[i]);
	for (size_t i = 0; i < policy->n_paths; i++)
		free(policy->paths[i]);
	for (size_t i = 0; i < policy->n_patterns; i++)
		free(policy->patterns[i].key);
	for (size_t i = 0; i < policy->n_targets; i++)
		free(policy->targets[i].name);
	free_callers(&policy->callers);
	free_callers(&policy->brokers);
	free(policy->files);
	free(policy->paths);
	free(policy->warnings);
	free(policy->rules);
	free(policy->rule_targets);
	free(policy->patterns);
	free(policy->pairs);
	free(policy->targets);
	free(policy->entries);
	free(policy->heavy);
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

const struct policy_error *policy_warning(const struct policy *policy, size_t i)
{
	return i < policy->n_warnings ? &policy->warnings[i] : NULL;
}

const char *policy_path(const struct policy *policy, size_t i)
{
	return i < policy->n_paths ? policy->paths[i] : NULL;
}

/* ---- the index ---- */

/* The entries of one digest: one for each target that holds it, sorted by target. */
struct run {
	const struct entry *first;
	size_t n;
};

/* The index of the first entry that is not before (NAME, TARGET). */
static size_t entry_bound(const struct entry *entries, size_t n, const struct digest_name *name,
			  uint64_t target)
{
	size_t low = 0;

	while (low < n) {
		size_t middle = low + (n - low) / 2;
		int order = digest_name_compare(&entries[middle].name, name);

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

static uint32_t first_common(const struct policy *policy, const struct pattern *pattern,
			     const struct run *run)
{
	const struct pair *pairs = policy->pairs + pattern->first;
	uint32_t best = POLICY_NO_RULE;
	size_t n = pattern->n;

	if (run->n && run->first->heavy != POLICY_NOT_HEAVY && pattern->heavy != POLICY_NOT_HEAVY)
		return policy->heavy[run->first->heavy * policy->n_heavy + pattern->heavy];
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

/* Only if a site is a part of the host, which few are, is the list of suffixes looked at: that is the slower one. */
static void visit_site(const struct policy *policy, const char *origin, size_t scheme,
		       void (*visit)(void *arg, const struct pattern *pattern), void *arg)
{
	const struct pattern *sites = policy->patterns + policy->n_patterns - policy->n_site;
	const struct pattern *found = NULL;
	char host[POLICY_HOST_SIZE];
	const char *domain = host, *dot;

	if (!policy_host(origin, host))
		return;
	found = find_pattern(sites, policy->n_site, origin, scheme, host);
	while (!found && (dot = strchr(domain, '.'))) {
		domain = dot + 1;
		found = find_pattern(sites, policy->n_site, origin, scheme, domain);
	}
	domain = found ? policy_registrable(host) : NULL;
	if (!domain)
		return;
	found = find_pattern(sites, policy->n_site, origin, scheme, domain);
	if (found)
		visit(arg, found);
}

void policy_each_pattern(const struct policy *policy, const char *origin,
			 void (*visit)(void *arg, const struct pattern *pattern), void *arg)
{
	const struct pattern *below = policy->patterns + 1;
	const struct pattern *exact = below + policy->n_below, *found;
	const char *host = policy->n_below || policy->n_site ? strstr(origin, "://") : NULL;
	size_t scheme = host ? (size_t)(host + 3 - origin) : 0;

	visit(arg, &policy->patterns[0]);
	found = find_pattern(exact, policy->n_patterns - 1 - policy->n_below - policy->n_site, "",
			     0, origin);
	if (found)
		visit(arg, found);
	if (!host)
		return;
	if (policy->n_site)
		visit_site(policy, origin, scheme, visit, arg);
	/* A dot in a canonical web origin stands between two labels, or in an IPv4 address,
	 * which no pattern covers. */
	for (const char *dot = strchr(host, '.'); dot; dot = strchr(dot + 1, '.')) {
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

	ask_rule(question, pattern->any_rule);
	if (!question->has_sha256)
		ask_rule(question, pattern->sha_deny);
	if (pattern->n == 0)
		return;
	ask_rule(question, first_common(question->policy, pattern, &question->sha256));
	ask_rule(question, first_common(question->policy, pattern, &question->fsverity));
}

static struct question ask(const struct policy *policy, const char *origin,
			   const struct digest_pair *digests)
{
	struct question question = {
		.policy = policy,
		.has_sha256 = digests->has_sha256,
		.best = POLICY_NO_RULE,
	};

	/* Whoever has no origin matches nothing, not even `any`. */
	if (!origin)
		return question;
	if (digests->has_sha256)
		question.sha256 = find_run(policy, DIGEST_SHA256, &digests->sha256);
	if (digests->has_fsverity)
		question.fsverity = find_run(policy, DIGEST_FSVERITY, &digests->fsverity);
	policy_each_pattern(policy, origin, ask_pattern, &question);
	return question;
}

uint32_t policy_find_rule(const struct policy *policy, const char *origin,
			  const struct digest_pair *digests)
{
	return ask(policy, origin, digests).best;
}

static bool is_shared(const struct run *run)
{
	return run->n && run->first->shared;
}

struct policy_decision policy_decide(const struct policy *policy, const char *origin,
				     const struct digest_pair *digests)
{
	struct question question = ask(policy, origin, digests);
	struct policy_decision decision = {0};

	if (question.best != POLICY_NO_RULE)
		decision = policy->rules[question.best].decision;
	decision.shared = is_shared(&question.sha256) || is_shared(&question.fsverity);
	decision.named = decision.shared ||
			 (question.best != POLICY_NO_RULE && !policy->rules[question.best].any);
	return decision;
}

/* ---- origins as a whole ---- */

struct firsts {
	uint32_t quota, probes, list, opens, any;
};

static void keep_firsts(void *arg, const struct pattern *pattern)
{
	struct firsts *firsts = arg;

	if (pattern->quota_rule < firsts->quota)
		firsts->quota = pattern->quota_rule;
	if (pattern->probes_rule < firsts->probes)
		firsts->probes = pattern->probes_rule;
	if (pattern->list_rule < firsts->list)
		firsts->list = pattern->list_rule;
	if (pattern->opens_rule < firsts->opens)
		firsts->opens = pattern->opens_rule;
	if (pattern->any_rule < firsts->any)
		firsts->any = pattern->any_rule;
}

static struct firsts find_firsts(const struct policy *policy, const char *origin)
{
	struct firsts firsts = {POLICY_NO_RULE, POLICY_NO_RULE, POLICY_NO_RULE, POLICY_NO_RULE, POLICY_NO_RULE};

	if (origin)
		policy_each_pattern(policy, origin, keep_firsts, &firsts);
	return firsts;
}

uint64_t policy_quota(const struct policy *policy, const char *origin)
{
	uint32_t rule = find_firsts(policy, origin).quota;

	return rule == POLICY_NO_RULE ? 0 : policy->rules[rule].decision.quota;
}

struct policy_probes policy_probes(const struct policy *policy, const char *origin)
{
	uint32_t rule = find_firsts(policy, origin).probes;

	return rule == POLICY_NO_RULE ? (struct policy_probes){0} : policy->rules[rule].probes;
}

bool policy_lists(const struct policy *policy, const char *origin)
{
	return find_firsts(policy, origin).list != POLICY_NO_RULE;
}

bool policy_opens(const struct policy *policy, const char *origin)
{
	struct firsts firsts = find_firsts(policy, origin);

	/* Behind a line about whatever there is, none is reached. */
	return firsts.opens != POLICY_NO_RULE && firsts.opens <= firsts.any;
}

/* ---- sets ---- */

/* The number of the set, or UINT32_MAX. */
static uint32_t find_set(const struct policy *policy, const char *set)
{
	size_t low = 0, high = policy->n_targets;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(policy->targets[middle].name, set) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == policy->n_targets || policy->targets[low].literal ||
	    strcmp(policy->targets[low].name, set) != 0)
		return UINT32_MAX;
	return (uint32_t)low;
}

bool policy_has_set(const struct policy *policy, const char *set)
{
	return find_set(policy, set) != UINT32_MAX;
}

static bool holds(const struct policy *policy, uint32_t target, enum digest_kind kind,
		  const struct digest *digest)
{
	struct run run = find_run(policy, kind, digest);

	return run.n && run_has(&run, target);
}

bool policy_set_holds(const struct policy *policy, const char *set,
		      const struct digest_pair *digests)
{
	uint32_t target = find_set(policy, set);

	if (target == UINT32_MAX)
		return false;
	return (digests->has_sha256 && holds(policy, target, DIGEST_SHA256, &digests->sha256)) ||
	       (digests->has_fsverity &&
		holds(policy, target, DIGEST_FSVERITY, &digests->fsverity));
}

int policy_each_shared(const struct policy *policy, const struct digest_name *after,
		       int (*found)(void *arg, const struct digest_name *name), void *arg)
{
	size_t at = entry_bound(policy->entries, policy->n_entries, after, (uint64_t)UINT32_MAX + 1);
	int r = 0;

	while (at < policy->n_entries && r == 0) {
		const struct entry *first = &policy->entries[at];

		r = first->shared ? found(arg, &first->name) : 0;
		while (at < policy->n_entries && digest_name_compare(&policy->entries[at].name, &first->name) == 0)
			at++;
	}
	return r;
}
