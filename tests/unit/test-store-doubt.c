/* SPDX-License-Identifier: Apache-2.0 */
/* Damage that shows while the store is in use, and objects that are doubtful: found, believed again, or not. */
#include "store-damage.h"

/* ---- a damage that shows while the store is in use ---- */

/* Two: what is before the first in the database is looked for at open, so the first is in RocksDB's cache. */
static uint64_t add_large_fronts(const char *path)
{
	static char front[300000];
	struct store *store = open_store(path, BOOT_A);
	struct store_info info;

	for (size_t i = 0; i < sizeof(front); i++)
		front[i] = (char)(i * i >> 7);
	for (unsigned int seed = 50; seed < 52; seed++) {
		struct digest_name name = name_of(DIGEST_FSVERITY, seed);

		assert_int_equal(store_create(store, &name, SIZE, front, sizeof(front), &info), 0);
	}
	store_close(store);
	return info.id;
}

static void test_found_while_in_use(void **state)
{
	struct store_object *object;
	struct store_info info;
	struct store *store;
	char file[400];
	void *front;
	size_t len;
	uint64_t id;

	fill_store(*state);
	id = add_large_fronts(*state);
	store = open_store(*state, BOOT_A);
	find_file(*state, "", ".sst", true, file);
	noise(file, 400000, 1000);
	assert_int_equal(store_object_open(store, id, &object), 0);
	assert_int_equal(store_object_front(object, &front, &len), -EIO);
	store_object_close(object);
	assert_true(exists(*state, "meta" DB_SUSPECT));
	/* The rest goes on. */
	assert_true(find(store, A, &info) && info.complete);
	assert_int_equal(store_object_open(store, info.id, &object), 0);
	assert_int_equal(store_object_pin(object, false), 0);
	store_object_close(object);
	store_close(store);

	store = open_store(*state, BOOT_A);
	assert_true(exists(*state, "meta.damaged"));
	assert_false(exists(*state, "meta" DB_SUSPECT));
	assert_doubtful(store);
	assert_true(find(store, A, &info) && !info.pinned);
	look_at_all(store);
	store_close(store);
	store = open_store(*state, BOOT_A);
	assert_looked_at(store, *state);
	store_close(store);
}

/* A table that is bad where RocksDB comes to it by itself: writing ends, reading goes on. */
static void test_found_in_the_background(void **state)
{
	static char front[200000];
	struct store *store;
	struct store_info info;
	char file[400];
	int r = 0;

	fill_store(*state);
	add_large_fronts(*state);
	store = open_store(*state, BOOT_A);
	find_file(*state, "", ".sst", true, file);
	noise(file, 100000, 100000);
	noise(file, 400000, 100000);
	for (unsigned int seed = 1000; seed < 20000 && r == 0; seed++) {
		struct digest_name name = name_of(DIGEST_FSVERITY, seed);

		r = store_create(store, &name, SIZE, front, sizeof(front), &info);
		if (r == 0)
			r = store_remove(store, info.id);
	}
	assert_int_equal(r, -EIO);
	assert_true(exists(*state, "meta" DB_SUSPECT));
	assert_true(find(store, A, &info) && info.complete);
	store_close(store);
	store = open_store(*state, BOOT_A);
	assert_doubtful(store);
	assert_kept(store, true, true);
	store_close(store);
}

/* ---- files and records ---- */

static void test_the_front_comes_back(void **state)
{
	struct digest_name name = name_of(DIGEST_FSVERITY, C), a = name_of(DIGEST_FSVERITY, A);
	struct store_object *object;
	struct store_info info;
	struct store *store;
	void *front;
	size_t len;
	uint64_t id;

	fill_store(*state);
	damage(*state, ALL_MISSING);
	store = open_store(*state, BOOT_A);
	assert_true(find(store, C, &info) && info.lacks_front);
	id = info.id;
	assert_int_equal(store_object_open(store, id, &object), 0);
	assert_int_equal(store_object_suspect(object), 0);
	assert_int_equal(store_object_front(object, &front, &len), -ENODATA);
	/* Not by the wrong name, nor without it. */
	assert_int_equal(store_create(store, &name, SIZE, NULL, 0, &info), 0);
	assert_true(info.lacks_front);
	assert_int_equal(store_create(store, &name, SIZE, "the front", 9, &info), 0);
	assert_int_equal(info.id, id);
	assert_false(info.lacks_front);
	assert_int_equal(info.present, 2 * CHUNK_SIZE);
	assert_int_equal(store_object_front(object, &front, &len), 0);
	assert_int_equal(len, 9);
	assert_memory_equal(front, "the front", 9);
	free(front);
	assert_int_equal(store_object_presence(object, 2), STORE_HINT);
	store_object_close(object);

	/* The file had lost its end, so the size was wrong. */
	assert_true(find(store, A, &info) && info.lacks_front);
	assert_int_equal(store_create(store, &a, SIZE + 5, "front", 5, &info), 0);
	assert_false(info.lacks_front);
	assert_int_equal(info.size, SIZE + 5);
	assert_int_equal(used(store), SUM + 5);
	store_close(store);
	store = open_store(*state, BOOT_A);
	assert_true(find(store, A, &info));
	assert_int_equal(info.size, SIZE + 5);
	assert_false(info.lacks_front);
	assert_int_equal(used(store), SUM + 5);
	store_close(store);
}

