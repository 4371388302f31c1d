/* SPDX-License-Identifier: Apache-2.0 */
/* Records of objects of which nothing is here: they go, and there are never too many. */
#include "store-util.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define SIZE (2 * CHUNK_SIZE + 77)
#define NEVER 3600000
#define AT_ONCE (-1)

static struct store *open_bare(const char *path, unsigned int max, int64_t ms)
{
	struct store_options options = {
		.path = path, .size = 1 << 30, .boot_id = BOOT_A, .bare_max = max, .bare_ms = ms};
	struct store *store = NULL;

	assert_int_equal(store_open(&options, &store), 0);
	return store;
}

static uint64_t told(struct store *store, unsigned int seed)
{
	struct digest_pair digests = pair_of(seed);
	struct store_info info;

	assert_int_equal(store_create_pair(store, &digests, SIZE, false, NULL, 0, &info), 0);
	return info.id;
}

static bool is_known(struct store *store, unsigned int seed)
{
	struct digest_name sha256 = name_of(DIGEST_SHA256, seed), fsverity = name_of(DIGEST_FSVERITY, seed);
	struct store_info info, same;
	int r = store_lookup(store, &sha256, &info);

	assert_true(r == 0 || r == -ENOENT);
	assert_int_equal(store_lookup(store, &fsverity, &same), r);
	return r == 0;
}

static unsigned int count(struct store *store)
{
	struct store_info info = {.id = 0};
	unsigned int n = 0;

	while (store_next(store, info.id, &info) == 0)
		n++;
	return n;
}

static void use(struct store *store, uint64_t id)
{
	uint32_t view;

	assert_int_equal(store_view(store, 1000, "local", &view), 0);
	assert_int_equal(store_touch(store, id, view), 0);
}

static void test_what_nobody_has_is_forgotten(void **state)
{
	struct store *store = open_bare(*state, 0, AT_ONCE);
	struct store_object *pinned, *open, *stored;
	uint64_t first = told(store, 1);

	use(store, told(store, 2));
	assert_int_equal(store_object_open(store, told(store, 3), &pinned), 0);
	assert_int_equal(store_object_pin(pinned, true), 0);
	store_object_close(pinned);
	assert_int_equal(store_object_open(store, told(store, 4), &open), 0);
	stored = open_object(store, DIGEST_FSVERITY, 5, SIZE);
	assert_int_equal(put_chunk(stored, 5, 0), 0);
	store_object_close(stored);
	assert_int_equal(store_forget_bare(store), 1);
	assert_false(is_known(store, 1));
	assert_int_equal(count(store), 4);
	/* Its id is for nobody else, and it can come back. */
	assert_true(told(store, 1) > first);
	assert_int_equal(store_forget_bare(store), 1);

	store_object_close(open);
	assert_int_equal(store_forget_bare(store), 1);
	assert_false(is_known(store, 4));
	assert_int_equal(store_object_open(store, told(store, 3), &pinned), 0);
	assert_int_equal(store_object_pin(pinned, false), 0);
	store_object_close(pinned);
	assert_int_equal(store_forget_bare(store), 1);
	assert_false(is_known(store, 3));
	assert_int_equal(count(store), 2);
	store_close(store);
}

static void test_what_was_just_looked_up_stays(void **state)
{
	struct store *store = open_bare(*state, 2, NEVER);

	for (unsigned int i = 0; i < 10; i++)
		told(store, i);
	assert_false(store_sweep(store, 100));
	assert_int_equal(store_forget_bare(store), 0);
	store_close(store);

	/* After a start they are old, but for those that somebody looks up. */
	store = open_bare(*state, 2, NEVER);
	assert_true(is_known(store, 0));
	assert_int_equal(store_forget_bare(store), 9);
	assert_true(is_known(store, 0));
	assert_int_equal(count(store), 1);
	store_close(store);
	store = open_bare(*state, 2, NEVER);
	assert_int_equal(count(store), 1);
	store_close(store);
}

