/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passthrough: which nodes are read by the kernel straight from the object's file, and the backing ids for it.
 *
 * The kernel does not mix modes on one inode, so the first live open of a node fixes its mode until its last RELEASE,
 * and all opens of a node name one backing id. The counts are therefore exact on the safe side: an open counts from
 * before its reply until its RELEASE was received, so the kernel never has one that is not counted here.
 *
 * All functions may be called on any thread. Those that say so make an ioctl(2).
 */
#ifndef FS_REQUESTS_PASSTHROUGH_H
#define FS_REQUESTS_PASSTHROUGH_H

#include "fs/fs.h"

struct passthrough;

struct passthrough_counts {
	uint64_t cached, through; /* live opens, by the mode of their nodes */
};

/* WANTED false: nothing is ever passed through. 0 or -ENOMEM. */
int must_check passthrough_new(bool wanted, struct passthrough **out);
/* The connection is gone, and with it what was registered; opens without RELEASE are forgotten. NULL is allowed. */
void passthrough_free(struct passthrough *passthrough);

bool passthrough_wanted(const struct passthrough *passthrough);
/*
 * INIT is over. AGREED: passthrough is part of what was agreed on. DEVICE is the connection's descriptor, borrowed;
 * PROBE a regular file of the store's filesystem, which is registered for a try. Once, makes ioctls.
 */
void passthrough_begin(struct passthrough *passthrough, bool agreed, int device, int probe);

bool passthrough_active(const struct passthrough *passthrough);
/* Why not; NULL if it is active. Valid as long as PASSTHROUGH. */
const char *passthrough_reason(const struct passthrough *passthrough);
void passthrough_counts(struct passthrough *passthrough, struct passthrough_counts *out);

/*
 * An OPEN of NODE is about to be answered. FD: its object's complete file, or -1: it is not complete. *BACKING_ID: what
 * to answer with; 0: cached. 0 or -ENOMEM; -ESTALE: somebody has it open passed through, and since then it was found to be
 * damaged; the kernel looks it up anew, and finds the other slot. May make an ioctl, or wait for another thread's.
 */
int must_check passthrough_open(struct passthrough *passthrough, uint64_t node, int fd,
				int32_t *backing_id);
/* Its RELEASE came, or its reply found nobody. true: it was the last of NODE. May make an ioctl. */
bool passthrough_close(struct passthrough *passthrough, uint64_t node);

/* Has anybody NODE open? */
bool passthrough_is_open(struct passthrough *passthrough, uint64_t node);

/*
 * Keep NODE from being opened, as long as nobody has it open: until passthrough_unclaim() its opens wait. false: it is
 * open, or claimed.
 */
bool must_check passthrough_claim_idle(struct passthrough *passthrough, uint64_t node);
void passthrough_unclaim(struct passthrough *passthrough, uint64_t node);

#endif
