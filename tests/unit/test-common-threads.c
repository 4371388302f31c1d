/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of common/ that threads share: the pool of buffers, the work queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "common/pool.h"
#include "common/workqueue.h"

#define THREADS 4

/* ---- the pool ---- */

#define BUFFER	4096
#define BUFFERS 8

static void test_exhaustion(void **state)
{
	struct pool *pool = NULL;
	char *buffers[BUFFERS], *last;

	assert_int_equal(pool_new(BUFFER, BUFFERS, &pool), 0);
	assert_int_equal(pool_count(pool), BUFFERS);
	for (size_t i = 0; i < BUFFERS; i++) {
		assert_int_equal(pool_available(pool), BUFFERS - i);
		buffers[i] = pool_take(pool);
		assert_non_null(buffers[i]);
		assert_int_equal((uintptr_t)buffers[i] % BUFFER, 0);
		memset(buffers[i], (int)i + 1, BUFFER);
	}
	assert_int_equal(pool_available(pool), 0);
	assert_null(pool_take(pool));
	assert_null(pool_take(pool));
	/* None overlaps another. */
	for (size_t i = 0; i < BUFFERS; i++)
		for (size_t at = 0; at < BUFFER; at++)
			assert_int_equal(buffers[i][at], i + 1);
	pool_put(pool, NULL);
	assert_int_equal(pool_available(pool), 0);
	/* What came back last is warm, and goes out first. */
	pool_put(pool, buffers[3]);
	pool_put(pool, buffers[5]);
	last = pool_take(pool);
	assert_ptr_equal(last, buffers[5]);
	pool_put(pool, last);
	for (size_t i = 0; i < BUFFERS; i++)
		if (i != 3 && i != 5)
			pool_put(pool, buffers[i]);
	assert_int_equal(pool_available(pool), BUFFERS);
	assert_int_equal(pool_count(pool), BUFFERS);
	pool_free(pool);
	pool_free(NULL);
}

struct hook {
	struct pool *pool;
	unsigned int calls;
	size_t available;
};

static void count_call(void *arg)
{
	struct hook *hook = arg;

	hook->calls++;
	/* No lock is held, so the pool can be used. */
	hook->available = pool_available(hook->pool);
	pool_put(hook->pool, NULL);
}

static void test_hook(void **state)
{
	struct hook hook = {0};
	void *a, *b;

	assert_int_equal(pool_new(BUFFER, 2, &hook.pool), 0);
	a = pool_take(hook.pool);
	b = pool_take(hook.pool);
	pool_on_freed(hook.pool, count_call, &hook);
	assert_int_equal(hook.calls, 0);
	pool_put(hook.pool, a);
	assert_int_equal(hook.calls, 1);
	assert_int_equal(hook.available, 1); /* the buffer is back when it is told */
	a = pool_take(hook.pool);
	assert_int_equal(hook.calls, 1);
	pool_on_freed(hook.pool, NULL, NULL);
	pool_put(hook.pool, a);
	pool_put(hook.pool, b);
	assert_int_equal(hook.calls, 1);
	pool_free(hook.pool);
}

/* Ends a hook while others put: nobody may be inside afterwards, nor come later. */
struct ending {
	struct pool *pool;
	atomic_bool gone, stop;
	atomic_uint inside, late, calls;
};

static void enter(void *arg)
{
	struct ending *ending = arg;

	atomic_fetch_add(&ending->inside, 1);
	if (atomic_load(&ending->gone))
		atomic_fetch_add(&ending->late, 1);
	atomic_fetch_add(&ending->calls, 1);
	sched_yield();
	atomic_fetch_sub(&ending->inside, 1);
}

static void *take_and_put(void *arg)
{
	struct ending *ending = arg;

	while (!atomic_load(&ending->stop))
		pool_put(ending->pool, pool_take(ending->pool));
	return NULL;
}

