/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: the local cache of objects. One directory, mode 0700, one process at a time:
 *
 *	lock                      flock(2)ed; holds the pid of who has it
 *	CACHEDIR.TAG              for backup programs (bford.info/cachedir)
 *	objects/ab/<name>         sparse files; name is the one by which the object was first known
 *	tmp/                      ingests under way; emptied at open
 *	grants/<uid>              what users answered (store/grant.c)
 *	meta/                     RocksDB (schema: store/schema.h)
 *	meta.damaged/             the last one that was found damaged, for whoever wants to look
 *
 * A chunk's data is written first, its presence bit, tagged with the boot id, follows (not synced);
 * when the last one is there, one fdatasync and one synced record make the object complete. What is recorded of
 * an attested object is a hint whenever it is loaded, also when it is complete: each chunk must be verified again before
 * it is served (but by the kernel, which reads complete files past us).
 *
 * The store knows nothing of verification: it keeps what it is told. For an attested object (its
 * fs-verity digest and front are known) put only verified chunks. For an unattested one the bits
 * mean "received", nobody may read them before store_object_complete(); after a crash in the same boot they count,
 * since the page cache survived, another boot forgets them.
 *
 * When there is no room for an object, others are evicted, as if by store_remove(), until there is: the one that
 * was opened longest ago first, never one that is open or pinned. Nothing goes for an object that would not
 * fit even then. Quotas of views are kept on their own: see store_object_use().
 *
 * A damaged or missing meta/ is made again when the store is opened: what can be read of it is kept, but what that says
 * of files is not believed, and files without a record get one. All of them are *doubtful* until somebody has
 * verified their bytes, see store_doubts().
 *
 * Ids of objects and views come from sequences that are never given out twice. Everything returns 0
 * or -errno and is safe on any thread; what happens to the disk is logged here, once, with the path
 * or digest.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include "common/chunk.h"
#include "common/cleanup.h"
#include "common/digest.h"

struct store;

struct store_options {
	const char *path;    /* made if absent, with parents */
	uint64_t size;	     /* bytes that objects may take; 0: half of what was free at open */
	uint64_t keep_free;  /* bytes of the filesystem to leave free */
	bool keep_all;	     /* a smaller size than the last time is obeyed by whoever brings something next */
	unsigned int bare_max; /* records of which nothing is here; 0: STORE_BARE_MAX */
	int64_t bare_ms;       /* how long one stays at least; 0: two seconds; below: for tests */
	const char *boot_id; /* NULL: /proc/sys/kernel/random/boot_id; tests pretend another boot */
};

/*
 * -EBUSY: another process has it (logged, with its pid and command). -EPROTO: a newer format.
 * -EINVAL: lies on a weightfs mount. -EIO: RocksDB cannot be opened (logged).
 * What is doubtful now has to be looked at first: store_doubts().
 */
int must_check store_open(const struct store_options *options, struct store **out);
#define STORE_BARE_MAX 16384
/* All objects must have been closed. NULL is allowed. */
void store_close(struct store *store);

/* Its directory, as it was opened. Valid as long as STORE. */
const char *store_path(const struct store *store);
/* Is the folder PATH a store, whosever? */
bool store_is_at(const char *path);
/* Is the file FD one of those in STORE's folder, by the path that it has? Any thread. */
bool store_contains(const struct store *store, int fd);
/*
 * A regular file of the store's filesystem, opened for reading: what can be done with the store's files can be
 * done with it. The caller's to close; -errno.
 */
int must_check store_probe(const struct store *store);

/* Is another process holding the store at PATH? Its pid, 0 if none, or -errno. */
pid_t store_holder(const char *path);

/* ---- records ---- */

/* What is kept of an object, by value. */
struct store_info {
	uint64_t id; /* 1 … 2^40 - 1 */
	uint64_t size;
	struct digest_pair digests; /* has_fsverity: attested, or complete */
	struct digest_name
		name;	   /* first known as: the file's name, and where the inode number is from */
	bool complete;	   /* every byte here and verified */
	bool pinned;	   /* never evicted */
	bool doubtful;	   /* to be looked at again: store_doubts() */
	bool lacks_front;  /* it is not here (any more): store_create() takes it, and the size, again */
	bool told;	   /* its SHA-256 is the word of whoever gave both digests: an audit is due when it is complete */
	bool gated;	   /* it came with somebody's credential, and is for those who fetched it themselves */
	bool claimed;	   /* its size is the word of somebody whom not all believe: to be asked for before it counts */
	bool separate;	   /* store_separate_new() made it: it has no record */
	uint64_t present;  /* bytes whose presence is recorded (hints included) */
	int64_t last_open; /* seconds since the epoch; before the first: when it took room; 0: never */
};

