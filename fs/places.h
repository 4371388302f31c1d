/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folders and names that paths lead through, for fs/watch.c: nobody else includes this. A folder is known by its path
 * without symbolic links.
 */
#ifndef FS_PLACES_H
#define FS_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <uthash.h>
#include "common/cleanup.h"

struct name {
	char *text;
	bool seen;    /* in this pass */
	bool writing; /* changed, and not closed since */
	UT_hash_handle hh;
};

/* A folder with the names in it that matter; or a file, which has none. */
struct place {
	char *path;
	int wd;       /* -1: not watched */
	bool folder;
	bool all;     /* every name in it matters */
	bool bytes;   /* some of its names are files that are read */
	bool seen, writing;
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
