/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was read so far.
 *
 * The policy's arrays grow in the order of the lines; patterns and targets are numbered at their
 * first mention, and a pair says that a line has both. A set may be used before it is defined: so
 * only finish.c knows which targets hold SHA-256 digests, and sorts.
 */
#include "policy/internal.h"

#include <string.h>

/* Out of memory is an error to report, not the end of the process. */
#define HASH_NONFATAL_OOM	1
#define uthash_nonfatal_oom(el) ((void)(el))
/* The default one falls through its switch without saying so, which clang refuses. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

/* A string that has a number: its rank among the first mentions. */
struct interned {
	UT_hash_handle hh;
	uint32_t id;
	char text[];
};

/* 1: new, 0: known. */
static int intern(struct interned **table, const char *text, uint32_t *id)
{
	size_t len = strlen(text);
	struct interned *item = NULL;

	HASH_FIND(hh, *table, text, len, item);
	if (item) {
		*id = item->id;
		return 0;
	}
	item = calloc(1, sizeof(*item) + len + 1);
	if (!item)
		return -ENOMEM;
	memcpy(item->text, text, len + 1);
	item->id = (uint32_t)HASH_COUNT(*table);
	HASH_ADD_KEYPTR(hh, *table, item->text, len, item);
	if (!item->hh.tbl) {
		free(item);
		return -ENOMEM;
	}
	*id = item->id;
	return 1;
}

static void intern_clear(struct interned **table)
{
	struct interned *item, *next;

	HASH_ITER (hh, *table, item, next) {
		HASH_DEL(*table, item);
		free(item);
	}
}

/* ITEMS, which holds N, with room for one more; NULL and unchanged if there is no memory.
 * Capacities are powers of two. */
static void *with_room(void *items, size_t n, size_t size)
{
	if (n == 0)
		return reallocarray(items, 16, size);
	if (n < 16 || (n & (n - 1)) != 0)
		return items;
	return reallocarray(items, 2 * n, size);
}

/* A zeroed new last item of the array, or -ENOMEM out of the function. */
#define APPEND(array, n)                                                                           \
	({                                                                                         \
		void *moved_ = with_room(array, n, sizeof(*(array)));                              \
		if (!moved_)                                                                       \
			return -ENOMEM;                                                            \
		(array) = moved_;                                                                  \
		memset(&(array)[n], 0, sizeof(*(array)));                                          \
		&(array)[(n)++];                                                                   \
	})

int policy_draft_init(struct draft *draft)
{
	uint32_t any;
	int r;

	*draft = (struct draft){.policy = calloc(1, sizeof(*draft->policy))};
	if (!draft->policy)
		return -ENOMEM;
	atomic_init(&draft->policy->references, 1);
	r = policy_draft_pattern(draft, PATTERN_ANY, "", &any);
	if (r < 0)
		policy_draft_clear(draft);
	return r;
}

void policy_draft_clear(struct draft *draft)
{
	intern_clear(&draft->pattern_ids);
	intern_clear(&draft->target_ids);
	policy_free(draft->policy);
	*draft = (struct draft){0};
}

/* ---- reading ---- */

static int add_string(char ***strings, size_t *n, const char *text)
{
	char **string = APPEND(*strings, *n);

	*string = strdup(text);
	return *string ? 0 : -ENOMEM;
}

const char *policy_draft_file(struct draft *draft, const char *name)
{
	struct policy *policy = draft->policy;

	return add_string(&policy->files, &policy->n_files, name) < 0
		       ? NULL
		       : policy->files[policy->n_files - 1];
}

int policy_draft_path(struct draft *draft, const char *path)
{
	return add_string(&draft->policy->paths, &draft->policy->n_paths, path);
}

int policy_draft_warning(struct draft *draft, const struct policy_error *warning)
{
	struct policy_error *added = APPEND(draft->policy->warnings, draft->policy->n_warnings);

	*added = *warning;
	return 0;
}

int policy_draft_caller(struct draft *draft, const struct caller *caller, const struct place *place)
{
	struct policy *policy = draft->policy;
	struct callers *list = caller->origin ? &policy->callers : &policy->brokers;
	struct caller *added = APPEND(list->items, list->n);

	added->kind = caller->kind;
	added->id = caller->id;
	added->order = (uint32_t)(list->n - 1);
	added->where = (struct policy_where){place->file, place->line};
	policy->needs_groups |= caller->kind == CALLER_GID;
	policy->needs_cgroup |= caller->kind == CALLER_CGROUP || caller->kind == CALLER_UNIT;
	if (caller->text && !(added->text = strdup(caller->text)))
		return -ENOMEM;
	if (caller->origin && !(added->origin = strdup(caller->origin)))
		return -ENOMEM;
	return 0;
}

