/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of store/ share.
 *
 * Two kinds of exclusion. store->lock is a leaf: held for a few instructions, never across I/O.
 * What must be ordered across I/O is *claimed*: a flag under the lock, waited for on store->changed.
 *
 *	object claim, shared     put, drop: any number at once, none waits for another
 *	object claim, exclusive  whatever changes the record, the size or the file
 *	recording                what views use is written down as it is
 *	evicting                 who goes next? One goes at a time
 *	naming                   making a record and removing one with its file: whose names are free?
 *	reserving                the sum of what objects take is compared with the limit
 *	answering                a user's file in grants/ is read or replaced; taken with no other
 *
 * taken in this order. Readers of bytes and presence claim nothing and lock nothing.
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
/* The default one falls through switch labels in a way that clang warns of. */
#define HASH_FUNCTION(key, len, hash) HASH_OAT(key, len, hash)
#include <uthash.h>
#include "store/db.h"
#include "store/schema.h"
#include "store/store.h"

#define STORE_ID_MAX   (((uint64_t)1 << 40) - 1)
#define STORE_VIEW_MAX (((uint64_t)1 << 20) - 1)

/* ---- store.c: the store, claims, sequences ---- */

struct sequence {
	uint8_t kind;	      /* 'o', 'v' */
	unsigned int batch;   /* ids reserved at a time */
	uint64_t last;	      /* the greatest id there may be */
	uint64_t next, until; /* reserved and not given out; whoever claims naming */
};

/* An object with a file that is not complete: what is still to be written counts against the disk.
 */
struct filling {
	uint64_t id, size;
	struct digest_name name;
	UT_hash_handle hh;
};

/* An object that has a file. */
struct resident {
	uint64_t id, size;
	int64_t last_use;  /* seconds since the epoch */
	bool open, pinned; /* it may not go */
	bool gated;
	struct resident *prev, *next;
	UT_hash_handle hh;
};

/* A file in tmp/ that is being written: its room is kept for the object that it becomes. */
struct arrival {
	uint64_t room; /* 0: its size is not known, or the room was handed on */
	int fd;
	struct arrival *prev, *next;
};

struct store {
	char *path;
	int lock_fd, objects_fd, tmp_fd, grants_fd;
	struct db *db;
	uint8_t boot_id[STORE_BOOT_ID_SIZE];
	uint64_t limit, keep_free;
	atomic_bool buffered;	      /* the filesystem has no O_DIRECT */
	atomic_uint_fast64_t ingests; /* names in tmp/ */

	pthread_mutex_t lock;
	pthread_cond_t changed;	      /* a claim was given back, an object was loaded */
	struct store_object *objects; /* protected by lock: the open ones, by id */
	bool naming, reserving, evicting, recording, answering; /* protected by lock: claims */
	struct resident *residents, *oldest; /* protected by lock: by id; by last use */
	uint64_t used, taken, held, pinned; /* protected by lock: see resident.c */
	uint64_t gated, gated_objects;	    /* protected by lock, of these: bytes, and how many */
	uint64_t incoming;	    /* protected by lock: the room of arrivals */
	struct arrival *arrivals;   /* protected by lock; changed by whoever claims reserving */
	struct filling *filling; /* protected by lock; removed from by whoever claims reserving */
	struct bares *bares;	 /* protected by lock: records without a file (bare.h) */

	pthread_mutex_t accounts_lock;
	struct account *accounts; /* protected by accounts_lock: by view */
	uint64_t *abandoned;	  /* protected by accounts_lock: released by the last view that used them */
	size_t n_abandoned;
	uint64_t last_rank;	  /* protected by accounts_lock: of all uses, see account.c */

	struct sequence object_ids, view_ids;
	struct user *users; /* claimed: naming: view.c */
	struct store_doubts doubts; /* constant once it is open */
	struct unwritten_grants *unwritten; /* claimed: answering */
};

