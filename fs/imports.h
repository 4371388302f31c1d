/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What users imported, on the disk: STORE/imports/<uid>/, or everybody/ (by root), 0700, for each NAME ("hf", "ollama", "oci",
 * "ipfs", "metalink", "local")
 *
 *	NAME.jsonl   its objects, in the format of weightfs-catalog(5), without a signature: this program wrote it, and
 *	             nobody else can write there
 *	NAME.json    the rest: refs, which folders are gated, credentials; 0600
 *
 * each replaced as a whole, durable when a call returns. Of a user there are at most IMPORT_OBJECTS_MAX objects in a NAME.
 * A name, once it stands for a digest, stands for it until it is removed.
 *
 * *Gated* is a folder (of names: "meta-llama/Llama-3.2-1B@<revision>/") that could not be had without a credential. Its
 * credential goes to the host that its URLs name, and to no other.
 *
 * Everything returns 0 or -errno, logged with the path where the disk is at fault. Writing is done by one at a time.
 */
#ifndef FS_IMPORTS_H
#define FS_IMPORTS_H

#include <jansson.h>
#include "fs/catalogs.h"

#define IMPORT_OBJECTS_MAX 100000
#define IMPORT_CATALOGS	   16 /* of one user */

struct import {
	char name[65];
	uid_t owner; /* or CATALOG_EVERYBODY */
	struct verify_catalog *entries;
	json_t *refs;		  /* as in struct catalog; NULL: none */
	char **gated;		  /* folders, with the "/" behind them */
	size_t n_gated;
	char *authorization;	  /* for what is gated; NULL: none */
	bool token_challenge;	  /* as in struct fetch_group_options */
};

/* Who imported anything into the store at PATH; to be freed. */
int must_check imports_owners(const char *path, uid_t **out, size_t *n);
/* All of OWNER's; what is damaged is logged and left out. OUT and what is in there: imports_free(). */
int must_check imports_load(const char *path, uid_t owner, struct import **out, size_t *n);
void imports_free(struct import *imports, size_t n);
/* Is NAME (of an object) in a gated folder? */
bool import_is_gated(const struct import *import, const char *name);

/* What comes in by the operation `import`. */
struct import_request {
	const char *name; /* one of those above */
	uid_t owner;
	/* Its objects, in the format of a catalog; a regular file. Untrusted: whoever asked may say anything of himself. */
	int fd;
	const json_t *refs;	   /* merged into what is there; NULL */
	bool gated;		   /* all folders of it are: those of its names, as far as the one with the "@" */
	const char *authorization; /* NULL: none */
	bool token_challenge;
	const char *replaces; /* a folder: what was imported there goes; NULL */
};
/* Merge it into what OWNER has, N the objects that are new. -EINVAL with PROBLEM (a line, or a name that stands for something else), -E2BIG, -ENOSPC, … */
int must_check imports_add(const char *path, const struct import_request *request, size_t *n,
			   struct verify_problem *problem);
/* FOLDER and all below it (NULL: all of NAME) go, N objects. -ENOENT. */
int must_check imports_remove(const char *path, uid_t owner, const char *name, const char *folder,
			      size_t *n);

#endif
