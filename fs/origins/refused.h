/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operations tell the audit (fs/origins/audit.h). Costs next to nothing when there is none, or when there are too many
 * lines already. On a FUSE thread, or on any that answers a request, before it is answered.
 */
#ifndef FS_ORIGINS_REFUSED_H
#define FS_ORIGINS_REFUSED_H

#include "fs/fs.h"

struct view;

/*
 * REQUEST, a "lookup" or "open" (OPERATION, static), of the object known as DIGESTS is refused to VIEW because of
 * DECISION; NULL: the origin has looked for too much lately. What the policy does not refuse is no refusal: nothing is told.
 */
void audit_refused(struct weightfs *fs, fuse_req_t request, const struct view *view,
		   const struct digest_pair *digests, const struct policy_decision *decision,
		   const char *operation);
/* origin/UID (NAME NULL) or origin/UID/NAME is not the caller's to look into. */
void audit_refused_view(struct weightfs *fs, fuse_req_t request, uid_t uid, const char *name);

#endif
