/* SPDX-License-Identifier: Apache-2.0 */
/* Many at once: putters, readers, openers, creators, removers, ingests. */
#include "store-util.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include "common/io.h"

#define THREADS 4
#define CHUNKS	64
#define SIZE	(CHUNKS * CHUNK_SIZE - 77)

struct shared {
	struct store *store;
	struct store_object *object;
	atomic_uint failures, turn;
	atomic_bool done;
	_Atomic uint64_t ids[THREADS];
};

static void expect(struct shared *shared, bool fine, const char *what)
{
	if (!fine) {
		fprintf(stderr, "%s\n", what);
		atomic_fetch_add(&shared->failures, 1);
	}
}

static void *put_mine(void *arg)
{
	struct shared *shared = arg;
	unsigned int mine = atomic_fetch_add(&shared->turn, 1);

	for (uint64_t i = mine; i < CHUNKS; i += THREADS)
		expect(shared, put_chunk(shared->object, 1, i) == 0, "put");
	return NULL;
}

/* Whatever is present must read right at that very moment. */
static void *read_all(void *arg)
{
	struct shared *shared = arg;

	while (!atomic_load(&shared->done))
		for (uint64_t i = 0; i < CHUNKS; i++)
			if (store_object_presence(shared->object, i) == STORE_PRESENT)
				expect(shared, chunk_is_right(shared->object, 1, i), "read");
	return NULL;
}

static void test_put_and_read(void **state)
{
	char *path = make_directory();
	struct shared shared = {.store = open_store(path, BOOT_A)};
	pthread_t putters[THREADS], readers[2];
	struct digest_pair pair = pair_of(1);

	shared.object = open_object(shared.store, DIGEST_FSVERITY, 1, SIZE);
	for (size_t i = 0; i < 2; i++)
		pthread_create(&readers[i], NULL, read_all, &shared);
	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&putters[i], NULL, put_mine, &shared);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(putters[i], NULL);
	assert_true(store_object_full(shared.object));
	assert_int_equal(store_object_finish(shared.object, &pair, NULL, 0), 0);
	atomic_store(&shared.done, true);
	for (size_t i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(atomic_load(&shared.failures), 0);
	store_object_close(shared.object);
	store_close(shared.store);
	remove_tree(path);
	free(path);
}

/* Open, use and remove the same few objects: the id of a name changes under everybody. */
static void *create_and_remove(void *arg)
{
	struct shared *shared = arg;
	unsigned int mine = atomic_fetch_add(&shared->turn, 1);

	for (unsigned int i = 0; i < 150; i++) {
		struct digest_name name = name_of(DIGEST_SHA256, i % 3);
		struct store_object *object;
		struct store_info info;
		int r = store_create(shared->store, &name, 2 * CHUNK_SIZE, NULL, 0, &info);

		expect(shared, r == 0, "create");
		r = store_object_open(shared->store, info.id, &object);
		expect(shared, r == 0 || r == -ENOENT, "open");
		if (r < 0)
			continue;
		if (mine < 2)
			expect(shared, put_chunk(object, i % 3, mine) == 0, "put");
		for (uint64_t chunk = 0; chunk < 2; chunk++)
			if (store_object_presence(object, chunk) == STORE_PRESENT)
				expect(shared, chunk_is_right(object, i % 3, chunk), "read");
		store_object_info(object, &info);
		r = i % 5 == mine ? store_remove(shared->store, info.id) : 0;
		expect(shared, r == 0 || r == -ENOENT, "remove");
		store_object_close(object);
	}
	return NULL;
}

static void test_create_and_remove(void **state)
{
	char *path = make_directory();
	struct shared shared = {.store = open_store(path, BOOT_A)};
	struct store_info info = {.id = 0};
	struct store_usage usage;
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, create_and_remove, &shared);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&shared.failures), 0);
	while (store_next(shared.store, info.id, &info) == 0)
		assert_int_equal(store_remove(shared.store, info.id), 0);
	store_usage(shared.store, &usage);
	assert_int_equal(usage.used, 0);
	assert_int_equal(usage.objects, 0);
	store_close(shared.store);
	remove_tree(path);
	free(path);
}

/* One file brought in by all of them: one object. */
static void *ingest_same(void *arg)
{
	static const char data[100] = "the same";
	struct shared *shared = arg;
	unsigned int mine = atomic_fetch_add(&shared->turn, 1);
	struct digest_pair pair = pair_of(1);
	struct store_ingest *ingest;
	struct store_info info = {.id = 0};
	int r = store_ingest_new(shared->store, 100, &ingest);

	if (r == 0)
		r = io_pwrite(store_ingest_fd(ingest), data, sizeof(data), 0);
	if (r == 0)
		r = store_ingest_commit(ingest, &pair, 100, NULL, 0, &info);
	expect(shared, r == 0 && info.complete, "ingest");
	atomic_store(&shared->ids[mine], info.id);
	return NULL;
}

static void test_ingest_same(void **state)
{
	char *path = make_directory();
	struct shared shared = {.store = open_store(path, BOOT_A)};
	struct store_usage usage;
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, ingest_same, &shared);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&shared.failures), 0);
	for (size_t i = 1; i < THREADS; i++)
		assert_int_equal(atomic_load(&shared.ids[i]), atomic_load(&shared.ids[0]));
	store_usage(shared.store, &usage);
	assert_int_equal(usage.used, 100);
	store_close(shared.store);
	remove_tree(path);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_and_read),
		cmocka_unit_test(test_create_and_remove),
		cmocka_unit_test(test_ingest_same),
	};

	return cmocka_run_group_tests_name("store-threads", tests, NULL, NULL);
}
