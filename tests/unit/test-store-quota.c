/* SPDX-License-Identifier: Apache-2.0 */
/* What views use, and that a quota is kept. Time is the test's. */
#include "store-util.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "store/internal.h"

#define MIB ((uint64_t)1 << 20)

static atomic_long now = 1000;
time_t __wrap_time(time_t *out);

time_t __wrap_time(time_t *out)
{
	return (time_t)atomic_load(&now);
}

/* The disk is slow where it matters: between what is decided and what is recorded. */
int __real_db_write(struct db *db, struct db_batch *batch, bool sync);
int __wrap_db_write(struct db *db, struct db_batch *batch, bool sync);

int __wrap_db_write(struct db *db, struct db_batch *batch, bool sync)
{
	static atomic_uint calls;

	if (atomic_fetch_add(&calls, 1) % 4 == 0)
		usleep(100);
	return __real_db_write(db, batch, sync);
}

static struct store *open_limited(const char *path, uint64_t size)
{
	struct store_options options = {.path = path, .size = size, .boot_id = BOOT_A};
	struct store *store = NULL;

	assert_int_equal(store_open(&options, &store), 0);
	return store;
}

static uint64_t id_of(struct store_object *object)
{
	struct store_info info;

	store_object_info(object, &info);
	return info.id;
}

/* An object of SIZE bytes with something in its file. */
static struct store_object *bring_in(struct store *store, unsigned int seed, uint64_t size)
{
	struct store_object *object = open_object(store, DIGEST_SHA256, seed, size);

	assert_int_equal(store_object_reserve(object), 0);
	return object;
}

/* View VIEW opens it, a moment after all before, and closes it. */
static int use(struct store_object *object, uint32_t view, uint64_t quota)
{
	int r = store_object_use(object, view, quota);

	if (r == 0)
		store_object_unuse(object, view);
	assert_false(store_sweep(object->store, UINT_MAX));
	return r;
}

static bool uses(struct store *store, uint64_t id, uint32_t view)
{
	uint32_t found;
	int64_t last_open;

	return store_next_user(store, id, view - 1, &found, &last_open) == 0 && found == view;
}

static uint64_t account(struct store *store, uint32_t view)
{
	return store_account(store, view).used;
}

static bool is_here(struct store *store, uint64_t id)
{
	struct store_info info;
	int r = store_get(store, id, &info);

	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

/* What each view uses, by the records alone. */
static uint64_t recount(struct store *store, uint32_t view)
{
	struct store_info info;
	uint64_t sum = 0;

	for (uint64_t after = 0; store_next(store, after, &info) == 0; after = info.id)
		sum += uses(store, info.id, view) ? info.size : 0;
	return sum;
}

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
	assert_int_equal(store_object_use(small, 1, 8 * MIB), 0);
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
	assert_int_equal(store_object_use(objects[0], 1, 4 * MIB), 0);
	assert_int_equal(store_object_use(objects[0], 1, MIB - 1), -EDQUOT);
	assert_int_equal(account(store, 1), 3 * MIB);
	store_object_unuse(objects[0], 1);
	assert_int_equal(use(objects[4], 1, MIB), -EDQUOT);
	assert_int_equal(account(store, 1), MIB);
	for (unsigned int i = 0; i < 5; i++)
		store_object_close(objects[i]);
	store_close(store);
}

/* ---- many at once ---- */

#define THREADS 8
#define ROUNDS	250
#define OBJECTS 24
#define VIEWS	5 /* the last one has no quota */
#define LIMIT	(40 * CHUNK_SIZE)

static struct store *shared;
static atomic_uint wrong, refused;
static atomic_bool over;

static uint64_t size_of(unsigned int seed)
{
	return seed * CHUNK_SIZE / 3 + 17 * seed;
}

static uint64_t quota_of(uint32_t view)
{
	return view < VIEWS ? view * 7 * CHUNK_SIZE : 0;
}

static void check(bool right)
{
	atomic_fetch_add(&wrong, !right);
}

/* One of many things that may happen to an object. */
static void happen(struct store_object *object, unsigned int seed, unsigned int what)
{
	char *data = malloc(CHUNK_SIZE);
	size_t len = chunk_length(store_object_size(object), 0);
	struct digest_pair pair = pair_of(seed);
	int r = 0;

	assert_non_null(data);
	fill(data, len, seed, 0);
	switch (what) {
	case 0:
		r = store_object_reserve(object);
		break;
	case 1:
		r = store_object_pin(object, true);
		break;
	case 2:
		r = store_object_finish(object, &pair, "front", 5);
		r = r == -EINVAL ? 0 : r; /* not all is here */
		break;
	case 3:
		r = seed % 5 == 0 ? store_remove(shared, id_of(object)) : 0;
		break;
	case 4:
		r = store_object_pin(object, false);
		break;
	default:
		r = store_object_put(object, 0, data, len);
		check(r < 0 || chunk_is_right(object, seed, 0));
	}
	check(r == 0 || r == -ENOSPC || r == -ENOENT);
	free(data);
}