/* All answers of UID, instead of those on the disk, which could not be replaced. */
struct unwritten_grants {
	uid_t uid;
	struct store_grant *items;
	size_t n;
	struct unwritten_grants *next;
};
void unwritten_grants_free(struct store *store); /* grant.c */

/*
 * grant-file.c: grants/NAME has TEXT, durably, or an error (logged), after which it may have it all the same. URGENT: if a new
 * file cannot be written the old one is overwritten, and may be damaged after an error.
 */
int must_check grant_file_write(struct store *store, const char *name, const char *text, size_t len,
				bool urgent);

void store_claim(struct store *store, bool *claim);
void store_unclaim(struct store *store, bool *claim);
void users_free(struct store *store); /* view.c */
int must_check store_next_id(struct store *store, struct sequence *sequence, uint64_t *out);

/* ---- meta.c: the database as a whole ---- */

/*
 * For each directory of objects/, how many files there are and a sum over their names: by the records, and by the
 * directories.
 */
#define STORE_DIRECTORIES 256
struct census {
	struct {
		uint64_t files, names;
	} in[STORE_DIRECTORIES];
	uint64_t doubtful; /* records that are */
};
void census_count(struct census *census, const struct digest_name *name);

/*
 * Open STORE's database, which is whole and understood then, of this format, or, if REPLACED, a new one with what could
 * be saved of a damaged one. CENSUS: by its records.
 */
int must_check meta_open(struct store *store, struct census *census, bool *replaced);

/* ---- salvage.c ---- */

/*
 * Make a database at NEW with all that can be read of the one at OLD, and is understood. SCRATCH: a path for a copy
 * that is repaired. -EPROTO: it is of a newer format.
 */
int must_check salvage(struct store *store, const char *old, const char *scratch, const char *new);
void remove_all(const char *path); /* a whole directory; it need not be there */

/* ---- adopt.c: files and records brought together ---- */

/* Where CENSUS differs from what is in objects/: make records for the files. REPLACED: the database is new. */
int must_check adopt(struct store *store, const struct census *census, bool replaced);

/* ---- place.c: the directory ---- */

/* Make and lock the directory of STORE, which has its path; on an error store_place_close(), too.
 */
int must_check store_place_open(struct store *store);
void store_place_close(struct store *store);

/* ---- file.c: the objects' files ---- */

#define STORE_FILE_PATH_SIZE (3 + DIGEST_NAME_SIZE)
/* The object's file, relative to objects/. */
void store_file_path(const struct digest_name *name, char out[STORE_FILE_PATH_SIZE]);
/* Make an empty file of SIZE bytes; what has its name already is unlinked. The descriptor or
 * -errno. */
int must_check store_file_create(struct store *store, const struct digest_name *name,
				 uint64_t size);
/* Set of what came with a credential: means nothing for files, survives the database, and its owner can still write. */
#define STORE_GATED_MODE S_ISVTX
static inline bool store_file_is_gated(mode_t mode)
{
	return mode & STORE_GATED_MODE;
}
/* The same without a name. */
int must_check store_file_anonymous(struct store *store, uint64_t size);
/* Make a file's name durable. */
int must_check store_file_sync_name(struct store *store, const struct digest_name *name);
/* Rename TMP of tmp/ to an object's file, durably; what has the name is replaced. */
int must_check store_file_take(struct store *store, const char *tmp,
			       const struct digest_name *name);

/* ---- resident.c: what is here; all with the lock ---- */

struct resident *resident_find(struct store *store, uint64_t id);
/* As the last one used. RESIDENT is the store's until it is removed. */
void resident_add(struct store *store, struct resident *resident);
/* NULL: there is none. To be freed. */
struct resident *resident_remove(struct store *store, uint64_t id);
void resident_set(struct store *store, struct resident *resident, uint64_t size, bool open,
		  bool pinned);
void resident_set_open(struct store *store, uint64_t id, bool open);
void resident_set_gated(struct store *store, uint64_t id, bool gated);
void resident_touch(struct store *store, uint64_t id, int64_t now);
void residents_sort(struct store *store);
void residents_free(struct store *store);

