/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups that wait for the user, with a policy that says what the test wants, and requests that outlive nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include "common/clock.h"
#include "fs/objects/parking.h"
#include "fs/origins/asking.h"
#include "fs/origins/pending.h"
#include "fs/requests/ops.h"
#include "fuse-standin.h"

#define HOUR 3600000
#define MANY (ASKING_MAX + 8)

/* ---- stand-ins ---- */

static struct policy_decision decision;
static atomic_uint served;
static atomic_bool held, stopped; /* whoever is served waits; asking_stop() has returned */

struct policy_decision view_decide(struct weightfs *fs, const struct view *view,
				   const struct digest_pair *digests)
{
	assert_true(digests->has_sha256 && !digests->has_fsverity);
	return decision;
}

/* What became of it then is no matter here. */
void ops_lookup_object(struct weightfs *fs, fuse_req_t request, uint32_t view, const char *name)
{
	assert_int_equal(strlen(name), 64);
	atomic_fetch_add(&served, 1);
	while (atomic_load(&held))
		sched_yield();
	fuse_reply_err(request, ENOENT);
}

/* ---- */

static struct view views[MANY];
static struct outcome outcomes[MANY];

static int setup(void **state)
{
	struct weightfs *fs = calloc(1, sizeof(*fs));

	*state = fs;
	memset(outcomes, 0, sizeof(outcomes));
	for (uint32_t i = 0; i < MANY; i++)
		views[i] = (struct view){.number = i + 1, .uid = i};
	decision = (struct policy_decision){.verdict = POLICY_ASK, .wait_ms = HOUR};
	atomic_store(&served, 0);
	return fs && parking_new(&fs->parking) == 0 && asking_new(&fs->asking) == 0 &&
			       pendings_new(&fs->pendings) == 0 ?
		       0 :
		       -1;
}

static int teardown(void **state)
{
	struct weightfs *fs = *state;

	parking_free(fs->parking);
	asking_free(fs->asking);
	pendings_free(fs->pendings);
	free(fs);
	return 0;
}

/* Number I, in VIEW, by what WAS decided. */
static struct outcome *ask(struct weightfs *fs, unsigned int i, const struct view *view,
			   const struct policy_decision *was)
{
	struct digest_name name = {.kind = DIGEST_SHA256};

	memcpy(name.digest.bytes, &i, sizeof(i));
	asking_lookup(fs, standin_request(fs, 0, &outcomes[i]), view, &name, was);
	return &outcomes[i];
}

static size_t count_pending(struct weightfs *fs)
{
	struct pending *list;
	size_t n;

	assert_int_equal(pending_list(fs->pendings, 0, &list, &n), 0);
	free(list);
	return n;
}

static void assert_answered(struct outcome *outcome, int error)
{
	assert_int_equal(atomic_load(&outcome->answers), 1);
	assert_int_equal(atomic_load(&outcome->error), error);
}

static void test_at_once(void **state)
{
	decision.wait_ms = 0;
	assert_answered(ask(*state, 0, &views[0], &decision), EACCES);
	assert_int_equal(count_pending(*state), 1);
	decision.wait_ms = VIEW_REFUSED;
	assert_answered(ask(*state, 1, &views[0], &decision), EACCES);
	assert_int_equal(count_pending(*state), 1);
	assert_int_equal(atomic_load(&served), 0);
}

static void test_until_it_is_answered(void **state)
{
	struct weightfs *fs = *state;
	struct outcome *one = ask(fs, 0, &views[0], &decision), *two = ask(fs, 1, &views[1], &decision);

	assert_int_equal(count_pending(fs), 2);
	asking_review(fs);
	assert_int_equal(parking_count(fs->parking), 2);
	assert_int_equal(atomic_load(&one->answers) + atomic_load(&two->answers), 0);
	decision.verdict = POLICY_ALLOW;
	asking_review(fs);
	asking_review(fs);
	assert_answered(one, ENOENT);
	assert_answered(two, ENOENT);
	assert_int_equal(atomic_load(&served), 2);
	assert_int_equal(parking_count(fs->parking), 0);
}

/* Whatever ends the waiting, the look-up begins anew, and is told then. */
static void test_what_else_ends_it(void **state)
{
	static const struct policy_decision ends[] = {
		{.verdict = POLICY_DENY},
		{.verdict = POLICY_ASK, .wait_ms = VIEW_REFUSED},
		{.verdict = POLICY_ASK, .wait_ms = 0},
	};
	const struct policy_decision waits = decision;

	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++) {
		struct outcome *outcome = ask(*state, i, &views[0], &waits);

		decision = ends[i];
		asking_review(*state);
		assert_answered(outcome, ENOENT);
		assert_int_equal(atomic_load(&served), i + 1);
		decision = waits;
	}
}

