/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States of a parked request: in the table (answered = false) → out of it (answered = true), once. Whoever
 * moves it out, under the lock, answers it after the lock is dropped.
 *
 * The kernel sends one INTERRUPT a request. A READ that ignored it (the signal was not fatal) and is killed
 * later gets no second one, and page-cache readahead gets none at all; so a sweeper looks whether the
 * callers are still alive.
 */
#include "fs/objects/parking.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "common/clock.h"
#include "common/io.h"
#include "common/stats.h"

#define SWEEP_MS          1000 /* between two looks at whether callers live */
#define SWEEP_INTERRUPTED 100  /* the same while an interrupted one waits */
#define NOTHING_DUE       INT64_MAX

struct parking {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t sweeper;
	struct parked *table; /* protected by lock */
	uint64_t last_id;     /* protected by lock */
	int64_t due;          /* protected by lock: until when the sweeper sleeps; 0: it does not */
	bool stopping;        /* protected by lock */
};

/* ---- references ---- */

void parked_init(struct parked *parked, fuse_req_t request, enum parked_kind kind,
		 void (*destroy)(struct parked *parked))
{
	*parked = (struct parked){ .request = request, .kind = kind, .destroy = destroy };
	atomic_init(&parked->references, 1);
	parked->caller = fuse_req_ctx(request)->pid;
}

void parked_init_thread(struct parked *parked, void (*answer)(struct parked *parked, int error),
			void (*destroy)(struct parked *parked))
{
	*parked = (struct parked){ .answer = answer, .kind = PARKED_WAIT, .destroy = destroy };
	atomic_init(&parked->references, 1);
}

struct parked *parked_ref(struct parked *parked)
{
	atomic_fetch_add(&parked->references, 1);
	return parked;
}

void parked_unref(struct parked *parked)
{
	if (atomic_fetch_sub(&parked->references, 1) == 1)
		parked->destroy(parked);
}

/* ---- in and out ---- */

/* With the lock held. The table's reference passes to the caller. */
static void take(struct parking *parking, struct parked *parked)
{
	HASH_DEL(parking->table, parked);
	atomic_store(&parked->answered, true);
}

static struct parked *take_by_id(struct parking *parking, uint64_t id)
{
	struct parked *parked;

	pthread_mutex_lock(&parking->lock);
	HASH_FIND(hh, parking->table, &id, sizeof(id), parked);
	if (parked)
		take(parking, parked);
	pthread_mutex_unlock(&parking->lock);
	return parked;
}

void parked_answer(struct parked *parked, int error)
{
	if (parked->request)
		fuse_reply_err(parked->request, -error);
	else
		parked->answer(parked, error);
}

static void answer(struct parked *parked, int error)
{
	if (parked->kind == PARKED_READ)
		stats_read_failed(error);
	parked_answer(parked, -error);
	parked_unref(parked);
}

bool unpark(struct parking *parking, struct parked *parked)
{
	bool mine;

	pthread_mutex_lock(&parking->lock);
	mine = parked_waits(parked);
	if (mine)
		take(parking, parked);
	pthread_mutex_unlock(&parking->lock);
	if (mine)
		parked_unref(parked); /* the table's; the caller has its own */
	return mine;
}

void park_until(struct parking *parking, struct parked *parked, int64_t deadline_ms)
{
	pthread_mutex_lock(&parking->lock);
	parked->deadline_ms = deadline_ms;
	pthread_mutex_unlock(&parking->lock);
}

size_t parking_count(struct parking *parking)
{
	size_t count;

	pthread_mutex_lock(&parking->lock);
	count = HASH_COUNT(parking->table);
	pthread_mutex_unlock(&parking->lock);
	return count;
}

/* ---- interrupts ---- */

/* Is SIGKILL in the signal set that proc(5) prints in STATUS behind FIELD? */
static bool kill_pending(const char *status, const char *field)
{
	const char *set = strstr(status, field);

	return set && (strtoull(set + strlen(field), NULL, 16) >> (SIGKILL - 1) & 1);
}

