/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an open waits for: the front of one attested object, or all of an unattested one, or of one whose front nobody has. Shared
 * by whole.c (who waits, and the verdict), front.c and attempt.c (one try at fetching and hashing all of it).
 */
#ifndef FS_OBJECTS_WHOLE_H
#define FS_OBJECTS_WHOLE_H

#include "fs/objects/object.h"

struct front;

struct whole {
	struct object *object;
	uid_t uid; /* who wanted it first: whose catalogs may say where it is */
	struct parked *waiters; /* who wants it to open, or only to have it; protected by the object's lock, like all to `hashing` */
	unsigned int pending;
	int error;
	uint64_t contributed; /* sources that served chunks in this attempt */
	bool hashing;
	bool emptied; /* what was here of an attested object is forgotten: it is fetched without being checked */
	bool resumed; /* some chunks came from an earlier daemon */
	/* Between attempts, and in the hash job: one thread at a time. */
	uint64_t lied, suspects, sized;
	bool lied_grew;
	uint64_t hashed; /* chunks */
	struct verify_stream *stream;
	uint64_t excluded; /* the attempt's */
	bool resize;       /* to SIZE, first */
	uint64_t size;
	struct work begin_work, hash_work, end_work;
	struct fetch_places *places;  /* of all that is asked for, as the sources in LIED and the like are numbered by them */
	struct fetch_request request; /* for the front, or a size */
	struct front *front;          /* front.c's: while that is asked for */
	char message[FETCH_MESSAGE_SIZE]; /* of the last failure */
};

/* Does anybody still want the object? With the object's lock held. */
bool whole_waits(const struct whole *whole);
/* The same without, and the daemon goes on: for the wanted() of requests. */
bool whole_is_wanted(const struct whole *whole);
/* Is it one of which chunks could be checked, if only its front were here? */
bool whole_is_attested(const struct whole *whole);

/* ---- front.c: of an attested object the front, which may be all that is needed ---- */

/* Ends with whole_conclude(), or begins an attempt. */
void front_begin(struct whole *whole);

/* The fetch is over: answer all, and let the next open begin a new one. WHOLE is gone then, or goes on if somebody came. */
void whole_conclude(struct whole *whole, int error);
/*
 * It is larger than was said: who may not have that much learns it now. True: somebody waits on. Nothing may be pending:
 * nobody else takes from the list.
 */
bool must_check whole_refuse_over_quota(struct whole *whole);
/* The deadline of an open is one on stalls: every chunk sets it anew. */
void whole_note_progress(struct whole *whole);

/*
 * In the background, as room may have to be made: fetch what is absent, from sources that are not EXCLUDED, and hash
 * everything. Nothing may be pending. Ends
 * with whole->end_work in the background: whole->error is 0 and all is hashed, or it says why not.
 */
void attempt_begin(struct whole *whole, uint64_t excluded);

#endif