static void test_strangers_are_left_alone(void **state)
{
	static const char *const names[] = {"aa/README", "aa/.hidden"};
	struct store *store;
	char file[400];

	fill_store(*state);
	for (size_t i = 0; i < 2; i++) {
		int fd;

		snprintf(file, sizeof(file), "%s/objects/aa", (char *)*state);
		mkdir(file, 0700);
		snprintf(file, sizeof(file), "%s/objects/%s", (char *)*state, names[i]);
		fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	damage(*state, MANIFEST_NOISE);
	store = open_store(*state, BOOT_A);
	assert_doubtful(store);
	store_close(store);
	for (size_t i = 0; i < 2; i++) {
		snprintf(file, sizeof(file), "objects/%s", names[i]);
		assert_true(exists(*state, file));
	}
}

/* The record says how long it is; the rest has to be fetched. */
static void test_a_file_cut_short(void **state)
{
	char hex[DIGEST_NAME_SIZE], file[600];
	struct digest_name name = name_of(DIGEST_FSVERITY, A);
	struct store_object *object;
	struct store_info info;
	struct store *store;

	fill_store(*state);
	digest_name_format(&name, hex);
	snprintf(file, sizeof(file), "%s/objects/%02x/%s", (char *)*state, name.digest.bytes[0], hex);
	assert_int_equal(truncate(file, CHUNK_SIZE + 1000), 0);
	damage(*state, CURRENT_MISSING);
	store = open_store(*state, BOOT_A);
	assert_true(find(store, A, &info) && info.doubtful);
	assert_int_equal(info.size, SIZE);
	assert_int_equal(size_of(file), SIZE);
	assert_int_equal(store_object_open(store, info.id, &object), 0);
	assert_int_equal(store_object_suspect(object), 0);
	assert_int_equal(store_object_presence(object, 0), STORE_HINT);
	assert_int_equal(store_object_presence(object, 3), STORE_ABSENT);
	store_object_close(object);
	store_close(store);
}

static void test_a_pinned_one_is_not_discarded(void **state)
{
	struct store_info info;
	struct store *store;

	fill_store(*state);
	damage(*state, MANIFEST_NOISE);
	store = open_store(*state, BOOT_A);
	assert_true(find(store, A, &info) && info.pinned);
	assert_int_equal(store_discard(store, info.id), 0);
	assert_true(find(store, A, &info) && info.pinned && !info.doubtful);
	assert_int_equal(info.present, 0);
	assert_int_equal(used(store), SUM);
	store_close(store);
}

/* A crash after what is ready was renamed, and before it took its place. */
static void test_killed_while_it_is_replaced(void **state)
{
	struct store *store;
	char meta[300], ready[300];

	fill_store(*state);
	damage(*state, MANIFEST_NOISE);
	store = open_store(*state, BOOT_A);
	store_close(store);
	snprintf(meta, sizeof(meta), "%s/meta", (char *)*state);
	snprintf(ready, sizeof(ready), "%s/meta.ready", (char *)*state);
	assert_int_equal(rename(meta, ready), 0);
	store = open_store(*state, BOOT_A);
	assert_false(exists(*state, "meta.ready"));
	assert_true(exists(*state, "meta.damaged"));
	assert_doubtful(store);
	assert_kept(store, true, true);
	store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup_directory, teardown_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(found_while_in_use),
		TEST(found_in_the_background),
		TEST(the_front_comes_back),
		TEST(strangers_are_left_alone),
		TEST(a_file_cut_short),
		TEST(a_pinned_one_is_not_discarded),
		TEST(killed_while_it_is_replaced),
	};

	return cmocka_run_group_tests_name("store-doubt", tests, NULL, NULL);
}
