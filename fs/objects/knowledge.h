/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What catalogs say of an object, for those who look it up, open and fetch it.
 *
 *	look-up   digests and size are known: it is there at once, and nobody is asked; what they do not know, or are not
 *	          believed for, only templates of sources can have
 *	open      its front, and if there is none all of it, comes from where they say that it is
 *	fetch     beside the templates of sources: places
 *
 * Of a catalog that has expired this is so only for what the store has. Any thread; no I/O, no lock held.
 *
 * Places. What is common to all is fetched for whoever reads it: from where signed catalogs and that user's own imports say.
 * Those of other users' imports are not asked: whoever has one on a server of his own would see what others read, and when.
 * Credentials are used for what their user alone gets (object->gated).
 */
#ifndef FS_OBJECTS_KNOWLEDGE_H
#define FS_OBJECTS_KNOWLEDGE_H

#include "fs/fs.h"

struct object;

/* Of one that may be made a record, or a separate object, of. */
struct knowledge {
	struct digest_pair digests;
	uint64_t size;
	bool gated; /* only an import with a credential knows it */
	bool claimed; /* the size is the word of who imported it: what comes to all must not depend on it */
};

/*
 * For UID. -ENOENT: nobody knows it, or those who do contradict each other, or have expired; or what was imported has a size that no
 * file has.
 */
int must_check knowledge_find(struct weightfs *fs, uid_t uid, const struct digest_name *name,
			      struct knowledge *out);
/* What signed catalogs say of the size of DIGESTS. -ENOENT: nothing. */
int must_check knowledge_signed_size(struct weightfs *fs, const struct digest_pair *digests, uint64_t *out);
/* Is what INFO says of the size of an object that lacks its front certain, because a catalog of UID's says the same? */
bool knowledge_confirms(struct weightfs *fs, uid_t uid, const struct store_info *info);
/* Is NAME, which the store has as INFO (NULL: it does not), for UID alone, as only a credential got it or gets it? */
bool knowledge_is_gated(struct weightfs *fs, uid_t uid, const struct digest_name *name,
			const struct store_info *info);
/* Do catalogs of UID's attest INFO, which is known by its SHA-256 alone? */
bool knowledge_attests(struct weightfs *fs, uid_t uid, const struct store_info *info);
/*
 * The two digests of DIGESTS, as somebody said, are not those of one object: which catalogs did is logged, and counted; nobody
 * is believed for it from now on, until the daemon ends.
 */
void knowledge_disprove(struct weightfs *fs, const struct digest_pair *digests);

/* ---- where an object is ---- */

/*
 * For a fetch of OBJECT on behalf of UID, to be unref'd as soon as nobody is to be blamed any more (fetch.h); worked out
 * by each call, as what is kept with an object would keep numbers of sources from others. NULL: no catalog has any (or there is no memory).
 */
struct fetch_places *object_places(struct object *object, uid_t uid);
/* The same for N users who want it at once; of what credentials get only the first counts. */
struct fetch_places *object_places_of(struct object *object, const uid_t *uids, size_t n);
/* UID, if his imports may say where OBJECT is; else CATALOG_EVERYBODY: all such users are as one. */
uid_t object_importer(struct object *object, uid_t uid);

#endif
