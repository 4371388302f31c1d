/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object in use: its bytes in the store, its tree, and the chunks on their way to it.
 *
 * One struct object an id, counted: handles, parked reads, transfers and jobs each hold one reference.
 *
 *	             ┌── chunk present ───────────────────────────────► reply from the store
 *	read ────────┤
 *	             └── absent: join or make a flight ── transfer ── land: verify ► reply ► store
 *
 * pipeline.c reads attested objects (fs/objects/flight.h), whole.c fetches unattested ones before they open,
 * finish.c makes full ones complete.
 */
#ifndef FS_OBJECTS_OBJECT_H
#define FS_OBJECTS_OBJECT_H

#include <pthread.h>
#include <uthash.h>
#include "fs/fs.h"
#include "fs/objects/knowledge.h"
#include "fs/objects/layout.h"
#include "fs/objects/parking.h"
#include "fs/objects/streams.h"
#include "verify/verify.h"

struct flight;
struct whole;

struct object {
	struct weightfs *fs;
	uint64_t id;
	uint32_t view; /* that fetches it for itself alone (fs/objects/separate.h); 0: it is the store's, for all */
	bool claimed;  /* its size is an import's word; also info.claimed of the store's */
	bool gated;    /* it may be fetched with credentials, and what comes of it is marked */
	struct store_object *store;
	atomic_uint references;  /* the last one goes under the table's lock */
	atomic_uint handles;     /* open files: readahead is for them */
	_Atomic(struct verify_tree *) tree; /* see object_tree(); set once, lives as long as the object */
	unsigned int keeping, passing; /* protected by lock: open files, by what fs/origins/quota.h says of them */
	atomic_bool uncached;    /* the store did not take the last chunks */
	atomic_bool said_uncached;
	atomic_bool published;   /* of one that is a view's alone: it became the store's, or could not */
	struct layout layout;    /* the tensors in it */
	pthread_mutex_t lock;
	struct flight *flights;  /* protected by lock: by chunk */
	unsigned int asked;      /* protected by lock: those that have not landed */
	atomic_uint in_memory;   /* those that have */
	struct flight *unwritten; /* protected by lock: landed, to be written, by chunk */
	bool writing;            /* protected by lock: write_work is on the writers' queue, and holds a reference */
	struct work write_work;
	struct whole *whole;     /* protected by lock: the fetch that opens wait for */
	bool finishing;          /* protected by lock: a job makes it complete, or audits it */
	struct puller *pullers;  /* protected by lock: who wants all of it */
	char *last_error;        /* protected by lock: what sources said last; NULL: nothing */
	UT_hash_handle hh;       /* protected by the table's lock */
};

int must_check objects_new(struct objects **out);
/* All objects must have been put. NULL is allowed. */
void objects_free(struct objects *objects);

/* The object with ID, loaded if need be. 0 or -errno. Any thread. */
int must_check object_get(struct weightfs *fs, uint64_t id, struct object **out);
/*
 * The object of STORE, a separate one of VIEW's, which nobody else has; with TREE, NULL if it is unattested. Takes over both in
 * success. 0 or -ENOMEM.
 */
int must_check object_adopt(struct weightfs *fs, struct store_object *store, struct verify_tree *tree,
			    uint32_t view, const struct knowledge *known, struct object **out);
struct object *object_ref(struct object *object);
void object_put(struct object *object); /* NULL is allowed */

/* What is known of ID if it is in use, though it may have left the store. 0 or -ENOENT. */
int must_check object_info_in_use(struct weightfs *fs, uint64_t id, struct store_info *out);
/*
 * What its chunks are checked by, read from the store at the first call that needs it: a complete object that is passed
 * through does without. -ENODATA: it is unattested, or its front was lost; -EIO: what was kept is not usable (logged).
 */
int must_check object_tree(struct object *object, const struct verify_tree **tree);
/*
 * Its tree came. Takes over TREE. Not while all of it is fetched without one: then chunks that were only received lie
 * among those that are present, and object_tree() says -EBUSY.
 */
void object_set_tree(struct object *object, struct verify_tree *tree);
/* The same of who fetched it so, when all of it was verified. */
void object_set_tree_of_whole(struct object *object, struct verify_tree *tree);
struct digest_pair object_digests(struct object *object);
/* "<canonical name>" for messages. */
void object_name(struct object *object, char out[DIGEST_NAME_SIZE]);
void object_set_error(struct object *object, const char *message);
/* The last source error of ID if it is in use, to be freed; NULL if there is none. */
char *object_last_error(struct weightfs *fs, uint64_t id);

/* ---- those who want all of an object that comes chunk by chunk (fs/objects/pull.h) ---- */

struct puller {
	pthread_cond_t changed; /* with the object's lock */
	bool news;              /* protected by it, like the error */
	int error;              /* the first that there was */
	struct puller *prev, *next;
};

/* A chunk came into the store, or it became complete: 0; or a chunk cannot be had, or not be kept: -errno. */
void object_news(struct object *object, int error);

/* ---- pipeline.c: bytes of attested objects ---- */

/*
 * Answer REQUEST with LENGTH bytes at OFFSET (inside the object), now or when they have come. The N RUNS are
 * to be fetched ahead (fs/objects/prefetch.h). UID, here and below: on whose behalf, see fs/objects/knowledge.h.
 */
void pipeline_read(struct object *object, uid_t uid, fuse_req_t request, uint64_t offset,
		   size_t length, const struct chunk_run *runs, size_t n);
/* The same for one that cannot be answered at once, as reading_try() has said. */
void pipeline_wait(struct object *object, uid_t uid, fuse_req_t request, uint64_t offset,
		   size_t length, const struct chunk_run *runs, size_t n);
/* How many chunks may be fetched ahead of one reader. */
uint64_t pipeline_ahead_max(const struct object *object);
/* Fetch RUN, what is absent of it, for nobody in particular. Without the object's lock, any thread. */
void pipeline_fetch(struct object *object, uid_t uid, struct chunk_run run);

/*
 * The same, for somebody who waits for it, and has called object_tree(): also looks again at chunks that were not verified
 * since they were loaded. -ENODATA: offline, and not all of it is here. -ENOMEM.
 */
int must_check pipeline_pull(struct object *object, uid_t uid, struct chunk_run run);

/* ---- whole.c: objects that cannot be read as they are ---- */

/*
 * Fetch the front of OBJECT, if it is attested, or all of it if that is not to be had; verify it, then answer the OPEN request
 * with FI; errors answer it, too.
 */
void whole_open(struct object *object, fuse_req_t request, const struct fuse_file_info *fi);
/*
 * The same for WAITER, which is parked, a reference to which is taken over. Whoever calls keeps OBJECT. Its deadline is one on
 * stalls: every chunk sets it anew.
 */
void whole_fetch(struct object *object, uid_t uid, struct parked *waiter);

/* ---- finish.c ---- */

/*
 * If all chunks are there but the object is not complete, or its SHA-256 is unknown, or it is a view's own and shall become
 * the store's: see to it in the background.
 */
void finish_if_due(struct object *object);
/*
 * OBJECT became complete, or more of its digests is known: of two objects that turn out to be the same the younger
 * leaves the store. Who has it open keeps it.
 */
void finish_drop_twin(struct object *object);

#endif
