/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside `weightfs publish`: a folder of models becomes objects, their trees and a signed catalog, all of them files that
 * any web server can serve.
 *
 *	scan.c     what is below the folder, and what it is called
 *	state.c    which of it was done before
 *	objects.c  the rest: both digests, the copy, the tree; on several threads
 *	lines.c    the lines of the catalog
 *	catalog.c  the catalog that is there, and the next one in its place
 *	sign.c     who signs
 *
 * What is not finished is in the folder OUT/.weightfs-publish, which one run at a time has (a lock), and is thrown away by
 * the next one. A file comes to its place whole, by rename(2). The catalog and its signature are two files: the signature
 * is put in place first, and whoever finds that the catalog did not follow lets it follow (catalog.c).
 *
 * Functions return 0 or -errno and have logged what is wrong.
 */
#ifndef COMMANDS_PUBLISH_PUBLISH_H
#define COMMANDS_PUBLISH_PUBLISH_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include "commands/catalog-file.h"
#include "commands/commands.h"
#include "common/workqueue.h"

/* Another stamp: perhaps other bytes. */
struct publish_stamp {
	uint64_t size, inode;
	int64_t mtime_ns, ctime_ns;
};

struct publish_file {
	struct publish *publish;
	struct work work;
	char *path; /* below DIR, as users see it */
	char *real; /* the file itself, behind all links */
	char *name; /* in the catalog */
	uint64_t device;
	struct publish_stamp stamp;
	bool done;
	struct digest_pair digests; /* when it is done; both */
};

struct publish_signer {
	const char *key_file; /* NULL: nobody signs */
	const char *program;  /* NULL: done here, with SECRET */
	struct verify_secret secret;
	/* Whose signature the catalog may have that is there; the first is the signer's own. */
	struct catalog_keys keys;
};

struct publish {
	/* ---- what is wanted ---- */
	const char *dir, *out;
	const char *url;      /* without "/" at its end; NULL: relative to the catalog */
	const char *name;     /* the catalog's */
	const char *prefix;   /* "" or one that ends with "/" */
	const char *revision; /* NULL */
	bool in_place, keep, json;
	unsigned int jobs;
	uint64_t serial; /* 0: one more than before */
	int64_t expires;
	struct publish_signer signer;

	/* ---- places ---- */
	char *real_dir; /* DIR without links */
	char *work_dir, *catalog_path, *signature_path;
	dev_t out_device;
	ino_t out_inode;
	int lock; /* -1 */

	/* ---- what is there ---- */
	struct publish_file *files; /* by name, once they have been scanned */
	size_t n_files, capacity;
	size_t n_skipped;
	struct verify_catalog *old; /* NULL: none */
	struct publish_state *state;

	/* ---- how it goes ---- */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	size_t n_left;		      /* protected by mutex */
	int error;		      /* protected by mutex: the first */
	atomic_bool failed;	      /* it is set */
	atomic_ullong bytes;	      /* hashed */
	atomic_uint n_temporary;      /* names */
	atomic_size_t n_cloned, n_copied; /* objects that are new in OUT */
	size_t n_hashed;	      /* files */
	size_t n_objects;	      /* in the catalog, and so are: */
	size_t n_names;
};

/* ---- scan.c ---- */

/* All files below DIR, by their names; each with a name that a catalog may have. */
int must_check publish_scan(struct publish *publish);
/* -EPERM, logged: FILE is a secret key of minisign, whoever's. */
int must_check publish_refuse_secret(const struct publish_file *file);
struct publish_stamp publish_stamp_of(const struct stat *st);
bool publish_stamp_equal(const struct publish_stamp *a, const struct publish_stamp *b);

/* ---- state.c ---- */

struct publish_state;
/* What an earlier run wrote down; what cannot be read counts for nothing. */
int must_check publish_state_open(struct publish *publish);
void publish_state_free(struct publish_state *state);
/* Was FILE, as it is now, done by an earlier run? Then its digests. */
bool publish_state_find(const struct publish_state *state, const struct publish_file *file,
			struct digest_pair *out);
/* FILE is done; its object is on the disk. Any thread. */
int must_check publish_state_add(struct publish_state *state, const struct publish_file *file);
/* Of these files only. */
int must_check publish_state_write(struct publish *publish);

/* ---- objects.c ---- */

/* OUT/objects/ab/<sha256>, and SUFFIX ("", ".vtree"), in BASE; the caller frees it, NULL without memory. */
char *publish_object_path(const char *base, const struct digest *sha256, const char *suffix);
/* All files that are not done. */
int must_check publish_objects(struct publish *publish);

/* ---- lines.c ---- */

/* All of the catalog to PATH. */
int must_check publish_lines(struct publish *publish, const char *path);

/* ---- catalog.c ---- */

/* OUT is there, and this run's alone; what another run left half done is finished or thrown away. */
int must_check publish_catalog_begin(struct publish *publish);
/* The next one, signed, in the place of the one that is there. */
int must_check publish_catalog_end(struct publish *publish);

/* ---- sign.c ---- */

/* From --key; PROGRAM as publish_signer has it; PUBLICS as catalog_keys_add() takes them. */
int must_check publish_signer_init(struct publish_signer *signer, const char *key_file,
				   const char *program, const char *const *publics,
				   size_t n_publics);
/* The signature of CATALOG to SIGNATURE. */
int must_check publish_sign(const struct publish *publish, const char *catalog,
			    const char *signature);

#endif
