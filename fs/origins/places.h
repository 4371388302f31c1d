/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folders and names that paths lead through, for fs/origins/watch.c: nobody else includes this. A folder is known by its path
 * without symbolic links.
 */
#ifndef FS_ORIGINS_PLACES_H
#define FS_ORIGINS_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>
#include "common/cleanup.h"

/* What has become of something, and was not told yet. */
struct change {
	bool writing;	  /* it was written, and not closed since */
	bool half;	  /* it was told, and so read, while it was */
	int64_t finished; /* ms: since when there is a change that is whole; 0: there is none */
};

struct name {
	char *text;
	bool seen; /* in this pass */
	struct change change;
	UT_hash_handle hh;
};

/* A folder with the names in it that matter; or a file, which has none. */
struct place {
	char *path;
	int wd;       /* -1: not watched */
	bool folder;
	bool all;     /* every name in it matters */
	bool bytes;   /* some of its names are files that are read */
	bool seen;
	struct change change; /* of the folder itself and all in it that has no name here */
	struct name *names;
	UT_hash_handle hh;
};

/*
 * Mark all that PATH (absolute) leads through as seen, in PLACES, by path; what is not there yet is added. Where it leads
 * nowhere, that is all up to the first name that is missing. 0, -ENOMEM or -ENAMETOOLONG.
 */
int must_check places_trace(struct place **places, const char *path);
/* Nothing is seen any more. */
void places_forget_marks(struct place *places);
/* How many places and names there are. */
size_t places_count(const struct place *places);
void places_drop(struct place **places, struct place *place);
/* Of the names in PLACE, those that were not seen. */
void places_drop_names(struct place *place);

#endif