static void test_there_are_never_too_many(void **state)
{
	struct store *store = open_bare(*state, 10, AT_ONCE);

	for (unsigned int i = 0; i < 10; i++)
		told(store, i);
	assert_false(store_sweep(store, 0));
	told(store, 10);
	assert_true(is_known(store, 0));
	assert_true(store_sweep(store, 0));
	assert_false(store_sweep(store, 1));
	assert_int_equal(count(store), 10);
	assert_true(is_known(store, 0) && !is_known(store, 1));
	for (unsigned int i = 11; i < 1000; i++) {
		told(store, i);
		assert_false(store_sweep(store, 16));
	}
	assert_int_equal(count(store), 10);
	for (unsigned int i = 990; i < 1000; i++)
		assert_true(is_known(store, i));
	store_close(store);
	/* Those that were there count, too. */
	store = open_bare(*state, 5, AT_ONCE);
	assert_false(store_sweep(store, 100));
	assert_int_equal(count(store), 5);
	store_close(store);
}

static void test_of_used_ones_neither(void **state)
{
	struct store *store = open_bare(*state, 2, AT_ONCE);
	struct store_account account;
	uint32_t view;

	for (unsigned int i = 0; i < 100; i++) {
		use(store, told(store, i));
		store_sweep(store, 16);
	}
	assert_false(store_sweep(store, 1000));
	assert_int_equal(count(store), 2 + 4 * 2);
	assert_true(is_known(store, 99) && !is_known(store, 0));
	/* What went is not charged any more. */
	assert_int_equal(store_view(store, 1000, "local", &view), 0);
	account = store_account(store, view);
	assert_int_equal(account.objects, 10);
	assert_int_equal(store_forget_bare(store), 0);
	store_close(store);
	store = open_bare(*state, 2, AT_ONCE);
	account = store_account(store, view);
	assert_int_equal(account.objects, 10);
	store_close(store);
}

static void test_released_ones_are_unused_again(void **state)
{
	struct store *store = open_bare(*state, 0, AT_ONCE);
	struct store_object *object;
	struct store_uses due;
	uint32_t view;

	use(store, told(store, 1));
	assert_int_equal(store_forget_bare(store), 0); /* it is among the used ones now */
	assert_int_equal(store_view(store, 1000, "local", &view), 0);
	assert_int_equal(store_object_open(store, told(store, 2), &object), 0);
	assert_int_equal(store_object_use(object, view, SIZE, &due), 0);
	assert_int_equal(store_record_uses(store, &due), 0);
	assert_false(store_sweep(store, 16));
	assert_int_equal(store_forget_bare(store), 1);
	assert_true(!is_known(store, 1) && is_known(store, 2));
	store_object_unuse(object, view);
	store_object_close(object);
	store_close(store);
}

/* ---- who looks one up while they go ---- */

struct race {
	struct store *store;
	atomic_bool over;
	atomic_uint gone;
};

static void *forget(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->over)) {
		race->gone += (unsigned int)store_forget_bare(race->store);
		store_sweep(race->store, 4);
	}
	return NULL;
}

/* Whatever goes when: a record is made, or is there, and of one that is open all stays. */
static void test_threads(void **state)
{
	struct race race = {.store = open_bare(*state, 1, AT_ONCE)};
	unsigned int stale = 0;
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, forget, &race), 0);
	for (unsigned int i = 0; i < 4000 || !race.gone; i++) {
		struct digest_pair digests = pair_of(i % 3);
		struct digest_name name = name_of(DIGEST_FSVERITY, i % 3);
		struct store_object *object;
		struct store_info info;
		int r;

		assert_int_equal(store_create(race.store, &name, SIZE, NULL, 0, &info), 0);
		assert_int_equal(store_create_pair(race.store, &digests, SIZE, false, "front", 5, &info), 0);
		r = store_object_open(race.store, info.id, &object);
		if (r == -ENOENT) {
			stale++;
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(store_get(race.store, info.id, &info), 0);
		store_object_close(object);
	}
	atomic_store(&race.over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	print_message("%u went, %u before they were opened\n", race.gone, stale);
	store_forget_bare(race.store);
	assert_int_equal(count(race.store), 0);
	store_close(race.store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_nobody_has_is_forgotten, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_what_was_just_looked_up_stays, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_there_are_never_too_many, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_of_used_ones_neither, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_released_ones_are_unused_again, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_threads, setup_directory, teardown_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
