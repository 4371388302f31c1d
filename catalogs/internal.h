/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the registry of catalogs (catalogs/catalogs.h); nobody else includes this.
 *
 *	kept.c      what is on the disk ─┐
 *	refresh.c   what comes anew      ├─► catalogs.c (the registry) ─► set.c (what is asked)
 *	  (follow.c: and when)           │                               names.c (for the policy)
 *	imported.c  what users imported ─┘                               status.c (for people)
 */
#ifndef CATALOGS_INTERNAL_H
#define CATALOGS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include "catalogs/catalogs.h"

#define CATALOG_REASON_SIZE (CATALOG_MESSAGE_SIZE - 80) /* without "catalog NAME: " */

struct catalog_gateways; /* those of IPFS */

/* ---- set.c ---- */

/* How a host is asked for what is not gated and what is. NULL: as any. */
struct import_groups {
	struct fetch_group *open, *gated;
};

/* A catalog, shared by the sets that it is in. */
struct catalog_part {
	struct catalog catalog; /* its pointers are to what is here */
	atomic_uint references;
	char *name, *base;
	const struct import *import;   /* NULL: it is signed */
	struct import_groups *hosts;   /* of each of IMPORT's hosts, in that order */
	struct import_block *block;    /* what IMPORT is in */
};

/* Of a configured one. ENTRIES is taken over if that works, GROUP referenced. */
int must_check catalog_part_new(const struct config_catalog *config, struct verify_catalog *entries,
				struct fetch_group *group, struct catalog_part **out);
struct catalog_set *catalog_set_ref(struct catalog_set *set);
struct catalog_part *catalog_part_ref(struct catalog_part *part);
void catalog_part_unref(struct catalog_part *part); /* NULL is allowed */

/* PARTS (NULLs are left out) and GATEWAYS (NULL: none) are referenced. */
int must_check catalog_set_new(uint64_t generation, struct catalog_gateways *gateways,
			       struct catalog_part *const *parts, size_t n, struct catalog_set **out);

struct catalog_set {
	atomic_uint references;
	uint64_t generation;
	struct catalog_gateways *gateways; /* NULL: none */
	size_t n;
	struct catalog_part *parts[]; /* as they are gone through */
};

/* What was gathered of one. */
struct catalog_gathered {
	/* Of all catalogs, what makes a contradiction: its digests are those that were asked for, until one is found. */
	struct verify_object all;
	struct digest_pair live; /* of those that have not expired */
	bool found, found_live, found_open, tree, tree_live;
	/* Where it is from, and by which digests: there is no need to find it there. */
	const struct catalog *own;
	struct digest_pair own_digests;
};

/*
 * By the digests that G has, and by the other one if that is learned on the way: what catalogs of KIND say to UID. -EBADMSG: they
 * contradict each other, or G.
 */
int must_check catalog_set_gather(const struct catalog_set *set, uid_t uid, enum catalog_kind kind,
				  struct catalog_gathered *g);
/* Of an import: can none (ALL), or not all, of its names be had without a credential? */
bool catalog_part_is_gated(const struct catalog_part *part, const struct verify_object *object, bool all);

/* ---- places.c ---- */

/* Places of an object, as they are gathered. */
struct catalog_places {
	const struct catalog_gateways *gateways; /* NULL: none */
	struct fetch_place places[FETCH_PLACES_MAX];
	char *urls[2 * FETCH_PLACES_MAX]; /* what they point to */
	size_t n, n_urls;
	size_t limit; /* of places, for what is gathered now */
};

/* ---- disagreements.c ---- */

/* Of how many objects do signed ones disagree; up to MAX lines of text about them are appended to LINES. */
size_t catalog_set_disagreements(const struct catalog_set *set, const atomic_bool *stop, size_t max,
				 json_t *lines);

/* ---- gateways.c ---- */

/* Immutable, reference counted. */
/* Those of [ipfs]. 0 or -errno, logged but for -ENOMEM. */
int must_check catalog_gateways_new(const struct config *config, struct catalog_gateways **out);
struct catalog_gateways *catalog_gateways_ref(struct catalog_gateways *gateways); /* NULL is allowed, and returned */
void catalog_gateways_unref(struct catalog_gateways *gateways);			  /* NULL is allowed */
/* Where URL, an "ipfs://" one, is: a place for each. TREE: it is where a tree is. OWNER: as of a place. 0 or -ENOMEM. */
int must_check catalog_gateways_add(const struct catalog_gateways *gateways, const char *url, bool tree,
				    uint32_t owner, struct catalog_places *places);

/* ---- kept.c: STORE/catalogs/ ---- */

/*
 * What is remembered of a catalog, in NAME.state. SERIAL and HASH are of the highest that was taken, and name what is
 * kept: NAME@SERIAL.jsonl and NAME@SERIAL.minisig. All zero: it was never taken.
 */
struct catalog_state {
	uint64_t serial;
	uint8_t hash[VERIFY_SIGNED_HASH_SIZE];
	char *etag; /* NULL: none */
	bool taken;
	int64_t asked, changed; /* seconds since 1970; 0: never */
};

void catalog_state_release(struct catalog_state *state);
/* The directory, made if MAKE. -errno, not logged. */
int must_check catalog_kept_open(const char *path, bool make);
/* What is remembered of NAME; nothing is no error. What cannot be read is logged. */
void catalog_state_read(int dir, const char *name, struct catalog_state *out);
/* Durable when it returns. */
int must_check catalog_state_write(int dir, const char *name, const struct catalog_state *state);
void catalog_rules_of(const struct config_catalog *config, uint64_t min_serial,
		      const atomic_bool *stop, struct verify_catalog_rules *out);
