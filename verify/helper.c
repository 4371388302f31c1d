/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that does one job at a time for another thread.
 *
 * States: idle → start → running → (job ends) → done → wait → idle. The owner alone starts and
 * waits, the helper's thread alone ends a job.
 */
#include "verify/merkle.h"

#include <assert.h>
#include <pthread.h>
#include "common/workqueue.h"

struct verify_helper {
	struct workqueue *queue;
	struct work work;
	/* The owner's, lent to the thread while a job runs. */
	int (*run)(void *arg);
	void *arg;

	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool running; /* protected by lock */
	int result;   /* protected by lock */
};

static void run_job(struct work *work)
{
	struct verify_helper *helper = container_of(work, struct verify_helper, work);
	int result = helper->run(helper->arg);

	pthread_mutex_lock(&helper->lock);
	helper->running = false;
	helper->result = result;
	pthread_cond_signal(&helper->ended);
	pthread_mutex_unlock(&helper->lock);
}

int verify_helper_new(const char *name, struct verify_helper **out)
{
	_cleanup_free_ struct verify_helper *helper = calloc(1, sizeof(*helper));
	int r;

	if (!helper)
		return -ENOMEM;
	r = workqueue_new(1, name, &helper->queue);
	if (r < 0)
		return r;
	helper->work.run = run_job;
	pthread_mutex_init(&helper->lock, NULL);
	pthread_cond_init(&helper->ended, NULL);
	*out = steal_pointer(helper);
	return 0;
}

void verify_helper_free(struct verify_helper *helper)
{
	if (!helper)
		return;
	workqueue_free(helper->queue);
	pthread_cond_destroy(&helper->ended);
	pthread_mutex_destroy(&helper->lock);
	free(helper);
}

void verify_helper_start(struct verify_helper *helper, int (*run)(void *arg), void *arg)
{
	pthread_mutex_lock(&helper->lock);
	assert(!helper->running);
	helper->running = true;
	pthread_mutex_unlock(&helper->lock);
	helper->run = run;
	helper->arg = arg;
	workqueue_submit(helper->queue, &helper->work);
}

int verify_helper_wait(struct verify_helper *helper)
{
	int result;

	pthread_mutex_lock(&helper->lock);
	while (helper->running)
		pthread_cond_wait(&helper->ended, &helper->lock);
	result = helper->result;
	helper->result = 0;
	pthread_mutex_unlock(&helper->lock);
	return result;
}
