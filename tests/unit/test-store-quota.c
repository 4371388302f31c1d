/* SPDX-License-Identifier: Apache-2.0 */
/* What views use, and that a quota is kept. */
#include "store-quota.h"

static void test_charged_in_full(void **state)
{
	struct store *store = open_limited(*state, 100 * MIB);
	struct store_object *here = bring_in(store, 1, 3 * MIB + 5);
	struct store_object *absent = open_object(store, DIGEST_SHA256, 2, 2 * MIB);
	struct store_account *accounts;
	size_t n;

	/* Once, whoever else has it, and though not a byte is here. */
	for (uint32_t view = 1; view <= 2; view++) {
		assert_int_equal(use(here, view, 10 * MIB), 0);
		assert_int_equal(use(absent, view, 10 * MIB), 0);
		assert_int_equal(use(here, view, 10 * MIB), 0);
		assert_int_equal(account(store, view), 5 * MIB + 5);
	}
	assert_int_equal(use(here, 7, 0), 0);
	assert_int_equal(account(store, 7), 3 * MIB + 5);
	assert_int_equal(account(store, 3), 0);
	assert_int_equal(store_accounts(store, &accounts, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(accounts[2].view, 7);
	assert_int_equal(accounts[0].objects, 2);
	free(accounts);

	/* With the size that it turns out to have; gone with the object. */
	assert_int_equal(store_object_resize(absent, MIB), 0);
	assert_int_equal(account(store, 1), 4 * MIB + 5);
	assert_int_equal(store_remove(store, id_of(here)), 0);
	assert_int_equal(account(store, 1), MIB);
	assert_int_equal(account(store, 7), 0);
	assert_int_equal(use(here, 1, 0), -ENOENT);
	store_object_close(here);
	store_object_close(absent);
	store_close(store);
	store = open_limited(*state, 100 * MIB);
	assert_int_equal(account(store, 2), MIB);
	store_close(store);
}

static void test_oldest_is_released(void **state)
{
	struct store *store = open_limited(*state, 100 * MIB);
	struct store_object *objects[4];
	uint64_t ids[4];

	for (unsigned int i = 0; i < 4; i++) {
		objects[i] = bring_in(store, i, 4 * MIB);
		ids[i] = id_of(objects[i]);
	}
	assert_int_equal(use(objects[0], 2, 0), 0);
	/* In one second, which the disk does not tell apart. */
	assert_int_equal(use(objects[0], 1, 12 * MIB), 0);
	assert_int_equal(use(objects[1], 1, 12 * MIB), 0);
	assert_int_equal(use(objects[0], 1, 12 * MIB), 0);
	assert_int_equal(use(objects[2], 1, 12 * MIB), 0);
	store_object_close(objects[1]);
	assert_int_equal(use(objects[3], 1, 12 * MIB), 0);
	assert_false(is_here(store, ids[1]));
	assert_int_equal(account(store, 1), 12 * MIB);
	for (unsigned int i = 0; i < 4; i++) {
		if (i != 1)
			store_object_close(objects[i]);
	}
	store_close(store);

	/* The order is known again; what another view uses stays. */
	atomic_fetch_add(&now, 1);
	store = open_limited(*state, 100 * MIB);
	assert_int_equal(account(store, 1), 12 * MIB);
	assert_int_equal(store_touch(store, ids[2], 1), 0);
	objects[1] = bring_in(store, 1, 8 * MIB);
	assert_int_equal(use(objects[1], 1, 12 * MIB), 0);
	assert_true(is_here(store, ids[0]) && is_here(store, ids[2]) && !is_here(store, ids[3]));
	assert_false(uses(store, ids[0], 1));
	assert_true(uses(store, ids[0], 2));
	assert_int_equal(account(store, 1), 12 * MIB);
	assert_int_equal(used(store), 16 * MIB);
	store_object_close(objects[1]);
	store_close(store);
}

/* Nothing goes for what does not fit even then, and that is not the view's. */
static void test_what_does_not_fit(void **state)
{
	struct store *store = open_limited(*state, 100 * MIB);
	struct store_object *small = bring_in(store, 1, 4 * MIB), *large = bring_in(store, 2, 9 * MIB);
	struct store_object *other = bring_in(store, 3, 5 * MIB);
	uint64_t small_id = id_of(small), large_id = id_of(large);

	assert_int_equal(use(small, 1, 8 * MIB), 0);
	assert_int_equal(use(large, 2, 0), 0);
	assert_int_equal(use(large, 1, 8 * MIB), -EDQUOT);
	assert_false(uses(store, large_id, 1));
	assert_true(uses(store, small_id, 1));
	assert_int_equal(account(store, 1), 4 * MIB);

	/* What is open stays, and so does what is pinned. */
	assert_int_equal(use_open(store, small, 1, 8 * MIB), 0);
	assert_int_equal(use(other, 1, 8 * MIB), -EDQUOT);
	store_object_unuse(small, 1);
	assert_int_equal(store_object_pin(small, true), 0);
	assert_int_equal(use(other, 1, 8 * MIB), -EDQUOT);
	assert_int_equal(store_object_pin(small, false), 0);
	store_object_close(small);
	assert_int_equal(use(other, 1, 8 * MIB), 0);
	assert_false(is_here(store, small_id));
	assert_int_equal(account(store, 1), 5 * MIB);
	store_object_close(large);
	store_object_close(other);
	store_close(store);
}

static void test_smaller_quota(void **state)
{
	struct store *store = open_limited(*state, 100 * MIB);
	struct store_object *objects[5];

	for (unsigned int i = 0; i < 5; i++) {
		objects[i] = bring_in(store, i, (i + 1) * MIB);
		assert_int_equal(use(objects[i], 1, 20 * MIB), 0);
	}
	/* Opened again, and again as the last: others go. */
	assert_int_equal(use(objects[0], 1, 10 * MIB), 0);
	assert_int_equal(account(store, 1), 10 * MIB); /* 1, 4 and 5 */
	/* Too large by itself: it is used without being the view's. */
	assert_int_equal(use(objects[4], 1, 4 * MIB), -EDQUOT);
	assert_int_equal(account(store, 1), MIB);
	/* Open: it stays, and others do not go for nothing. */
	assert_int_equal(use(objects[1], 1, 4 * MIB), 0);
	assert_int_equal(use_open(store, objects[0], 1, 4 * MIB), 0);
	assert_int_equal(use_open(store, objects[0], 1, MIB - 1), -EDQUOT);
	assert_int_equal(account(store, 1), 3 * MIB);
	store_object_unuse(objects[0], 1);
	assert_int_equal(use(objects[4], 1, MIB), -EDQUOT);
	assert_int_equal(account(store, 1), MIB);
	for (unsigned int i = 0; i < 5; i++)
		store_object_close(objects[i]);
	store_close(store);
}

/* To a view that shares nothing a pin is nothing: neither does it keep the view's quota full, nor does the object leave. */
static void test_pins_of_others(void **state)
{
	struct store *store = open_limited(*state, 100 * MIB);
	struct store_object *pinned = bring_in(store, 1, 4 * MIB), *next = bring_in(store, 2, 4 * MIB);

	assert_int_equal(store_view_apart(store, 1), 0);
	for (uint32_t view = 1; view <= 2; view++)
		assert_int_equal(use(pinned, view, 4 * MIB), 0);
	assert_int_equal(store_object_pin(pinned, true), 0);
	assert_int_equal(use(next, 1, 4 * MIB), 0);
	assert_int_equal(use(next, 2, 4 * MIB), -EDQUOT);
	assert_false(uses(store, id_of(pinned), 1));
	assert_true(uses(store, id_of(pinned), 2) && is_here(store, id_of(pinned)));
	store_object_close(pinned);
	store_object_close(next);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup_directory, teardown_directory)
		TEST(charged_in_full),
		TEST(oldest_is_released),
		TEST(what_does_not_fit),
		TEST(smaller_quota),
		cmocka_unit_test_setup_teardown(test_pins_of_others, setup_directory, teardown_directory),
	};

	return cmocka_run_group_tests_name("store-quota", tests, NULL, NULL);
}
