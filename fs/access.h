/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a FUSE caller to an origin, and from a view to a decision. The policy in force may be replaced
 * at any time; what was begun with the old one ends with it.
 */
#ifndef FS_ACCESS_H
#define FS_ACCESS_H

#include "fs/fs.h"

/* ---- the policy in force: any thread ---- */

/* FILE NULL: the built-in policy (any caller is `local`, which may open and list everything). */
int must_check policy_slot_new(const char *file, struct policy_slot **out);
void policy_slot_free(struct policy_slot *slot); /* NULL is allowed */
/* NULL: the built-in policy. Valid as long as SLOT. */
const char *policy_slot_file(const struct policy_slot *slot);
/* To be unref'd. */
struct policy *policy_slot_get(struct policy_slot *slot);
/* Load the file again. On an error it is logged, and said in REASON (may be NULL), and the old policy stays. */
#define ACCESS_REASON_SIZE 1024
int policy_slot_reload(struct policy_slot *slot, char reason[ACCESS_REASON_SIZE]);

/* Load FILE or, for NULL, the built-in policy; an error is logged as FILE:LINE:COLUMN. */
int must_check policy_load_or_builtin(const char *file, struct policy **out);

/* ---- callers ---- */

/*
 * The origin of the request's caller (fs/caller.h), valid as long as POLICY; NULL: none. Fails closed: a caller
 * whose process or uid is not visible from here (a foreign namespace) has none.
 */
const char *access_origin(const struct policy *policy, fuse_req_t request);

/* May the request's caller look up the view of UID's ORIGIN: its own, as UID's broker, or as root? */
bool access_finds_view(const struct policy *policy, fuse_req_t request, uid_t uid,
		       const char *origin);

#endif
