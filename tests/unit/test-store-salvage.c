/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Databases that are damaged in all ways, or gone: the store opens, believes nothing about files that it did not see,
 * counts them, keeps what could be read, and gives no id out twice.
 */
#include "store-damage.h"

#include <sys/wait.h>

static void test_damage(void **state)
{
	for (enum damage how = 0; how < DAMAGES; how++) {
		bool table = how >= TABLE_NOISE && how <= TABLE_CUT, all = how == ALL_MISSING;
		char *path = make_directory();
		uint64_t last = fill_store(path);
		struct digest_name name = name_of(DIGEST_SHA256, 99);
		struct store *store;
		struct store_info info;

		damage(path, how);
		store = open_store(path, BOOT_A);
		print_message("damage %d\n", (int)how);
		assert_doubtful(store);
		assert_kept(store, how != FIRST_TABLE_NOISE && !all, !table && !all);
		assert_int_equal(exists(path, "meta.damaged"), !all);
		assert_false(exists(path, "meta.new") || exists(path, "meta.ready") ||
			     exists(path, "meta.scratch"));
		assert_int_equal(store_create(store, &name, 5, NULL, 0, &info), 0);
		if (!table && !all)
			assert_true(info.id > last);
		/* As if killed: the next one has all of it to do. */
		store_close(store);
		store = open_store(path, BOOT_A);
		assert_doubtful(store);
		look_at_all(store);
		store_close(store);
		for (int i = 0; i < 2; i++) {
			store = open_store(path, i ? BOOT_B : BOOT_A);
			assert_looked_at(store, path);
			store_close(store);
		}
		remove_tree(path);
		free(path);
	}
}

/* RocksDB's repair would leave the whole table out. */
static void test_blocks_that_are_fine_are_kept(void **state)
{
	enum { RECORDS = 3000 };
	struct store *store = open_store(*state, BOOT_A);
	struct store_info info = {.id = 0};
	unsigned int n = 0;
	uint64_t last;
	char file[400];

	for (unsigned int seed = 0; seed < RECORDS; seed++) {
		struct digest_name name = name_of(DIGEST_SHA256, seed);

		assert_int_equal(store_create(store, &name, seed, NULL, 0, &info), 0);
	}
	last = info.id;
	store_close(store);
	find_file(*state, "", ".sst", true, file);
	noise(file, size_of(file) / 2, 5000);
	noise(file, size_of(file) * 3 / 4, 10);
	store = open_store(*state, BOOT_A);
	assert_true(exists(*state, "meta.damaged"));
	for (info.id = 0; store_next(store, info.id, &info) == 0; n++) {
		struct digest_name name = name_of(DIGEST_SHA256, (unsigned int)info.size);

		assert_true(digest_equal(&info.name.digest, &name.digest));
	}
	assert_true(n > RECORDS / 2 && n <= RECORDS);
	assert_int_equal(info.id, last);
	store_close(store);
}

/* ---- the log ---- */

/* A child that does not close: all is in the log. */
static void fill_log(const char *path, unsigned int objects)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct store *store = open_store(path, BOOT_A);

		for (unsigned int seed = 0; seed < objects; seed++) {
			struct store_object *object = open_object(store, DIGEST_FSVERITY, 100 + seed, 10);

			if (put_chunk(object, 100 + seed, 0) < 0 || store_object_pin(object, true) < 0)
				_exit(1);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Made before this process has a thread of RocksDB's: short, long, short. */
static char *logs[3];

static int make_logs(void **state)
{
	static const unsigned int objects[] = {20, 400, 20};

	for (size_t i = 0; i < ARRAY_SIZE(logs); i++) {
		logs[i] = make_directory();
		fill_log(logs[i], objects[i]);
	}
	return 0;
}

static int remove_logs(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(logs); i++) {
		remove_tree(logs[i]);
		free(logs[i]);
	}
	return 0;
}

static unsigned int count_records(struct store *store, bool pinned)
{
	struct store_info info = {.id = 0};
	unsigned int n = 0;

	while (store_next(store, info.id, &info) == 0)
		n += !pinned || info.pinned;
	return n;
}

