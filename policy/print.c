/* SPDX-License-Identifier: Apache-2.0 */
/* A policy as text, all of it or the lines that are about an origin. */
#include "policy/internal.h"

#include <string.h>
#include "common/number.h"

/* ---- statements ---- */

static void print_caller(FILE *out, const struct caller *caller)
{
	static const char *const kinds[] = {"any", "uid", "gid", "cgroup", "unit"};

	fprintf(out, "%s %s", caller->origin ? "caller" : "broker", kinds[caller->kind]);
	if (caller->text)
		fprintf(out, " %s", caller->text);
	else if (caller->kind != CALLER_ANY)
		fprintf(out, " %u", caller->id);
	if (caller->origin)
		fprintf(out, " is %s", caller->origin);
	fputc('\n', out);
}

static void print_pattern(FILE *out, const char *key)
{
	size_t scheme;

	switch (*key++) {
	case PATTERN_ANY:
		fputs("any", out);
		break;
	case PATTERN_BELOW:
		scheme = strcspn(key, ":") + strlen("://");
		fprintf(out, "%.*s*.%s", (int)scheme, key, key + scheme);
		break;
	case PATTERN_SITE:
		fprintf(out, "site:%s", key);
		break;
	default:
		fputs(key, out);
	}
}

static void print_options(FILE *out, const struct rule *rule)
{
	const struct policy_decision *decision = &rule->decision;
	char text[NUMBER_TEXT_SIZE];
	const char *before = " with ";

	if (decision->wait_ms) {
		number_time_format(decision->wait_ms, text);
		fprintf(out, "%swait=%s", before, text);
		before = ",";
	}
	if (decision->cached) {
		fprintf(out, "%scached", before);
		before = ",";
	}
	if (decision->list) {
		fprintf(out, "%slist", before);
		before = ",";
	}
	if (decision->quota) {
		number_size_format(decision->quota, text);
		fprintf(out, "%squota=%s", before, text);
		before = ",";
	}
	if (rule->probes.count) {
		number_time_format(rule->probes.window_ms, text);
		fprintf(out, "%sprobes=%u/%s", before, rule->probes.count, text);
	}
}

/* A deny line that has to match every object, as nobody has said what it names. */
static bool denies_all(const struct policy *policy, const struct rule *rule)
{
	for (size_t i = 0; i < rule->n && rule->decision.verdict == POLICY_DENY; i++) {
		if (policy_target_is_open(&policy->targets[policy->rule_targets[rule->first + i]]))
			return true;
	}
	return false;
}

/* ALL: `any` stands for its targets. */
static void print_rule(FILE *out, const struct policy *policy, const struct rule *rule, bool all)
{
	static const char *const verdicts[] = {"deny", "allow", "ask"};

	fprintf(out, "%s ", verdicts[rule->decision.verdict]);
	print_pattern(out, policy->patterns[rule->pattern].key);
	fprintf(out, " to %s", rule->any || all ? "any" : "");
	for (size_t i = 0; i < rule->n && !all; i++) {
		uint32_t target = policy->rule_targets[rule->first + i];

		fprintf(out, "%s%s", rule->any || i ? "," : "", policy->targets[target].name);
	}
	print_options(out, rule);
}

/* ---- the whole ---- */

static int print_callers(FILE *out, const struct callers *list)
{
	_cleanup_free_ const struct caller **ordered = calloc(list->n + 1, sizeof(*ordered));

	if (!ordered)
		return -ENOMEM;
	for (size_t i = 0; i < list->n; i++)
		ordered[list->items[i].order] = &list->items[i];
	for (size_t i = 0; i < list->n; i++)
		print_caller(out, ordered[i]);
	return 0;
}