/* Somebody answered between the decision and the waiting: nobody will say it again. */
static void test_answered_before_it_waits(void **state)
{
	const struct policy_decision was = decision;

	decision.verdict = POLICY_ALLOW;
	assert_answered(ask(*state, 0, &views[0], &was), ENOENT);
	assert_int_equal(atomic_load(&served), 1);
}

static void test_its_time_is_over(void **state)
{
	struct weightfs *fs = *state;
	struct outcome *outcome;

	decision.wait_ms = 30;
	outcome = ask(fs, 0, &views[0], &decision);
	assert_true(standin_wait(outcome));
	assert_answered(outcome, EACCES);
	assert_int_equal(count_pending(fs), 1);
	decision.verdict = POLICY_ALLOW;
	asking_review(fs);
	assert_int_equal(atomic_load(&served), 0);
}

static void test_interrupted(void **state)
{
	struct outcome *outcome = ask(*state, 0, &views[0], &decision);

	standin_interrupt(outcome);
	assert_true(standin_wait(outcome));
	assert_answered(outcome, EINTR);
}

/* The first N that ask wait, the others do not. */
static void assert_waiting(struct weightfs *fs, unsigned int n)
{
	assert_int_equal(parking_count(fs->parking), n);
	for (unsigned int i = 0; i < MANY; i++) {
		if (i >= n)
			assert_answered(&outcomes[i], EACCES);
		else
			assert_int_equal(atomic_load(&outcomes[i].answers), 0);
	}
}

static void test_bounded_in_a_view(void **state)
{
	for (unsigned int i = 0; i < MANY; i++)
		ask(*state, i, &views[0], &decision);
	assert_waiting(*state, ASKING_MAX_VIEW);
	/* Where one has gone there is room for another. */
	standin_interrupt(&outcomes[3]);
	assert_true(standin_wait(&outcomes[3]));
	memset(&outcomes[3], 0, sizeof(outcomes[3]));
	ask(*state, 3, &views[0], &decision);
	assert_waiting(*state, ASKING_MAX_VIEW);
}

static void test_bounded_for_a_user(void **state)
{
	for (unsigned int i = 0; i < MANY; i++) {
		views[i].uid = 7;
		ask(*state, i, &views[i], &decision);
	}
	assert_waiting(*state, ASKING_MAX_USER);
}

static void test_bounded_in_all(void **state)
{
	for (unsigned int i = 0; i < MANY; i++)
		ask(*state, i, &views[i], &decision);
	assert_waiting(*state, ASKING_MAX);
	decision.verdict = POLICY_ALLOW;
	asking_review(*state);
	assert_int_equal(atomic_load(&served), ASKING_MAX);
}

static void test_the_end(void **state)
{
	struct weightfs *fs = *state;
	struct outcome *outcome = ask(fs, 0, &views[0], &decision);

	parking_free(steal_pointer(fs->parking));
	assert_answered(outcome, ENOTCONN);
}

/* ---- stopped, while one is being served ---- */

static void *review(void *arg)
{
	asking_review(arg);
	return NULL;
}

static void *stop(void *arg)
{
	struct weightfs *fs = arg;

	asking_stop(fs->asking);
	atomic_store(&stopped, true);
	return NULL;
}

static void test_stopped(void **state)
{
	struct weightfs *fs = *state;
	struct outcome *outcome = ask(fs, 0, &views[0], &decision);
	int64_t deadline = clock_ms() + 20000;
	pthread_t reviewer, stopper;

	atomic_store(&held, true);
	atomic_store(&stopped, false);
	decision.verdict = POLICY_ALLOW;
	assert_int_equal(pthread_create(&reviewer, NULL, review, fs), 0);
	while (atomic_load(&served) == 0)
		assert_true(clock_ms() < deadline);
	assert_int_equal(pthread_create(&stopper, NULL, stop, fs), 0);
	for (int64_t until = clock_ms() + 50; clock_ms() < until;)
		assert_false(atomic_load(&stopped)); /* one is still under way */
	atomic_store(&held, false);
	pthread_join(stopper, NULL);
	pthread_join(reviewer, NULL);
	assert_answered(outcome, ENOENT);
	/* From now on nobody is served. */
	decision.verdict = POLICY_ASK;
	outcome = ask(fs, 1, &views[1], &decision);
	decision.verdict = POLICY_ALLOW;
	asking_review(fs);
	assert_int_equal(atomic_load(&served), 1);
	parking_free(steal_pointer(fs->parking));
	assert_answered(outcome, ENOTCONN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_at_once),	      TEST(test_until_it_is_answered),
		TEST(test_what_else_ends_it), TEST(test_answered_before_it_waits),
		TEST(test_its_time_is_over),  TEST(test_interrupted),
		TEST(test_bounded_in_a_view), TEST(test_bounded_for_a_user),
		TEST(test_bounded_in_all),    TEST(test_the_end),
		TEST(test_stopped),
	};

	return cmocka_run_group_tests_name("asking", tests, NULL, NULL);
}
