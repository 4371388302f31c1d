/* SPDX-License-Identifier: Apache-2.0 */
/* A user who names origins at will does not use up the numbers of all. */
#include "tests/unit/store-util.h"

#include <errno.h>
#include "store/internal.h"

/* As if UID had used N views, by the records that say so. */
static void put_views(struct store *store, uint32_t uid, unsigned int n)
{
	_cleanup_batch_ struct db_batch batch = db_batch();

	for (unsigned int i = 0; i < n; i++) {
		struct schema_key key = schema_key(SCHEMA_VIEW_OF);
		uint8_t value[5] = {SCHEMA_VALUE_VERSION};
		char origin[32];

		snprintf(origin, sizeof(origin), "o%u", i);
		schema_key_u32(&key, uid);
		assert_int_equal(schema_key_text(&key, origin), 0);
		schema_put_u32(value + 1, i + 1000);
		db_batch_put(&batch, &key, value, sizeof(value));
	}
	assert_int_equal(db_write(store->db, &batch, false), 0);
}

static void check(struct store *store, bool has_room)
{
	uint32_t view, again;

	/* The last one, once more. */
	if (has_room) {
		assert_int_equal(store_view(store, 7, "last", &view), 0);
		assert_int_equal(store_view(store, 7, "last", &again), 0);
		assert_int_equal(view, again);
	}
	view = 77;
	assert_int_equal(store_view(store, 7, "one-more", &view), -ENOSPC);
	assert_int_equal(store_view(store, 7, "another", &view), -ENOSPC);
	assert_int_equal(view, 77);
	/* What is there stays. */
	assert_int_equal(store_view(store, 7, "o0", &view), 0);
	assert_int_equal(view, 1000);
	assert_int_equal(store_view(store, 7, "last", &view), 0);
	/* Users whose records stand before and behind those. */
	assert_int_equal(store_view(store, 6, "last", &again), 0);
	assert_int_equal(store_view(store, 8, "one-more", &again), 0);
	assert_int_not_equal(again, view);
}

static void test_bound(void **state)
{
	struct store *store = open_store(*state, BOOT_A);

	put_views(store, 7, STORE_VIEWS_OF_USER - 1);
	check(store, true);
	check(store, false);
	store_close(store);

	store = open_store(*state, BOOT_A);
	check(store, false);
	store_close(store);
}

static int begin(void **state)
{
	*state = make_directory();
	return 0;
}

static int end(void **state)
{
	remove_tree(*state);
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bound, begin, end),
	};

	return cmocka_run_group_tests_name("store-views", tests, NULL, NULL);
}