/* By either digest; -ENOENT. */
int must_check store_lookup(struct store *store, const struct digest_name *name,
			    struct store_info *out);
int must_check store_get(struct store *store, uint64_t id, struct store_info *out);
/*
 * Make the record of an object now known to exist, of SIZE bytes. FRONT (may be NULL with LEN 0) is
 * kept when NAME is its fs-verity digest. If the record is there already: that one is returned,
 * unchanged, unless it lacks its front and this is it.
 */
int must_check store_create(struct store *store, const struct digest_name *name, uint64_t size,
			    const void *front, size_t len, struct store_info *out);
/*
 * The same by somebody's word that both digests of a pair are those of one object of SIZE bytes; it is *told* then, until the bytes
 * have been compared. A front, if there is one, is of the fs-verity digest. Who knows only one digest gets store_create().
 * What is here by one of them learns the other, unless it knows better (-EINVAL: it is here with another). What is here by its
 * SHA-256 alone, and not complete, is replaced, as its chunks cannot be told from wrong ones: not while it is open, then it
 * is returned as it is. Also of one digest alone, if it is GATED: a record that is made is marked so.
 */
int must_check store_create_pair(struct store *store, const struct digest_pair *digests, uint64_t size,
				 bool gated, const void *front, size_t len, struct store_info *out);
/*
 * The same by the word of a user: the record, if it is made, is marked as *claimed*. One that is here is returned as it is, whatever
 * its size.
 */
int must_check store_create_claimed(struct store *store, const struct digest_pair *digests, uint64_t size,
				    bool gated, struct store_info *out);
/*
 * Is another object complete with a digest that ID has, too? Content that was first known by one digest and
 * then by the other is stored twice until both are known of both. -ENOENT: none.
 */
int must_check store_twin(struct store *store, uint64_t id, uint64_t *twin);
/* The first record with an id greater than AFTER; -ENOENT after the last. Stable order. */
int must_check store_next(struct store *store, uint64_t after, struct store_info *out);
/*
 * All of them, for long listings: in that order, until FOUND returns other than 0, which is passed on. INFO may lack
 * last_open.
 */
typedef int (*store_found)(void *arg, const struct store_info *info);
int must_check store_each(struct store *store, uint64_t after, store_found found, void *arg);
/*
 * Remove record, file and front. An object that is open keeps its descriptor and goes on in memory
 * until closed; its later puts change nothing in the store.
 */
int must_check store_remove(struct store *store, uint64_t id);

/* The views that use ID (store_object_use()): the first with a number greater than AFTER; -ENOENT after the
 * last. */
int must_check store_next_user(struct store *store, uint64_t id, uint32_t after, uint32_t *view,
			       int64_t *last_open);
/* View VIEW opened object ID, without a quota, and closed it at once. */
int must_check store_touch(struct store *store, uint64_t id, uint32_t view);

/*
 * The number (1 … 2^20 - 1) of the view of UID and ORIGIN, made on first use. -ENOSPC: none left, or UID has
 * STORE_VIEWS_OF_USER (logged once): views are for ever, and a user who names origins at will shall leave some to others.
 */
#define STORE_VIEWS_OF_USER 65536
int must_check store_view(struct store *store, uid_t uid, const char *origin, uint32_t *view);
/* The other way; ORIGIN is to be freed. -ENOENT. */
int must_check store_view_get(struct store *store, uint32_t view, uid_t *uid, char **origin);

/* The sum of the objects' sizes, and the limit in force, which not even the sum in whole blocks exceeds. */
struct store_usage {
	uint64_t used, limit, objects;
	uint64_t complete; /* objects */
	uint64_t pinned;   /* bytes */
	uint64_t gated;	   /* bytes */
	uint64_t gated_objects;
};
void store_usage(struct store *store, struct store_usage *out);

