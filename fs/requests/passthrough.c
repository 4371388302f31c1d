/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	            open                      registered, or could not be
 *	(unknown) ────────► claimed, 1 open ──────────────────────────────► through | cached
 *	    ▲  │                                                                │
 *	    │  └──────────► claimed, 0 opens (claim_idle)                       │
 *	    └────────────────────┴──────────────────────────────────────────────┘ the last close, unclaim
 *
 * A node is in the table while it is open or claimed. Registering is I/O: the node is claimed for it, and other
 * opens of it wait. A backing id is closed after its node left the table, so the next open registers another; the
 * kernel let go of the old one before it sent the RELEASE.
 */
#include "fs/requests/passthrough.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>
#include "common/log.h"
#include "fs/requests/wire.h"

struct use {
	uint64_t node;
	unsigned int opens;
	bool claimed;
	int32_t backing_id; /* 0: cached */
	UT_hash_handle hh;
};

struct passthrough {
	bool wanted;
	int device;		      /* constant once active */
	char other_reason[128];	      /* constant once `reason` points to it */
	_Atomic(const char *) reason; /* NULL: active */
	pthread_mutex_t lock;
	pthread_cond_t unclaimed;
	struct use *table;	  /* protected by lock, and what is in it */
	uint64_t cached, through; /* protected by lock: live opens */
	int last_error;		  /* protected by lock: of registering; said already */
};

int passthrough_new(bool wanted, struct passthrough **out)
{
	struct passthrough *passthrough = calloc(1, sizeof(*passthrough));

	if (!passthrough)
		return -ENOMEM;
	passthrough->wanted = wanted;
	passthrough->device = -1;
	atomic_init(&passthrough->reason, wanted ? "the mount is not ready" : "-o nopassthrough");
	pthread_mutex_init(&passthrough->lock, NULL);
	pthread_cond_init(&passthrough->unclaimed, NULL);
	*out = passthrough;
	return 0;
}

void passthrough_free(struct passthrough *passthrough)
{
	struct use *use, *next;

	if (!passthrough)
		return;
	HASH_ITER (hh, passthrough->table, use, next) {
		HASH_DEL(passthrough->table, use);
		free(use);
	}
	pthread_cond_destroy(&passthrough->unclaimed);
	pthread_mutex_destroy(&passthrough->lock);
	free(passthrough);
}

/* ---- is it possible? ---- */

bool passthrough_wanted(const struct passthrough *passthrough)
{
	return passthrough->wanted;
}

bool passthrough_active(const struct passthrough *passthrough)
{
	return !atomic_load_explicit(&passthrough->reason, memory_order_acquire);
}

const char *passthrough_reason(const struct passthrough *passthrough)
{
	return atomic_load_explicit(&passthrough->reason, memory_order_acquire);
}

static const char *reason_of(struct passthrough *passthrough, int error)
{
	if (error == -EPERM)
		return "the daemon has no CAP_SYS_ADMIN";
	if (error == -ELOOP)
		return "the store is on a stacked filesystem";
	snprintf(passthrough->other_reason, sizeof(passthrough->other_reason),
		 "the kernel does not take the store's files: %s", strerror(-error));
	return passthrough->other_reason;
}

void passthrough_begin(struct passthrough *passthrough, bool agreed, int device, int probe)
{
	const char *reason = NULL;
	int32_t id;

	if (!passthrough->wanted)
		return;
	if (!agreed) {
		reason = "the kernel does not offer it (Linux has it since 6.9)";
	} else {
		id = wire_backing_open(device, probe);
		if (id > 0)
			wire_backing_close(device, id);
		else
			reason = reason_of(passthrough, id);
	}
	passthrough->device = device;
	atomic_store_explicit(&passthrough->reason, reason, memory_order_release);
	if (reason)
		log_info("no passthrough: %s", reason);
}

/* ---- opens ---- */

/* With the lock held, which is given up while NODE is claimed. NULL: nobody has it open. */
static struct use *find_unclaimed(struct passthrough *passthrough, uint64_t node)
{
	struct use *use;

	for (;;) {
		HASH_FIND(hh, passthrough->table, &node, sizeof(node), use);
		if (!use || !use->claimed)
			return use;
		pthread_cond_wait(&passthrough->unclaimed, &passthrough->lock);
	}
}

