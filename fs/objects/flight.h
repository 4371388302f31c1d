/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flight: one chunk of an attested object on its way from a source to readers and the store.
 *
 * It is in object->flights from the moment somebody wants the chunk until its buffer goes, so every later
 * reader joins it, or reads from its buffer. Each step is on one thread only:
 *
 *	asked ──► (a transfer brings it) ──► checked ──► landed ──► written ──► kept ──► gone
 *	  ▲                                     │
 *	  └── wrong: asked again, without the liar
 *
 * From landed on its buffer answers readers. Once it is written, or the store has no room for it, the buffer is
 * kept (fs/objects/kept.h) until others need it: on a disk that is written past the page cache this is where readers who
 * come a little later find it.
 *
 * An absent chunk without a flight is made one under the object's lock, and a chunk becomes present in the
 * store before its flight is removed: who finds no landed flight, and after that an absent chunk, has to ask.
 */
#ifndef FS_OBJECTS_FLIGHT_H
#define FS_OBJECTS_FLIGHT_H

#include "fs/objects/reading.h"

enum flight_state {
	FLIGHT_ASKED,   /* no bytes yet */
	FLIGHT_LANDED,  /* verified, on its way to the store */
	FLIGHT_KEPT,    /* written, or without room in the store: the buffer may go */
	FLIGHT_LEAVING, /* the last who uses the buffer frees it */
};

struct flight {
	uint64_t chunk;
	struct object *object;   /* counted */
	struct waiter *waiters;  /* protected by the object's lock; none from landed on */
	uint64_t excluded;       /* sources that lied about this chunk; the step's thread */
	struct fetch_places *places; /* whose numbers it and `source` have, until it has landed; the step's thread */
	uid_t uid;               /* who wanted it first: whose catalogs may say where it is */
	struct transfer *transfer; /* protected by the object's lock: who brings it, until it has come */
	struct work work;
	void *buffer;            /* from delivery on */
	size_t length;
	unsigned int source;
	enum flight_state state; /* protected by the object's lock */
	unsigned int users;      /* protected by the object's lock: who reads the buffer */
	bool passing;            /* verified for those only who may not have it stored */
	bool consumed;           /* protected by the object's lock: a reader came to its end */
	struct flight *prev, *next;   /* protected by the object's lock: those to be written, by chunk */
	struct flight *older, *newer; /* fs/objects/kept.c's */
	UT_hash_handle hh;       /* protected by the object's lock */
};

/* ---- with the object's lock held ---- */

struct flight *flight_find(struct object *object, uint64_t chunk);
/* Put FLIGHT, zeroed, in the object's table: asked, by UID. */
void flight_add(struct flight *flight, struct object *object, uint64_t chunk, uid_t uid);
/* One that has not landed: out of the table; its waiters are the caller's to serve. */
struct waiter *must_check flight_remove(struct flight *flight);
/* It was verified: pinned, once; its waiters are the caller's to serve. */
struct waiter *must_check flight_land(struct flight *flight);

/* ---- without ---- */

/* The landed flight of CHUNK, its buffer to be read until flight_unpin(). NULL: the chunk is not in memory. */
struct flight *must_check flight_pin(struct object *object, uint64_t chunk);
/* CONSUMED: the reader came to the chunk's end, so it is not likely to be asked for again. */
void flight_unpin(struct flight *flight, bool consumed);
/* A kept one, that whoever calls took out of the list of the kept: gone when nobody uses it any more. */
void flight_leave(struct flight *flight);
/* Its chunk cannot be had: out of the table, its waiters fail, it is gone. */
void flight_fail(struct flight *flight, int error);
/* The same of one that flight_remove() took out of the table, with its WAITERS. */
void flight_end(struct flight *flight, struct waiter *waiters, int error);
/* One that is in no table any more. */
void flight_free(struct flight *flight);

/* ---- landing.c: steps on a verifier, for flight->work ---- */
void flight_check(struct work *work);
/* Of a chunk that is stored, and was not verified since it was loaded: good if its bytes still are, else asked for. */
void flight_recheck(struct work *work);

/* ---- writing.c ---- */

/* With the object's lock held: FLIGHT has landed and is to be written. True: call writing_begin() without the lock. */
bool must_check writing_add(struct flight *flight);
void writing_begin(struct object *object);

/* ---- transfer.c: requests to fetch/, each for a run of flights ---- */

struct transfer;

/*
 * For the flight of CHUNK, and those added after; NULL: no memory. UID: on whose behalf. EXCLUDED: sources not to
 * ask. MOST: chunks that it may have, see fetch_run_chunks().
 */
struct transfer *transfer_new(struct object *object, uint64_t chunk, uid_t uid, uint64_t excluded,
			      uint64_t most);
/* CHUNK joins if it is the next one and there is room. */
bool must_check transfer_extend(struct transfer *transfer, uint64_t chunk);
/* Chains TRANSFER behind *LAST. */
void transfer_chain(struct transfer *transfer, struct transfer ***last);
/*
 * A reader is blocked on a flight that TRANSFER brings, with the object's lock held. True: that is new, and
 * fetch_hurry() is due when the lock is dropped (and TRANSFER submitted).
 */
bool must_check transfer_demand(struct transfer *transfer);
/* A chain, in order. Without the object's lock. */
void transfer_submit(struct transfer *list);
/* Ask for one flight, with the sources that lied left out. Without the object's lock. */
void flight_ask(struct flight *flight);

#endif
