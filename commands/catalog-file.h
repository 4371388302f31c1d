/* SPDX-License-Identifier: Apache-2.0 */
/* Catalogs as files, for commands: what is wrong with one is logged, in one line, with the file and the line in it. */
#ifndef COMMANDS_CATALOG_FILE_H
#define COMMANDS_CATALOG_FILE_H

#include "verify/catalog.h"

#define CATALOG_KEYS_MAX 16

struct catalog_keys {
	struct verify_key keys[CATALOG_KEYS_MAX];
	size_t n;
};

/* TEXT is a public key, or the path of a .pub file. 0 or -errno, logged. */
int must_check catalog_keys_add(struct catalog_keys *keys, const char *text);

/* "PATH:LINE: what is wrong"; returns ERROR. */
int catalog_problem_log(int error, const char *path, const struct verify_problem *problem);

/*
 * Load PATH. KEYS: one of these has to be whose signature is in the file SIGNATURE; NULL: nobody's is asked for. RULES: NULL
 * for any. 0 or -errno, logged.
 */
int must_check catalog_file_load(const char *path, const char *signature,
				 const struct catalog_keys *keys,
				 const struct verify_catalog_rules *rules,
				 struct verify_catalog **out);
/* PATH and ".minisig" behind it, to be freed; NULL without memory. */
char *catalog_signature_path(const char *path);

static inline void cleanup_verify_catalog(struct verify_catalog **catalog)
{
	verify_catalog_unref(*catalog);
}

/* Are A and B, of any catalogs, the same bytes? */
bool catalog_same_object(const struct verify_object *a, const struct verify_object *b);

/*
 * Prints what is different in NEW (catalog-diff.c). Returns how many of these must not be: a name that has other bytes, a
 * digest of which something else is said, a serial that is not higher.
 */
size_t catalog_diff(const struct verify_catalog *old, const struct verify_catalog *new, bool json);

#endif