/* Is SIGKILL on its way to thread TID, or is it gone already? */
static bool dying(pid_t tid)
{
	_cleanup_free_ char *status = NULL;
	char path[64];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	/* Where proc(5) is mounted with hidepid, other users' threads seem to be gone; not for kill(2). */
	if (io_read_file(path, 16384, &status, &len) < 0)
		return kill(tid, 0) < 0 && errno == ESRCH;
	return kill_pending(status, "SigPnd:") || kill_pending(status, "ShdPnd:") ||
	       strstr(status, "State:\tZ") || strstr(status, "State:\tX");
}

/* Request ID was interrupted: answer it, unless it is a READ of a caller that lives. */
static void heed_interrupt(struct parking *parking, uint64_t id)
{
	struct parked *parked;
	pid_t reader = -1;

	pthread_mutex_lock(&parking->lock);
	HASH_FIND(hh, parking->table, &id, sizeof(id), parked);
	if (parked && parked->kind == PARKED_READ) {
		reader = parked->caller;
		pthread_cond_signal(&parking->changed);
	}
	pthread_mutex_unlock(&parking->lock);
	/* Of a reader that cannot be seen (0) nobody knows whether the signal was fatal: it waits. */
	if (reader == 0 || (reader > 0 && !dying(reader)))
		return;
	parked = take_by_id(parking, id);
	if (parked)
		answer(parked, EINTR);
}

/*
 * DATA is the id, not the request: it may have been answered in the meantime. The parking lot is the
 * session's user data.
 *
 * If the signal came first, libfuse calls this from within fuse_req_interrupt_func(). An answer there
 * would free the request whose lock libfuse is yet to drop: park() heeds the interrupt afterwards.
 */
static void interrupted(fuse_req_t request, void *data)
{
	struct weightfs *fs = fuse_req_userdata(request);
	uint64_t id = (uint64_t)(uintptr_t)data;
	struct parked *parked;
	bool armed = false;

	pthread_mutex_lock(&fs->parking->lock);
	HASH_FIND(hh, fs->parking->table, &id, sizeof(id), parked);
	if (parked) {
		parked->interrupted = true;
		armed = parked->armed;
	}
	pthread_mutex_unlock(&fs->parking->lock);
	if (armed)
		heed_interrupt(fs->parking, id);
}

void park(struct parking *parking, struct parked *parked, int64_t deadline_ms)
{
	bool interrupted_before;

	pthread_mutex_lock(&parking->lock);
	parked->id = ++parking->last_id;
	parked->deadline_ms = deadline_ms;
	parked_ref(parked);
	HASH_ADD(hh, parking->table, id, sizeof(parked->id), parked);
	pthread_mutex_unlock(&parking->lock);

	/* Not armed yet, and no chunk knows of it: nobody can answer it here. */
	if (parked->request)
		fuse_req_interrupt_func(parked->request, interrupted, (void *)(uintptr_t)parked->id);

	pthread_mutex_lock(&parking->lock);
	parked->armed = true;
	interrupted_before = parked->interrupted;
	/* Waking the sweeper for each would cost more than most reads. */
	if (parking->due == NOTHING_DUE || (deadline_ms && deadline_ms < parking->due))
		pthread_cond_signal(&parking->changed);
	pthread_mutex_unlock(&parking->lock);
	if (interrupted_before)
		heed_interrupt(parking, parked->id);
}

/* ---- the sweeper ---- */

/* With the lock held: takes one request whose deadline is over. */
static struct parked *take_expired(struct parking *parking, int64_t now)
{
	struct parked *parked, *following;

	HASH_ITER(hh, parking->table, parked, following) {
		if (!parked->armed || !parked->deadline_ms || parked->deadline_ms > now)
			continue;
		take(parking, parked);
		return parked;
	}
	return NULL;
}

struct suspect {
	uint64_t id;
	pid_t caller;
};

/* With the lock held: up to MAX callers with ids above AFTER that may be dead, by id. */
static size_t list_suspects(struct parking *parking, bool all, uint64_t after,
			    struct suspect *out, size_t max)
{
	struct parked *parked, *following;
	size_t n = 0;

