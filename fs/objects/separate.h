/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What web origins fetch for themselves. A web origin shares only objects of sets that the policy calls `shared`, and those of
 * which it fetched everything itself before. Any other is looked for, fetched and verified for it as if the store were
 * empty, by the same code, whether or not it is here: so no answer, and no time, tells what others have.
 *
 *	LOOKUP ── the view owns it (store_owns()) ─────────────────────► the store's object
 *	       └─ not ── sources are asked ──► separate object ── all of it came, and the view opened it ──► published: owned
 *
 * A separate object is a struct object like others, found by its view and the name that the view uses. It is kept for a while
 * after its last close, so that who reads in pieces fetches each once; a restart forgets it.
 */
#ifndef FS_OBJECTS_SEPARATE_H
#define FS_OBJECTS_SEPARATE_H

#include "fs/objects/object.h"

int must_check separates_new(struct separates **out);
/* Nothing may be open. NULL is allowed. */
void separates_free(struct separates *separates);

/* What VIEW has under NAME. 0 or -ENOENT. Any thread. */
int must_check separate_find(struct weightfs *fs, uint32_t view, const struct digest_name *name,
			     struct store_info *out);
/*
 * VIEW begins to fetch NAME, KNOWN so: 0 and the object, to be put; the one that is there already, if so. TREE, NULL if
 * it is unattested, or its front is still to come, is taken over in success. What others left behind may go for it. -ENOMEM, or the store's errors.
 * Any thread but FUSE's.
 */
int must_check separate_begin(struct weightfs *fs, uint32_t view, const struct digest_name *name,
			      const struct knowledge *known, struct verify_tree *tree,
			      struct object **out);

/* OBJECT, complete, waits for separate_publish(). Any thread. */
bool separate_is_due(const struct object *object);
/* It becomes the store's, and its view owns it. Logs. In the background: syncs. */
void separate_publish(struct object *object);
/* OBJECT is not what it was said to be: nobody finds it any more. Any thread. */
void separate_drop(struct object *object);
/* The store's object that ID, a separate one, became; 0: it did not, or that is forgotten. Any thread. */
uint64_t separate_heir(struct weightfs *fs, uint64_t id);

/* VIEW closed or began a separate object: what is kept beyond the bounds of it and of all goes. Any thread. */
void separates_trim(struct weightfs *fs, uint32_t view);

/* The names of VIEW's, in no order, until FOUND returns other than 0, which is passed on. */
int must_check separates_each(struct weightfs *fs, uint32_t view, store_name_found found, void *arg);

#endif
