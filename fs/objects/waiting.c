/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/objects/waiting.h"

#include "common/clock.h"

struct waiting {
	struct parked parked;
	struct weightfs *fs;
	pthread_mutex_t lock;
	pthread_cond_t over;
	int outcome; /* protected by lock: -EAGAIN until it is over */
};

void waiting_init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attr);
	pthread_condattr_destroy(&attr);
}

struct timespec waiting_until(int ms)
{
	int64_t at = clock_ms() + ms;

	return (struct timespec){ .tv_sec = at / 1000, .tv_nsec = (at % 1000) * 1000000 };
}

static void answer(struct parked *parked, int error)
{
	struct waiting *waiting = container_of(parked, struct waiting, parked);

	pthread_mutex_lock(&waiting->lock);
	waiting->outcome = error;
	pthread_cond_signal(&waiting->over);
	pthread_mutex_unlock(&waiting->lock);
}

static void destroy(struct parked *parked)
{
	struct waiting *waiting = container_of(parked, struct waiting, parked);

	pthread_mutex_destroy(&waiting->lock);
	pthread_cond_destroy(&waiting->over);
	free(waiting);
}

int waiting_new(struct weightfs *fs, int64_t deadline_ms, struct waiting **out)
{
	struct waiting *waiting = calloc(1, sizeof(*waiting));

	if (!waiting)
		return -ENOMEM;
	pthread_mutex_init(&waiting->lock, NULL);
	waiting_init_condition(&waiting->over);
	waiting->fs = fs;
	waiting->outcome = -EAGAIN;
	parked_init_thread(&waiting->parked, answer, destroy);
	park(fs->parking, &waiting->parked, deadline_ms);
	*out = waiting;
	return 0;
}

struct parked *waiting_parked(struct waiting *waiting)
{
	return &waiting->parked;
}

int waiting_outcome(struct waiting *waiting, int ms)
{
	struct timespec until = waiting_until(ms);
	int r;

	pthread_mutex_lock(&waiting->lock);
	while (waiting->outcome == -EAGAIN &&
	       pthread_cond_timedwait(&waiting->over, &waiting->lock, &until) == 0)
		; /* woken for nothing */
	r = waiting->outcome;
	pthread_mutex_unlock(&waiting->lock);
	return r;
}

void waiting_free(struct waiting *waiting)
{
	if (!waiting)
		return;
	(void)!unpark(waiting->fs->parking, &waiting->parked);
	parked_unref(&waiting->parked);
}
