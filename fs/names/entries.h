/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in folders (fs/names/folders.h), by name, a few at a time: for listings. Whether a view may see it is not asked here.
 * On fs->listings alone, as is what it remembers.
 */
#ifndef FS_NAMES_ENTRIES_H
#define FS_NAMES_ENTRIES_H

#include "fs/names/folders.h"

struct entry {
	char name[NAME_MAX + 1];
	enum {
		ENTRY_FOLDER,
		ENTRY_FILE,
		ENTRY_REF,
	} kind;
	size_t order;		       /* in which they were found: of two alike the first counts */
	/* Of what is in a folder of a catalog: */
	const struct catalog *catalog;
	struct verify_object object; /* of a file */
	struct verify_span names;    /* of a folder */
};

/* In the order of their names' bytes, each once. */
struct entries {
	struct entry *at;
	size_t n;
	bool more; /* there are others, behind the last one */
};

/* Those behind AFTER ("": all), about MANY of them; OUT (at) is to be freed. 0 or -ENOMEM. */
int must_check entries_of(const struct catalog_set *set, uid_t uid, const struct folders *folders,
			  const char *after, size_t many, struct entries *out);

/* The daemon ends. */
void entries_free(void);

#endif
