/* SPDX-License-Identifier: Apache-2.0 */
/* Answers, given and looked at. */
#ifndef TESTS_UNIT_GRANTS_TESTING_H
#define TESTS_UNIT_GRANTS_TESTING_H

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include "store-damage.h"

#define WEB   "https://a.example"
#define OTHER "translator"

static struct store_grant grant_of(uid_t uid, const char *origin, unsigned int seed)
{
	struct store_grant grant = {.uid = uid, .made = 1000, .about.digest = name_of(DIGEST_SHA256, seed)};

	snprintf(grant.origin, sizeof(grant.origin), "%s", origin);
	return grant;
}

static void put(struct store *store, uid_t uid, const char *origin, unsigned int seed, bool refused)
{
	struct store_grant grant = grant_of(uid, origin, seed);

	grant.refused = refused;
	assert_int_equal(store_grant_put(store, &grant), 0);
}

static size_t drop(struct store *store, uid_t uid, const char *origin, unsigned int seed)
{
	struct store_about about = {.digest = name_of(DIGEST_SHA256, seed)};
	size_t dropped = 99;

	assert_int_equal(store_grant_drop(store, uid, origin, &about, &dropped), 0);
	return dropped;
}

/* 'g'ranted, 'r'efused, '-' neither. */
static char answer(struct store *store, uid_t uid, const char *origin, unsigned int seed)
{
	struct store_grant wanted = grant_of(uid, origin, seed), *grants;
	char found = '-';
	size_t n;

	assert_int_equal(store_grants(store, uid, &grants, &n), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(grants[i].uid, uid);
		if (strcmp(grants[i].origin, origin) != 0 || *grants[i].about.set ||
		    memcmp(&grants[i].about.digest, &wanted.about.digest, sizeof(struct digest_name)) != 0)
			continue;
		assert_int_equal(found, '-');
		found = grants[i].refused ? 'r' : 'g';
	}
	free(grants);
	return found;
}

static size_t count(struct store *store, uid_t uid)
{
	struct store_grant *grants;
	size_t n;

	assert_int_equal(store_grants(store, uid, &grants, &n), 0);
	free(grants);
	return n;
}

static void write_file(const char *path, const char *text, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
}

/* A file's, as zip has it: bit by bit. */
static uint32_t crc32_of(const char *data, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= (uint8_t)data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/* What N calls of put() would have left, of which each would have written all before it. */
static void write_answers(const char *folder, size_t n)
{
	char path[PATH_MAX], name[DIGEST_NAME_SIZE], *text;
	size_t len;
	FILE *file = open_memstream(&text, &len);

	assert_non_null(file);
	fprintf(file, "weightfs grants 1\n");
	for (unsigned int seed = 0; seed < n; seed++) {
		struct store_grant grant = grant_of(7, WEB, seed);

		digest_name_format(&grant.about.digest, name);
		fprintf(file, "grant 1000 0 %s digest %s\n", WEB, name);
	}
	fflush(file);
	fprintf(file, "crc32 %08" PRIx32 "\n", crc32_of(text, len));
	fclose(file);
	snprintf(path, sizeof(path), "%s/grants/7", folder);
	write_file(path, text, len);
	free(text);
}

#endif
