/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is who: the first line of a list that matches a caller.
 *
 * Each list is sorted by what its lines name, so that a caller's few properties (itself, its user, its groups, its
 * cgroup and those above it, its unit) are looked up by bisection.
 */
#include "policy/internal.h"

#include <string.h>

/* What a line may name: LEN bytes of TEXT, for a kind that has one. */
struct property {
	enum caller_kind kind;
	uint32_t id;
	const char *text;
	size_t len;
};

static int compare(const struct caller *caller, const struct property *property)
{
	int order;

	if (caller->kind != property->kind)
		return caller->kind < property->kind ? -1 : 1;
	if (caller->id != property->id)
		return caller->id < property->id ? -1 : 1;
	if (!caller->text)
		return 0;
	order = strncmp(caller->text, property->text, property->len);
	return order ? order : caller->text[property->len] != '\0';
}

/* The first line that names PROPERTY if it comes before BEST (NULL: none yet). */
static const struct caller *earlier(const struct callers *list, struct property property,
				    const struct caller *best)
{
	size_t low = 0, high = list->n;
	const struct caller *found;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&list->items[middle], &property) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == list->n)
		return best;
	found = &list->items[low];
	if (compare(found, &property) != 0 || (best && best->order < found->order))
		return best;
	return found;
}

/* A process outside of the root of our cgroup namespace is shown with `..` in its path. */
static bool is_below_root(const char *path)
{
	const char *up = strstr(path, "/..");

	while (up && up[3] && up[3] != '/')
		up = strstr(up + 1, "/..");
	return path[0] == '/' && !up;
}

/* A line matches the cgroup that it names and all below it. */
static const struct caller *earlier_cgroup(const struct callers *list, const char *path,
					   const struct caller *best)
{
	size_t len = 0;

	best = earlier(list, (struct property){CALLER_CGROUP, 0, "/", 1}, best);
	while (path[len] == '/' && path[len + 1]) {
		len += 1 + strcspn(path + len + 1, "/");
		best = earlier(list, (struct property){CALLER_CGROUP, 0, path, len}, best);
	}
	return best;
}

static const struct caller *first_line(const struct callers *list,
				       const struct policy_caller *caller)
{
	const struct caller *best = NULL;

	if (!caller->identified || list->n == 0)
		return NULL;
	best = earlier(list, (struct property){CALLER_ANY, 0, NULL, 0}, best);
	best = earlier(list, (struct property){CALLER_UID, caller->uid, NULL, 0}, best);
	best = earlier(list, (struct property){CALLER_GID, caller->gid, NULL, 0}, best);
	for (size_t i = 0; caller->groups && i < caller->n_groups; i++)
		best = earlier(list, (struct property){CALLER_GID, caller->groups[i], NULL, 0},
			       best);
	if (caller->cgroup && is_below_root(caller->cgroup))
		best = earlier_cgroup(list, caller->cgroup, best);
	if (caller->unit)
		best = earlier(list,
			       (struct property){CALLER_UNIT, 0, caller->unit,
						 strlen(caller->unit)},
			       best);
	return best;
}

bool policy_needs_groups(const struct policy *policy)
{
	return policy->needs_groups;
}

bool policy_needs_cgroup(const struct policy *policy)
{
	return policy->needs_cgroup;
}

static void set_where(const struct caller *line, struct policy_where *where)
{
	if (where)
		*where = line ? line->where : (struct policy_where){0};
}

const char *policy_origin_of(const struct policy *policy, const struct policy_caller *caller,
			     struct policy_where *where)
{
	const struct caller *line = first_line(&policy->callers, caller);

	set_where(line, where);
	return line ? line->origin : NULL;
}

bool policy_is_broker(const struct policy *policy, const struct policy_caller *caller,
		      struct policy_where *where)
{
	const struct caller *line = first_line(&policy->brokers, caller);

	set_where(line, where);
	return line;
}
