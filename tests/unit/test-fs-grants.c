/* SPDX-License-Identifier: Apache-2.0 */
/* What was answered for a view, with a clock, a policy and a store of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "fs/origins/grants.h"

#define WEB "https://a.example"
#define DAY 86400

/* ---- stand-ins ---- */

static struct store_grant stored[64];
static size_t n_stored;
static int error;

int store_grants(struct store *store, uid_t uid, struct store_grant **out, size_t *n)
{
	assert_int_equal(uid, 7);
	if (error)
		return error;
	*out = calloc(n_stored + 1, sizeof(**out));
	memcpy(*out, stored, n_stored * sizeof(**out));
	*n = n_stored;
	return 0;
}

/* A set holds the objects whose SHA-256 has a byte that is a letter of its name. */
bool policy_set_holds(const struct policy *policy, const char *set, const struct digest_pair *digests)
{
	return digests->has_sha256 && strchr(set, digests->sha256.bytes[0]);
}

/* ---- */

static struct grants_time at = {1000000, 5000};

static struct digest_name name_of(enum digest_kind kind, char seed)
{
	struct digest_name name = {.kind = kind};

	memset(name.digest.bytes, seed, sizeof(name.digest.bytes));
	return name;
}

static struct store_grant *give(const char *origin, char seed, bool refused, int64_t until)
{
	struct store_grant *grant = &stored[n_stored++];

	*grant = (struct store_grant){.uid = 7, .refused = refused, .made = at.wall, .until = until};
	snprintf(grant->origin, sizeof(grant->origin), "%s", origin);
	grant->about.digest = name_of(DIGEST_SHA256, seed);
	return grant;
}

static void give_set(const char *set, bool refused)
{
	struct store_grant *grant = give(WEB, 0, refused, 0);

	snprintf(grant->about.set, sizeof(grant->about.set), "%s", set);
}

static int setup(void **state)
{
	struct grants *grants;

	n_stored = 0;
	error = 0;
	at = (struct grants_time){1000000, 5000};
	if (grants_new(&grants) < 0)
		return -1;
	*state = grants;
	return 0;
}

static int teardown(void **state)
{
	grants_free(*state);
	return 0;
}

static void load(struct grants *grants)
{
	assert_int_equal(grants_load(grants, NULL, 7, WEB, at), 0);
}

static struct grants_said ask_pair(struct grants *grants, char sha256, char fsverity)
{
	struct digest_pair pair = {
		.has_sha256 = sha256,
		.has_fsverity = fsverity,
		.sha256 = name_of(DIGEST_SHA256, sha256).digest,
		.fsverity = name_of(DIGEST_FSVERITY, fsverity).digest,
	};

	return grants_ask(grants, NULL, &pair, at);
}

/* Whatever expires is not expected to. */
static enum grants_answer ask(struct grants *grants, char seed)
{
	struct grants_said said = ask_pair(grants, seed, 0);

	assert_int_equal(said.expired.until, 0);
	return said.answer;
}

/* It is over, and that is new. */
static enum grants_answer ask_expired(struct grants *grants, char seed)
{
	struct grants_said said = ask_pair(grants, seed, 0);

	assert_true(said.expired.until != 0);
	assert_int_equal(said.expired.about.digest.digest.bytes[5], seed);
	return said.answer;
}

static void test_answers(void **state)
{
	assert_int_equal(ask(*state, 'a'), GRANTS_NONE);
	for (char seed = 'a'; seed <= 'p'; seed++)
		give(WEB, seed, seed % 2, 0);
	give("translator", 'z', false, 0);
	load(*state);
	for (char seed = 'a'; seed <= 'p'; seed++)
		assert_int_equal(ask(*state, seed), seed % 2 ? GRANTS_NO : GRANTS_YES);
	assert_int_equal(ask(*state, 'q'), GRANTS_NONE);
	assert_int_equal(ask(*state, 'z'), GRANTS_NONE);
	n_stored = 1;
	load(*state);
	assert_int_equal(ask(*state, 'a'), GRANTS_NO);
	assert_int_equal(ask(*state, 'b'), GRANTS_NONE);
	/* What cannot be read is no grant. */
	error = -EIO;
	assert_int_equal(grants_load(*state, NULL, 7, WEB, at), -EIO);
	assert_int_equal(ask(*state, 'a'), GRANTS_NONE);
}

