/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What signed catalogs, and users' own imports, say of objects: the one place that is asked for it.
 *
 * A *set* is all catalogs of a moment: immutable, reference counted, with no I/O and no lock held while it is looked at.
 * A refresh or an import makes a new one. Configured catalogs count for everybody, imports for the user whose they are
 * (or for everybody, where root said so).
 *
 * Catalogs are kept in STORE/catalogs/ (kept.c): NAME@SERIAL.jsonl and NAME@SERIAL.minisig as they were served, NAME.state
 * (the highest serial, ETag, when it was asked last), which names them, durable before a new serial is used. At the start what is
 * kept is verified and loaded again; the network is asked later, by a thread of this part's own.
 * Imports are kept in STORE/imports/<uid>/, see catalogs/imports.h.
 *
 * Any thread.
 */
#ifndef CATALOGS_CATALOGS_H
#define CATALOGS_CATALOGS_H

#include <jansson.h>
#include "config/config.h"
#include "policy/policy.h"
#include "store/store.h"
#include "verify/catalog.h"

#define CATALOG_MESSAGE_SIZE 384 /* one line about one */

struct weightfs;
struct catalogs;
struct catalog_set;

#define CATALOG_EVERYBODY ((uid_t)-1)
#define CATALOG_NOBODY	  ((uid_t)-2) /* as a UID: whose imports are none */

enum catalog_kind {
	CATALOG_SIGNED, /* [catalog NAME] */
	CATALOG_IMPORT, /* what `import` brought (catalogs/imports.h) */
};

/* One of a set. Constant as long as the set is held. */
struct catalog {
	const char *name; /* the folder below name/: "hub", or of an import "hf", "ollama", "oci", "ipfs", "metalink", "local" */
	enum catalog_kind kind;
	uid_t owner; /* CATALOG_EVERYBODY; else it is there for this user alone */
	int priority;
	const struct verify_catalog *entries;
	struct fetch_group *group; /* how its URLs may be asked */
	const char *base;	   /* the URL that relative ones are seen from; NULL: there are none */
	/*
	 * Of an import: { "Qwen/Qwen3-0.6B": { "main": "<revision>" } }, what names like "main" stood for when it was made; to be
	 * read only (no reference may be taken). NULL: none.
	 */
	const json_t *refs;
};

/* ---- sets ---- */

struct catalog_set *catalogs_get(struct catalogs *catalogs); /* to be unref'd */
void catalog_set_unref(struct catalog_set *set);
/* Another one for each set: what was worked out for a set holds as long as this number does. */
uint64_t catalog_set_generation(const struct catalog_set *set);
/* Of all, whomever they are for: the highest priority first, then in the order of the configuration, imports last. */
size_t catalog_set_count(const struct catalog_set *set);
const struct catalog *catalog_set_get(const struct catalog_set *set, size_t i);
/* Is CATALOG there for UID? */
bool catalog_is_for(const struct catalog *catalog, uid_t uid);
/* The one called NAME that is there for UID: what a user imported hides nothing that is configured. NULL: none. */
const struct catalog *catalog_set_named(const struct catalog_set *set, uid_t uid, const char *name);
/* Does it stand for nothing new any more? What the store has by its words stays. */
bool catalog_has_expired(const struct catalog *catalog);
/*
 * What OBJECT of CATALOG is about is contradicted by another catalog that counts for the same users (size, or the other
 * digest): neither is believed, and its names are not there. An import contradicts nothing that is signed.
 */
bool catalog_set_contradicts(const struct catalog_set *set, const struct catalog *catalog,
			     const struct verify_object *object);

/* ---- an object ---- */

/* What UID's catalogs together say of one. */
struct known {
	/*
	 * has_fsverity: it is attested. Signed catalogs alone attest: what a user claims to have imported is no better than
	 * what a source says, as the object becomes that of all.
	 */
	struct digest_pair digests;
	uint64_t size;
	bool has_tree; /* a place of its tree is known */
	bool expired;  /* only expired catalogs have it */
	bool gated;    /* only an import with a credential of UID's has it */
	bool imported; /* no signed one has it: its size is the word of who imported it */
};

/*
 * By either digest, for UID. A few microseconds. What signed ones say comes before what was imported, which is left out where
 * it does not fit. -ENOENT: none has it; -EBADMSG: two that are signed (or, where none is, two imports that count for UID)
 * contradict each other, so that none is believed for it.
 */
