/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas while eight threads open, fill, pin, remove and evict: at no time above, and a recount agrees. */
#include "store-quota.h"

#include <pthread.h>

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
		r = r == -ENODATA ? 0 : r; /* not all is here */
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
		r = use_open(shared, object, view, quota_of(view));
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
	int64_t seconds;

	return account_last_use(store, view, id, &seconds);
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
		TEST(many_at_once),
		TEST(contended),
	};

	return cmocka_run_group_tests_name("store-quota-threads", tests, NULL, NULL);
}
