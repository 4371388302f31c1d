/* SPDX-License-Identifier: Apache-2.0 */
#include "common/workqueue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct workqueue {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct work *first, **last; /* protected by lock */
	bool stopping;              /* protected by lock */
	char name[16];
	unsigned int n_threads;
	pthread_t threads[];
};

static struct work *take(struct workqueue *queue)
{
	struct work *work;

	pthread_mutex_lock(&queue->lock);
	while (!queue->first && !queue->stopping)
		pthread_cond_wait(&queue->changed, &queue->lock);
	work = queue->first;
	if (work) {
		queue->first = work->next;
		if (!queue->first)
			queue->last = &queue->first;
	}
	pthread_mutex_unlock(&queue->lock);
	return work;
}

static void *worker(void *arg)
{
	struct workqueue *queue = arg;
	struct work *work;

	pthread_setname_np(pthread_self(), queue->name);
	while ((work = take(queue)))
		work->run(work);
	return NULL;
}

int workqueue_new(unsigned int threads, const char *name, struct workqueue **out)
{
	struct workqueue *queue = calloc(1, sizeof(*queue) + threads * sizeof(queue->threads[0]));

	if (!queue)
		return -ENOMEM;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->changed, NULL);
	queue->last = &queue->first;
	snprintf(queue->name, sizeof(queue->name), "%s", name);
	while (queue->n_threads < threads) {
		int r = pthread_create(&queue->threads[queue->n_threads], NULL, worker, queue);

		if (r) {
			workqueue_free(queue);
			return -r;
		}
		queue->n_threads++;
	}
	*out = queue;
	return 0;
}

void workqueue_free(struct workqueue *queue)
{
	if (!queue)
		return;
	pthread_mutex_lock(&queue->lock);
	queue->stopping = true;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	for (unsigned int i = 0; i < queue->n_threads; i++)
		pthread_join(queue->threads[i], NULL);
	pthread_mutex_destroy(&queue->lock);
	pthread_cond_destroy(&queue->changed);
	free(queue);
}

void workqueue_submit(struct workqueue *queue, struct work *work)
{
	work->next = NULL;
	pthread_mutex_lock(&queue->lock);
	*queue->last = work;
	queue->last = &work->next;
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}