static void test_both_digests(void **state)
{
	give(WEB, 'b', false, 0);
	give(WEB, 'c', false, 0)->about.digest = name_of(DIGEST_FSVERITY, 'c');
	give(WEB, 'd', true, 0)->about.digest = name_of(DIGEST_FSVERITY, 'd');
	load(*state);
	assert_int_equal(ask(*state, 'c'), GRANTS_NONE); /* of the other kind */
	assert_int_equal(ask_pair(*state, 'b', 'x').answer, GRANTS_YES);
	assert_int_equal(ask_pair(*state, 'x', 'c').answer, GRANTS_YES);
	assert_int_equal(ask_pair(*state, 0, 'c').answer, GRANTS_YES);
	assert_int_equal(ask_pair(*state, 'b', 'd').answer, GRANTS_NO);
	assert_int_equal(ask_pair(*state, 'x', 'x').answer, GRANTS_NONE);
}

static void test_sets(void **state)
{
	give_set("abc", false);
	give_set("bx", true);
	give_set("cd", false);
	give(WEB, 'b', false, 0);
	give(WEB, 'd', true, 0);
	load(*state);
	assert_int_equal(ask(*state, 'a'), GRANTS_YES);
	assert_int_equal(ask(*state, 'b'), GRANTS_YES); /* itself goes before its sets */
	assert_int_equal(ask(*state, 'c'), GRANTS_YES);
	assert_int_equal(ask(*state, 'd'), GRANTS_NO);
	assert_int_equal(ask(*state, 'x'), GRANTS_NO);
	assert_int_equal(ask(*state, 'y'), GRANTS_NONE);
	n_stored = 2;
	load(*state);
	assert_int_equal(ask(*state, 'b'), GRANTS_NO); /* of two sets */
}

/* A no to one name of an object is not evaded by its other one. */
static void test_a_digest_that_is_not_known(void **state)
{
	struct store_grant *refusal;

	give_set("ab", false);
	give(WEB, 'c', false, 0);
	refusal = give(WEB, 'y', true, at.wall + DAY);
	refusal->about.digest = name_of(DIGEST_FSVERITY, 'y');
	load(*state);
	assert_int_equal(ask(*state, 'a'), GRANTS_NONE);
	assert_int_equal(ask_pair(*state, 'a', 'x').answer, GRANTS_YES);
	assert_int_equal(ask_pair(*state, 'a', 'y').answer, GRANTS_NO);
	assert_int_equal(ask(*state, 'c'), GRANTS_YES); /* that very one */
	/* A refusal of the kind that is known does not matter, nor one that is over. */
	refusal->about.digest = name_of(DIGEST_SHA256, 'y');
	load(*state);
	assert_int_equal(ask(*state, 'a'), GRANTS_YES);
	refusal->about.digest = name_of(DIGEST_FSVERITY, 'y');
	load(*state);
	at.wall += DAY;
	assert_int_equal(ask(*state, 'a'), GRANTS_YES);
}

/* ---- the time ---- */

static void test_the_end(void **state)
{
	give(WEB, 'a', false, at.wall + DAY);
	give(WEB, 'b', true, at.wall + DAY);
	give(WEB, 'c', false, 0);
	load(*state);
	assert_int_equal(ask(*state, 'a'), GRANTS_YES);
	assert_int_equal(ask(*state, 'b'), GRANTS_NO);
	assert_int_equal(ask_pair(*state, 'a', 0).seconds, DAY);
	assert_int_equal(ask_pair(*state, 'c', 0).seconds, 0);
	at.wall += DAY - 1;
	at.boot += DAY - 1;
	assert_int_equal(ask(*state, 'a'), GRANTS_YES);
	at.wall++;
	at.boot++;
	assert_int_equal(ask_expired(*state, 'a'), GRANTS_NONE);
	assert_int_equal(ask_expired(*state, 'b'), GRANTS_NONE);
	assert_int_equal(ask(*state, 'a'), GRANTS_NONE); /* said once */
	assert_int_equal(ask(*state, 'c'), GRANTS_YES);
}