/* ---- account.c and charge.c: what views use; each takes accounts_lock ---- */

/* A view opens an object. */
struct use {
	const struct store_object *object;
	uint64_t id; /* set: that it is charged for */
	uint64_t size;
	uint32_t view;
	bool pinned;
	uint64_t quota;	    /* 0: none */
	int64_t now;
	uint64_t *released; /* set, to be freed: objects that the view does not use any more */
	size_t n_released;
};

/*
 * Hold USE's object for its view, and charge it if it is not; what the view
 * used longest ago is released until all fits. -EDQUOT: it does not fit, not even then; nothing was released for it,
 * but what is above the quota without it, the object's own charge if need be. -ENOMEM, -EFBIG.
 */
int must_check account_charge(struct store *store, struct use *use);
/* Hold what is charged, if nothing has to be released. RECORDED: the disk has its use in this second. */
bool must_check account_hold(struct store *store, struct use *use, bool *recorded);
/* When the view used it last, if it is charged. */
bool must_check account_last_use(struct store *store, uint32_t view, uint64_t id, int64_t *seconds);
/* A held one: it was used last, at USE's time. */
void account_used(struct store *store, const struct use *use);
void account_unhold(struct store *store, uint32_t view, const struct store_object *object);

/* Claimed: the object. It left the store; it has another size, or is pinned or not any more. */
void accounts_forget(struct store *store, uint64_t id);
void accounts_change(struct store *store, uint64_t id, uint64_t size, bool pinned);
/* What VIEW is charged for OBJECT it is charged for TO from now on. False: it is not charged. */
bool must_check account_move(struct store *store, uint32_t view, struct store_object *object,
			     const struct store_info *to);
/* Does any view use it? */
bool accounts_use(struct store *store, uint64_t id);

/* What is known of all objects, in the order of their ids, while the uses are loaded. */
struct account_loading {
	struct store *store;
	struct known_object {
		uint64_t id, size;
		bool pinned;
	} *known; /* to be freed */
	size_t n, capacity, at;
};
int must_check accounts_know(struct account_loading *loading, uint64_t id,
			     const struct record *record);
int must_check accounts_load(struct account_loading *loading);
void accounts_free(struct store *store);

/* ---- evict.c: who goes ---- */

/*
 * One object goes, or was about to and is used again. -ENOSPC: none may. Claims evicting, an object that nobody
 * else has, naming and reserving.
 */
int must_check evict_oldest(struct store *store);
/* ID goes, unless a view uses it, or it may not. Claims the same. */
int must_check evict_unused(struct store *store, uint64_t id);
/* Has nobody else opened OBJECT? Then it is claimed, and who opens it waits until evict_unclaim(). */
bool must_check evict_claim(struct store_object *object);
void evict_unclaim(struct store_object *object);

/* ---- room.c: what fits, if need be after others went ---- */

#define STORE_BLOCK ((uint64_t)4096) /* of every filesystem in use, or a multiple of it */

/* What SIZE bytes take on the disk. */
static inline uint64_t room_of(uint64_t size)
{
	return (size + STORE_BLOCK - 1) / STORE_BLOCK * STORE_BLOCK;
}

int must_check room_load(struct store *store, const struct store_options *options);
/*
 * Take the room of an object that is claimed. ARRIVAL: its bytes, which are on the disk already, and whose room becomes
 * the object's; NULL: they are still to come. -ENOSPC.
 */
int must_check room_reserve(struct store_object *object, uint64_t size, struct arrival *arrival);
/* The same for SIZE bytes (0: not known) that will be written to ARRIVAL's descriptor, until room_unexpect(). */
int must_check room_expect(struct store *store, struct arrival *arrival, uint64_t size);
void room_unexpect(struct store *store, struct arrival *arrival);
/* A reserved object's size becomes TO. */
int must_check room_resize(struct store *store, uint64_t id, uint64_t from, uint64_t to);
/* It is complete, it was found not to be, it is gone. */
void room_settle(struct store *store, uint64_t id);
void room_unsettle(struct store *store, uint64_t id, const struct digest_name *name, uint64_t size);
void room_release(struct store *store, uint64_t id);

