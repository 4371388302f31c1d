/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/access.h"

const char *access_origin(const struct policy *policy, fuse_req_t request)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(request);
	struct policy_caller caller = { .uid = ctx->uid, .gid = ctx->gid };
	gid_t groups[ACCESS_GROUPS_MAX];

	caller.identified = ctx->pid != 0 && ctx->uid != (uid_t)-1 && ctx->gid != (gid_t)-1;
	if (!caller.identified)
		return NULL;
	if (policy_needs_groups(policy)) {
		int n = fuse_req_getgroups(request, ACCESS_GROUPS_MAX, groups);

		/* Groups that cannot be read are not had; the caller may still match another line. */
		caller.groups = groups;
		caller.n_groups = n < 0 ? 0 : n < ACCESS_GROUPS_MAX ? (size_t)n : ACCESS_GROUPS_MAX;
	}
	return policy_origin_of(policy, &caller, NULL);
}