/* Verified again. -ENOENT: there is none; else what verify_catalog_load() says, and PROBLEM. */
int must_check catalog_kept_load(int dir, const struct config_catalog *config,
				 const struct catalog_state *state, const atomic_bool *stop,
				 struct verify_catalog **out, struct verify_problem *problem);
/* Two files that came, empty: NAME@new.jsonl and NAME@new.minisig. */
int must_check catalog_kept_create(int dir, const char *name, const char *suffix, int *fd);
/* They are durable, and what is kept of STATE's serial, in the place of all others. */
int must_check catalog_kept_replace(int dir, const char *name, const struct catalog_state *state);
/* All but what STATE names goes. */
void catalog_kept_sweep(int dir, const char *name, const struct catalog_state *state);

/* ---- catalogs.c ---- */

/* One [catalog NAME], and what becomes of it. */
struct configured {
	const struct config_catalog *config;
	struct fetch_group *group; /* NULL: not yet. Whoever refreshes changes it */
	struct catalog_part *part; /* NULL: it is not here. Protected by lock, like all that follows. */
	struct catalog_part *coming; /* newer, and not in a set yet; NULL: none */
	uint64_t offer;		     /* COMING's number; 0: there is none */
	struct catalog_state state;
	char error[CATALOG_REASON_SIZE]; /* why the last refresh, or what is kept, was refused; "" */
	bool refreshing;		  /* by somebody, who alone changes state */
	bool warned;			  /* that it has expired */
	unsigned int failures;		  /* since the last that went well */
	uint64_t failed;		  /* of all */
	int64_t due_ms;			  /* when it is asked for next; INT64_MAX: when somebody asks */
};

struct catalogs {
	const struct config *config;
	char *path; /* of the store */
	struct policy_names names;

	pthread_mutex_t lock;
	pthread_cond_t woken; /* by CLOCK_MONOTONIC */
	struct catalog_set *set;
	uint64_t generation;
	uint64_t offers; /* ever, of what came */
	uint64_t changes, compared; /* of configured ones, and when it was last looked how they disagree */
	struct configured *configured; /* one for each of the configuration's */
	struct import_owner *owners;
	size_t n_owners;
	struct catalog_gateways *gateways; /* constant; NULL: none */
	uint64_t loads; /* of owners, as they began */
	json_t *disagreements;
	size_t n_disagreements;

	void (*changed)(void *arg, bool configured); /* constant while it is followed, like arg and thread */
	void *arg;
	pthread_t thread;
	bool followed;
	atomic_bool stop;
};

/* PART (taken over) came of CONFIGURED: the policy learns of it, and it is kept back until catalogs_accept(). */
void catalogs_offer(struct catalogs *catalogs, struct configured *configured, struct catalog_part *part);
/* The newest of CONFIGURED that was taken, to be unref'd; NULL: none. With the lock held. */
struct catalog_part *catalogs_newest(const struct configured *configured);
/* ENTRIES (taken over in any case) of CONFIGURED. -errno, logged. */
int must_check catalogs_part(struct configured *configured, struct verify_catalog *entries,
			     struct catalog_part **out);
/* Makes the set anew. With the lock held. */
int must_check catalogs_renew(struct catalogs *catalogs);
/* The set is another one or, if CONFIGURED, shall be: tell whoever follows. */
void catalogs_changed(struct catalogs *catalogs, bool configured);

/* ---- refresh.c ---- */

/* Claims CONFIGURED, asks for it, and notes what came of it; REASON says what is wrong. */
int must_check catalog_refresh(struct catalogs *catalogs, struct configured *configured,
			       char reason[CATALOG_REASON_SIZE]);

/* ---- follow.c ---- */

/* When it is asked for next, after a refresh that ended with R. With the lock held. */
int64_t catalog_next_due(const struct configured *configured, int r);

/* ---- status.c ---- */

/* How do the signed ones of the set in force disagree? Takes seconds if they are large; then it is known. */
void catalogs_compare(struct catalogs *catalogs);

/* ---- names.c ---- */

int catalog_names_each(void *arg, const char *catalog, const char *pattern,
		       int (*found)(void *found_arg, const struct digest_name *name), void *found_arg);

/* ---- imported.c ---- */

void import_groups_free(struct import_groups *groups, size_t n);
/* How PART's URL (NULL: none) is asked for; GATED: its object is. */
struct fetch_group *import_group_of(const struct catalog_part *part, const char *url, bool gated);

/* All imports of an owner, as they were loaded. Shared by its parts, constant. */
struct import_block {
	atomic_uint references;
	struct import *imports;
	size_t n;
};

struct import_owner {
	uid_t uid;
	struct catalog_part **parts;
	size_t n;
	uint64_t load; /* a later one has seen no less */
};

void import_block_unref(struct import_block *block);
/* What is in the store of UID's. Without any N is 0. */
int must_check import_owner_load(const struct config *config, const char *path, uid_t uid,
				 struct import_owner *out);
void import_owner_release(struct import_owner *owner);
/* Those of all who imported anything. 0 or -ENOMEM. */
int must_check import_owners_load(const struct config *config, const char *path,
				  struct import_owner **out, size_t *n);

#endif
