/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers for the paths below a view of folders in name/ and hub/, and of what is made up in there: "name/hub/Qwen". A node id has
 * room for a number only, and whoever has such a node open must find what it is at any time: so a number is for ever, and in every
 * view the same. A path gets one when it is first looked up and found, so there are no more than catalogs had folders; where
 * INTERNED_MAX of them are used up, the folders that come then are not found until the next start. What users import they can
 * name as they like, again and again: each has so many, and all of them half, so that none takes those of signed catalogs.
 *
 * Any thread.
 */
#ifndef FS_NAMES_INTERNED_H
#define FS_NAMES_INTERNED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/cleanup.h"

#define INTERNED_MAX	    ((uint64_t)1 << 20) /* some 200 bytes each */
#define INTERNED_OWNER_MAX  ((uint64_t)1 << 16)
#define INTERNED_OWNERS_MAX (INTERNED_MAX / 2)

/* What is always there. */
#define INTERNED_NAME 1 /* "name" */
#define INTERNED_HUB  2 /* "hub" */

/* OWNER: the user whose imports alone have PATH; (uid_t)-1: it is there for all. 0, -ENOMEM or -ENOSPC. */
int must_check interned_number(const char *path, uid_t owner, uint64_t *out);
/* NULL: there is none. Lives until interned_free(). */
const char *interned_path(uint64_t number);
/* An inode number for PATH, whether or not it has a number: from its bytes, as that of an object is from its digest. */
uint64_t interned_inode(const char *path);
/* The daemon ends. */
void interned_free(void);

#endif
