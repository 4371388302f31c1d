/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was read so far, and how it becomes a policy.
 *
 * While reading, the policy's arrays grow in the order of the lines; patterns and targets are
 * numbered at their first mention, and a pair says that a line has both. A set may be used before
 * it is defined: so only policy_draft_finish() knows which targets hold SHA-256 digests, and sorts.
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
	for (size_t i = 0; i < draft->n_targets; i++)
		free(draft->targets[i].name);
	free(draft->targets);
	intern_clear(&draft->pattern_ids);
	intern_clear(&draft->target_ids);
	policy_free(draft->policy);
	*draft = (struct draft){0};
}

/* ---- reading ---- */

static int add_file(struct policy *policy, const char *name)
{
	char **file = APPEND(policy->files, policy->n_files);

	*file = strdup(name);
	return *file ? 0 : -ENOMEM;
}

const char *policy_draft_file(struct draft *draft, const char *name)
{
	struct policy *policy = draft->policy;

	return add_file(policy, name) < 0 ? NULL : policy->files[policy->n_files - 1];
}

int policy_draft_caller(struct draft *draft, enum caller_kind kind, uint32_t id, const char *origin,
			const struct place *place)
{
	struct policy *policy = draft->policy;
	struct caller *caller = APPEND(policy->callers, policy->n_callers);

	caller->kind = kind;
	caller->id = id;
	caller->order = (uint32_t)(policy->n_callers - 1);
	caller->where = (struct policy_where){place->file, place->line};
	caller->origin = strdup(origin);
	policy->needs_groups |= kind == CALLER_GID;
	return caller->origin ? 0 : -ENOMEM;
}

int policy_draft_target(struct draft *draft, const char *name, const struct place *place,
			uint32_t *id)
{
	struct target *target;
	int r;

	r = intern(&draft->target_ids, name, id);
	if (r <= 0)
		return r;
	target = APPEND(draft->targets, draft->n_targets);
	target->place = *place;
	target->name = strdup(name);
	return target->name ? 0 : -ENOMEM;
}

int policy_draft_entry(struct draft *draft, uint32_t target, const struct digest_name *name)
{
	struct entry *entry = APPEND(draft->policy->entries, draft->policy->n_entries);

	entry->name = *name;
	entry->target = target;
	draft->targets[target].has_sha256 |= name->kind == DIGEST_SHA256;
	return 0;
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
	pattern->any_rule = POLICY_NO_RULE;
	pattern->sha_deny = POLICY_NO_RULE;
	pattern->quota_rule = POLICY_NO_RULE;
	pattern->key = strdup(key);
	return pattern->key ? 0 : -ENOMEM;
}

int policy_draft_rule(struct draft *draft, struct policy_decision rule, const struct place *place)
{
	struct policy_decision *added = APPEND(draft->policy->rules, draft->policy->n_rules);

	*added = rule;
	added->where = (struct policy_where){place->file, place->line};
	return 0;
}

int policy_draft_pair(struct draft *draft, uint32_t pattern, uint32_t target)
{
	struct policy *policy = draft->policy;
	struct pair *pair = APPEND(policy->pairs, policy->n_pairs);

	*pair = (struct pair){pattern, target, (uint32_t)(policy->n_rules - 1)};
	return 0;
}

void policy_draft_pair_any(struct draft *draft, uint32_t pattern)
{
	struct pattern *found = &draft->policy->patterns[pattern];

	if (found->any_rule == POLICY_NO_RULE)
		found->any_rule = (uint32_t)(draft->policy->n_rules - 1);
}

void policy_draft_options(struct draft *draft, uint32_t pattern, const struct policy_decision *rule)
{
	struct policy *policy = draft->policy;
	struct policy_decision *last = &policy->rules[policy->n_rules - 1];
	struct pattern *found = &policy->patterns[pattern];

	last->cached = rule->cached;
	last->list = rule->list;
	last->quota = rule->quota;
	if (rule->quota && found->quota_rule == POLICY_NO_RULE)
		found->quota_rule = (uint32_t)(policy->n_rules - 1);
}

/* ---- sorting ---- */

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_callers(const void *a, const void *b)
{
	const struct caller *x = a, *y = b;

	if (x->kind != y->kind)
		return COMPARE(x->kind, y->kind);
	if (x->id != y->id)
		return COMPARE(x->id, y->id);
	return COMPARE(x->order, y->order);
}

static int compare_patterns(const void *a, const void *b)
{
	return strcmp(((const struct pattern *)a)->key, ((const struct pattern *)b)->key);
}

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	if (x->pattern != y->pattern)
		return COMPARE(x->pattern, y->pattern);
	if (x->target != y->target)
		return COMPARE(x->target, y->target);
	return COMPARE(x->rule, y->rule);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int bytes;

	if (x->name.kind != y->name.kind)
		return COMPARE(x->name.kind, y->name.kind);
	bytes = memcmp(x->name.digest.bytes, y->name.digest.bytes, DIGEST_SIZE);
	return bytes ? bytes : COMPARE(x->target, y->target);
}

static void sort(void *items, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	if (n > 1)
		qsort(items, n, size, compare);
}

/* Each digest once in a target. */
static void sort_entries(struct policy *policy)
{
	struct entry *entries = policy->entries;
	size_t kept = 0;

	sort(entries, policy->n_entries, sizeof(*entries), compare_entries);
	for (size_t i = 0; i < policy->n_entries; i++) {
		if (kept == 0 || compare_entries(&entries[kept - 1], &entries[i]) != 0)
			entries[kept++] = entries[i];
	}
	policy->n_entries = kept;
}

/*
 * Each pattern's pairs together, of each target only the first line. A later line with the same
 * pattern and target never decides: what it would match, the first one has matched. That holds for
 * objects with an unknown SHA-256 too, because the deny lines that match all of them are kept
 * apart.
 */
static void sort_pairs(struct draft *draft)
{
	struct policy *policy = draft->policy;
	struct pair *pairs = policy->pairs;
	size_t kept = 0;

	for (size_t i = 0; i < policy->n_pairs; i++) {
		struct pattern *pattern = &policy->patterns[pairs[i].pattern];

		if (policy->rules[pairs[i].rule].verdict == POLICY_DENY &&
		    draft->targets[pairs[i].target].has_sha256 && pairs[i].rule < pattern->sha_deny)
			pattern->sha_deny = pairs[i].rule;
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

int policy_draft_finish(struct draft *draft, struct policy **out, struct policy_error *error)
{
	struct policy *policy = draft->policy;

	for (size_t i = 0; i < draft->n_targets; i++) {
		const struct target *target = &draft->targets[i];

		if (!target->defined)
			return policy_fail(error, &target->place, "no set is called '%s'",
					   target->name);
	}
	sort_entries(policy);
	sort_pairs(draft);
	/* Last: pairs name a pattern by where it stands. */
	sort(policy->patterns + 1, policy->n_patterns - 1, sizeof(*policy->patterns),
	     compare_patterns);
	for (size_t i = 1; i < policy->n_patterns; i++)
		policy->n_below += policy->patterns[i].key[0] == PATTERN_BELOW;
	sort(policy->callers, policy->n_callers, sizeof(*policy->callers), compare_callers);
	*out = steal_pointer(draft->policy);
	return 0;
}
