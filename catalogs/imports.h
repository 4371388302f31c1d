/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What users imported, on the disk: STORE/imports/<uid>/, or everybody/ (by root), 0700, for each NAME ("hf", "ollama", "oci",
 * "ipfs", "metalink", "local")
 *
 *	NAME.jsonl          its objects, in the format of weightfs-catalog(5), without a signature: this program wrote it, and
 *	                    nobody else can write there. Its serial goes up with each change
 *	NAME.<serial>.json  the rest: refs, which folders are gated, credentials; 0600
 *
 * The rest is written first, then NAME.jsonl is replaced as a whole: by its serial it names what belongs to it. All is durable
 * when a call returns, and the old state after an error or a crash. Of a user there are at most IMPORT_OBJECTS_MAX objects in a
 * NAME, and IMPORT_BYTES_MAX bytes of all of it. One who has many user ids (subuid(5)) cannot fill the disk either: all users
 * together have IMPORT_ALL_BYTES_MAX.
 * A name, once it stands for a digest, stands for it until it is removed.
 *
 * *Gated* is a folder (of names: "meta-llama/Llama-3.2-1B@<revision>/") that could not be had without a credential. A
 * credential goes to the host that the URLs name which it came with, and to no other.
 *
 * Everything returns 0 or -errno, logged with the path where the disk is at fault. Any thread; one after the other. In a
 * process there is one store.
 */
#ifndef CATALOGS_IMPORTS_H
#define CATALOGS_IMPORTS_H

#include <jansson.h>
#include "catalogs/catalogs.h"

#define IMPORT_OBJECTS_MAX	 100000
#define IMPORT_CATALOGS		 16 /* of one user */
#define IMPORT_BYTES_MAX	 ((uint64_t)128 << 20) /* of one user, on the disk */
#define IMPORT_ALL_BYTES_MAX	 ((uint64_t)2 << 30)   /* of all users but root and "everybody" */
#define IMPORT_REQUEST_MAX	 ((uint64_t)32 << 20)  /* of what one call brings */
#define IMPORT_REST_MAX		 ((size_t)4 << 20)
#define IMPORT_AUTHORIZATION_MAX 8192
#define IMPORT_HOSTS_MAX	 64

/* How a host is asked for what was imported from there. */
struct import_host {
	char *host;	      /* with scheme and port: "https://huggingface.co:443" */
	char *authorization;  /* for what is gated; NULL: none */
	bool token_challenge; /* as in struct fetch_group_options; for what is not gated, too */
};

struct import {
	char name[65];
	uid_t owner; /* or CATALOG_EVERYBODY */
	struct verify_catalog *entries;
	json_t *refs;  /* as in struct catalog; NULL: none */
	char **gated;  /* folders, with the "/" behind them, sorted */
	size_t n_gated;
	struct import_host *hosts;
	size_t n_hosts;
};

/* Who imported anything into the store at PATH (CATALOG_EVERYBODY may be among them); to be freed. */
int must_check imports_owners(const char *path, uid_t **out, size_t *n);
/* All of OWNER's; what is damaged is logged and left out. OUT and what is in there: imports_free(). */
int must_check imports_load(const char *path, uid_t owner, struct import **out, size_t *n);
void imports_free(struct import *imports, size_t n);
/* Bytes of NAME as far as the component with the "@", its "/" included; 0: it is in no such folder. */
size_t import_folder_length(const char *name);
/* Is NAME (of an object) in a gated folder? */
bool import_is_gated(const struct import *import, const char *name);
/* How the host of URL is to be asked; NULL: as any. */
const struct import_host *import_host_of(const struct import *import, const char *url);
/* May NAME be one? */
bool import_is_known(const char *name);

/* What comes in by the operation `import`. */
struct import_request {
	const char *name; /* one of those above */
	uid_t owner;
	/*
	 * Its objects, in the format of a catalog of that name; a regular file. Untrusted: whoever asked may say anything of
	 * himself. Each has a SHA-256, names, and absolute URLs if any; fs-verity digests and trees are left out: they would be
	 * believed no more than a size.
	 */
	int fd;
	/*
	 * Merged into what is there; NULL. For {"Qwen/Qwen3-0.6B": {"main": "<revision>"}} there have to be names in
	 * Qwen/Qwen3-0.6B@<revision>/.
	 */
	const json_t *refs;
	bool gated; /* all folders of it are: those of its names, as far as the one with the "@"; needs AUTHORIZATION */
	const char *authorization; /* kept if it is gated; all URLs are of one host then. NULL: none */
	bool token_challenge;	   /* the same */
	const char *replaces;	   /* a folder: what was imported there goes; NULL */
};
/*
 * Merge it into what OWNER has, N the objects that are new. -EINVAL with PROBLEM (a line, or a name that stands for something
 * else), -E2BIG, -ENOSPC, -EUCLEAN (what is there is damaged: remove it), …: PROBLEM has words for each.
 */
int must_check imports_add(const char *path, const struct import_request *request, size_t *n,
			   struct verify_problem *problem);
/* FOLDER and all below it (NULL: all of NAME, also if it is damaged) go, N objects that nothing names any more. -ENOENT. */
int must_check imports_remove(const char *path, uid_t owner, const char *name, const char *folder,
			      size_t *n, struct verify_problem *problem);

#endif
