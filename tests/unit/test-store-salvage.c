/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Databases that are damaged in all ways, or gone: the store opens, believes nothing about files that it did not see,
 * counts them, keeps what could be read, and gives no id out twice.
 *
 * The store of these tests was made in two sessions, so its database has two tables: in the first D, pinned, and the
 * view; in the second all the rest.
 */
#include "store-util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/io.h"
#include "store/internal.h"

#define SIZE (3 * CHUNK_SIZE + 1000)
#define SUM  (4 * (uint64_t)SIZE)

enum { A = 1, B, C, D, E };

static const enum digest_kind kinds[] = {
	[A] = DIGEST_FSVERITY, [B] = DIGEST_SHA256, [C] = DIGEST_FSVERITY,
	[D] = DIGEST_FSVERITY, [E] = DIGEST_SHA256,
};

static struct store_object *make(struct store *store, unsigned int seed)
{
	struct digest_name name = name_of(kinds[seed], seed);
	struct store_object *object;
	struct store_info info;

	assert_int_equal(store_create(store, &name, SIZE, "front", 5, &info), 0);
	assert_int_equal(store_object_open(store, info.id, &object), 0);
	return object;
}

/* A complete and pinned, B complete, C in part (the chunks 0 and 2), D without a file, E in part and unattested. */
static uint64_t fill_store(const char *path)
{
	struct store *store = open_store(path, BOOT_A);
	struct digest_pair pair;
	struct store_object *object = make(store, D);
	struct store_info info;
	uint32_t view;

	assert_int_equal(store_object_pin(object, true), 0);
	assert_int_equal(store_view(store, 1000, "https://a.example", &view), 0);
	store_object_info(object, &info);
	assert_int_equal(store_touch(store, info.id, view), 0);
	store_object_close(object);
	store_close(store);

	store = open_store(path, BOOT_A);
	for (unsigned int seed = A; seed <= B; seed++) {
		object = make(store, seed);
		pair = pair_of(seed);
		put_all(object, seed);
		assert_int_equal(store_object_finish(object, &pair, "front", 5), 0);
		if (seed == A)
			assert_int_equal(store_object_pin(object, true), 0);
		store_object_close(object);
	}
	object = make(store, C);
	assert_int_equal(put_chunk(object, C, 0), 0);
	assert_int_equal(put_chunk(object, C, 2), 0);
	store_object_close(object);
	object = make(store, E);
	assert_int_equal(put_chunk(object, E, 1), 0);
	store_object_info(object, &info);
	store_object_close(object);
	store_close(store);
	return info.id;
}

/* ---- damage ---- */

/* The first file (by name), or the LAST, of meta/ that begins and ends so; "" if there is none. */
static void find_file(const char *path, const char *begin, const char *end, bool last, char out[400])
{
	char meta[300], best[100] = "";
	struct dirent *entry;
	DIR *dir;

	snprintf(meta, sizeof(meta), "%s/meta", path);
	dir = opendir(meta);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		size_t len = strlen(entry->d_name), n = strlen(end);

		if (strncmp(entry->d_name, begin, strlen(begin)) != 0 || len < n ||
		    strcmp(entry->d_name + len - n, end) != 0)
			continue;
		if (!*best || (strcmp(entry->d_name, best) > 0) == last)
			snprintf(best, sizeof(best), "%.99s", entry->d_name);
	}
	closedir(dir);
	snprintf(out, 400, "%s/%s", meta, best);
	assert_true(*best != '\0');
}

/* LEN bytes from OFFSET on; both may be -1: all of it. */
static void noise(const char *file, off_t offset, off_t len)
{
	unsigned int random = 4711;
	struct stat st;
	int fd = open(file, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0);
	if (offset < 0) {
		offset = 0;
		len = st.st_size;
	}
	for (off_t i = offset; i < offset + len && i < st.st_size; i++) {
		uint8_t byte = (uint8_t)(rand_r(&random) >> 3);

		assert_int_equal(pwrite(fd, &byte, 1, i), 1);
	}
	close(fd);
}

static void remove_meta(const char *path)
{
	char meta[300];

	snprintf(meta, sizeof(meta), "%s/meta", path);
	remove_all(meta);
}

enum damage {
	MANIFEST_NOISE,
	MANIFEST_MISSING,
	CURRENT_MISSING,
	CURRENT_NOISE,
	CURRENT_EMPTY,
	TABLE_NOISE,
	TABLE_MIDDLE,
	TABLE_MISSING,
	TABLE_CUT,
	FIRST_TABLE_NOISE,
	ALL_MISSING,
	DAMAGES,
};

static void damage(const char *path, enum damage how)
{
	static const struct {
		const char *begin, *end;
		bool last;
	} what[] = {
		[MANIFEST_NOISE] = {"MANIFEST", "", true}, [MANIFEST_MISSING] = {"MANIFEST", "", true},
		[CURRENT_MISSING] = {"CURRENT", "", true}, [CURRENT_NOISE] = {"CURRENT", "", true},
		[CURRENT_EMPTY] = {"CURRENT", "", true},   [TABLE_NOISE] = {"", ".sst", true},
		[TABLE_MIDDLE] = {"", ".sst", true},	   [TABLE_MISSING] = {"", ".sst", true},
		[TABLE_CUT] = {"", ".sst", true},	   [FIRST_TABLE_NOISE] = {"", ".sst", false},
	};
	char file[400];

	if (how == ALL_MISSING) {
		remove_meta(path);
		return;
	}
	find_file(path, what[how].begin, what[how].end, what[how].last, file);
	if (how == MANIFEST_MISSING || how == CURRENT_MISSING || how == TABLE_MISSING)
		assert_int_equal(unlink(file), 0);
	else if (how == CURRENT_EMPTY)
		assert_int_equal(truncate(file, 0), 0);
	else if (how == TABLE_CUT)
		assert_int_equal(truncate(file, 200), 0);
	else if (how == TABLE_MIDDLE)
		noise(file, 100, 50);
	else
		noise(file, -1, -1);
}

