/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: what every part of fs/ finds the others through.
 *
 * All members are set before the mount and constant while it lives, except where said.
 */
#ifndef FS_FS_H
#define FS_FS_H

#define FUSE_USE_VERSION 312

#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/cleanup.h"
#include "common/digest.h"
#include "common/pool.h"
#include "common/workqueue.h"
#include "config/config.h"
#include "fetch/fetch.h"
#include "policy/policy.h"
#include "store/store.h"

struct asking;
struct callers;
struct audit;
struct catalogs;
struct control;
struct kept;
struct objects;
struct parking;
struct passthrough;
struct pendings;
struct policy_slot;
struct probes;
struct separates;
struct views;

struct weightfs {
	struct config config;
	struct policy_slot *policy;
	struct store *store;
	struct pool *pool;
	struct fetch *fetch;
	struct workqueue *verifiers;  /* check chunks and answer readers: CPU only */
	struct workqueue *writers;    /* chunks to the disk */
	struct workqueue *records;    /* what lookups and opens leave in the store: may wait for the disk */
	struct workqueue *listings;   /* READDIR of hash/, and what else goes through a view: as long as the store or a catalog is large */
	struct workqueue *background; /* syncs, audits, whole-file hashing: may take seconds */
	struct parking *parking;
	struct passthrough *passthrough;
	struct catalogs *catalogs; /* what is known of objects, and their names */
	struct callers *callers;
	struct views *views;
	struct objects *objects;
	struct probes *probes;
	struct separates *separates;
	struct pendings *pendings; /* what users are asked about */
	struct asking *asking;
	struct control *control;
	struct audit *audit; /* NULL: none */
	struct fuse_session *session;
	uint32_t single_view; /* -o origin=: the view that the mount is; 0: every caller has its own */
	bool offline;
	struct kept *kept;        /* chunks in memory that need not be */
	int64_t started, started_ms; /* when: seconds since the epoch; clock_ms() */
	atomic_size_t fetching;   /* objects with chunks on their way */
	atomic_uint finishing;    /* objects that are made complete, or audited: open meanwhile */
	atomic_uint unrecorded;   /* opens whose time is on its way to the disk */
	atomic_bool sweep_waits;  /* what is to leave the store is looked at soon */
	atomic_ullong changes; /* how often session_forget_names() was called: what was worked out from policy, answers and catalogs */
	atomic_bool serving;  /* set in INIT: from then on other threads may look at SESSION */
	atomic_bool epochs;   /* set in INIT: the kernel drops cached names when told (FUSE 7.44) */
	atomic_bool stopping; /* long background work ends early */
};

/* Buffers of the pool that are left to transfers: more than these are not kept full. */
size_t fs_spare(const struct weightfs *fs);
/* How long the kernel may keep what never changes but may be withdrawn by a policy reload. */
double fs_timeout(const struct weightfs *fs);
/* When a request that comes now is answered at the latest (clock_ms(); 0: no deadline). */
int64_t fs_deadline(const struct weightfs *fs);

#endif
