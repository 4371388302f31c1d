/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside imports*.c: imports.c (files, found and read), imports-change.c (how they are replaced), imports-merge.c (what
 * a catalog becomes), imports-rest.c (the JSON beside it).
 */
#ifndef CATALOGS_IMPORTS_INTERNAL_H
#define CATALOGS_IMPORTS_INTERNAL_H

#include "catalogs/imports.h"

static inline void cleanup_catalog(struct verify_catalog **catalog)
{
	verify_catalog_unref(*catalog);
}

static inline void cleanup_json(json_t **json)
{
	json_decref(*json);
}

/* -ERROR, with one line in PROBLEM (may be NULL). */
int import_refuse(struct verify_problem *problem, int error, const char *format, ...) printf_like(3, 4);

/* Is NAME the folder FOLDER (without "/"), or in it? */
bool import_is_in(const char *name, const char *folder);

/* ---- imports.c ---- */

#define IMPORT_FILE_SIZE 128

/* One at a time: whoever has the turn has it across the disk. */
void imports_take_turn(void);
void imports_end_turn(void);

/* Of one owner. */
struct import_dir {
	char *path;
	int fd;
};
/* MAKE it if it is not there. -errno, logged, but for -ENOENT. */
int must_check import_dir_find(const char *store, uid_t owner, bool make, struct import_dir *out);
void import_dir_release(struct import_dir *dir);
/* Call EACH for all files in it, until it returns other than 0. */
int import_dir_each(const struct import_dir *dir,
		    int (*each)(const struct import_dir *dir, const char *file, void *arg), void *arg);

void import_catalog_name(char out[IMPORT_FILE_SIZE], const char *name);
void import_rest_name(char out[IMPORT_FILE_SIZE], const char *name, uint64_t serial);

/* What a catalog NAME may be: anything but another one. */
static inline struct verify_catalog_rules import_rules(const char *name)
{
	static const char *const any[] = { "" };

	return (struct verify_catalog_rules){ .name = name, .prefixes = any, .n_prefixes = 1 };
}

int must_check import_load_catalog(const struct import_dir *dir, const char *file, const char *name,
				   struct verify_catalog **out, struct verify_problem *problem);
/*
 * What is there of NAME. -ENOENT: nothing. -EUCLEAN: it is damaged, logged; other errors are the disk's, logged, or
 * -ENOMEM.
 */
int must_check import_load_one(const struct import_dir *dir, const char *name, struct verify_catalog **entries,
			       json_t **rest);

/* ---- imports-rest.c: { "refs": {…}, "gated": {…}, "hosts": {…} } ---- */

json_t *import_rest_new(void);
/* -EUCLEAN: it is not what import_rest_format() wrote. */
int must_check import_rest_parse(const char *text, size_t len, json_t **out);
/* To be freed. */
char *import_rest_format(const json_t *rest);
/* Into the form that others see; OUT has name, owner and entries. */
int must_check import_rest_show(const json_t *rest, struct import *out);
/* What is known of FOLDER and below goes. */
void import_rest_drop(json_t *rest, const char *folder);
/* What REQUEST, whose objects are NEW, says beside them. -EINVAL, -E2BIG, -ENOMEM. */
int must_check import_rest_add(json_t *rest, const struct import_request *request,
			       const struct verify_catalog *new, struct verify_problem *problem);
/* Of what is not in ENTRIES (any more) nothing stays. */
int must_check import_rest_prune(json_t *rest, const struct verify_catalog *entries);

/* ---- imports-merge.c ---- */

/* May a user bring this? */
int must_check import_check(const struct verify_catalog *new, struct verify_problem *problem);
/*
 * OLD without what is in the folder WITHOUT (NULL: all of it), and NEW (each may be NULL), as a catalog to OUT: OBJECTS,
 * of which ADDED are not in OLD.
 */
struct import_merge {
	const char *name;
	uint64_t serial;
	const struct verify_catalog *old, *new;
	const char *without;
	size_t added, objects;
};
int must_check import_merge_write(struct import_merge *merge, FILE *out, struct verify_problem *problem);

#endif