int policy_draft_target(struct draft *draft, const char *name, const struct place *place,
			uint32_t *id)
{
	struct target *target;
	int r;

	r = intern(&draft->target_ids, name, id);
	if (r <= 0)
		return r;
	target = APPEND(draft->policy->targets, draft->policy->n_targets);
	target->place = *place;
	target->name = strdup(name);
	return target->name ? 0 : -ENOMEM;
}

int policy_draft_entry(struct draft *draft, uint32_t target, const struct digest_name *name)
{
	struct entry *entry = APPEND(draft->policy->entries, draft->policy->n_entries);

	entry->name = *name;
	entry->target = target;
	draft->policy->targets[target].filled = true;
	draft->policy->targets[target].has_sha256 |= name->kind == DIGEST_SHA256;
	return 0;
}

void policy_draft_cut(struct draft *draft, uint32_t target, size_t n)
{
	draft->policy->n_entries = n;
	draft->policy->targets[target].has_sha256 = draft->policy->targets[target].filled = false;
}

int policy_draft_pattern(struct draft *draft, char kind, const char *origin, uint32_t *id)
{
	struct policy *policy = draft->policy;
	char key[POLICY_ORIGIN_SIZE + 1] = {kind};
	struct pattern *pattern;
	int r;

	strncat(key, origin, sizeof(key) - 2);
	r = intern(&draft->pattern_ids, key, id);
	if (r <= 0)
		return r;
	pattern = APPEND(policy->patterns, policy->n_patterns);
	pattern->id = *id;
	pattern->any_rule = POLICY_NO_RULE;
	pattern->sha_deny = POLICY_NO_RULE;
	pattern->quota_rule = POLICY_NO_RULE;
	pattern->probes_rule = POLICY_NO_RULE;
	pattern->list_rule = POLICY_NO_RULE;
	pattern->opens_rule = POLICY_NO_RULE;
	pattern->key = strdup(key);
	return pattern->key ? 0 : -ENOMEM;
}

/* RULE is in the order of the lines, so that the first one stays. */
static void first_rule(const struct draft *draft, uint32_t *rule)
{
	if (*rule == POLICY_NO_RULE)
		*rule = (uint32_t)(draft->policy->n_rules - 1);
}

int policy_draft_rule(struct draft *draft, enum policy_verdict verdict, uint32_t pattern,
		      const struct place *place)
{
	struct policy *policy = draft->policy;
	struct rule *rule = APPEND(policy->rules, policy->n_rules);

	rule->decision.verdict = verdict;
	rule->decision.where = (struct policy_where){place->file, place->line};
	rule->pattern = pattern;
	rule->first = policy->n_rule_targets;
	if (verdict != POLICY_DENY)
		first_rule(draft, &policy->patterns[pattern].opens_rule);
	return 0;
}

static struct rule *last_rule(struct draft *draft)
{
	return &draft->policy->rules[draft->policy->n_rules - 1];
}

int policy_draft_pair(struct draft *draft, uint32_t target)
{
	struct policy *policy = draft->policy;
	struct pair *pair = APPEND(policy->pairs, policy->n_pairs);
	uint32_t *added;

	*pair = (struct pair){last_rule(draft)->pattern, target, (uint32_t)(policy->n_rules - 1)};
	added = APPEND(policy->rule_targets, policy->n_rule_targets);
	*added = target;
	last_rule(draft)->n++;
	return 0;
}

void policy_draft_pair_any(struct draft *draft)
{
	struct rule *rule = last_rule(draft);

	rule->any = true;
	first_rule(draft, &draft->policy->patterns[rule->pattern].any_rule);
}

void policy_draft_options(struct draft *draft, const struct rule *options)
{
	struct rule *rule = last_rule(draft);
	struct pattern *pattern = &draft->policy->patterns[rule->pattern];

	rule->decision.cached = options->decision.cached;
	rule->decision.list = options->decision.list;
	rule->decision.quota = options->decision.quota;
	rule->decision.wait_ms = options->decision.wait_ms;
	rule->probes = options->probes;
	if (rule->decision.quota)
		first_rule(draft, &pattern->quota_rule);
	if (rule->probes.count)
		first_rule(draft, &pattern->probes_rule);
	if (rule->decision.list)
		first_rule(draft, &pattern->list_rule);
}