/* What a view uses: objects, whether their bytes are here or not, and the sum of their full sizes. */
struct store_account {
	uint32_t view;
	uint64_t used, objects;
};
struct store_account store_account(struct store *store, uint32_t view);
/* What others pinned is nothing to VIEW: its quota releases it like anything else, from the view, not from the store. -ENOMEM. */
int must_check store_view_apart(struct store *store, uint32_t view);
/* Of all views that ever used something, by number; to be freed. 0 or -ENOMEM. */
int must_check store_accounts(struct store *store, struct store_account **out, size_t *n);
/* Evict until no more than BYTES are used. -ENOSPC: what is left is open or pinned. */
int must_check store_shrink(struct store *store, uint64_t bytes);

/* ---- an object's bytes ---- */

/* An open object. All opens of one id share one, counted. */
struct store_object;

int must_check store_object_open(struct store *store, uint64_t id, struct store_object **out);
void store_object_close(struct store_object *object); /* NULL is allowed */

/* Objects whose use by a view began, ended, or was at a time that the disk does not know yet. */
struct store_uses {
	uint32_t view;
	size_t n;
	uint64_t *ids;
};

/*
 * View VIEW opens the object, and has it open until store_object_unuse(). It uses the object from then on, and is charged
 * its full size, whether or not it is here, for others or at all. In memory only: nobody who opens waits for the disk. What
 * is to be recorded is in DUE, also after -EDQUOT: for store_record_uses().
 *
 * With a QUOTA (bytes; 0: none) the view uses no more than that when this returns, but for what it has open and what is
 * pinned: what it used longest ago is released, and if no other view uses it store_sweep() takes it out of the store.
 * -EDQUOT: the object does not fit, not even then; the view does not use it (any more), and nothing was
 * released for it. -ENOENT: it was removed. After any error there is nothing to undo.
 */
int must_check store_object_use(struct store_object *object, uint32_t view, uint64_t quota,
				struct store_uses *due);
void store_object_unuse(struct store_object *object, uint32_t view);
/* Record DUE, which is empty then; not synced. Who cannot wait for the disk frees it: it is known until the store closes. */
int must_check store_record_uses(struct store *store, struct store_uses *due);
void store_uses_free(struct store_uses *due);
/*
 * Of what views released and none uses, up to N objects leave the store: those that are neither open nor pinned by now.
 * Each costs a synced write. So do records of which nothing is here when there are too many of them (store/bare.c), without
 * that cost. True: there are more. Call it after records were made.
 */
bool store_sweep(struct store *store, unsigned int n);
/*
 * Forget all records of which nothing is here, that no view uses, nobody has open or pinned, and that were not made or looked
 * up a moment ago. How many went.
 */
uint64_t store_forget_bare(struct store *store);

/* A snapshot; digests and complete change as the object does. */
void store_object_info(struct store_object *object, struct store_info *out);
uint64_t store_object_size(const struct store_object *object);
bool store_object_complete(const struct store_object *object); /* lock-free */

enum store_presence {
	STORE_ABSENT,
	STORE_HINT,    /* recorded: read, verify, then store_object_confirm() or _drop() */
	STORE_PRESENT, /* verified since the object was loaded; of an unattested one: received */
};
/* Lock-free. */
enum store_presence store_object_presence(const struct store_object *object, uint64_t chunk);

/* LEN bytes at OFFSET, inside present (or hinted) chunks. Lock-free. */
int must_check store_object_read(struct store_object *object, uint64_t offset, void *buf,
				 size_t len);
/* For splice, passthrough and reflink; -1 while nothing was ever put. Borrowed. */
int store_object_fd(const struct store_object *object);

/*
 * Write a whole chunk, then record its presence. -ENOSPC: it does not fit (limit, keep-free or the
 * disk), not even without all that may be evicted; the object's room is reserved at its first put, so a later put fails only if the disk
 * lies. After an error the chunk stays absent. A chunk that is present is left alone. Several
 * threads may put different chunks; the same one at most once at a time.
 */
int must_check store_object_put(struct store_object *object, uint64_t chunk, const void *data,
				size_t len);
/*
 * The same for N (1 … STORE_RUN_MAX) chunks in a row from FIRST, each in a buffer of its own: written together,
 * past the page cache where buffers are page-aligned and the filesystem can (O_DIRECT), and recorded together; around
 * chunks that are present already, in several steps.
 * For who serves readers from the buffers; store_object_put() leaves the bytes in the page cache, for
 * those who read them back soon. After an error the chunks of the step that failed are still absent.
 */
