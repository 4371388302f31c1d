/* SPDX-License-Identifier: Apache-2.0 */
/* Parked requests: each is answered exactly once, whoever comes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "common/clock.h"
#include "fs/objects/parking.h"
#include "tests/unit/fuse-standin.h"

#define HOUR 3600000

/* What an owner has for each request. */
struct slot {
	struct parked parked;
	struct outcome outcome;
	atomic_uint destroyed;
};

static void destroy(struct parked *parked)
{
	atomic_fetch_add(&container_of(parked, struct slot, parked)->destroyed, 1);
}

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

/* Not parked yet; one reference. */
static void make(struct weightfs *fs, struct slot *slot, enum parked_kind kind, pid_t caller)
{
	memset(slot, 0, sizeof(*slot));
	parked_init(&slot->parked, standin_request(fs, caller, &slot->outcome), kind, destroy);
}

static void park_new(struct weightfs *fs, struct slot *slot, enum parked_kind kind, pid_t caller,
		     int64_t deadline_ms)
{
	make(fs, slot, kind, caller);
	park(fs->parking, &slot->parked, deadline_ms);
}

static void assert_answered(struct slot *slot, int error)
{
	assert_true(standin_wait(&slot->outcome));
	assert_int_equal(atomic_load(&slot->outcome.answers), 1);
	assert_int_equal(atomic_load(&slot->outcome.error), error);
	assert_int_equal(atomic_load(&slot->outcome.harmful), 0);
	assert_false(parked_waits(&slot->parked));
}

/* The owner lets go: by then, or very soon, nobody else has a reference. */
static void assert_gone(struct slot *slot)
{
	int64_t deadline = clock_ms() + 20000;

	assert_int_equal(atomic_load(&slot->destroyed), 0);
	parked_unref(&slot->parked);
	while (atomic_load(&slot->destroyed) == 0 && clock_ms() < deadline)
		usleep(1000);
	assert_int_equal(atomic_load(&slot->destroyed), 1);
}

static void answer_now(struct weightfs *fs, struct slot *slot)
{
	assert_true(unpark(fs->parking, &slot->parked));
	fuse_reply_err(slot->parked.request, 0);
	assert_false(unpark(fs->parking, &slot->parked));
	assert_answered(slot, 0);
	assert_gone(slot);
}

/* Until the sweeper has come round after MS. */
static void let_sweep(struct weightfs *fs, int ms)
{
	struct slot marker;

	park_new(fs, &marker, PARKED_WAIT, 0, clock_ms() + ms);
	assert_answered(&marker, ETIMEDOUT);
	assert_gone(&marker);
}

/* A process that does nothing until it is killed. */
static pid_t make_child(void)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (pause())
			;
	}
	return child;
}

/* ---- one at a time ---- */

static void test_unpark(void **state)
{
	struct weightfs *fs = *state;
	struct slot slots[3];

	assert_int_equal(parking_count(fs->parking), 0);
	for (size_t i = 0; i < 3; i++)
		park_new(fs, &slots[i], PARKED_READ, 0, clock_ms() + HOUR);
	assert_int_equal(parking_count(fs->parking), 3);
	answer_now(fs, &slots[1]);
	assert_int_equal(parking_count(fs->parking), 2);
	answer_now(fs, &slots[0]);
	answer_now(fs, &slots[2]);
	assert_int_equal(parking_count(fs->parking), 0);
}

static void test_deadline(void **state)
{
	struct weightfs *fs = *state;
	struct slot past, soon, later, never;

	park_new(fs, &later, PARKED_READ, 0, clock_ms() + HOUR);
	park_new(fs, &never, PARKED_READ, 0, 0);
	park_new(fs, &soon, PARKED_READ, 0, clock_ms() + 30);
	park_new(fs, &past, PARKED_WAIT, 0, clock_ms() - 5);
	assert_answered(&past, ETIMEDOUT);
	assert_answered(&soon, ETIMEDOUT);
	assert_false(unpark(fs->parking, &soon.parked));
	assert_int_equal(parking_count(fs->parking), 2);
	assert_gone(&past);
	assert_gone(&soon);
	answer_now(fs, &later);
	answer_now(fs, &never);
}

static void test_progress(void **state)
{
	struct weightfs *fs = *state;
	struct slot progressing, for_ever, marker;
	int64_t now = clock_ms();

	park_new(fs, &progressing, PARKED_WAIT, 0, now + 100);
	park_new(fs, &for_ever, PARKED_WAIT, 0, now + 100);
	park_until(fs->parking, &progressing.parked, now + HOUR);
	park_until(fs->parking, &for_ever.parked, 0);
	park_new(fs, &marker, PARKED_WAIT, 0, now + 150);
	/* When the marker's time is over, theirs would have been, too. */
	assert_answered(&marker, ETIMEDOUT);
	assert_gone(&marker);
	answer_now(fs, &progressing);
	answer_now(fs, &for_ever);
}

