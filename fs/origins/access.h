/* SPDX-License-Identifier: Apache-2.0 */
/* From a FUSE caller to an origin, and to the views that it finds. */
#ifndef FS_ORIGINS_ACCESS_H
#define FS_ORIGINS_ACCESS_H

#include "fs/fs.h"
#include "fs/origins/policy-slot.h"

/*
 * The origin of the request's caller (fs/origins/caller.h), valid as long as POLICY; NULL: none. Fails closed: a caller
 * whose process or uid is not visible from here (a foreign namespace) has none.
 */
const char *access_origin(const struct policy *policy, fuse_req_t request);

/* May the request's caller look up the view of UID's ORIGIN: its own, as UID's broker, or as root? */
bool access_finds_view(const struct policy *policy, fuse_req_t request, uid_t uid,
		       const char *origin);

#endif
