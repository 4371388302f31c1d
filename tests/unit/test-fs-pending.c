/* SPDX-License-Identifier: Apache-2.0 */
/* What is pending: told once for each object and view, bounded in a view, for a user, and in all, the oldest go first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include "common/clock.h"
#include "fs/origins/pending.h"

#define SOON  20000
#define VIEWS 64 /* of each user */

static int setup(void **state)
{
	struct pendings *pendings;

	if (pendings_new(&pendings) < 0)
		return -1;
	*state = pendings;
	return 0;
}

static int teardown(void **state)
{
	pendings_free(*state);
	return 0;
}

static struct digest_name name_of(uint32_t seed)
{
	struct digest_name name = {.kind = DIGEST_SHA256};

	memcpy(name.digest.bytes, &seed, sizeof(seed));
	return name;
}

static uint32_t seed_of(const struct pending *pending)
{
	uint32_t seed;

	memcpy(&seed, pending->name.digest.bytes, sizeof(seed));
	return seed;
}

static void note(struct pendings *pendings, uint32_t view, uint32_t seed, int64_t now)
{
	struct digest_name name = name_of(seed);

	pending_note(pendings, view, view / VIEWS, &name, now);
}

static struct pending *list(struct pendings *pendings, uint64_t after, size_t expected)
{
	struct pending *pending;
	size_t n;

	assert_int_equal(pending_list(pendings, after, &pending, &n), 0);
	assert_int_equal(n, expected);
	for (size_t i = 1; i < n; i++)
		assert_true(pending[i].serial > pending[i - 1].serial);
	return pending;
}

static void test_told_once(void **state)
{
	struct digest_name other = name_of(1);
	struct pending *pending;

	note(*state, 3, 1, 100);
	note(*state, 4, 1, 105);
	other.kind = DIGEST_FSVERITY;
	pending_note(*state, 3, 0, &other, 106);
	note(*state, 3, 1, 110);
	note(*state, 3, 1, 120);
	pending = list(*state, 0, 3);
	assert_int_equal(pending[0].view, 3);
	assert_int_equal(pending[0].count, 3);
	assert_int_equal(pending[0].first, 100);
	assert_int_equal(pending[0].last, 120);
	assert_int_equal(pending[1].view, 4);
	assert_int_equal(pending[1].count, 1);
	assert_int_equal(pending[2].name.kind, DIGEST_FSVERITY);
	free(list(*state, pending[0].serial, 2));
	free(list(*state, pending[2].serial, 0));
	/* Who comes again after it was answered is new. */
	other = name_of(1);
	pending_forget(*state, 3, &other);
	pending_forget(*state, 3, &other);
	free(list(*state, 0, 2));
	note(*state, 3, 1, 130);
	free(list(*state, pending[2].serial, 1));
	free(pending);
}

static void test_bounded_in_a_view(void **state)
{
	struct pending *pending;

	note(*state, 2, 7, 1);
	for (uint32_t i = 0; i < 100000; i++) {
		note(*state, 1, i, i);
		note(*state, 1, 0, i); /* it is asked for all the time, and stays */
	}
	pending = list(*state, 0, PENDING_MAX_VIEW + 1);
	assert_int_equal(pending[0].view, 2);
	assert_int_equal(seed_of(&pending[1]), 0);
	assert_int_equal(pending[1].count, 100001);
	for (uint32_t i = 2; i <= PENDING_MAX_VIEW; i++)
		assert_int_equal(seed_of(&pending[i]), 100000 - PENDING_MAX_VIEW - 1 + i);
	free(pending);
}

static void test_bounded_for_a_user(void **state)
{
	struct pending *pending;

	note(*state, VIEWS, 7, 1);
	for (uint32_t i = 0; i < 3 * PENDING_MAX; i++)
		note(*state, i % VIEWS, i, i);
	pending = list(*state, 0, PENDING_MAX_USER + 1);
	assert_int_equal(pending[0].view, VIEWS);
	for (uint32_t i = 1; i <= PENDING_MAX_USER; i++)
		assert_int_equal(seed_of(&pending[i]), 3 * PENDING_MAX - PENDING_MAX_USER - 1 + i);
	free(pending);
}

/* Whoever asks for most loses first; who asked once, before all of them, loses nothing. */
static void test_bounded_in_all(void **state)
{
	enum { USERS = 8 };
	unsigned int of_user[USERS + 1] = {0};
	struct pending *pending;

	note(*state, USERS * VIEWS, 7, 1);
	for (uint32_t user = 0; user < USERS; user++) {
		for (uint32_t i = 0; i < PENDING_MAX; i++)
			note(*state, user * VIEWS + i % VIEWS, i, i);
	}
	pending = list(*state, 0, PENDING_MAX);
	assert_int_equal(pending[0].view, USERS * VIEWS);
	for (uint32_t i = 0; i < PENDING_MAX; i++)
		of_user[pending[i].view / VIEWS]++;
	for (uint32_t user = 0; user < USERS; user++)
		assert_in_range(of_user[user], PENDING_MAX / USERS - 2, PENDING_MAX / USERS + 2);
	for (uint32_t i = 0; i < PENDING_MAX; i++)
		pending_forget(*state, pending[i].view, &pending[i].name);
	free(pending);
	free(list(*state, 0, 0));
}

/* ---- waiting ---- */

static void *note_later(void *arg)
{
	note(arg, 1, 1, 1);
	return NULL;
}

static void test_waiting(void **state)
{
	uint64_t serial = pending_wait(*state, 0, 0);
	int64_t begun = clock_ms();
	pthread_t thread;

	assert_true(serial > 0);
	assert_int_equal(pending_wait(*state, serial, 30), serial);
	assert_true(clock_ms() - begun >= 29);
	assert_int_equal(pthread_create(&thread, NULL, note_later, *state), 0);
	assert_int_equal(pending_wait(*state, serial, 100 * SOON), serial + 1);
	assert_true(clock_ms() - begun < SOON);
	pthread_join(thread, NULL);
	/* The same again is nothing new. */
	note(*state, 1, 1, 2);
	assert_int_equal(pending_wait(*state, serial + 1, 0), serial + 1);
}

struct flood {
	struct pendings *pendings;
	uint32_t view;
};

static void *flood(void *arg)
{
	struct flood *from = arg;
	struct pending *pending;
	size_t n;

	for (uint32_t i = 0; i < 5000; i++) {
		struct digest_name name = name_of(i % 300);

		note(from->pendings, from->view, i % 300, i);
		if (i % 7 == 0)
			pending_forget(from->pendings, from->view, &name);
		if (i % 1000 == 0 && pending_list(from->pendings, 0, &pending, &n) == 0)
			free(pending);
	}
	return NULL;
}

static void test_from_many_threads(void **state)
{
	struct flood floods[8];
	pthread_t threads[8];
	struct pending *pending;
	size_t n;

	for (uint32_t i = 0; i < 8; i++) {
		floods[i] = (struct flood){*state, i / 2};
		assert_int_equal(pthread_create(&threads[i], NULL, flood, &floods[i]), 0);
	}
	for (uint32_t i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(pending_list(*state, 0, &pending, &n), 0);
	assert_true(n > 0 && n <= 4 * PENDING_MAX_VIEW);
	free(pending);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded_in_a_view, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded_for_a_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded_in_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_from_many_threads, setup, teardown),
	};

	return cmocka_run_group_tests_name("pending", tests, NULL, NULL);
}