	HASH_ITER(hh, parking->table, parked, following) {
		if (n == max)
			break;
		/* uthash keeps the order of insertion: that of the ids. */
		if (parked->id <= after)
			continue;
		if (parked->armed && parked->caller && (all || parked->interrupted))
			out[n++] = (struct suspect){ parked->id, parked->caller };
	}
	return n;
}

static void sweep_dead(struct parking *parking, bool all)
{
	struct suspect suspects[256];
	uint64_t after = 0;
	size_t n;

	do {
		pthread_mutex_lock(&parking->lock);
		n = list_suspects(parking, all, after, suspects, ARRAY_SIZE(suspects));
		pthread_mutex_unlock(&parking->lock);
		for (size_t i = 0; i < n; i++) {
			struct parked *parked = dying(suspects[i].caller) ?
							take_by_id(parking, suspects[i].id) :
							NULL;

			if (parked)
				answer(parked, EINTR);
			after = suspects[i].id;
		}
	} while (n == ARRAY_SIZE(suspects));
}

/* With the lock held: when is something to be done next? */
static int64_t next_due(struct parking *parking)
{
	int64_t now = clock_ms(), due = now + SWEEP_MS;
	struct parked *parked, *following;

	if (!parking->table)
		return NOTHING_DUE;
	HASH_ITER(hh, parking->table, parked, following) {
		if (parked->interrupted && due > now + SWEEP_INTERRUPTED)
			due = now + SWEEP_INTERRUPTED;
		if (parked->deadline_ms && parked->deadline_ms < due)
			due = parked->deadline_ms;
	}
	return due;
}

/* With the lock held: waits until something is due. */
static void wait_due(struct parking *parking)
{
	struct timespec at;

	parking->due = next_due(parking);
	at = (struct timespec){
		.tv_sec = parking->due / 1000,
		.tv_nsec = (parking->due % 1000) * 1000000,
	};
	if (parking->due == NOTHING_DUE)
		pthread_cond_wait(&parking->changed, &parking->lock);
	else
		pthread_cond_timedwait(&parking->changed, &parking->lock, &at);
	parking->due = 0;
}

static void *sweep(void *arg)
{
	struct parking *parking = arg;
	int64_t last_full = clock_ms();

	pthread_setname_np(pthread_self(), "parking");
	pthread_mutex_lock(&parking->lock);
	while (!parking->stopping) {
		int64_t now = clock_ms();
		struct parked *expired = take_expired(parking, now);

		if (expired) {
			pthread_mutex_unlock(&parking->lock);
			answer(expired, expired->late ? expired->late : ETIMEDOUT);
			pthread_mutex_lock(&parking->lock);
			continue;
		}
		pthread_mutex_unlock(&parking->lock);
		sweep_dead(parking, now - last_full >= SWEEP_MS);
		if (now - last_full >= SWEEP_MS)
			last_full = now;
		pthread_mutex_lock(&parking->lock);
		if (!parking->stopping)
			wait_due(parking);
	}
	pthread_mutex_unlock(&parking->lock);
	return NULL;
}

int parking_new(struct parking **out)
{
	struct parking *parking = calloc(1, sizeof(*parking));
	pthread_condattr_t attr;
	int r;

	if (!parking)
		return -ENOMEM;
	pthread_mutex_init(&parking->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&parking->changed, &attr);
	pthread_condattr_destroy(&attr);
	r = pthread_create(&parking->sweeper, NULL, sweep, parking);
	if (r) {
		free(parking);
		return -r;
	}
	*out = parking;
	return 0;
}

void parking_free(struct parking *parking)
{
	struct parked *parked, *following;

	if (!parking)
		return;
	pthread_mutex_lock(&parking->lock);
	parking->stopping = true;
	pthread_cond_signal(&parking->changed);
	pthread_mutex_unlock(&parking->lock);
	pthread_join(parking->sweeper, NULL);
	HASH_ITER(hh, parking->table, parked, following) {
		take(parking, parked);
		answer(parked, ENOTCONN);
	}
	pthread_mutex_destroy(&parking->lock);
	pthread_cond_destroy(&parking->changed);
	free(parking);
}