static void test_hook_ends(void **state)
{
	struct ending ending = {0};
	pthread_t threads[THREADS];

	assert_int_equal(pool_new(BUFFER, 3, &ending.pool), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_put, &ending), 0);
	for (unsigned int round = 0; round < 200; round++) {
		unsigned int before = atomic_load(&ending.calls);

		atomic_store(&ending.gone, false);
		pool_on_freed(ending.pool, enter, &ending);
		while (atomic_load(&ending.calls) == before)
			sched_yield();
		pool_on_freed(ending.pool, NULL, NULL);
		assert_int_equal(atomic_load(&ending.inside), 0);
		atomic_store(&ending.gone, true);
	}
	atomic_store(&ending.stop, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&ending.late), 0);
	pool_free(ending.pool);
}

struct sharing {
	struct pool *pool;
	atomic_uint clashes, out, most;
};

/* Writes its mark all over: TSan sees it, too, if two have the same buffer. */
static void *use_buffers(void *arg)
{
	struct sharing *sharing = arg;
	unsigned int out, most;

	for (unsigned int i = 0; i < 5000; i++) {
		uint64_t mark = (uint64_t)(uintptr_t)&mark + i;
		uint64_t *buffer = pool_take(sharing->pool);

		if (!buffer)
			continue;
		out = atomic_fetch_add(&sharing->out, 1) + 1;
		most = atomic_load(&sharing->most);
		while (out > most && !atomic_compare_exchange_weak(&sharing->most, &most, out))
			;
		buffer[0] = buffer[BUFFER / 8 - 1] = mark;
		sched_yield();
		if (buffer[0] != mark || buffer[BUFFER / 8 - 1] != mark)
			atomic_fetch_add(&sharing->clashes, 1);
		atomic_fetch_sub(&sharing->out, 1);
		pool_put(sharing->pool, buffer);
	}
	return NULL;
}

static void test_pool_threads(void **state)
{
	struct sharing sharing = {0};
	pthread_t threads[THREADS];

	assert_int_equal(pool_new(BUFFER, 2, &sharing.pool), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_buffers, &sharing), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&sharing.clashes), 0);
	assert_in_range(atomic_load(&sharing.most), 1, 2);
	assert_int_equal(pool_available(sharing.pool), 2);
	pool_free(sharing.pool);
}

/* ---- the work queue ---- */

#define ITEMS 2000

struct job {
	struct work work;
	struct workqueue *queue;
	unsigned int number;
	unsigned int left; /* submissions that it makes of itself */
	unsigned int *order;
	atomic_uint *done;
	sem_t *gate; /* waits for it, if any */
};

static void run_job(struct work *work)
{
	struct job *job = (struct job *)(void *)work;
	unsigned int turn;

	if (job->gate)
		sem_wait(job->gate);
	turn = atomic_fetch_add(job->done, 1);
	if (job->order)
		job->order[turn] = job->number;
	if (job->left > 0) {
		job->left--;
		workqueue_submit(job->queue, work);
	}
}

static void test_order(void **state)
{
	static struct job jobs[ITEMS];
	static unsigned int order[ITEMS];
	struct workqueue *queue;
	atomic_uint done = 0;
	sem_t gate;

	sem_init(&gate, 0, 0);
	assert_int_equal(workqueue_new(1, "order", &queue), 0);
	for (unsigned int i = 0; i < ITEMS; i++) {
		/* The first holds the worker until all stand in the queue. */
		jobs[i] = (struct job){.work.run = run_job,
				       .number = i,
				       .order = order,
				       .done = &done,
				       .gate = i == 0 ? &gate : NULL};
		workqueue_submit(queue, &jobs[i].work);
	}
	assert_int_equal(atomic_load(&done), 0);
	sem_post(&gate);
	workqueue_free(queue); /* with nearly all of them pending */
	assert_int_equal(atomic_load(&done), ITEMS);
	for (unsigned int i = 0; i < ITEMS; i++)
		assert_int_equal(order[i], i);
	sem_destroy(&gate);
	workqueue_free(NULL);
}

