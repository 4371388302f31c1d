/* SPDX-License-Identifier: Apache-2.0 */
/* What is declared, and comes with the next commits. */
#include "policy/internal.h"

#include <string.h>

const struct policy_error *policy_warning(const struct policy *policy, size_t i)
{
	return NULL;
}

const char *policy_path(const struct policy *policy, size_t i)
{
	return i < policy->n_files ? policy->files[i] : NULL;
}

int policy_print(const struct policy *policy, char **text)
{
	*text = strdup("");
	return *text ? 0 : -ENOMEM;
}

bool policy_needs_cgroup(const struct policy *policy)
{
	return false;
}

bool policy_is_broker(const struct policy *policy, const struct policy_caller *caller,
		      struct policy_where *where)
{
	return false;
}

struct policy_probes policy_probes(const struct policy *policy, const char *origin)
{
	return (struct policy_probes){0};
}

bool policy_has_set(const struct policy *policy, const char *set)
{
	return false;
}

bool policy_set_holds(const struct policy *policy, const char *set,
		      const struct digest_pair *digests)
{
	return false;
}

int policy_explain(const struct policy *policy, const char *origin,
		   const struct digest_pair *digests,
		   int (*step)(void *arg, const struct policy_step *step), void *arg)
{
	return 0;
}

int policy_each_shared(const struct policy *policy, const struct digest_name *after,
		       int (*found)(void *arg, const struct digest_name *name), void *arg)
{
	return 0;
}
