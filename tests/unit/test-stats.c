/* SPDX-License-Identifier: Apache-2.0 */
/* Counters: exact however many threads count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include "common/cleanup.h"
#include "common/stats.h"

#define THREADS 40 /* more than have a place of their own */
#define TIMES	10000

static void *count(void *arg)
{
	for (int i = 0; i < TIMES; i++) {
		stats_add(STAT_BYTES_STORE, 7);
		stats_add(STAT_CHUNKS_ASKED, i % 2 ? -1 : 1);
		stats_read_failed(i % 2 ? EIO : ENOMEM);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(stats_get(STAT_BYTES_STORE), 7 * THREADS * TIMES);
	assert_int_equal(stats_get(STAT_CHUNKS_ASKED), 0);
	assert_int_equal(stats_get(STAT_FAILED_EIO), THREADS * TIMES / 2);
	assert_int_equal(stats_get(STAT_FAILED_OTHER), THREADS * TIMES / 2);
	assert_int_equal(stats_get(STAT_FAILED_EINTR), 0);
}

static void *take_off(void *arg)
{
	stats_add(STAT_CHUNKS_ASKED, -3);
	return NULL;
}

/* What one thread adds another takes off. */
static void test_up_and_down(void **state)
{
	pthread_t thread;

	stats_add(STAT_CHUNKS_ASKED, 5);
	assert_int_equal(pthread_create(&thread, NULL, take_off, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(stats_get(STAT_CHUNKS_ASKED), 2);
}

static void test_errors(void **state)
{
	static const struct {
		int error;
		enum stats_what what;
	} errors[] = {
		{ ENODATA, STAT_FAILED_ENODATA },
		{ ETIMEDOUT, STAT_FAILED_ETIMEDOUT },
		{ EINTR, STAT_FAILED_EINTR },
	};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		stats_read_failed(errors[i].error);
		assert_int_equal(stats_get(errors[i].what), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_up_and_down),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