/* ---- interrupts ---- */

static void test_interrupted_wait(void **state)
{
	struct weightfs *fs = *state;
	struct slot slot, other;

	/* Whether or not the caller lives. */
	park_new(fs, &slot, PARKED_WAIT, getpid(), clock_ms() + HOUR);
	park_new(fs, &other, PARKED_WAIT, getpid(), clock_ms() + HOUR);
	standin_interrupt(&slot.outcome);
	assert_answered(&slot, EINTR);
	standin_interrupt(&slot.outcome);
	assert_false(unpark(fs->parking, &slot.parked));
	assert_answered(&slot, EINTR);
	assert_gone(&slot);
	answer_now(fs, &other);
}

/* The signal came before the request was parked: libfuse calls back while the callback is
 * registered. */
static void test_interrupted_before(void **state)
{
	struct weightfs *fs = *state;
	struct slot slot;

	make(fs, &slot, PARKED_WAIT, getpid());
	standin_interrupt(&slot.outcome);
	park(fs->parking, &slot.parked, clock_ms() + HOUR);
	assert_answered(&slot, EINTR);
	assert_gone(&slot);

	make(fs, &slot, PARKED_READ, getpid());
	standin_interrupt(&slot.outcome);
	park(fs->parking, &slot.parked, clock_ms() + HOUR);
	let_sweep(fs, 50);
	answer_now(fs, &slot);
}

static void test_interrupted_after(void **state)
{
	struct weightfs *fs = *state;
	struct slot slot;

	park_new(fs, &slot, PARKED_WAIT, getpid(), 0);
	answer_now(fs, &slot);
	standin_interrupt(&slot.outcome);
	assert_int_equal(atomic_load(&slot.outcome.answers), 1);
}

/* EINTR on a signal that is not fatal would be an error for who reads, and a bus error for who
 * maps. */
static void test_read_of_the_living(void **state)
{
	struct weightfs *fs = *state;
	struct slot slot, unseen;

	park_new(fs, &slot, PARKED_READ, getpid(), clock_ms() + HOUR);
	park_new(fs, &unseen, PARKED_READ, 0, clock_ms() + HOUR);
	standin_interrupt(&slot.outcome);
	standin_interrupt(&unseen.outcome);
	assert_true(parked_waits(&slot.parked));
	let_sweep(fs, 350);
	assert_true(parked_waits(&slot.parked));
	assert_true(parked_waits(&unseen.parked));
	answer_now(fs, &slot);
	answer_now(fs, &unseen);
}

static void test_read_of_the_killed(void **state)
{
	struct weightfs *fs = *state;
	struct slot interrupted, early, silent, other;
	pid_t child = make_child();

	park_new(fs, &interrupted, PARKED_READ, child, clock_ms() + HOUR);
	park_new(fs, &early, PARKED_READ, child, clock_ms() + HOUR);
	park_new(fs, &silent, PARKED_READ, child, clock_ms() + HOUR);
	park_new(fs, &other, PARKED_READ, getpid(), clock_ms() + HOUR);
	/* Not fatal yet; no second INTERRUPT will tell of the signal that is. */
	standin_interrupt(&early.outcome);
	assert_true(parked_waits(&early.parked));
	kill(child, SIGKILL);
	standin_interrupt(&interrupted.outcome);
	assert_answered(&interrupted, EINTR);
	assert_answered(&early, EINTR);
	/* Page-cache readahead gets none at all. */
	assert_answered(&silent, EINTR);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_gone(&interrupted);
	assert_gone(&early);
	assert_gone(&silent);

	/* Nothing is left of it now, not even a zombie. */
	park_new(fs, &interrupted, PARKED_READ, child, clock_ms() + HOUR);
	standin_interrupt(&interrupted.outcome);
	assert_answered(&interrupted, EINTR);
	assert_gone(&interrupted);
	make(fs, &early, PARKED_READ, child);
	standin_interrupt(&early.outcome);
	park(fs->parking, &early.parked, clock_ms() + HOUR);
	assert_answered(&early, EINTR);
	assert_gone(&early);
	answer_now(fs, &other);
}

/* However many wait, the sweeper comes to see the one whose caller died. */
static void test_dead_among_many(void **state)
{
	const size_t many = 700;
	struct weightfs *fs = *state;
	struct slot *living = calloc(many, sizeof(*living)), dead[2];
	pid_t child = make_child();

	assert_non_null(living);
	for (size_t i = 0; i < many; i++) {
		park_new(fs, &living[i], PARKED_READ, getpid(), clock_ms() + HOUR);
		if (i == many / 2)
			park_new(fs, &dead[0], PARKED_READ, child, clock_ms() + HOUR);
	}
	park_new(fs, &dead[1], PARKED_READ, child, clock_ms() + HOUR);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	for (size_t i = 0; i < 2; i++) {
		assert_answered(&dead[i], EINTR);
		assert_gone(&dead[i]);
	}
	assert_int_equal(parking_count(fs->parking), many);
	for (size_t i = 0; i < many; i++)
		answer_now(fs, &living[i]);
	free(living);
}