static void test_torn_log(void **state)
{
	struct store_doubts doubts;
	struct store *store;
	char file[400];

	find_file(logs[0], "", ".log", true, file);
	assert_int_equal(truncate(file, size_of(file) - 7), 0);
	store = open_store(logs[0], BOOT_A);
	assert_false(exists(logs[0], "meta.damaged"));
	assert_int_equal(count_records(store, false), 20);
	assert_int_equal(count_records(store, true), 19);
	store_doubts(store, &doubts);
	assert_int_equal(doubts.objects, 0);
	store_close(store);
}

/* In the middle of it: what is behind survives, too, since RocksDB's repair reads on. */
static void test_noise_in_the_log(void **state)
{
	struct store_doubts doubts;
	struct store *store;
	char file[400];

	find_file(logs[1], "", ".log", true, file);
	assert_true(size_of(file) > 4 * 32768);
	noise(file, 33000, 300);
	store = open_store(logs[1], BOOT_A);
	assert_true(exists(logs[1], "meta.damaged"));
	assert_int_equal(count_records(store, false), 400);
	assert_true(count_records(store, true) > 200);
	store_doubts(store, &doubts);
	assert_int_equal(doubts.objects, 400);
	assert_int_equal(used(store), 4000);
	store_close(store);
}

/* All of it, as short as it is, looks like the end of a log that was cut. The files tell. */
static void test_a_log_of_noise_only(void **state)
{
	struct store_doubts doubts;
	struct store *store;
	char file[400];

	find_file(logs[2], "", ".log", true, file);
	noise(file, -1, -1);
	store = open_store(logs[2], BOOT_A);
	assert_int_equal(count_records(store, false), 20);
	store_doubts(store, &doubts);
	assert_int_equal(doubts.objects, 20);
	assert_int_equal(used(store), 200);
	store_close(store);
}

/* ---- what is no damage, and what is understood ---- */

static struct db *open_meta(const char *path)
{
	struct db_reason reason;
	char meta[300];
	struct db *db;

	snprintf(meta, sizeof(meta), "%s/meta", path);
	assert_int_equal(db_open(meta, ENGINE_CREATE, &reason, &db), 0);
	return db;
}

static void put(struct db *db, const struct schema_key *key, const void *value, size_t len)
{
	_cleanup_batch_ struct db_batch batch = db_batch();

	db_batch_put(&batch, key, value, len);
	assert_int_equal(db_write(db, &batch, true), 0);
}

static void test_a_record_that_nobody_understands(void **state)
{
	uint64_t last = fill_store(*state);
	struct schema_key key = schema_key_id(SCHEMA_OBJECT, last + 10);
	struct schema_key other = schema_key((enum schema_type)'z');
	struct schema_key sequences = schema_key(SCHEMA_SEQUENCE);
	_cleanup_batch_ struct db_batch batch = db_batch();
	uint32_t view, another;
	struct store *store;
	struct store_info info;
	struct db *db = open_meta(*state);
	_cleanup_free_ uint8_t *value = NULL;
	struct digest_name name = name_of(DIGEST_SHA256, 99);
	size_t len;

	put(db, &key, "nonsense", 8);
	put(db, &other, "of somebody else", 16);
	/* Nor is it known which ids were given out. */
	db_batch_delete_all(&batch, &sequences);
	assert_int_equal(db_write(db, &batch, true), 0);
	db_close(db);
	store = open_store(*state, BOOT_A);
	assert_true(exists(*state, "meta.damaged"));
	assert_doubtful(store);
	assert_kept(store, true, true);
	assert_int_equal(db_get(store->db, &other, &value, &len), 0);
	assert_int_equal(len, 16);
	assert_int_equal(store_create(store, &name, 5, NULL, 0, &info), 0);
	assert_true(info.id > last);
	assert_int_equal(store_view(store, 1000, "https://a.example", &view), 0);
	assert_int_equal(store_view(store, 1001, "https://a.example", &another), 0);
	assert_true(another > view);
	look_at_all(store);
	store_close(store);
}

