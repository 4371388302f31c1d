/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that wait for the network. A FUSE thread parks a request and goes on; whoever takes it out
 * of the lot (the worker that has its bytes, the deadline, an interrupt) answers it, and nobody else does.
 *
 * A parked request is part of a structure of its owner's, counted: the lot holds one reference, and each
 * chunk or probe that would complete it holds one, so a request that was answered early costs its
 * few bytes until the last of them has seen that it is gone.
 */
#ifndef FS_OBJECTS_PARKING_H
#define FS_OBJECTS_PARKING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>
#include "fs/fs.h"

enum parked_kind {
	/* READ: an interrupt counts only if SIGKILL is pending. EINTR on another signal would turn into
	 * EFAULT or a bus error for users of mmap. */
	PARKED_READ,
	/* OPEN, LOOKUP: any interrupt ends the wait. */
	PARKED_WAIT,
};

struct parked {
	/* The owner's, set before park(). */
	fuse_req_t request; /* NULL: a thread waits (fs/objects/waiting.h), and `answer` tells it */
	void (*answer)(struct parked *parked, int error); /* 0 or -errno */
	enum parked_kind kind;
	struct parked *next; /* others that wait for the same */
	uid_t uid; /* in a whole fetch: whose imports count for it (object_importer()) */
	int late; /* an errno: what it is answered when its time is over; 0: ETIMEDOUT */
	void (*destroy)(struct parked *parked); /* the last reference went */

	/* The lot's. */
	atomic_uint references;
	atomic_bool answered;
	uint64_t id;
	pid_t caller;        /* a thread id; 0: not visible from here */
	int64_t deadline_ms; /* protected by the lot's lock; 0: none */
	bool armed;          /* protected by the lot's lock: may be answered */
	bool interrupted;    /* protected by the lot's lock: look at the caller more often */
	UT_hash_handle hh;   /* protected by the lot's lock */
};

int must_check parking_new(struct parking **out);
/* Answers whatever is still parked with ENOTCONN… and ends the sweeper. NULL is allowed. */
void parking_free(struct parking *parking);

/* One reference, the owner's. */
void parked_init(struct parked *parked, fuse_req_t request, enum parked_kind kind,
		 void (*destroy)(struct parked *parked));
/* For a thread: ANSWER is called, once, unless the thread itself takes it out. */
void parked_init_thread(struct parked *parked, void (*answer)(struct parked *parked, int error),
			void (*destroy)(struct parked *parked));
struct parked *parked_ref(struct parked *parked);
void parked_unref(struct parked *parked);

/*
 * Put PARKED in the lot until DEADLINE_MS (clock_ms(); 0: none), then ETIMEDOUT or what `late` says. It may be answered before this
 * returns: the request must not be touched again but after unpark().
 */
void park(struct parking *parking, struct parked *parked, int64_t deadline_ms);
/* Take it out. true: the caller must answer the request now. false: somebody did. */
bool must_check unpark(struct parking *parking, struct parked *parked);
/* After unpark(): say that it is over. ERROR: -errno, or, to a thread, 0. */
void parked_answer(struct parked *parked, int error);
/* Progress was made: wait longer. */
void park_until(struct parking *parking, struct parked *parked, int64_t deadline_ms);

static inline bool parked_waits(const struct parked *parked)
{
	return !atomic_load(&parked->answered);
}

/* How many wait now. */
size_t parking_count(struct parking *parking);

#endif