/* ---- write.c: chunks into an object's file ---- */

/*
 * N chunks in a row from FIRST. DIRECT: past the page cache if possible. 0 or -errno, nothing logged. Shared claim.
 */
int must_check write_chunks(struct store_object *object, uint64_t first, const struct iovec *chunks,
			    size_t n, bool direct);

/* ---- record.c ---- */

int must_check record_read(struct store *store, uint64_t id, struct record *out);
struct digest_name record_name(const struct record *record);
/* Of an object that is just known: without its front if it has one. */
struct record record_of(const struct digest_pair *digests, uint64_t size);
/* Make it. Claimed: naming. */
int must_check record_make(struct store *store, const struct digest_pair *digests, uint64_t size,
			   bool gated, bool claimed, const void *front, size_t len, struct store_info *out);
/* Record and aliases. */
void record_put(struct db_batch *batch, uint64_t id, const struct record *record);
/* The object that has a digest: a complete one, else the oldest; -ENOENT. */
int must_check record_find(struct store *store, const struct digest_name *name, uint64_t *id,
			   struct record *out);
/* What is known of an object that is not open, but for the time of its last open. */
int must_check record_describe(struct store *store, uint64_t id, const struct record *record,
			       struct store_info *out);
int must_check record_last_open(struct store *store, uint64_t id, int64_t *out);
/* Add what DIGESTS knows to INTO; -EINVAL when they contradict each other. */
int must_check record_merge(struct digest_pair *into, const struct digest_pair *digests);
/* It has its file, and all that there is to know. */
void record_set_complete(struct record *record);
/* All that is known of it (store/change.c). */
void record_erase(struct db_batch *batch, uint64_t id, const struct record *record);
void front_put(struct db_batch *batch, uint64_t id, const void *front, size_t len);

/* ---- map.c: which chunks are there ---- */

/* Two bits a chunk and two sums, read and changed without a lock. */
struct map {
	uint64_t size, chunks;
	struct map *retired;		/* the one before it: a reader may still be in it */
	atomic_uint_fast64_t recorded;	/* bytes of chunks PRESENT or HINT */
	atomic_uint_fast64_t n_present; /* chunks PRESENT */
	_Atomic uint64_t words[];
};

int must_check map_new(uint64_t size, struct map **out);
void map_free(struct map *map); /* and what it retired; NULL is allowed */
enum store_presence map_get(const struct map *map, uint64_t chunk);
/* What was there before. */
enum store_presence map_set(struct map *map, uint64_t chunk, enum store_presence presence);
/* To TO, if there is such a chunk, and it is FROM. False: it is not. */
bool map_change(struct map *map, uint64_t chunk, enum store_presence from, enum store_presence to);
/* Is every chunk PRESENT, by the bits? */
bool map_is_full(const struct map *map);
/* Every chunk; one after the other for who looks on. */
void map_fill(struct map *map, enum store_presence presence);

/* ---- object.c, chunk.c, change.c, repair.c ---- */

struct store_object {
	struct store *store;
	uint64_t id;
	struct digest_name name; /* constant once loaded */

	unsigned int refs;		  /* protected by lock */
	bool loading;			  /* protected by lock */
	bool leaving;			  /* protected by lock: it is being evicted */
	int load_error;			  /* protected by lock */
	unsigned int sharing, exclusives; /* protected by lock: claims held; held or waited for */
	bool changing;			  /* protected by lock: the exclusive claim is held */
	struct record record; /* written under claim and lock: either is enough to read */
	bool removed;	      /* as record; of a separate one always */
	bool separate;	      /* constant: it has no record (separate.c) */
	atomic_uint_fast64_t charged; /* whose id views are charged for: its own, or that of what it was published as; written
					 with accounts_lock */
	struct store_ingest *ingest; /* written by the exclusive claim: the file of a separate one, until it is published */

