/* SPDX-License-Identifier: Apache-2.0 */
/* What folders of name/ and hub/ have in them, a few at a time; numbers of paths; places in listings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "fs/names/entries.h"
#include "fs/names/interned.h"
#include "fs/names/positions.h"
#include "tests/unit/catalog-set-standin.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

/* All names in PATH, MANY at a time, with a space behind each. */
static void list(const struct catalog_set *set, const char *path, size_t many, char *out)
{
	char after[NAME_MAX + 1] = "";
	struct entries entries = {.more = true};
	struct folders folders;

	*out = '\0';
	assert_int_equal(folders_find(set, USER, path, &folders), 0);
	while (entries.more) {
		assert_int_equal(entries_of(set, USER, &folders, after, many, &entries), 0);
		for (size_t i = 0; i < entries.n; i++) {
			assert_true(strcmp(entries.at[i].name, after) > 0);
			memcpy(after, entries.at[i].name, sizeof(after));
			strcat(strcat(out, after), " ");
		}
		free(entries.at);
	}
	folders_release(&folders);
}

static void test_listed_in_pieces(void **state)
{
	static const char *const expected[][2] = {
		{"name", "hf hub "},
		{"name/hub", "o p "},
		{"name/hub/o", "a-b@v1 a@v1 a@v2 b x--y "},
		{"name/hf/o/a@" COMMIT, "1 2 3 4 5 d f "},
		{"hub", "models--o--a models--o--a-b models--o--b models--p--z "},
		{"hub/models--o--a", "refs snapshots "},
		{"hub/models--o--a/snapshots/" COMMIT, "1 2 3 4 5 d f "},
		{"hub/models--o--a/refs", "main v1 v2 "},
	};
	struct catalog_set set = {0};
	char got[1024];

	add_catalog(&set, "hub", CATALOG_EVERYBODY,
		    OBJECT("0001", "\"o/a@v1/x\",\"o/a@v2/x\",\"o/a-b@v1/x\",\"o/x--y/1\",\"o/b\",\"p/z/1\""), NULL);
	add_catalog(&set, "hf", USER, OBJECT("0002", "\"o/a@" COMMIT "/1\",\"o/a@" COMMIT "/3\",\"o/a@" COMMIT "/f\",\"o/b/1\""),
		    "{\"o/a\":{\"main\":\"" COMMIT "\"}}");
	add_catalog(&set, "hf", CATALOG_EVERYBODY,
		    OBJECT("0003", "\"o/a@" COMMIT "/2\",\"o/a@" COMMIT "/3\",\"o/a@" COMMIT "/4\",\"o/a@" COMMIT
				   "/5\",\"o/a@" COMMIT "/d/e\",\"o/a@" COMMIT "/f/g\""), NULL);
	add_catalog(&set, "secret", USER + 1, OBJECT("0004", "\"s/s/s\""), NULL);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		for (size_t many = 1; many < 8; many++) {
			list(&set, expected[i][0], many, got);
			assert_string_equal(got, expected[i][1]);
		}
	}
	/* Made anew for another set. */
	release(&set);
	add_catalog(&set, "hub", CATALOG_EVERYBODY, OBJECT("0001", "\"o/new/x\""), NULL);
	list(&set, "hub", 7, got);
	assert_string_equal(got, "models--o--new ");
	release(&set);
	entries_free();
}

static void test_numbers(void **state)
{
	uint64_t number, again;
	char path[32];

	assert_string_equal(interned_path(INTERNED_NAME), "name");
	assert_string_equal(interned_path(INTERNED_HUB), "hub");
	assert_null(interned_path(0));
	assert_null(interned_path(3));
	assert_int_equal(interned_number("hub", -1, &number), 0);
	assert_int_equal(number, INTERNED_HUB);
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "name/%u", i % 500);
		assert_int_equal(interned_number(path, -1, &number), 0);
		assert_int_equal(number, 3 + i % 500);
		assert_string_equal(interned_path(number), path);
	}
	assert_int_equal(interned_number("name/7", -1, &again), 0);
	assert_int_equal(again, 10);
	assert_null(interned_path(503));
	assert_null(interned_path(UINT64_MAX));
	/* One user's names are used up; another's, and everybody's, are not. */
	for (unsigned int i = 0; i <= INTERNED_OWNER_MAX; i++) {
		snprintf(path, sizeof(path), "name/hf/%u", i);
		assert_int_equal(interned_number(path, USER, &number), i < INTERNED_OWNER_MAX ? 0 : -ENOSPC);
	}
	assert_int_equal(interned_number("name/hf/7", USER, &number), 0);
	assert_int_equal(interned_number(path, USER + 1, &number), 0);
	assert_int_equal(interned_number("name/new", -1, &number), 0);
	for (unsigned int i = 0; i < 9 * INTERNED_OWNER_MAX; i++) {
		snprintf(path, sizeof(path), "name/oci/%u", i);
		if (interned_number(path, 7 + i / (INTERNED_OWNER_MAX / 2), &number) < 0)
			break;
	}
	assert_int_equal(number, 3 + 500 + 1 + INTERNED_OWNERS_MAX - 1);
	assert_int_equal(interned_number("name/newer", -1, &number), 0);
	/* FNV-1a's own test vectors. */
	assert_true(interned_inode("a") == 0xaf63dc4c8601ec8c && interned_inode("foobar") == 0x85944171f73967e8);
	interned_free();
	assert_null(interned_path(3));
}

static void test_positions(void **state)
{
	off_t a = position_of(3, "a"), b = position_of(3, "b");
	char name[NAME_MAX + 1] = "";

	assert_true(a >= POSITIONS_FIRST && a != b && a != position_of(4, "a") && a == position_of(3, "a"));
	assert_false(position_name(a, name));
	position_told(a, "a");
	position_told(b, "b");
	assert_true(position_name(a, name));
	assert_string_equal(name, "a");
	for (unsigned int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "%u", i);
		position_told(position_of(3, name), name);
	}
	/* What was told last is remembered, the first may be; nothing wrong is. */
	assert_true(position_name(position_of(3, "99999"), name));
	assert_string_equal(name, "99999");
	assert_true(!position_name(a, name) || !strcmp(name, "a"));
	positions_free();
	assert_false(position_name(b, name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listed_in_pieces),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_positions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
