/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub/: catalogs as the cache of Hugging Face's libraries has models.
 *
 *	hub/models--ORG--NAME/refs/REF                what a name like "main" stands for: 40 hex digits
 *	hub/models--ORG--NAME/snapshots/COMMIT/FILE   the files of a revision
 *
 * A repository is a folder of a catalog's, "ORG/NAME" or "ORG/NAME@REVISION", whose id those libraries would take. They refuse
 * "--" in one, so "models--ORG--NAME" has one meaning; what they refuse is not in hub/ (it is in name/). A revision of 40 hex
 * digits is a commit; for any other, and for what has none, one is made up from the paths and digests of its files: it is
 * another one as soon as they are.
 *
 * Catalogs are gone through in the order of their set. Two that have the same commit make one snapshot together. The ref
 * "main" is, of the first catalog that has an answer, what the import wrote down, else what has no revision, else the only
 * revision that there is. Revisions that are no commits are refs, too.
 *
 * Any thread; no I/O.
 */
#ifndef FS_NAMES_HUB_H
#define FS_NAMES_HUB_H

#include <limits.h>
#include "catalogs/catalogs.h"

#define HUB_COMMIT_SIZE 41
#define HUB_PART_MAX	96 /* of ORG, and of NAME */
/* Files of a repository for which a commit has to be made up; one with more is not in hub/. */
#define HUB_FILES_MAX 20000

struct hub_repo {
	char org[HUB_PART_MAX + 1], name[HUB_PART_MAX + 1];
};

/*
 * ORG and the folder COMPONENT in it, NAME or NAME@REVISION. REVISION points into COMPONENT; NULL: it has none. False: that is
 * no repository.
 */
bool hub_repo_of(const char *org, const char *component, struct hub_repo *out,
		 const char **revision);
/* The name of its folder, and back. -EINVAL. */
void hub_repo_folder(const struct hub_repo *repo, char out[NAME_MAX + 1]);
int must_check hub_repo_parse(const char *folder, struct hub_repo *out);

/* A revision of a repository, in one catalog. */
struct hub_snapshot {
	const struct catalog *catalog;
	char commit[HUB_COMMIT_SIZE];
	char path[3 * HUB_PART_MAX + NAME_MAX]; /* its folder */
	const char *revision;			 /* as PATH has it, in there; NULL: none */
	struct verify_span names;
};
struct hub_snapshots {
	struct hub_snapshot *at;
	size_t n;
};
/* All of REPO that catalogs for UID have, in their order; to be freed (`at`). 0 or -ENOMEM. */
int must_check hub_snapshots(const struct catalog_set *set, uid_t uid, const struct hub_repo *repo,
			     struct hub_snapshots *out);
/* The commit made up for the folder PATH of CATALOG in SET, whose names are NAMES; remembered. As hub_make_commit(). */
int must_check hub_commit_of(const struct catalog_set *set, const struct catalog *catalog,
			     const char *path, const struct verify_span *names,
			     char out[HUB_COMMIT_SIZE]);
/* Made up for the folder PATH of ENTRIES, whose names are NAMES: -E2BIG, -ENOMEM. */
int must_check hub_make_commit(const struct verify_catalog *entries, const char *path,
			       const struct verify_span *names, char out[HUB_COMMIT_SIZE]);

/* Revisions of a repository in one catalog that are looked at; what comes behind them is not in hub/. */
#define HUB_REVISIONS_MAX 1024

/*
 * Call FOUND for each ref and what it stands for, until it returns other than 0, which is passed on. Of two with one name the
 * first one counts. SNAPSHOTS: all of REPO's.
 */
int hub_each_ref(const struct hub_repo *repo, const struct hub_snapshots *snapshots,
		 int (*found)(void *arg, const char *ref, const struct hub_snapshot *snapshot),
		 void *arg);
/* What REF of REPO's stands for; NULL: there is none. */
const struct hub_snapshot *hub_ref(const struct hub_repo *repo,
				   const struct hub_snapshots *snapshots, const char *ref);

/* The daemon ends: commits that were made up are forgotten. */
void hub_free(void);

#endif
