/* SPDX-License-Identifier: Apache-2.0 */
#include "common/pool.h"

#include <assert.h>
#include <pthread.h>
#include <sys/mman.h>

struct pool {
	pthread_mutex_t lock;
	size_t size, count;
	char *memory;
	size_t available;          /* protected by lock */
	void (*freed)(void *arg);  /* protected by lock, called without */
	void *freed_arg;           /* protected by lock */
	unsigned int calls;        /* of freed, under way; protected by lock */
	pthread_cond_t calls_over; /* calls is 0 */
	void *stack[]; /* protected by lock: the free ones, most recently used last */
};

int pool_new(size_t size, size_t count, struct pool **out)
{
	struct pool *pool = calloc(1, sizeof(*pool) + count * sizeof(pool->stack[0]));

	if (!pool)
		return -ENOMEM;
	pool->memory = mmap(NULL, size * count, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->memory == MAP_FAILED) {
		int r = -errno;

		free(pool);
		return r;
	}
	/*
	 * A cold read goes over all of it again and again, and the kernel pins it page by page for each
	 * direct write and each reply: 5 to 8 % less time with huge pages. Where there are none, so be it.
	 */
	(void)madvise(pool->memory, size * count, MADV_HUGEPAGE);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->calls_over, NULL);
	pool->size = size;
	pool->count = pool->available = count;
	for (size_t i = 0; i < count; i++)
		pool->stack[i] = pool->memory + (count - 1 - i) * size;
	*out = pool;
	return 0;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	pool_on_freed(pool, NULL, NULL); /* the last put may not be quite over */
	assert(pool->available == pool->count);
	munmap(pool->memory, pool->size * pool->count);
	pthread_cond_destroy(&pool->calls_over);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void pool_on_freed(struct pool *pool, void (*freed)(void *arg), void *arg)
{
	pthread_mutex_lock(&pool->lock);
	pool->freed = freed;
	pool->freed_arg = arg;
	while (pool->calls > 0)
		pthread_cond_wait(&pool->calls_over, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
}

void *pool_take(struct pool *pool)
{
	void *buffer = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->available > 0)
		buffer = pool->stack[--pool->available];
	pthread_mutex_unlock(&pool->lock);
	return buffer;
}

void pool_put(struct pool *pool, void *buffer)
{
	void (*freed)(void *arg);
	void *arg;

	if (!buffer)
		return;
	pthread_mutex_lock(&pool->lock);
	assert(pool->available < pool->count);
	pool->stack[pool->available++] = buffer;
	freed = pool->freed;
	arg = pool->freed_arg;
	pool->calls += freed != NULL;
	pthread_mutex_unlock(&pool->lock);
	if (!freed)
		return;
	freed(arg);
	pthread_mutex_lock(&pool->lock);
	if (--pool->calls == 0)
		pthread_cond_broadcast(&pool->calls_over);
	pthread_mutex_unlock(&pool->lock);
}

size_t pool_count(const struct pool *pool)
{
	return pool->count;
}

size_t pool_available(struct pool *pool)
{
	size_t available;

	pthread_mutex_lock(&pool->lock);
	available = pool->available;
	pthread_mutex_unlock(&pool->lock);
	return available;
}
