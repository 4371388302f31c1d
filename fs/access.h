/* SPDX-License-Identifier: Apache-2.0 */
/* From a FUSE caller to an origin. */
#ifndef FS_ACCESS_H
#define FS_ACCESS_H

#include "fs/fs.h"
#include "fs/policy-slot.h"

#define ACCESS_GROUPS_MAX 1024 /* supplementary groups that are looked at */

/*
 * The origin of the request's caller, valid as long as POLICY; NULL: none. Fails closed: a caller
 * whose process or uid is not visible from here (a foreign namespace) has none.
 */
const char *access_origin(const struct policy *policy, fuse_req_t request);

#endif
