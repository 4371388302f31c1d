/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a path below a view, "name/hub/Qwen" or "hub/models--Qwen--Qwen3-0.6B/refs", means in a set of catalogs: a folder that is
 * made up, or folders of catalogs, which are shown as one. Nothing here asks whether a view may see it (fs/names/visible.h).
 *
 * Any thread; no I/O.
 */
#ifndef FS_NAMES_FOLDERS_H
#define FS_NAMES_FOLDERS_H

#include "fs/names/hub.h"

enum folders_kind {
	FOLDERS_CATALOGS,  /* name */
	FOLDERS_REPOS,	   /* hub */
	FOLDERS_REPO,	   /* hub/models--ORG--NAME */
	FOLDERS_REFS,	   /* …/refs */
	FOLDERS_SNAPSHOTS, /* …/snapshots */
	FOLDERS_FILES,	   /* name/CATALOG and below, …/snapshots/COMMIT and below */
};

/* A folder of a catalog. */
struct folder {
	const struct catalog *catalog;
	char *path; /* "": the top */
	struct verify_span names;
};

struct folders {
	enum folders_kind kind;
	struct hub_repo repo;		/* of all in hub/ but FOLDERS_REPOS */
	struct hub_snapshots snapshots; /* the same */
	/* What there is to be seen below, by the order of catalogs. Of FOLDERS_CATALOGS and FOLDERS_REPOS: nothing, they are there. */
	struct folder *at;
	size_t n;
};

/* PATH in SET, for UID. OUT is to be released; it holds as long as SET. -ENOENT, -ENOMEM. */
int must_check folders_find(const struct catalog_set *set, uid_t uid, const char *path,
			    struct folders *out);
void folders_release(struct folders *folders);

/* What NAME in FOLDERS, which are FOLDERS_FILES, is: in the first that has it. -ENOENT. */
int must_check folders_lookup(const struct folders *folders, const char *name,
			      const struct catalog **catalog, struct verify_place *out);

/* PATH/NAME, to be freed; NULL: no memory. */
char *folders_join(const char *path, const char *name);

#endif
