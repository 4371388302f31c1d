/* SPDX-License-Identifier: Apache-2.0 */
/* Stored bytes that are damaged: the object keeps the rest, and becomes complete again. */
#include "store-util.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>
#include "store/internal.h"

#define SIZE (3 * CHUNK_SIZE + 1000)

static atomic_bool refuse;
int __real_db_write(struct db *db, struct db_batch *batch, bool sync);
int __wrap_db_write(struct db *db, struct db_batch *batch, bool sync);

int __wrap_db_write(struct db *db, struct db_batch *batch, bool sync)
{
	return atomic_load(&refuse) ? -ENOSPC : __real_db_write(db, batch, sync);
}

static uint64_t make_complete(struct store *store, enum digest_kind kind, unsigned int seed)
{
	struct store_object *object = open_object(store, kind, seed, SIZE);
	struct digest_pair pair = pair_of(seed);
	struct store_info info;

	put_all(object, seed);
	assert_int_equal(store_object_finish(object, &pair, "front", 5), 0);
	store_object_info(object, &info);
	store_object_close(object);
	return info.id;
}

static struct store_object *open_id(struct store *store, uint64_t id)
{
	struct store_object *object;

	assert_int_equal(store_object_open(store, id, &object), 0);
	return object;
}

/* One letter a chunk: absent, hint, present. */
static void assert_presence(struct store_object *object, const char *expected)
{
	static const char letters[] = {
		[STORE_ABSENT] = 'a', [STORE_HINT] = 'h', [STORE_PRESENT] = 'p'};
	char found[16] = "";

	for (uint64_t i = 0; i < chunk_count(store_object_size(object)); i++)
		found[i] = letters[store_object_presence(object, i)];
	assert_string_equal(found, expected);
}

static uint64_t present(struct store *store, uint64_t id)
{
	struct store_info info;

	assert_int_equal(store_get(store, id, &info), 0);
	return info.present;
}

static void test_a_chunk_of_a_complete_object(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	uint64_t id = make_complete(store, DIGEST_SHA256, 1);
	struct store_object *object = open_id(store, id);
	struct digest_pair pair = pair_of(1);
	struct digest_name fsverity = name_of(DIGEST_FSVERITY, 1);
	struct store_info info;

	assert_int_equal(store_object_confirm(object, 0), 0);
	store_object_drop(object, 0); /* it was verified: somebody else was faster */
	drop_chunk(object, 4); /* there is none */
	assert_true(store_object_complete(object));
	drop_chunk(object, 2);
	assert_false(store_object_complete(object) || store_object_recorded(object));
	assert_presence(object, "phah");
	/* Who reads the file past us must not meet a hole. */
	assert_true(chunk_is_right(object, 1, 2));
	assert_int_equal(store_object_finish(object, &pair, "front", 5), -ENODATA);
	assert_int_equal(used(store), SIZE);
	store_object_close(object);
	assert_int_equal(present(store, id), SIZE - CHUNK_SIZE);
	store_close(store);

	/* In another boot, too, and it is still known by both digests. */
	store = open_store(*state, BOOT_B);
	assert_int_equal(store_lookup(store, &fsverity, &info), 0);
	assert_true(info.id == id && !info.complete && info.digests.has_sha256);
	object = open_id(store, id);
	assert_presence(object, "hhah");
	assert_int_equal(put_chunk(object, 1, 2), 0);
	assert_true(store_object_recorded(object) && !store_object_full(object));
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(store_object_confirm(object, i), 0);
	assert_int_equal(store_object_finish(object, &pair, "front", 5), 0);
	assert_presence(object, "pppp");
	assert_int_equal(used(store), SIZE);
	store_object_close(object);
	store_close(store);
}

/* What is cut off is lost, and nothing else; what is too long is not believed. */
static void cut_or_stretched(const char *path, bool complete, off_t to, const char *expected)
{
	struct store *store = open_store(path, BOOT_A);
	struct store_object *object;
	struct stat st;
	uint64_t id;
	int fd;

	if (complete) {
		id = make_complete(store, DIGEST_FSVERITY, 1);
		object = open_id(store, id);
	} else {
		struct store_info info;

		object = open_object(store, DIGEST_FSVERITY, 1, SIZE);
		assert_int_equal(put_chunk(object, 1, 0), 0);
		assert_int_equal(put_chunk(object, 1, 2), 0);
		store_object_info(object, &info);
		id = info.id;
	}
	fd = store_object_fd(object);
	assert_int_equal(ftruncate(fd, to), 0);
	store_object_close(object);
	store_close(store);

	for (int i = 0; i < 2; i++) {
		store = open_store(path, BOOT_A);
		object = open_id(store, id);
		assert_false(store_object_complete(object));
		assert_presence(object, expected);
		assert_int_equal(fstat(store_object_fd(object), &st), 0);
		assert_int_equal(st.st_size, SIZE);
		assert_int_equal(used(store), SIZE);
		store_object_close(object);
		store_close(store);
	}
	store = open_store(path, BOOT_A);
	assert_int_equal(store_remove(store, id), 0);
	store_close(store);
}