	_Atomic(struct map *) map; /* written by the exclusive claim */
	atomic_int fd;		   /* written by the exclusive claim */
	atomic_bool complete; /* record.complete, for readers without a lock */
	atomic_bool stale;    /* the disk may say that more is there than the map: nothing is put before it is told */
	atomic_bool refused;  /* that there is no room was logged */
	bool receiving;	      /* written by the exclusive claim: what is present was received, not verified */
	_Atomic int64_t last_open;

	int *old_fds; /* exclusive claim: replaced, perhaps still read from */
	size_t n_old_fds;
	UT_hash_handle hh;
};

void object_claim(struct store_object *object);
void object_unclaim(struct store_object *object);
void object_share(struct store_object *object);
void object_unshare(struct store_object *object);
/* Set what INFO says, if the object is open now. */
bool object_peek(struct store *store, uint64_t id, int *result, struct store_info *out);
/* "sha256…" for messages. */
struct object_label {
	char text[DIGEST_NAME_SIZE];
};
struct object_label object_label(const struct store_object *object);

/* All with the exclusive claim. */
void object_set_record(struct store_object *object, const struct record *record);
void object_set_map(struct store_object *object, struct map *map);
int must_check object_set_fd(struct store_object *object, int fd);
int must_check object_make_file(struct store_object *object);
int must_check object_reserve(struct store_object *object, uint64_t size, struct arrival *arrival);
int must_check object_forget(struct store_object *object);
/* Its bytes and its name are durable. */
int must_check object_sync(struct store_object *object);
/* Another size: its chunks are forgotten. */
int must_check object_resize(struct store_object *object, uint64_t size);
/* Out of the store. -ENOENT: it was. */
int must_check object_erase(struct store_object *object);
int must_check object_commit(struct store_object *object, const struct record *record,
			     const void *front, size_t len);
/*
 * It is not, or no longer, complete: the chunks that its map has are recorded, durably, and no others. In memory it is so
 * whatever becomes of that; it is stale then.
 */
int must_check object_make_partial(struct store_object *object);
/* While it is loaded: its file FD has THERE bytes instead of its own size. What is below that is kept as hints. */
void object_mend_size(struct store_object *object, int fd, uint64_t there);

struct store_object *must_check object_new(struct store *store, uint64_t id);

/* ---- separate.c: all with the exclusive claim ---- */

/* The file of a separate object, with its room. The descriptor or -errno. */
int must_check separate_make_file(struct store_object *object);
/* Room for another size. */
int must_check separate_resize(struct store_object *object, uint64_t size);
/* The last reference went. Without a claim. */
void separate_end(struct store_object *object);

/* ---- own.c ---- */

/* What was left behind by objects that are gone. Nobody else is here yet. */
int must_check own_load(struct store *store);
/* VIEW fetched all of OBJECT, which it is charged for, and which is TO now. */
int must_check own_record(struct store_object *object, uint32_t view, const struct store_info *to);

/* ---- ingest.c ---- */

/* The room of an ingest that goes on with another size. -ENOSPC. */
int must_check ingest_resize(struct store_ingest *ingest, uint64_t size);
/* store_ingest_commit() of what OBJECT, a separate one that is complete, has in it, by its name. -EBUSY: INGEST is still there. */
int must_check ingest_publish(struct store_ingest *ingest, struct store_object *object, bool gated,
			      const void *front, size_t len, struct store_info *out);

/* ---- doubt.c ---- */

/* The object of INFO lacks its front: this is it (LEN 0: it is still to come), and its SIZE. INFO is made anew. */
int must_check doubt_refill(struct store *store, uint64_t size, const void *front, size_t len,
			    struct store_info *info);

#endif
