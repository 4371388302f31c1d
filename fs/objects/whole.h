/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an open waits for: the front of one attested object, or all of an unattested one, or of one whose front nobody has. Shared
 * by whole.c (who waits, and the verdict), front.c, sizing.c and attempt.c (one try at fetching and hashing all of it).
 */
#ifndef FS_OBJECTS_WHOLE_H
#define FS_OBJECTS_WHOLE_H

#include "fs/objects/object.h"

struct front;

#define WHOLE_USERS_MAX 8

struct whole {
	struct object *object;
	struct parked *waiters; /* who wants it to open, or only to have it; protected by the object's lock, like all to `hashing` */
	unsigned int pending;
	int error;
	uint64_t contributed; /* sources that served chunks in this attempt */
	bool hashing;
	bool emptied; /* what was here of an attested object is forgotten: it is fetched without being checked */
	bool resumed; /* some chunks came from nobody knows whom: an earlier daemon, or sources whose numbers are others' now */
	/* turns.c's; protected by the object's lock, and written between attempts only, but for `joined`. */
	uid_t users[WHOLE_USERS_MAX]; /* whose places are in `places` */
	unsigned int n_users, turn;
	uid_t turn_user;
	int64_t turn_ms, turn_ends; /* 0: there was none yet */
	bool joined;                /* somebody who is not among the users */
	bool all;                   /* what is said to one alone was not enough: all are asked */
	bool alone;                 /* one source is asked, to find out who lied: this is nobody's turn */
	bool goes_on;               /* what is here came in this fetch, of sources that are in `contributed` */
	/* Between attempts, and in the hash job: one thread at a time. */
	uint64_t lied, suspects, sized;
	bool lied_grew;
	uint64_t hashed; /* chunks */
	struct verify_stream *stream;
	uint64_t excluded; /* the attempt's */
	bool resize;       /* to SIZE, first */
	uint64_t size;
	int refused;       /* sizing.c's: what it ends with if nobody says another size; 0: nobody was asked to */
	int64_t until;     /* and when that is: clock_ms(); 0: when nobody is left */
	struct work begin_work, hash_work, end_work;
	struct fetch_places *places;  /* of all that is asked for, as the sources in LIED and the like are numbered by them */
	struct fetch_request request; /* for the front, or a size */
	struct front *front;          /* front.c's: while that is asked for */
	char message[FETCH_MESSAGE_SIZE]; /* of the last failure */
};

/* Does anybody still want the object? With the object's lock held. */
bool whole_waits(const struct whole *whole);
/* The same without, and the daemon goes on. */
bool whole_is_wanted(const struct whole *whole);
/* The same, and it is nobody else's turn: for the wanted() of requests. */
bool whole_goes_on(const struct whole *whole);
/* Is it one of which chunks could be checked, if only its front were here? */
bool whole_is_attested(const struct whole *whole);

/* ---- sizing.c: of an unattested object its size, where that is in doubt ---- */

/* Before the first attempt: asks, or begins it. Nothing may be pending. */
void sizing_begin(struct whole *whole);
/* An attempt ended with ERROR. False: another size would not help; else it goes on here, or ends so. */
bool must_check sizing_again(struct whole *whole, int error);

/* ---- turns.c: on whose behalf ---- */

/* Before anything is asked for, while nothing is pending: who waits now? True: numbers of sources mean others from now on. */
bool turns_begin(struct whole *whole);
/* Is it somebody else's turn? Then requests are not wanted any more. With the object's lock held. */
bool turns_over(const struct whole *whole);
/* Nothing is pending: is what ended with ERROR to be begun again, as others have not been asked yet? */
bool must_check turns_again(struct whole *whole, int error);
/* Whom REQUEST asks. */
void turns_address(const struct whole *whole, struct fetch_request *request);
/* WAITER comes while it is under way. With the object's lock held. */
void turns_join(struct whole *whole, const struct parked *waiter);

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
