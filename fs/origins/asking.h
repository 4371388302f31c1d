/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups where the policy asks and nobody has said yes: they become pending (fs/origins/pending.h), and are refused, or, where the
 * line says `wait=`, wait in the parking lot until somebody answers. Whatever is asked for, nothing of the store is
 * looked at here: the answer is the same, and as fast, whether or not the object is here.
 */
#ifndef FS_ORIGINS_ASKING_H
#define FS_ORIGINS_ASKING_H

#include "fs/fs.h"
#include "fs/origins/view.h"

#define ASKING_MAX	    256 /* look-ups that wait; more are refused at once */
#define ASKING_MAX_USER 32  /* the same of one user */
#define ASKING_MAX_VIEW 16  /* and in one view */

int must_check asking_new(struct asking **out);
/*
 * Nobody who waits is served any more when this returns, also not by a review that was under way: what is served takes
 * queues that end with the daemon. NULL is allowed.
 */
void asking_stop(struct asking *asking);
/* When nothing is parked any more. NULL is allowed. */
void asking_free(struct asking *asking);

/* Answer the LOOKUP of NAME in VIEW, about which the policy said POLICY_ASK in DECISION: now with EACCES, or later. */
void asking_lookup(struct weightfs *fs, fuse_req_t request, const struct view *view,
		   const struct digest_name *name, const struct policy_decision *decision);

/* Something was answered, or the policy is another: who waits for nothing any more is served. Any thread. */
void asking_review(struct weightfs *fs);

/* Is NAME still asked about in VIEW, and not answered? */
bool asking_is_open(struct weightfs *fs, const struct view *view, const struct digest_name *name);

#endif