/* What items submit while the queue is being freed runs, too. */
static void test_submits_itself(void **state)
{
	for (unsigned int threads = 1; threads <= THREADS; threads++) {
		struct job jobs[10];
		struct workqueue *queue;
		atomic_uint done = 0;
		sem_t gate;

		sem_init(&gate, 0, 0);
		assert_int_equal(workqueue_new(threads, "itself", &queue), 0);
		for (unsigned int i = 0; i < ARRAY_SIZE(jobs); i++) {
			jobs[i] = (struct job){.work.run = run_job,
					       .queue = queue,
					       .left = 99,
					       .done = &done,
					       .gate = &gate};
			workqueue_submit(queue, &jobs[i].work);
		}
		for (unsigned int i = 0; i < 100 * ARRAY_SIZE(jobs); i++)
			sem_post(&gate);
		workqueue_free(queue);
		assert_int_equal(atomic_load(&done), 100 * ARRAY_SIZE(jobs));
		sem_destroy(&gate);
	}
}

struct owned {
	struct work work;
	atomic_uint *done;
};

static void free_itself(struct work *work)
{
	struct owned *owned = container_of(work, struct owned, work);

	atomic_fetch_add(owned->done, 1);
	free(owned);
}

struct crowd {
	struct workqueue *queue;
	atomic_uint done;
};

static void *submit_many(void *arg)
{
	struct crowd *crowd = arg;

	for (unsigned int i = 0; i < ITEMS; i++) {
		struct owned *owned = calloc(1, sizeof(*owned));

		if (!owned)
			abort();
		owned->work.run = free_itself;
		owned->done = &crowd->done;
		workqueue_submit(crowd->queue, &owned->work);
	}
	return NULL;
}

/* Items belong to their run(), which may free them; many submit at once. */
static void test_items_free_themselves(void **state)
{
	struct crowd crowd = {0};
	pthread_t threads[THREADS];

	assert_int_equal(workqueue_new(THREADS, "a name of more than 15 bytes", &crowd.queue), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &crowd), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	workqueue_free(crowd.queue);
	assert_int_equal(atomic_load(&crowd.done), THREADS * ITEMS);
}

struct meeting {
	struct work work;
	pthread_barrier_t *barrier;
	char name[16];
};

static void meet(struct work *work)
{
	struct meeting *meeting = container_of(work, struct meeting, work);

	pthread_getname_np(pthread_self(), meeting->name, sizeof(meeting->name));
	pthread_barrier_wait(meeting->barrier);
}

/* As many items as there are threads run at a time: fewer would never pass the barrier. */
static void test_runs_side_by_side(void **state)
{
	struct meeting meetings[THREADS];
	pthread_barrier_t barrier;
	struct workqueue *queue;

	pthread_barrier_init(&barrier, NULL, THREADS);
	assert_int_equal(workqueue_new(THREADS, "side-by-side", &queue), 0);
	for (size_t i = 0; i < THREADS; i++) {
		meetings[i] = (struct meeting){.work.run = meet, .barrier = &barrier};
		workqueue_submit(queue, &meetings[i].work);
	}
	workqueue_free(queue);
	pthread_barrier_destroy(&barrier);
	for (size_t i = 0; i < THREADS; i++)
		assert_string_equal(meetings[i].name, "side-by-side");
}

static void test_idle(void **state)
{
	struct workqueue *queue;

	assert_int_equal(workqueue_new(THREADS, "idle", &queue), 0);
	workqueue_free(queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_hook),
		cmocka_unit_test(test_hook_ends),
		cmocka_unit_test(test_pool_threads),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_submits_itself),
		cmocka_unit_test(test_items_free_themselves),
		cmocka_unit_test(test_runs_side_by_side),
		cmocka_unit_test(test_idle),
	};

	return cmocka_run_group_tests_name("common-threads", tests, NULL, NULL);
}
