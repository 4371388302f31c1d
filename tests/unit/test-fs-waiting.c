/* SPDX-License-Identifier: Apache-2.0 */
/* Threads in the parking lot: told once, by whoever comes first, and gone without a trace when they give up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include "common/clock.h"
#include "fs/objects/waiting.h"

#define HOUR 3600000
#define SOON 20000

static int setup(void **state)
{
	struct weightfs *fs = calloc(1, sizeof(*fs));

	*state = fs;
	return fs ? parking_new(&fs->parking) : -1;
}

static int teardown(void **state)
{
	struct weightfs *fs = *state;

	parking_free(fs->parking);
	free(fs);
	return 0;
}

static struct waiting *wait_here(struct weightfs *fs, int64_t deadline_ms)
{
	struct waiting *waiting;

	assert_int_equal(waiting_new(fs, deadline_ms, &waiting), 0);
	assert_int_equal(parking_count(fs->parking), 1);
	assert_int_equal(waiting_outcome(waiting, 0), -EAGAIN);
	return waiting;
}

/* What an owner does. True: the thread still waited. */
static bool answer(struct weightfs *fs, struct parked *parked, int error)
{
	bool mine = unpark(fs->parking, parked);

	if (mine)
		parked_answer(parked, error);
	parked_unref(parked);
	return mine;
}

static void test_answered(void **state)
{
	static const int outcomes[] = { 0, -EIO };
	struct weightfs *fs = *state;

	for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++) {
		struct waiting *waiting = wait_here(fs, clock_ms() + HOUR);

		assert_true(answer(fs, parked_ref(waiting_parked(waiting)), outcomes[i]));
		assert_int_equal(waiting_outcome(waiting, 0), outcomes[i]);
		assert_int_equal(parking_count(fs->parking), 0);
		waiting_free(waiting);
	}
}

struct answering {
	struct weightfs *fs;
	struct parked *parked;
};

static void *answer_thread(void *arg)
{
	struct answering *answering = arg;

	assert_true(answer(answering->fs, answering->parked, -ENOSPC));
	return NULL;
}

/* The answer wakes who waits for it. */
static void test_woken(void **state)
{
	struct weightfs *fs = *state;
	struct waiting *waiting = wait_here(fs, 0);
	struct answering answering = { fs, parked_ref(waiting_parked(waiting)) };
	int64_t begun = clock_ms();
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, answer_thread, &answering), 0);
	assert_int_equal(waiting_outcome(waiting, HOUR), -ENOSPC);
	assert_true(clock_ms() - begun < SOON);
	pthread_join(thread, NULL);
	waiting_free(waiting);
}

static void test_given_up(void **state)
{
	struct weightfs *fs = *state;
	struct waiting *waiting = wait_here(fs, clock_ms() + HOUR);
	struct parked *parked = parked_ref(waiting_parked(waiting));

	waiting_free(waiting);
	assert_int_equal(parking_count(fs->parking), 0);
	/* The owner finds out, and frees the rest. */
	assert_false(parked_waits(parked));
	assert_false(answer(fs, parked, 0));
}

static void test_deadline(void **state)
{
	struct weightfs *fs = *state;
	struct waiting *waiting = wait_here(fs, clock_ms() + 50);

	assert_int_equal(waiting_outcome(waiting, SOON), -ETIMEDOUT);
	assert_false(answer(fs, parked_ref(waiting_parked(waiting)), 0));
	assert_int_equal(waiting_outcome(waiting, 0), -ETIMEDOUT);
	waiting_free(waiting);
}

/* The lot closes while somebody waits. */
static void test_end(void **state)
{
	struct weightfs fs = { 0 };
	struct waiting *waiting;

	assert_int_equal(parking_new(&fs.parking), 0);
	waiting = wait_here(&fs, 0);
	parking_free(fs.parking);
	assert_int_equal(waiting_outcome(waiting, 0), -ENOTCONN);
	parked_unref(waiting_parked(waiting));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_woken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
