/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored chunks are read again, from the disk, and verified: what is wrong is dropped from the store, and fetched by whoever
 * reads it next; what was only recorded is confirmed.
 */
#ifndef FS_OBJECTS_SCRUB_H
#define FS_OBJECTS_SCRUB_H

#include "store/store.h"
#include "verify/verify.h"

struct scrub {
	struct store_object *object;
	const struct verify_tree *tree;
	bool hints_only; /* leave alone what was verified since the object was loaded */
	uint64_t rate;	 /* bytes a second; 0: as fast as it goes */
	/* DONE bytes were checked so far: after each chunk, and while it pauses. Other than 0 ends the run, and is returned. */
	int (*progress)(void *arg, uint64_t done);
	void (*damaged)(void *arg, uint64_t chunk); /* may be NULL */
	void *arg;
};

/* 0, or -errno: *WRONG chunks were dropped, also then. Takes as long as reading the object does. */
int must_check scrub_run(const struct scrub *scrub, uint64_t *wrong);

#endif
