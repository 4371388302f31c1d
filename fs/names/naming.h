/* SPDX-License-Identifier: Apache-2.0 */
/* What people call objects: "CATALOG/PATH", as it is below name/. */
#ifndef FS_NAMES_NAMING_H
#define FS_NAMES_NAMING_H

#include "catalogs/catalogs.h"

struct named {
	char *name; /* "hf/Qwen/Qwen3-0.6B@<revision>/config.json" */
	struct digest_name digest;
};
struct named_list {
	struct named *files;
	size_t n, capacity;
};

/*
 * What NAME stands for to user UID: a file, or all in a folder, in the order of their names. The revision may be left out where
 * a reference ("main") says which is meant, or be the name of one. What two catalogs contradict each other about is
 * not there. -ENOENT, -ENOMEM.
 */
int must_check naming_find(const struct catalog_set *set, uid_t uid, const char *name,
			   struct named_list *out);
void named_list_clear(struct named_list *list);

#endif
