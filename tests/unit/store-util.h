/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of store/ share: a directory, and content that follows from its place. */
#ifndef STORE_UTIL_H
#define STORE_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "store/store.h"

#define BOOT_A "11111111-2222-3333-4444-555555555555"
#define BOOT_B "99999999-8888-7777-6666-555555555555"

static inline struct digest_name name_of(enum digest_kind kind, unsigned int seed)
{
	struct digest_name name = {.kind = kind};

	for (size_t i = 0; i < DIGEST_SIZE; i++)
		name.digest.bytes[i] = (uint8_t)(seed * 37 + i * 11 + (seed >> 8) + kind);
	memcpy(name.digest.bytes + 4, &seed, sizeof(seed));
	return name;
}

static inline struct digest_pair pair_of(unsigned int seed)
{
	return (struct digest_pair){
		.has_sha256 = true,
		.has_fsverity = true,
		.sha256 = name_of(DIGEST_SHA256, seed).digest,
		.fsverity = name_of(DIGEST_FSVERITY, seed).digest,
	};
}

/* The bytes of chunk CHUNK of the object SEED: every word tells its place. */
static inline void fill(void *buf, size_t len, unsigned int seed, uint64_t chunk)
{
	uint64_t word = (uint64_t)seed * 0x9e3779b97f4a7c15 + chunk * 0xff51afd7ed558ccd;
	unsigned char *bytes = buf;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t value = word + i * 0xc4ceb9fe1a85ec53;

		memcpy(bytes + i, &value, len - i < 8 ? len - i : 8);
	}
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void remove_tree(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static inline char *make_directory(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path;

	assert_true(asprintf(&path, "%s/weightfs-store-XXXXXX", tmp ? tmp : "/tmp") > 0);
	assert_non_null(mkdtemp(path));
	return path;
}

static inline struct store *open_store(const char *path, const char *boot_id)
{
	struct store_options options = {.path = path, .size = 1 << 30, .boot_id = boot_id};
	struct store *store = NULL;

	assert_int_equal(store_open(&options, &store), 0);
	return store;
}

static inline struct store *open_limited(const char *path, uint64_t size)
{
	struct store_options options = {.path = path, .size = size, .boot_id = BOOT_A};
	struct store *store = NULL;

	assert_int_equal(store_open(&options, &store), 0);
	return store;
}

static inline struct store_object *open_object(struct store *store, enum digest_kind kind,
					       unsigned int seed, uint64_t size)
{
	struct digest_name name = name_of(kind, seed);
	struct store_object *object = NULL;
	struct store_info info;

	assert_int_equal(store_create(store, &name, size, NULL, 0, &info), 0);
	assert_int_equal(store_object_open(store, info.id, &object), 0);
	return object;
}

static inline int put_chunk(struct store_object *object, unsigned int seed, uint64_t chunk)
{
	size_t len = chunk_length(store_object_size(object), chunk);
	char *data = malloc(len);
	int r;

	fill(data, len, seed, chunk);
	r = store_object_put(object, chunk, data, len);
	free(data);
	return r;
}

static inline bool chunk_is_right(struct store_object *object, unsigned int seed, uint64_t chunk)
{
	size_t len = chunk_length(store_object_size(object), chunk);
	char *expected = malloc(len), *data = malloc(len);
	bool right;

	fill(expected, len, seed, chunk);
	right = store_object_read(object, chunk * CHUNK_SIZE, data, len) == 0 &&
		!memcmp(data, expected, len);
	free(expected);
	free(data);
	return right;
}

/* As who finds it wrong does. */
static inline void drop_chunk(struct store_object *object, uint64_t chunk)
{
	store_object_doubt(object, chunk);
	store_object_drop(object, chunk);
}

static inline void put_all(struct store_object *object, unsigned int seed)
{
	for (uint64_t i = 0; i < chunk_count(store_object_size(object)); i++)
		assert_int_equal(put_chunk(object, seed, i), 0);
}

/* Each test has a directory of its own. */
static inline int setup_directory(void **state)
{
	*state = make_directory();
	return 0;
}

static inline int teardown_directory(void **state)
{
	remove_tree(*state);
	free(*state);
	return 0;
}

static inline uint64_t used(struct store *store)
{
	struct store_usage usage;

	store_usage(store, &usage);
	return usage.used;
}

static inline int count_files(const char *path)
{
	char command[300];
	int n = -1;
	FILE *pipe;

	snprintf(command, sizeof(command), "find %s/objects %s/tmp -type f | wc -l", path, path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%d", &n), 1);
	pclose(pipe);
	return n;
}

#endif