static void test_a_clock_that_is_set_back(void **state)
{
	give(WEB, 'a', false, at.wall + DAY);
	load(*state);
	/* It was seen to be over. */
	at.wall += DAY;
	assert_int_equal(ask_expired(*state, 'a'), GRANTS_NONE);
	at.wall -= DAY / 2;
	assert_int_equal(ask(*state, 'a'), GRANTS_NONE);
	load(*state); /* for another answer */
	assert_int_equal(ask(*state, 'a'), GRANTS_NONE);
	/* Given anew it holds. */
	stored[0].made = at.wall;
	stored[0].until = at.wall + DAY;
	load(*state);
	assert_int_equal(ask(*state, 'a'), GRANTS_YES);
}

/* A day is over after a day, however often the clock is set back in between. */
static void test_the_clock_that_nobody_sets(void **state)
{
	give(WEB, 'a', false, at.wall + DAY);
	load(*state);
	for (int hour = 0; hour < 23; hour++) {
		at.boot += 3600;
		assert_int_equal(ask(*state, 'a'), GRANTS_YES);
		load(*state);
	}
	assert_int_equal(ask_pair(*state, 'a', 0).seconds, 3600);
	at.boot += 3600;
	assert_int_equal(ask_expired(*state, 'a'), GRANTS_NONE);
}

/* Who knows how late it is? */
static void test_before_it_was_given(void **state)
{
	give(WEB, 'a', false, at.wall + DAY);
	give(WEB, 'b', false, 0);
	give(WEB, 'c', true, at.wall + DAY);
	at.wall -= 1;
	load(*state);
	assert_int_equal(ask(*state, 'a'), GRANTS_NONE);
	assert_int_equal(ask(*state, 'b'), GRANTS_YES);
	assert_int_equal(ask(*state, 'c'), GRANTS_NO); /* a refusal holds, whatever the time is */
	assert_false(grants_is_over(&stored[2], at.wall));
	assert_true(grants_is_over(&stored[2], at.wall + 1 + DAY));
	at.wall += 1; /* now the clock is right */
	assert_int_equal(ask(*state, 'a'), GRANTS_YES);
	assert_false(grants_is_over(&stored[0], at.wall));
	assert_true(grants_is_over(&stored[0], at.wall - 1));
	assert_true(grants_is_over(&stored[0], at.wall + DAY));
	assert_false(grants_is_over(&stored[1], at.wall - 1));
}

static void test_found_over_when_it_was_loaded(void **state)
{
	give(WEB, 'a', false, at.wall + DAY);
	at.wall += 2 * DAY;
	load(*state);
	assert_int_equal(ask_expired(*state, 'a'), GRANTS_NONE);
	at.wall -= 2 * DAY;
	assert_int_equal(ask(*state, 'a'), GRANTS_NONE);
}

/* ---- readers beside a writer ---- */

static void *ask_often(void *arg)
{
	for (int i = 0; i < 20000; i++)
		if (ask_pair(arg, 'a', 0).answer != GRANTS_YES)
			return arg;
	return NULL;
}

static void test_from_many_threads(void **state)
{
	pthread_t threads[4];
	void *failed;

	give(WEB, 'a', false, at.wall + DAY);
	give_set("xyz", true);
	load(*state);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_often, *state), 0);
	for (int i = 0; i < 200; i++)
		load(*state);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_both_digests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_digest_that_is_not_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_clock_that_is_set_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_clock_that_nobody_sets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_before_it_was_given, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_over_when_it_was_loaded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_from_many_threads, setup, teardown),
	};

	return cmocka_run_group_tests_name("grants", tests, NULL, NULL);
}