static void test_a_newer_format_is_left_alone(void **state)
{
	struct store_options options = {.path = *state, .size = 1 << 30, .boot_id = BOOT_A};
	struct schema_key key = schema_key(SCHEMA_FORMAT);
	struct schema_key strange = schema_key_id(SCHEMA_OBJECT, 7);
	struct store *store;
	struct db *db;
	uint8_t value[4];

	fill_store(*state);
	db = open_meta(*state);
	schema_put_u32(value, STORE_FORMAT + 1);
	put(db, &key, value, sizeof(value));
	put(db, &strange, "of a newer kind", 15);
	db_close(db);
	assert_int_equal(store_open(&options, &store), -EPROTO);
	/* Damaged on top of it: what can be read tells. */
	damage(*state, CURRENT_MISSING);
	assert_int_equal(store_open(&options, &store), -EPROTO);
	assert_false(exists(*state, "meta.damaged") || exists(*state, "meta.ready"));
	assert_int_equal(count_files(*state), 4);
}

static void test_what_is_damage(void **state)
{
	assert_int_equal(engine_error("Corruption: block checksum mismatch"), -EUCLEAN);
	assert_int_equal(engine_error("IO error: No such file or directory: While open a file for "
				      "random read: /s/meta/000012.sst: No such file or directory"),
			 -EUCLEAN);
	assert_int_equal(engine_error("IO error: No space left on device: While appending to file"),
			 -ENOSPC);
	assert_int_equal(engine_error("IO error: While open a file: /s: Too many open files"), -EIO);
	assert_int_equal(engine_error("Corruption: Can't access /000009.sst: IO error: stat: "
				      "Too many open files"),
			 -EIO);
	assert_int_equal(engine_error("IO error: While lock file: /s/meta/LOCK: Resource temporarily "
				      "unavailable"),
			 -EIO);
	assert_int_equal(engine_error("IO error: While pread offset 0 len 53: /s: Input/output error"),
			 -EIO);
	assert_int_equal(engine_error("Corruption: Unknown Footer version. Maybe this file was "
				      "created with newer version of RocksDB?"),
			 -EPROTO);
}

/* ---- anywhere ---- */

/* In processes of their own, so that RocksDB's assertions would show. */
static void try_noise(const char *path, unsigned int random)
{
	struct store_options options = {.path = path, .size = 1 << 30, .boot_id = BOOT_A};
	struct store_info info;
	struct store *store;

	alarm(60);
	for (unsigned int seed = A; seed <= E; seed++) {
		int r = store_open(&options, &store);

		if (r < 0)
			_exit(2);
		if (seed != D && !find(store, seed, &info))
			_exit(10 + (int)seed);
		store_close(store);
	}
	_exit(0);
}

static void test_noise_anywhere(void **state)
{
	char *original = make_directory(), command[900];
	pid_t child = fork();
	int status;

	if (child == 0) {
		fill_store(original);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	for (unsigned int round = 0; round < 60; round++) {
		unsigned int random = round * 77 + 5;
		static const char *const files[][2] = {
			{"MANIFEST", ""}, {"", ".sst"}, {"CURRENT", ""}, {"OPTIONS", ""}};
		unsigned int which = (unsigned int)rand_r(&random) % 8;
		char *path = make_directory(), file[400];
		off_t size;

		snprintf(command, sizeof(command), "cp -a %s/. %s/", original, path);
		assert_int_equal(system(command), 0);
		which = which < 4 ? which : 1;
		find_file(path, files[which][0], files[which][1], rand_r(&random) % 2, file);
		size = size_of(file);
		noise(file, rand_r(&random) % size, 1 + rand_r(&random) % (round % 2 ? size : 8));
		child = fork();
		if (child == 0)
			try_noise(path, random);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (status != 0)
			print_message("round %u: %s: status %x\n", round, file, status);
		assert_int_equal(status, 0);
		remove_tree(path);
		free(path);
	}
	remove_tree(original);
	free(original);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup_directory, teardown_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, those that fork: RocksDB's threads do not survive it. */
		cmocka_unit_test(test_noise_anywhere),
		cmocka_unit_test(test_torn_log),
		cmocka_unit_test(test_noise_in_the_log),
		cmocka_unit_test(test_a_log_of_noise_only),
		cmocka_unit_test(test_damage),
		TEST(blocks_that_are_fine_are_kept),
		TEST(a_record_that_nobody_understands),
		TEST(a_newer_format_is_left_alone),
		TEST(what_is_damage),
	};

	return cmocka_run_group_tests_name("store-salvage", tests, make_logs, remove_logs);
}