/* ---- what has to hold ---- */

static bool find(struct store *store, unsigned int seed, struct store_info *out)
{
	struct digest_name name = name_of(kinds[seed], seed);

	return store_lookup(store, &name, out) == 0;
}

/* All files are known, counted, and believed in nothing. */
static void assert_doubtful(struct store *store)
{
	struct store_doubts doubts;
	struct store_usage usage;
	struct store_info info;

	store_doubts(store, &doubts);
	assert_int_equal(doubts.objects, 4);
	assert_true(doubts.bytes > 2 * SIZE && doubts.bytes < SUM + (1 << 20));
	store_usage(store, &usage);
	assert_int_equal(usage.used, SUM);
	assert_int_equal(usage.objects, 4);
	for (unsigned int seed = A; seed <= E; seed++) {
		if (seed == D)
			continue;
		assert_true(find(store, seed, &info));
		assert_true(info.doubtful && !info.complete);
		assert_int_equal(info.present, 0);
		assert_int_equal(info.size, SIZE);
	}
}

/* What fs/ does, by the knowledge of the test. */
static void look_at_all(struct store *store)
{
	for (unsigned int seed = A; seed <= E; seed++) {
		struct digest_pair pair = pair_of(seed);
		struct store_object *object;
		struct store_info info;

		if (seed == D)
			continue;
		assert_true(find(store, seed, &info));
		assert_int_equal(store_object_open(store, info.id, &object), 0);
		assert_true(store_object_fd(object) >= 0);
		if (seed == C)
			assert_int_equal(store_object_suspect(object), 0);
		else if (seed != E)
			assert_int_equal(store_object_settle(object, &pair, "front", 5), 0);
		store_object_close(object);
		if (seed == E)
			assert_int_equal(store_discard(store, info.id), 0);
	}
}

static void assert_looked_at(struct store *store, const char *path)
{
	struct store_doubts doubts;
	struct store_info info;

	store_doubts(store, &doubts);
	assert_int_equal(doubts.objects, 0);
	assert_int_equal(used(store), 3 * (uint64_t)SIZE);
	assert_int_equal(count_files(path), 3);
	assert_false(find(store, E, &info));
	for (unsigned int seed = A; seed <= C; seed++) {
		struct store_object *object;

		assert_true(find(store, seed, &info));
		assert_false(info.doubtful);
		assert_int_equal(info.complete, seed != C);
		assert_int_equal(store_object_open(store, info.id, &object), 0);
		for (uint64_t i = 0; i < 4; i++) {
			if (seed == C && i % 2)
				assert_int_equal(store_object_presence(object, i), STORE_ABSENT);
			else
				assert_true(store_object_presence(object, i) != STORE_ABSENT &&
					    chunk_is_right(object, seed, i));
		}
		if (seed == C)
			assert_int_equal(store_object_presence(object, 0), STORE_HINT);
		store_object_close(object);
	}
}

/* What the first table had, and what the second. */
static void assert_kept(struct store *store, bool first, bool second)
{
	struct store_info info;
	int64_t last_open;
	uint32_t view;
	char *origin;
	uid_t uid;

	assert_int_equal(find(store, D, &info), first);
	if (first) {
		assert_true(info.pinned && !info.doubtful && !info.lacks_front);
		assert_int_equal(store_next_user(store, info.id, 0, &view, &last_open), 0);
		assert_int_equal(store_view_get(store, view, &uid, &origin), 0);
		assert_int_equal(uid, 1000);
		assert_string_equal(origin, "https://a.example");
		free(origin);
	}
	assert_true(find(store, A, &info));
	assert_int_equal(info.pinned, second);
	assert_int_equal(info.digests.has_sha256, second);
	assert_int_equal(info.lacks_front, !second);
	assert_true(find(store, C, &info));
	assert_int_equal(info.lacks_front, !second);
}

static bool exists(const char *path, const char *name)
{
	char file[600];

	snprintf(file, sizeof(file), "%s/%s", path, name);
	return access(file, F_OK) == 0;
}

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

/* ---- the log ---- */

static off_t size_of(const char *file)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	return st.st_size;
}

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
	struct store *store;
	struct store_info info;
	struct db *db = open_meta(*state);
	_cleanup_free_ uint8_t *value = NULL;
	struct digest_name name = name_of(DIGEST_SHA256, 99);
	size_t len;

	put(db, &key, "nonsense", 8);
	put(db, &other, "of somebody else", 16);
	db_close(db);
	store = open_store(*state, BOOT_A);
	assert_true(exists(*state, "meta.damaged"));
	assert_doubtful(store);
	assert_kept(store, true, true);
	assert_int_equal(db_get(store->db, &other, &value, &len), 0);
	assert_int_equal(len, 16);
	assert_int_equal(store_create(store, &name, 5, NULL, 0, &info), 0);
	assert_true(info.id > last);
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
		TEST(a_record_that_nobody_understands),
		TEST(a_newer_format_is_left_alone),
		TEST(what_is_damage),
		TEST(found_while_in_use),
		TEST(the_front_comes_back),
		TEST(strangers_are_left_alone),
		TEST(a_file_cut_short),
		TEST(a_pinned_one_is_not_discarded),
		TEST(killed_while_it_is_replaced),
	};

	return cmocka_run_group_tests_name("store-salvage", tests, make_logs, remove_logs);
}