int must_check catalog_set_find(const struct catalog_set *set, uid_t uid,
				const struct digest_name *name, struct known *out);
/*
 * Where DIGESTS are said to be, for a fetch on behalf of UID: by the priority of the catalogs. Those of imports with a
 * credential are among them for that user alone. OUT is NULL if there are none. 0 or -ENOMEM.
 */
int must_check catalog_set_places(const struct catalog_set *set, uid_t uid,
				  const struct digest_pair *digests, struct fetch_places **out);
/* UID, or CATALOG_EVERYBODY, as the owner of a place: what a user says of hosts counts for nobody else. */
static inline uint32_t catalog_place_owner(uid_t uid)
{
	return uid == CATALOG_EVERYBODY ? 0 : uid + 1;
}
/* Did UID import one of DIGESTS, so that there may be places that others are not told of? */
bool catalog_set_has_own(const struct catalog_set *set, uid_t uid, const struct digest_pair *digests);
/*
 * The same without those that take a credential: for what comes to all, on behalf of N users, each of whom gets a like part of what
 * FETCH_PLACES_MAX leaves. What one has imported does not contradict what another has. CATALOG_EVERYBODY: who imported nothing.
 */
int must_check catalog_set_open_places(const struct catalog_set *set, const uid_t *uids, size_t n,
				       const struct digest_pair *digests, struct fetch_places **out);

/* ---- the registry ---- */

/*
 * Loads what the store at PATH has kept (a directory, which need not be there), for CONFIG's catalogs and all users'
 * imports. What cannot be used is logged and left out, never an error: 0 or -ENOMEM. Asks nobody.
 */
int must_check catalogs_new(const struct config *config, const char *path, struct catalogs **out);
void catalogs_free(struct catalogs *catalogs); /* NULL is allowed */
/*
 * From now on a thread refreshes them (unless [fetch] offline). CHANGED is called after each new set of imports, on the
 * thread that made it; and with CONFIGURED when a configured catalog came, and at each refresh as long as one is kept back:
 * that shall end in catalogs_accept().
 */
int must_check catalogs_follow(struct catalogs *catalogs, void (*changed)(void *arg, bool configured),
			       void *arg);
/* Ends that thread, and whatever waits for the network; nothing is refreshed any more. NULL is allowed. */
void catalogs_unfollow(struct catalogs *catalogs);
/*
 * Ask for NAME (NULL: all) now, wait for it. 0, or -errno with one line in MESSAGE. -ENOENT: no such catalog;
 * -ENETDOWN: offline; -EAGAIN: it is kept back, as no policy could be made with it; else what the last that failed says.
 */
int must_check catalogs_refresh(struct catalogs *catalogs, const char *name,
				char message[CATALOG_MESSAGE_SIZE]);
/*
 * What comes of a configured catalog is *offered*: catalogs_policy_names() speaks of it, and no set has it. So a policy is
 * made first that knows its names. The number of the last offer, to be asked for before that policy is loaded.
 */
uint64_t catalogs_offered(struct catalogs *catalogs);
/*
 * A policy is in force that was made of all that was offered up to OFFERED: it is in the set from now on. What fails is
 * logged, and kept back.
 */
void catalogs_accept(struct catalogs *catalogs, uint64_t offered);
/* The imports of UID in the store changed: load them again. 0 or -errno, logged. */
int must_check catalogs_import_changed(struct catalogs *catalogs, uid_t uid);

/* For policy_load(): sets by catalog name. Valid as long as CATALOGS. Only configured catalogs count. */
const struct policy_names *catalogs_policy_names(struct catalogs *catalogs);
/* For status: an array, an object for each configured one. */
json_t *catalogs_status(struct catalogs *catalogs);
/* About how many objects signed ones disagree, and some of them: {"count": N, "some": [{digest, catalog, line}, …]}. */
json_t *catalogs_disagreements(struct catalogs *catalogs);

/* ---- for who needs them perhaps ---- */

/* Those of the store at PATH, loaded when they are first asked for. */
struct catalogs_later {
	const struct config *config;
	const char *path;
	struct catalogs *catalogs; /* NULL: not yet */
	struct policy_names names; /* for policy_load(): as catalogs_policy_names() */
};
void catalogs_later_init(struct catalogs_later *later, const struct config *config, const char *path);
void catalogs_later_release(struct catalogs_later *later);
/* As long as LATER; NULL: no memory. */
struct catalogs *catalogs_later_get(struct catalogs_later *later);

#endif