static void *come_and_go(void *arg)
{
	unsigned int seed = *(unsigned int *)arg, number = seed % THREADS;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct store_object *object;
		unsigned int which;
		struct store_info info;
		struct digest_name name;
		uint32_t view;
		int r;

		seed = seed * 1664525 + 1013904223;
		which = 1 + (seed >> 16) % OBJECTS;
		view = 1 + (seed >> 8) % VIEWS;
		name = name_of(DIGEST_FSVERITY, which);
		r = store_create(shared, &name, size_of(which), NULL, 0, &info);
		if (r == 0)
			r = store_object_open(shared, info.id, &object);
		if (r < 0) /* it went in between */
			continue;
		atomic_fetch_add(&now, seed % 3 == 0);
		r = store_object_use(object, view, quota_of(view));
		check(r == 0 || r == -ENOENT || (r == -EDQUOT && quota_of(view)));
		atomic_fetch_add(&refused, r == -EDQUOT);
		store_sweep(shared, i % 3);
		/* A chunk is put by one thread at a time: each object has a thread of its own for that. */
		if (which % THREADS == number || seed % 7 < 5)
			happen(object, which, which % THREADS == number ? 9 : seed % 7);
		if (r == 0)
			store_object_unuse(object, view);
		store_object_close(object);
	}
	return NULL;
}

/* At no time. */
static void *watch(void *arg)
{
	while (!atomic_load(&over)) {
		check(used(shared) <= LIMIT);
		for (uint32_t view = 1; view < VIEWS; view++)
			check(account(shared, view) <= quota_of(view));
	}
	return NULL;
}

static void compare(void)
{
	struct store_usage usage;
	struct store_info info;
	uint64_t sum = 0;

	store_usage(shared, &usage);
	for (uint64_t after = 0; store_next(shared, after, &info) == 0; after = info.id) {
		struct store_object *object;

		assert_int_equal(store_object_open(shared, info.id, &object), 0);
		sum += store_object_fd(object) >= 0 ? info.size : 0;
		store_object_close(object);
	}
	assert_int_equal(sum, usage.used);
	assert_true(usage.used <= LIMIT);
	for (uint32_t view = 1; view <= VIEWS; view++) {
		assert_int_equal(account(shared, view), recount(shared, view));
		assert_true(view == VIEWS || account(shared, view) <= quota_of(view));
	}
}

static void test_many_at_once(void **state)
{
	pthread_t threads[THREADS], watcher;
	unsigned int seeds[THREADS];
	uint64_t before[VIEWS + 1];

	shared = open_limited(*state, LIMIT);
	atomic_store(&over, false);
	pthread_create(&watcher, NULL, watch, NULL);
	for (unsigned int i = 0; i < THREADS; i++) {
		seeds[i] = i + THREADS * 7919;
		pthread_create(&threads[i], NULL, come_and_go, &seeds[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&over, true);
	pthread_join(watcher, NULL);
	assert_int_equal(wrong, 0);
	assert_true(atomic_load(&refused) > 0);
	compare();
	assert_true(account(shared, VIEWS) > 0);
	for (uint32_t view = 1; view <= VIEWS; view++)
		before[view] = account(shared, view);
	store_close(shared);
	shared = open_limited(*state, LIMIT);
	compare();
	for (uint32_t view = 1; view <= VIEWS; view++)
		assert_int_equal(account(shared, view), before[view]);
	store_close(shared);
}

/* There is room for three of the six: what the disk says is what is in memory, in whatever order they come. */
static struct store_object *contended[6];

static bool is_charged(struct store *store, uint64_t id, uint32_t view)
{
	struct use question = {.id = id, .view = view};
	bool recorded, charged = account_hold(store, &question, &recorded);

	if (charged)
		account_unhold(store, view, id, false);
	return charged;
}

static void *contend(void *arg)
{
	unsigned int seed = *(unsigned int *)arg;

	for (unsigned int i = 0; i < 6; i++) {
		int r;

		seed = seed * 1664525 + 1013904223;
		r = use(contended[(seed >> 16) % 6], 1, 3 * MIB);
		check(r == 0 || r == -EDQUOT);
	}
	return NULL;
}

static void test_contended(void **state)
{
	pthread_t threads[THREADS];
	unsigned int seeds[THREADS];

	shared = open_limited(*state, 100 * MIB);
	for (unsigned int round = 0; round < 300; round++) {
		for (unsigned int i = 0; i < 6; i++)
			contended[i] = open_object(shared, DIGEST_SHA256, i, MIB);
		for (unsigned int i = 0; i < THREADS; i++) {
			seeds[i] = i + round * 31;
			pthread_create(&threads[i], NULL, contend, &seeds[i]);
		}
		for (unsigned int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		assert_true(account(shared, 1) <= 3 * MIB);
		for (unsigned int i = 0; i < 6; i++) {
			uint64_t id = id_of(contended[i]);

			assert_int_equal(uses(shared, id, 1), is_charged(shared, id, 1));
			store_object_close(contended[i]);
		}
	}
	assert_int_equal(wrong, 0);
	store_close(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup_directory, teardown_directory)
		TEST(charged_in_full), TEST(oldest_is_released), TEST(what_does_not_fit),
		TEST(smaller_quota),   TEST(many_at_once),     TEST(contended),
	};

	return cmocka_run_group_tests_name("store-quota", tests, NULL, NULL);
}
