/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store with objects of all kinds, ways to damage its database, and what has to hold after that.
 *
 * It was made in two sessions, so the database has two tables: in the first are D, pinned, and a view; in the second
 * is the rest.
 */
#ifndef STORE_DAMAGE_H
#define STORE_DAMAGE_H

#include "store-util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "store/internal.h"

#define SIZE (3 * CHUNK_SIZE + 1000)
#define SUM  (4 * (uint64_t)SIZE)

enum { A = 1, B, C, D, E };

static const enum digest_kind kinds[] = {
	[A] = DIGEST_FSVERITY, [B] = DIGEST_SHA256, [C] = DIGEST_FSVERITY,
	[D] = DIGEST_FSVERITY, [E] = DIGEST_SHA256,
};

static inline struct store_object *make(struct store *store, unsigned int seed)
{
	struct digest_name name = name_of(kinds[seed], seed);
	struct store_object *object;
	struct store_info info;

	assert_int_equal(store_create(store, &name, SIZE, "front", 5, &info), 0);
	assert_int_equal(store_object_open(store, info.id, &object), 0);
	return object;
}

/* A complete and pinned, B complete, C in part (the chunks 0 and 2), D without a file, E in part and unattested. */
static inline uint64_t fill_store(const char *path)
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
static inline void find_file(const char *path, const char *begin, const char *end, bool last, char out[400])
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
static inline void noise(const char *file, off_t offset, off_t len)
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

static inline void remove_meta(const char *path)
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

static inline void damage(const char *path, enum damage how)
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

static inline bool find(struct store *store, unsigned int seed, struct store_info *out)
{
	struct digest_name name = name_of(kinds[seed], seed);

	return store_lookup(store, &name, out) == 0;
}

/* All files are known, counted, and believed in nothing. */
static inline void assert_doubtful(struct store *store)
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
static inline void look_at_all(struct store *store)
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

static inline void assert_looked_at(struct store *store, const char *path)
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
static inline void assert_kept(struct store *store, bool first, bool second)
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

static inline bool exists(const char *path, const char *name)
{
	char file[600];

	snprintf(file, sizeof(file), "%s/%s", path, name);
	return access(file, F_OK) == 0;
}

static inline off_t size_of(const char *file)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	return st.st_size;
}

#endif
