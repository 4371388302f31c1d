/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the sources about one digest: is there such an object, how long is it, and, for an fs-verity digest, what
 * proves that? A source whose answers do not fit the digest is left out, and all is asked again.
 *
 * A tree file as `weightfs tree` writes it answers all of it at once. Of a bare tree the beginning is kept while the
 * size is asked for.
 */
#ifndef FS_OBJECTS_INQUIRY_H
#define FS_OBJECTS_INQUIRY_H

#include "fs/fs.h"

/* Part of its owner's structure. One step at a time, on the fetch thread or one of fs->records. */
struct inquiry {
	/* The owner's, set before inquiry_begin(). */
	struct weightfs *fs;
	struct digest_name name;
	uint32_t view; /* what is found is for this one alone (fs/objects/separate.h); 0: it goes to the store */
	bool (*wanted)(struct inquiry *inquiry); /* as in struct fetch_ops */
	/*
	 * It is over; the inquiry is the owner's again. ERROR 0: INFO is what is known of it now.
	 * -ENOENT: every source said no; -ECANCELED: not wanted any more; else it could not be found out.
	 */
	void (*ended)(struct inquiry *inquiry, int error, const struct store_info *info);

	char message[FETCH_MESSAGE_SIZE]; /* what the sources said last; "" if nothing */

	/* The step's. */
	struct fetch_request request;
	struct work work;
	uint64_t size, excluded;
	unsigned int size_source, proof_source;
	bool certified;   /* the size is, by a descriptor */
	void *tree;       /* malloc: what came of the tree file, which begins with the front */
	size_t tree_len;
	size_t held;      /* of that, what counts as held without being known to be right */
	void *chunk;      /* pool: of an object that has one only */
	int proof_error;
	bool has_turn;        /* it is the one that has a big front in memory */
	struct inquiry *next; /* waits for its turn behind this one */
};

void inquiry_begin(struct inquiry *inquiry);

#endif