/* With the lock held: one more open, or one less. */
static void count(struct passthrough *passthrough, struct use *use, int change)
{
	uint64_t *opens = use->backing_id ? &passthrough->through : &passthrough->cached;

	use->opens += (unsigned int)change;
	*opens += (uint64_t)(int64_t)change;
}

/* The claim that the first open made ends: NODE's mode is known. */
static void settle(struct passthrough *passthrough, struct use *use, int32_t id)
{
	bool say;

	pthread_mutex_lock(&passthrough->lock);
	say = id < 0 && id != passthrough->last_error;
	if (id < 0)
		passthrough->last_error = id;
	use->backing_id = id > 0 ? id : 0;
	use->claimed = false;
	count(passthrough, use, 1);
	pthread_cond_broadcast(&passthrough->unclaimed);
	pthread_mutex_unlock(&passthrough->lock);
	if (say)
		log_warning_errno(id, "a complete file is not passed through, but copied");
}

int passthrough_open(struct passthrough *passthrough, uint64_t node, int fd, int32_t *backing_id)
{
	bool through = fd >= 0 && passthrough_active(passthrough), stale;
	struct use *fresh = calloc(1, sizeof(*fresh)), *use;

	if (!fresh)
		return -ENOMEM;
	pthread_mutex_lock(&passthrough->lock);
	use = find_unclaimed(passthrough, node);
	if (!use) {
		fresh->node = node;
		fresh->claimed = through;
		HASH_ADD(hh, passthrough->table, node, sizeof(node), fresh);
	}
	stale = use && use->backing_id && fd < 0;
	if ((use || !through) && !stale) {
		count(passthrough, use ? use : fresh, 1);
		*backing_id = use ? use->backing_id : 0;
	}
	pthread_mutex_unlock(&passthrough->lock);
	if (use)
		free(fresh);
	if (stale)
		return -ESTALE;
	if (!use && through) {
		settle(passthrough, fresh, wire_backing_open(passthrough->device, fd));
		*backing_id = fresh->backing_id;
	}
	return 0;
}

bool passthrough_close(struct passthrough *passthrough, uint64_t node)
{
	struct use *use;
	bool last;

	pthread_mutex_lock(&passthrough->lock);
	HASH_FIND(hh, passthrough->table, &node, sizeof(node), use);
	assert(use && !use->claimed && use->opens > 0);
	count(passthrough, use, -1);
	last = use->opens == 0;
	if (last)
		HASH_DEL(passthrough->table, use);
	pthread_mutex_unlock(&passthrough->lock);
	if (!last)
		return false;
	if (use->backing_id)
		wire_backing_close(passthrough->device, use->backing_id);
	free(use);
	return true;
}

bool passthrough_is_open(struct passthrough *passthrough, uint64_t node)
{
	struct use *use;
	bool open;

	pthread_mutex_lock(&passthrough->lock);
	HASH_FIND(hh, passthrough->table, &node, sizeof(node), use);
	open = use && use->opens > 0;
	pthread_mutex_unlock(&passthrough->lock);
	return open;
}

void passthrough_counts(struct passthrough *passthrough, struct passthrough_counts *out)
{
	pthread_mutex_lock(&passthrough->lock);
	*out = (struct passthrough_counts){passthrough->cached, passthrough->through};
	pthread_mutex_unlock(&passthrough->lock);
}

/* ---- claims of nodes that nobody has open ---- */

bool passthrough_claim_idle(struct passthrough *passthrough, uint64_t node)
{
	struct use *fresh = calloc(1, sizeof(*fresh)), *use;

	if (!fresh)
		return false;
	pthread_mutex_lock(&passthrough->lock);
	HASH_FIND(hh, passthrough->table, &node, sizeof(node), use);
	if (!use) {
		fresh->node = node;
		fresh->claimed = true;
		HASH_ADD(hh, passthrough->table, node, sizeof(node), fresh);
	}
	pthread_mutex_unlock(&passthrough->lock);
	if (use)
		free(fresh);
	return !use;
}

void passthrough_unclaim(struct passthrough *passthrough, uint64_t node)
{
	struct use *use;

	pthread_mutex_lock(&passthrough->lock);
	HASH_FIND(hh, passthrough->table, &node, sizeof(node), use);
	assert(use && use->claimed && use->opens == 0);
	HASH_DEL(passthrough->table, use);
	pthread_cond_broadcast(&passthrough->unclaimed);
	pthread_mutex_unlock(&passthrough->lock);
	free(use);
}
