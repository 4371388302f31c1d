/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that waits in the parking lot, as requests do: one of the control socket, whose client may wait as long as
 * it likes. FUSE threads never do.
 */
#ifndef FS_OBJECTS_WAITING_H
#define FS_OBJECTS_WAITING_H

#include <pthread.h>
#include <time.h>
#include "fs/objects/parking.h"

struct waiting;

/* Parked until DEADLINE_MS, as park() says. 0 or -ENOMEM. */
int must_check waiting_new(struct weightfs *fs, int64_t deadline_ms, struct waiting **out);
/* What is handed to whoever will answer, which takes over a reference (parked_ref()). */
struct parked *waiting_parked(struct waiting *waiting);
/* -EAGAIN: there is no answer yet, MS later; else what it is. */
int must_check waiting_outcome(struct waiting *waiting, int ms);
/* The answer is not wanted any more, or has come. NULL is allowed. */
void waiting_free(struct waiting *waiting);

/* The time MS from now, for waits on a condition that goes by CLOCK_MONOTONIC. */
struct timespec waiting_until(int ms);
void waiting_init_condition(pthread_cond_t *condition);

#endif
