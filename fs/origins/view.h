/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: the mount as one (user, origin) sees it. Their numbers come from the store; a view, once
 * used, stays in memory as long as the daemon (a few hundred bytes).
 */
#ifndef FS_ORIGINS_VIEW_H
#define FS_ORIGINS_VIEW_H

#include "fs/fs.h"

struct view {
	uint32_t number;
	uid_t uid;
	bool web; /* a web origin: learns nothing of what others fetched, unless that is `shared` */
	char origin[POLICY_ORIGIN_SIZE];
};

int must_check views_new(struct store *store, struct views **out);
void views_free(struct views *views); /* NULL is allowed */

/* Of UID and ORIGIN (canonical), made on first use. 0 or -errno. Any thread. */
int must_check view_of(struct views *views, uid_t uid, const char *origin,
		       const struct view **out);
/* By number; NULL if there is none. Any thread. */
const struct view *view_get(struct views *views, uint32_t number);

/*
 * What UID answered for ORIGIN was written down or taken back: from now on that holds. 0 or -errno, then nothing that was
 * answered does.
 */
int must_check views_answered(struct views *views, uid_t uid, const char *origin);

/*
 * In the wait_ms of what view_decide() says: with POLICY_ASK, that the user said no, and is not to be asked. With
 * POLICY_ALLOW it is how long a grant holds at most; 0: for ever.
 */
#define VIEW_REFUSED (-1)

/* What the policy and the user's grants say of DIGESTS in VIEW, now: POLICY_ASK where nobody said yes. */
struct policy_decision view_decide(struct weightfs *fs, const struct view *view,
				   const struct digest_pair *digests);

/* 0: it may be opened; -ENOENT: denied; -EACCES: the policy asks, and nobody has said yes. */
int must_check view_refusal(const struct policy_decision *decision);

/*
 * What DECISION is about is for VIEW to fetch itself, and to be served from the store only if it did (fs/objects/separate.h): what web
 * origins do not share, and for whomever what is GATED, had with a credential only, as long as the policy does not name it.
 */
static inline bool view_is_apart(const struct view *view, const struct policy_decision *decision,
				 bool gated)
{
	return (view->web && !decision->shared) || (gated && !decision->named);
}
/* For the log: which web origin it is, its user alone may know. */
static inline const char *view_label(const struct view *view)
{
	return view->web ? "a web origin" : view->origin;
}
/*
 * What VIEW, or another of its user's that is no web origin's either, fetched itself as NAME, and uses: 0 and its id, or
 * -ENOENT.
 */
int must_check view_own(struct store *store, const struct view *view, const struct digest_name *name,
			uint64_t *id);
/* Did it? INFO: an object of the store's. */
bool view_owns(struct weightfs *fs, const struct view *view, const struct store_info *info);

/* What the policy allows VIEW to have in use, now; 0: any number of bytes. */
uint64_t view_quota(struct weightfs *fs, const struct view *view);
/* How many objects that it does not have it may look for, now. */
struct policy_probes view_probes(struct weightfs *fs, const struct view *view);

#endif