#define STORE_RUN_MAX 8
int must_check store_object_put_run(struct store_object *object, uint64_t first,
				    const struct iovec *chunks, size_t n);
/* Take the object's room before its bytes come, for what is of no use uncached. -ENOSPC. */
int must_check store_object_reserve(struct store_object *object);
/* A present chunk of an attested object is a hint again: it could not be read, or shall be looked at anew. Lock-free. */
void store_object_doubt(struct store_object *object, uint64_t chunk);
/* A hint was verified: it is present. -ENODATA: it was dropped. Lock-free. */
int must_check store_object_confirm(struct store_object *object, uint64_t chunk);
/*
 * A hint turned out to be wrong: it is absent, until it is put again. A complete object is partial from then on, durably. The
 * bytes stay where they are until then. What is no hint (any more) is left alone: somebody else was faster. An error
 * is logged; the object is not put to before the disk knows.
 */
void store_object_drop(struct store_object *object, uint64_t chunk);
/*
 * Keep it whatever room is wanted, or not any more. Also one that is not here yet. Durable when it returns; -ENOENT:
 * it was removed.
 */
int must_check store_object_pin(struct store_object *object, bool pinned);
/* Forget every chunk (an unattested object whose bytes had the wrong digest). */
int must_check store_object_reset(struct store_object *object);
/*
 * The same; and from now on, until it is reset or finished, what is put to an attested object is only received, as its
 * chunks cannot be checked yet: nobody may read them, and they count for nothing else.
 */
int must_check store_object_receive(struct store_object *object);
/* Another size is claimed for an unattested object, and marked so: resets it, too. */
int must_check store_object_resize(struct store_object *object, uint64_t size);

/* Is every chunk PRESENT, or the object complete? */
bool store_object_full(const struct store_object *object);
/* Is no chunk ABSENT? Lock-free. */
bool store_object_recorded(const struct store_object *object);
/*
 * Every chunk is present and verified: sync the data, then record it, synced, with all that is
 * known now. FRONT as verify_tree_front() gives it. -ENODATA: it is not full. -EIO: the sync failed, all bits are dropped.
 * Idempotent.
 */
int must_check store_object_finish(struct store_object *object, const struct digest_pair *digests,
				   const void *front, size_t len);
/*
 * The SHA-256 of a complete object became known by an audit: it is not told any more. -EINVAL: it is another than was
 * told.
 */
int must_check store_object_set_sha256(struct store_object *object, const struct digest *sha256);
/* The front kept for an attested object, to be freed; LEN 0 and NULL for one chunk or less.
 * -ENODATA: none. */
int must_check store_object_front(struct store_object *object, void **front, size_t *len);

/* ---- objects apart from the others: what a view fetches as if the store were empty ---- */

/*
 * An open object without a record, whose bytes go to a file in tmp/: it is found by nobody, has an id like others,
 * and takes room like others, but is never evicted. All of store_object_…() works on it, but for pinning; nothing
 * of it outlives its last store_object_close(), unless it is published. The fs-verity digest's front is the caller's to keep.
 */
int must_check store_separate_new(struct store *store, const struct digest_pair *digests, uint64_t size,
				  struct store_object **out);
/*
 * It is complete: it becomes an object like others, or is dropped if the store has that already; OUT is the one that the
 * store has then. View VIEW, if it is charged for OBJECT, is charged for that instead, and owns it: store_owns(). OBJECT
 * goes on as before for who has it open. FRONT as for store_object_finish(). Syncs. -EALREADY: it was tried before.
 * GATED: it came with a credential; unless the store has all of it already it is marked so, for ever, and
 * what there is of it without that mark leaves the store first. -EBUSY: that is pinned, and stays; OBJECT is what it was,
 * separate.
 */
int must_check store_separate_publish(struct store_object *object, uint32_t view, bool gated,
				      const void *front, size_t len, struct store_info *out);
/*
 * Did view VIEW itself fetch all of the object that it calls NAME, and use it ever since? 0 and its id, which may have left
 * the store since; -ENOENT. What others do with the object does not change how long this takes.
 */
int must_check store_owns(struct store *store, uint32_t view, const struct digest_name *name,
			  uint64_t *id);
