/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was asked for where the policy asks, and nobody has answered: in memory, and of bounded size, whoever asks for
 * how much. Any thread; nobody waits here for more than a few instructions, but in pending_wait().
 */
#ifndef FS_ORIGINS_PENDING_H
#define FS_ORIGINS_PENDING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/cleanup.h"
#include "common/digest.h"

#define PENDING_MAX	     4096 /* in all; the one that whoever has most asked for longest ago goes */
#define PENDING_MAX_USER 1024 /* of one user; the one that was asked for longest ago goes */
#define PENDING_MAX_VIEW 128	  /* the same of one view */

struct pendings;

struct pending {
	uint32_t view;
	struct digest_name name; /* as it was asked for */
	uint64_t serial;	 /* grows from one to the next, also from one daemon to the next */
	int64_t first, last;	 /* when it was asked for, seconds since the epoch */
	uint64_t count;		 /* how often */
};

int must_check pendings_new(struct pendings **out);
void pendings_free(struct pendings *pendings); /* nobody waits; NULL is allowed */

/* NAME was asked for in VIEW, which is of user UID, at NOW (seconds since the epoch). Without memory, nothing happens. */
void pending_note(struct pendings *pendings, uint32_t view, uid_t uid, const struct digest_name *name,
		  int64_t now);
/* It was answered, or is not asked about any more. */
void pending_forget(struct pendings *pendings, uint32_t view, const struct digest_name *name);
/* All of them with a serial greater than AFTER, by serial; to be freed. 0 or -ENOMEM. */
int must_check pending_list(struct pendings *pendings, uint64_t after, struct pending **out, size_t *n);
/* The greatest serial that was given out, as soon as that is greater than AFTER, or MS later. */
uint64_t pending_wait(struct pendings *pendings, uint64_t after, int ms);

#endif