static void test_files_of_another_size(void **state)
{
	cut_or_stretched(*state, true, SIZE - 1, "hhha");
	cut_or_stretched(*state, true, 2 * CHUNK_SIZE + 5, "hhaa");
	cut_or_stretched(*state, true, 2 * CHUNK_SIZE, "hhaa");
	cut_or_stretched(*state, true, 0, "aaaa");
	cut_or_stretched(*state, true, SIZE + 1, "hhhh");
	cut_or_stretched(*state, false, 2 * CHUNK_SIZE + 5, "haaa");
	cut_or_stretched(*state, false, SIZE + 5000, "haha");
}

/* Of an unattested object no part can be believed. */
static void test_an_unattested_file_that_was_cut(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = open_object(store, DIGEST_SHA256, 1, SIZE);

	assert_int_equal(put_chunk(object, 1, 0), 0);
	assert_int_equal(ftruncate(store_object_fd(object), SIZE - 1), 0);
	store_object_close(object);
	store_close(store);
	store = open_store(*state, BOOT_A);
	object = open_object(store, DIGEST_SHA256, 1, SIZE);
	assert_presence(object, "aaaa");
	put_all(object, 1);
	assert_presence(object, "pppp");
	assert_int_equal(used(store), SIZE);
	assert_int_equal(count_files(*state), 1);
	store_object_close(object);
	store_close(store);
}

/* As long as the disk calls it complete, nothing is written: a crash would leave a file with holes to be passed through. */
static void test_nothing_is_put_before_it_is_recorded(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	uint64_t id = make_complete(store, DIGEST_FSVERITY, 1), gone = make_complete(store, DIGEST_FSVERITY, 2);
	struct store_object *object = open_id(store, id), *other;
	char path[300], *hex = path + snprintf(path, sizeof(path), "%s/objects/", (char *)*state);
	struct digest_name name = name_of(DIGEST_FSVERITY, 2);

	store_file_path(&name, hex);
	assert_int_equal(unlink(path), 0);
	atomic_store(&refuse, true);
	drop_chunk(object, 1);
	other = open_id(store, gone);
	assert_presence(object, "hahh");
	assert_presence(other, "aaaa");
	assert_false(store_object_complete(object) || store_object_complete(other));
	assert_int_equal(put_chunk(object, 9, 1), -ENOSPC);
	assert_int_equal(put_chunk(other, 9, 1), -ENOSPC);
	assert_true(chunk_is_right(object, 1, 1));
	assert_int_equal(access(path, F_OK), -1);

	/* A later drop of one that has such a debt, and then all is well again. */
	drop_chunk(object, 3);
	atomic_store(&refuse, false);
	assert_int_equal(put_chunk(object, 1, 1), 0);
	assert_int_equal(put_chunk(other, 2, 1), 0);
	store_object_close(object);
	store_object_close(other);
	assert_int_equal(present(store, id), 3 * CHUNK_SIZE);
	assert_int_equal(present(store, gone), CHUNK_SIZE);
	store_close(store);
}

/* ---- many at once ---- */

#define THREADS 4
#define ROUNDS	60

static struct store_object *shared;

static void *drop_and_put(void *arg)
{
	unsigned int seed = *(unsigned int *)arg;
	struct digest_pair pair = pair_of(1);
	char *data = malloc(CHUNK_SIZE);
	uintptr_t wrong = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t chunk;
		size_t len;

		seed = seed * 1664525 + 1013904223;
		/* A chunk is put by one thread at a time: each has its own. */
		chunk = *(unsigned int *)arg;
		len = chunk_length(SIZE, chunk);
		drop_chunk(shared, seed >> 16 & 1 ? chunk : 77);
		fill(data, len, 1, chunk);
		if (store_object_presence(shared, chunk) == STORE_ABSENT)
			wrong += store_object_put(shared, chunk, data, len) < 0;
		if (store_object_presence(shared, chunk) == STORE_ABSENT)
			wrong++;
		/* Full or not: it is what it says that counts. */
		if (store_object_finish(shared, &pair, "front", 5) == 0 &&
		    !store_object_full(shared) && store_object_complete(shared))
			wrong++;
	}
	free(data);
	return (void *)wrong;
}

static void test_many_at_once(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	uint64_t id = make_complete(store, DIGEST_FSVERITY, 1);
	struct digest_pair pair = pair_of(1);
	unsigned int seeds[THREADS];
	pthread_t threads[THREADS];

	shared = open_id(store, id);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(store_object_confirm(shared, i), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		seeds[i] = i;
		pthread_create(&threads[i], NULL, drop_and_put, &seeds[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	assert_presence(shared, "pppp");
	assert_int_equal(store_object_finish(shared, &pair, "front", 5), 0);
	assert_int_equal(used(store), SIZE);
	store_object_close(shared);
	store_close(store);
	store = open_store(*state, BOOT_A);
	shared = open_id(store, id);
	assert_true(store_object_complete(shared));
	for (uint64_t i = 0; i < 4; i++)
		assert_true(chunk_is_right(shared, 1, i));
	assert_int_equal(used(store), SIZE);
	store_object_close(shared);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup_directory, teardown_directory)
		TEST(a_chunk_of_a_complete_object),
		TEST(files_of_another_size),
		TEST(an_unattested_file_that_was_cut),
		TEST(nothing_is_put_before_it_is_recorded),
		TEST(many_at_once),
	};

	return cmocka_run_group_tests_name("store-repair", tests, NULL, NULL);
}