/* ---- life ---- */

static void test_references(void **state)
{
	struct weightfs *fs = *state;
	struct slot slot;

	park_new(fs, &slot, PARKED_WAIT, 0, 0);
	assert_ptr_equal(parked_ref(&slot.parked), &slot.parked);
	parked_unref(&slot.parked);
	parked_unref(&slot.parked); /* the owner goes; the lot has one */
	assert_int_equal(atomic_load(&slot.destroyed), 0);
	standin_interrupt(&slot.outcome);
	assert_int_equal(atomic_load(&slot.destroyed), 1);
	assert_int_equal(atomic_load(&slot.outcome.answers), 1);
}

static void test_free_answers(void **state)
{
	struct weightfs fs = {0};
	struct slot slots[50];

	parking_free(NULL);
	assert_int_equal(parking_new(&fs.parking), 0);
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		make(&fs, &slots[i], i % 2 ? PARKED_READ : PARKED_WAIT, getpid());
		park(fs.parking, &slots[i].parked, i % 3 ? clock_ms() + HOUR : 0);
	}
	parking_free(fs.parking);
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		assert_answered(&slots[i], ENOTCONN);
		assert_gone(&slots[i]);
	}
}

/* ---- all at once ---- */

#define SLOTS	64
#define ROUNDS	60
#define WORKERS 3

struct race {
	struct weightfs *fs;
	struct slot *slots;
	pthread_barrier_t barrier;
	atomic_uint taken; /* by unpark() */
	atomic_uint turn;
};

static void *unpark_all(void *arg)
{
	struct race *race = arg;
	unsigned int first = atomic_fetch_add(&race->turn, 1);

	pthread_barrier_wait(&race->barrier);
	for (unsigned int i = 0; i < SLOTS; i++) {
		struct slot *slot = &race->slots[(i + first * 7) % SLOTS];

		if (unpark(race->fs->parking, &slot->parked)) {
			atomic_fetch_add(&race->taken, 1);
			fuse_reply_err(slot->parked.request, 0);
		}
		parked_unref(&slot->parked);
	}
	return NULL;
}

static void *interrupt_all(void *arg)
{
	struct race *race = arg;

	pthread_barrier_wait(&race->barrier);
	for (unsigned int i = 0; i < SLOTS; i++)
		standin_interrupt(&race->slots[(i * 5) % SLOTS].outcome);
	return NULL;
}

static void run_race(struct race *race)
{
	pthread_t threads[WORKERS + 1];
	unsigned int taken = 0;
	int64_t now = clock_ms();

	pthread_barrier_init(&race->barrier, NULL, ARRAY_SIZE(threads));
	atomic_store(&race->taken, 0);
	for (unsigned int i = 0; i < SLOTS; i++) {
		struct slot *slot = &race->slots[i];

		make(race->fs, slot, i % 3 ? PARKED_WAIT : PARKED_READ, i % 2 ? getpid() : 0);
		for (unsigned int worker = 0; worker < WORKERS; worker++)
			parked_ref(&slot->parked);
		park(race->fs->parking, &slot->parked, i % 4 ? now + i % 4 : 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						i < WORKERS ? unpark_all : interrupt_all, race),
				 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&race->barrier);
	for (unsigned int i = 0; i < SLOTS; i++) {
		struct slot *slot = &race->slots[i];
		int error = standin_wait(&slot->outcome) ? atomic_load(&slot->outcome.error) : -1;

		assert_answered(slot, error);
		taken += error == 0;
		/* A living reader is not interrupted; who has no deadline is not late. */
		assert_true(error == 0 || error == ETIMEDOUT || error == EINTR);
		assert_true(error != EINTR || i % 3);
		assert_true(error != ETIMEDOUT || i % 4);
		assert_gone(slot);
	}
	assert_int_equal(taken, atomic_load(&race->taken));
	assert_int_equal(parking_count(race->fs->parking), 0);
}

static void test_race(void **state)
{
	struct race race = {.fs = *state, .slots = calloc(SLOTS, sizeof(*race.slots))};

	assert_non_null(race.slots);
	for (unsigned int round = 0; round < ROUNDS; round++)
		run_race(&race);
	free(race.slots);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(unpark),
		TEST(deadline),
		TEST(progress),
		TEST(interrupted_wait),
		TEST(interrupted_before),
		TEST(interrupted_after),
		TEST(read_of_the_living),
		TEST(read_of_the_killed),
		TEST(dead_among_many),
		TEST(references),
		TEST(race),
		cmocka_unit_test(test_free_answers),
	};

	return cmocka_run_group_tests_name("fs-parking", tests, NULL, NULL);
}
