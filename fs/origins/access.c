/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/access.h"

#include <string.h>
#include "fs/origins/caller.h"

const char *access_origin(const struct policy *policy, fuse_req_t request)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct caller caller;

	caller_of_request(fs->callers, policy, request, &caller);
	return policy_origin_of(policy, &caller.who, NULL);
}

/* May WHO look up views of UID, of whatever origin? Root, too, has to be known. */
static bool is_broker(const struct policy *policy, const struct policy_caller *who, uid_t uid)
{
	if (!who->identified)
		return false;
	return who->uid == 0 || (who->uid == uid && policy_is_broker(policy, who, NULL));
}

bool access_finds_view(const struct policy *policy, fuse_req_t request, uid_t uid,
		       const char *origin)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct caller caller;
	const char *own;

	caller_of_request(fs->callers, policy, request, &caller);
	if (is_broker(policy, &caller.who, uid))
		return true;
	own = caller.who.uid == uid ? policy_origin_of(policy, &caller.who, NULL) : NULL;
	return own && !strcmp(own, origin);
}
