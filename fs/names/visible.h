/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of catalogs a view may see: an object that it may open, or is asked about, and the folders on the way to such ones.
 * Decided from the policy, the user's answers and catalogs alone; nothing of the store is looked at.
 *
 * Whether anything below a folder is visible may take a look at each of a million objects that are not. So it is found out a
 * little at a time by whoever must not wait, else on fs->listings, and what took long is remembered until the policy, an
 * answer or the catalogs change (fs->changes, catalog_set_generation()).
 */
#ifndef FS_NAMES_VISIBLE_H
#define FS_NAMES_VISIBLE_H

#include "fs/names/folders.h"
#include "fs/origins/view.h"

/* How VIEW may have OBJECT of CATALOG, which is in SET. */
struct visible {
	struct digest_name name; /* to look it up by */
	struct policy_decision decision;
};
/* False: it is not there; WHY (may be NULL) is what the decision was then, for the audit. Any thread. */
bool visible_object(struct weightfs *fs, const struct view *view, const struct catalog_set *set,
		    const struct catalog *catalog, const struct verify_object *object,
		    struct visible *out, struct visible *why);

enum visible_mode {
	VISIBLE_AT_ONCE = 0, /* -EAGAIN: that takes longer */
	VISIBLE_PATIENT = 1, /* on fs->listings */
	VISIBLE_LISTED = 2,  /* with either: the view may not only open something below, but list it */
};

/* Is any of NAMES, of CATALOG, visible to VIEW? 1, 0, -EAGAIN (also when the daemon stops). */
int must_check visible_names(struct weightfs *fs, const struct view *view,
			     const struct catalog_set *set, const struct catalog *catalog,
			     const struct verify_span *names, unsigned int mode);
/* The same of what is in FOLDERS, in any of them. Those that are there for everybody are for each view for which there may be anything. */
int must_check visible_folders(struct weightfs *fs, const struct view *view,
			       const struct catalog_set *set, const struct folders *folders,
			       unsigned int mode);

/* May the policy let VIEW have anything at all? If not, nothing need be looked at. */
bool visible_any(struct weightfs *fs, const struct view *view);

/* The daemon ends. */
void visible_free(void);

#endif
