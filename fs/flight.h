/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flight: one chunk of an attested object on its way from a source to readers and the store.
 *
 * It is in object->flights from the moment somebody wants the chunk, so every later reader joins it.
 * States, each step on one thread only:
 *
 *	asked ──► (a transfer brings it) ──► checked ──► stored ──► gone
 *	  ▲                                     │ │
 *	  │                               wrong │ └── no room ──► kept in its buffer ──► gone
 *	  └── asked again, without the liar ────┘
 *
 * An absent chunk without a flight is made one under the object's lock, and a chunk becomes present in the
 * store before its flight is removed: so whoever holds the lock sees it present, or flying, or absent.
 */
#ifndef FS_FLIGHT_H
#define FS_FLIGHT_H

#include "fs/reading.h"

struct flight {
	uint64_t chunk;
	struct object *object;  /* counted until it is kept: then the object owns the flight */
	struct waiter *waiters; /* protected by the object's lock */
	uint64_t excluded;      /* sources that lied about this chunk; the step's thread */
	struct work work;
	void *buffer; /* from delivery on */
	size_t length;
	unsigned int source;
	bool kept;           /* protected by the object's lock: verified, not stored, still here */
	unsigned int users;  /* protected by the object's lock: who reads a kept one's buffer */
	struct flight *prev, *next; /* protected by the object's lock: kept ones, oldest first */
	UT_hash_handle hh;   /* protected by the object's lock */
};

/* ---- with the object's lock held ---- */

struct flight *flight_find(struct object *object, uint64_t chunk);
/* Put FLIGHT, zeroed, in the object's table. */
void flight_add(struct flight *flight, struct object *object, uint64_t chunk);
/* Take it out; its waiters are the caller's to serve. */
struct waiter *must_check flight_remove(struct flight *flight);

/* ---- without ---- */

/* Its chunk cannot be had: out of the table, its waiters fail, it is gone. */
void flight_fail(struct flight *flight, int error);
void flight_free(struct flight *flight);
/* All kept ones, when the object goes. */
void flight_free_kept(struct object *object);
/* A reader is done with the buffer of a kept one. */
void flight_release(struct flight *flight);

/* ---- landing.c: steps on a verifier, for flight->work ---- */
void flight_check(struct work *work);
/* Of a chunk that another boot wrote: good if its bytes still verify, else asked for. */
void flight_recheck(struct work *work);

/* ---- transfer.c: requests to fetch/, each for a run of flights ---- */

struct transfer;

/* For the flight of CHUNK, and those added after; NULL: no memory. EXCLUDED: sources not to ask. */
struct transfer *transfer_new(struct object *object, uint64_t chunk, uint64_t excluded);
/* CHUNK joins if it is the next one and there is room. */
bool must_check transfer_extend(struct transfer *transfer, uint64_t chunk);
/* Chains TRANSFER behind *LAST. */
void transfer_chain(struct transfer *transfer, struct transfer ***last);
/* A chain, in order. Without the object's lock. */
void transfer_submit(struct transfer *list);
/* Ask for one flight, with the sources that lied left out. Without the object's lock. */
void flight_ask(struct flight *flight);

#endif