/* Did any of UID's views whose origin COUNTS? */
int must_check store_user_owns(struct store *store, uid_t uid, bool (*counts)(const char *origin),
			       const struct digest_name *name, uint64_t *id);
/*
 * The names of all that VIEW may own, by kind and digest, those behind AFTER, until FOUND returns other than 0, which is
 * passed on. Whether it does is for store_owns() to say.
 */
typedef int (*store_name_found)(void *arg, const struct digest_name *name);
int must_check store_each_own(struct store *store, uint32_t view, const struct digest_name *after,
			      store_name_found found, void *arg);
/* Has VIEW it in use: opened, and neither released nor removed since? */
bool store_uses_object(struct store *store, uint32_t view, uint64_t id);

/* ---- grants: what users answered to rules that ask ---- */

#define STORE_GRANTS_MAX 4096 /* answers of one user */

/* What an answer is about. */
struct store_about {
	char set[65];		   /* a set's name; "": about DIGEST */
	struct digest_name digest; /* either kind */
};

struct store_grant {
	uid_t uid;
	char origin[320]; /* of UID; of letters that can be seen, no blank */
	struct store_about about;
	bool refused;	     /* the answer was no: not to be asked again */
	int64_t made, until; /* seconds since the epoch; until 0: for ever */
};

/*
 * Write GRANT down, instead of an earlier answer about the same. It is durable, or an error, after which it may be written all
 * the same. -E2BIG: the user has STORE_GRANTS_MAX. -EINVAL: a name that cannot be one. A refusal, and what is taken back,
 * which could not be written counts until the store closes, although that is an error.
 */
int must_check store_grant_put(struct store *store, const struct store_grant *grant);
/* Take back what UID answered for ORIGIN about ABOUT (NULL: about anything), DROPPED answers; durable as well. */
int must_check store_grant_drop(struct store *store, uid_t uid, const char *origin,
				const struct store_about *about, size_t *dropped);
/* GRANT is over: it goes, if it is still what was answered. (What is over by the wall clock goes at each write.) */
int must_check store_grant_end(struct store *store, const struct store_grant *grant);
/* All answers of UID, in the order in which they were given, also those that are over; to be freed. */
int must_check store_grants(struct store *store, uid_t uid, struct store_grant **out, size_t *n);
/* Who has answered anything; to be freed. */
int must_check store_grant_users(struct store *store, uid_t **out, size_t *n);

/* ---- after the database was lost ---- */

/*
 * Objects whose files nobody has looked at since, and the bytes on the disk of these. Before the store is used for
 * anything else, store_next() leads to each (info.doubtful), and of its file, if store_object_fd() has one:
 * store_object_settle() when all of it is right; store_object_suspect() when chunks can be checked one by one later;
 * else store_discard(). What was done is recorded at once: whoever opens the store next goes on with the rest.
 */
struct store_doubts {
	uint64_t objects, bytes;
};
void store_doubts(const struct store *store, struct store_doubts *out);
/* As store_object_finish(), of a file that was verified as a whole. -EINVAL: it contradicts what is known. */
int must_check store_object_settle(struct store_object *object, const struct digest_pair *digests,
				   const void *front, size_t len);
/* Every chunk of which there is something in the file becomes a hint. -EINVAL: unattested. */
int must_check store_object_suspect(struct store_object *object);
/* The file goes, and all of the object, unless it is pinned. */
int must_check store_discard(struct store *store, uint64_t id);

/* ---- bringing in whole files ---- */

/* A file in tmp/, written by the caller through its descriptor, then taken over, or thrown away. */
struct store_ingest;

/* Room for SIZE_HINT bytes is taken (0: not known; then only by the commit): -ENOSPC. */
int must_check store_ingest_new(struct store *store, uint64_t size_hint, struct store_ingest **out);
int store_ingest_fd(const struct store_ingest *ingest); /* read and write; borrowed */
/*
 * Sync, rename into objects/, record as complete. An object already complete is kept, and OUT
 * describes it; a partial one is replaced. INGEST is freed in any case.
 */
int must_check store_ingest_commit(struct store_ingest *ingest, const struct digest_pair *digests,
				   uint64_t size, const void *front, size_t len,
				   struct store_info *out);
void store_ingest_abort(struct store_ingest *ingest); /* NULL is allowed */

#endif