/* The entries are sorted by digest: once through them sorts them by target, too. */
static int print_sets(FILE *out, const struct policy *policy)
{
	_cleanup_free_ size_t *next = calloc(policy->n_targets + 2, sizeof(*next));
	_cleanup_free_ size_t *sorted = calloc(policy->n_entries + 1, sizeof(*sorted));
	size_t at = 0;

	if (!next || !sorted)
		return -ENOMEM;
	/* NEXT[i + 1] becomes where target I begins, then, as it is filled, where it ends. */
	for (size_t i = 0; i < policy->n_entries; i++)
		next[policy->entries[i].target + 2]++;
	for (size_t i = 2; i < policy->n_targets + 2; i++)
		next[i] += next[i - 1];
	for (size_t i = 0; i < policy->n_entries; i++)
		sorted[next[policy->entries[i].target + 1]++] = i;
	for (size_t i = 0; i < policy->n_targets; i++) {
		const struct target *set = &policy->targets[i];

		if (set->literal) {
			at = next[i + 1];
			continue;
		}
		fprintf(out, "set %s", set->name);
		for (; at < next[i + 1]; at++) {
			char digest[DIGEST_NAME_SIZE];

			digest_name_format(&policy->entries[sorted[at]].name, digest);
			fprintf(out, " %s", digest);
		}
		fprintf(out, "%s\n", set->shared ? " shared" : "");
	}
	return 0;
}

int policy_print(const struct policy *policy, char **text)
{
	char *printed = NULL;
	size_t size;
	FILE *out = open_memstream(&printed, &size);
	int r;

	if (!out)
		return -ENOMEM;
	r = print_callers(out, &policy->callers);
	if (r == 0)
		r = print_callers(out, &policy->brokers);
	if (r == 0)
		r = print_sets(out, policy);
	for (size_t i = 0; r == 0 && i < policy->n_rules; i++) {
		bool all = denies_all(policy, &policy->rules[i]);

		fputs(all ? "# a catalog has yet to say what this line names:\n" : "", out);
		print_rule(out, policy, &policy->rules[i], all);
		fputc('\n', out);
	}
	/* All that can go wrong is that there is no memory. */
	if (fclose(out) != 0)
		r = -ENOMEM;
	if (r < 0) {
		free(printed);
		return r;
	}
	*text = printed;
	return 0;
}

/* ---- explaining ---- */

/* The patterns of an origin: `any`, itself, its site and one for each dot of its host, at most. */
struct matching {
	const struct policy *policy;
	uint32_t patterns[3 + POLICY_ORIGIN_SIZE];
	size_t n;
};

static void keep_pattern(void *arg, const struct pattern *pattern)
{
	struct matching *matching = arg;

	matching->patterns[matching->n++] = (uint32_t)(pattern - matching->policy->patterns);
}

static bool is_about(const struct matching *matching, const struct rule *rule)
{
	for (size_t i = 0; i < matching->n; i++) {
		if (matching->patterns[i] == rule->pattern)
			return true;
	}
	return false;
}

static int show_step(const struct policy *policy, const struct rule *rule, bool matched,
		     int (*step)(void *arg, const struct policy_step *step), void *arg)
{
	_cleanup_free_ char *statement = NULL;
	struct policy_step shown = {rule->decision.where, NULL, matched};
	size_t size;
	FILE *out = open_memstream(&statement, &size);

	if (!out)
		return -ENOMEM;
	print_rule(out, policy, rule, false);
	if (fclose(out) != 0)
		return -ENOMEM;
	shown.statement = statement;
	return step(arg, &shown);
}

int policy_explain(const struct policy *policy, const char *origin,
		   const struct digest_pair *digests,
		   int (*step)(void *arg, const struct policy_step *step), void *arg)
{
	struct matching matching = {.policy = policy};
	uint32_t decisive = policy_find_rule(policy, origin, digests);

	if (!origin)
		return 0;
	policy_each_pattern(policy, origin, keep_pattern, &matching);
	for (size_t i = 0; i < policy->n_rules; i++) {
		int r;

		if (!is_about(&matching, &policy->rules[i]))
			continue;
		r = show_step(policy, &policy->rules[i], i == decisive, step, arg);
		if (r != 0 || i == decisive)
			return r;
	}
	return 0;
}
