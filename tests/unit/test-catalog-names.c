/* SPDX-License-Identifier: Apache-2.0 */
/* Names: which may be, and how they are found, listed and matched; held against looking at every one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fnmatch.h>
#include "tests/unit/catalog-testing.h"
#include "tests/unit/verify-reference.h"

static struct verify_problem problem;

/* ---- which may be ---- */

static void test_names_that_cannot_be(void **state)
{
	static const char dots[] = "has a component \".\" or \"..\"";
	static const char empty[] = "begins or ends with \"/\", or has an empty component";
	static const char bytes[] = "is not UTF-8, or has control characters";
	static const struct {
		const char *name, *refused;
	} cases[] = {
		{"a", NULL},
		{"Qwen/Qwen3-0.6B@0123abcd/model.safetensors", NULL},
		{"...", NULL},
		{".hidden/..x/x..", NULL},
		{"with blanks/and: colons\"", NULL},
		{"\xe6\xa8\xa1\xe5\x9e\x8b/\xf0\x9f\x98\x80", NULL},
		{"", "is empty"},
		{".", dots},
		{"..", dots},
		{"a/..", dots},
		{"../a", dots},
		{"a/./b", dots},
		{"a/../../etc/passwd", dots},
		{"/", empty},
		{"/a", empty},
		{"a/", empty},
		{"a//b", empty},
		{"a\\b", "has a backslash"},
		{"a\nb", bytes},
		{"a\x1b[31m", bytes},
		{"a\x7f", bytes},
		{"a\xc2\x85", bytes}, /* U+0085 */
		{"a\xff", bytes},
		{"a\xc0\xaf", bytes},	  /* "/", too long */
		{"a\xed\xa0\x80", bytes}, /* a surrogate */
		{"a\xf4\x90\x80\x80", bytes},
		{"a\xe6\xa8", bytes},
	};
	char name[VERIFY_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *refused = verify_name_refused(cases[i].name, strlen(cases[i].name));

		if (cases[i].refused)
			assert_string_equal(refused, cases[i].refused);
		else
			assert_null(refused);
	}
	assert_string_equal(verify_name_refused("a\0b", 3), bytes);
	memset(name, 'a', sizeof(name));
	assert_null(verify_name_refused(name, 255));
	assert_string_equal(verify_name_refused(name, 256),
			    "has a component of more than 255 bytes");
	for (size_t i = 200; i < sizeof(name); i += 200)
		name[i] = '/';
	assert_null(verify_name_refused(name, 1024));
	assert_string_equal(verify_name_refused(name, 1025), "has more than 1024 bytes");
}

/* Lines with a name each; a JSON string. */
static int load_names(const char *const *names, size_t n, struct verify_catalog **out)
{
	_cleanup_free_ char *text = malloc(4096 + n * 1200);
	size_t used = (size_t)sprintf(text, HEADER);

	for (size_t i = 0; i < n; i++)
		used += (size_t)sprintf(text + used,
					"{\"sha256\":\"%064zx\",\"size\":%zu,\"names\":[\"%s\"]}\n",
					i, i, names[i]);
	problem = (struct verify_problem){0};
	return load_text(text, NULL, out, &problem);
}

static void assert_pair_refused(const char *a, const char *b, unsigned int line, const char *said)
{
	const char *const names[] = {"x", a, "z", b, "y"};
	struct verify_catalog *catalog = NULL;

	assert_int_equal(load_names(names, ARRAY_SIZE(names), &catalog), -EINVAL);
	assert_null(catalog);
	assert_string_equal(problem.text, said);
	assert_int_equal(problem.line, line);
}

static void test_names_that_clash(void **state)
{
	struct verify_catalog *catalog;
	static const char *const near[] = {"a/b", "a/b-c", "a/b.c/d", "a/b0", "a-/b", "a!/b"};

	assert_pair_refused("a/b", "a/b", 5, "the name \"a/b\" is one of line 3, too");
	assert_pair_refused("seven/7", "seven/7", 5, "the name \"seven/7\" is one of line 3, too");
	assert_pair_refused("a/b", "a/\\u0062", 5, "the name \"a/b\" is one of line 3, too");
	assert_pair_refused("a/b", "a/b/c", 5, "\"a/b\" is a folder here, and a file in line 3");
	assert_pair_refused("a/b/c", "a/b", 3, "\"a/b\" is a folder here, and a file in line 5");
	assert_pair_refused("a", "a/b/c/d", 5, "\"a\" is a folder here, and a file in line 3");
	assert_pair_refused("../q", "a", 3, "names: \"../q\" has a component \".\" or \"..\"");
	assert_pair_refused("q\\u0000", "a", 3, "byte 98: NUL in a string");
	assert_pair_refused("q\\u001b[2J", "a", 3,
			    "names: \"q?[2J\" is not UTF-8, or has control characters");
	assert_int_equal(load_names(near, ARRAY_SIZE(near), &catalog), 0);
	verify_catalog_unref(catalog);
}

/* ---- places ---- */

struct listing {
	char text[2048];
	size_t left; /* stop after so many */
};

static int list_place(void *arg, const struct verify_place *place)
{
	struct listing *listing = arg;

	strcat(strcat(listing->text, place->name), place->folder ? "/ " : " ");
	return --listing->left == 0 ? 99 : 0;
}

static void assert_list(const struct verify_catalog *catalog, const char *path, const char *after,
			const char *expected)
{
	struct listing listing = {.left = 1000};

	assert_int_equal(verify_catalog_list(catalog, path, after, list_place, &listing), 0);
	assert_string_equal(listing.text, expected);
}

static void test_listing(void **state)
{
	static const char *const names[] = {"q/m-1/b",	 "q/m/b",    "q/m/a", "q/m.x",
					    "q/m/c/d/e", "\xc3\xbc", "a-b/x", "a/z",
					    "a.b",	 "q/m 0/x",  "q/m0"};
	struct verify_catalog *catalog;
	struct verify_place place = {.folder = true};
	struct listing listing = {.left = 2};
	static const char *const missing[] = {
		"b",   "q/",   "/q",	 "q//m", "q/m/", "a/z/",  "a/z/x", "q/m/c/d/e/f",
		"q/M", "\x01", "q\x01m", "q/.",	 "..",	 "q\x02", "\xc3",  "\xff"};

	assert_int_equal(load_names(names, ARRAY_SIZE(names), &catalog), 0);
	assert_list(catalog, "", NULL, "a/ a-b/ a.b q/ \xc3\xbc ");
	assert_list(catalog, "", "", "a/ a-b/ a.b q/ \xc3\xbc ");
	assert_list(catalog, "", "a", "a-b/ a.b q/ \xc3\xbc ");
	assert_list(catalog, "", "a.", "a.b q/ \xc3\xbc ");
	assert_list(catalog, "", "q", "\xc3\xbc ");
	assert_list(catalog, "", "\xff", "");
	assert_list(catalog, "q", NULL, "m/ m 0/ m-1/ m.x m0 ");
	assert_list(catalog, "q", "m", "m 0/ m-1/ m.x m0 ");
	assert_list(catalog, "q", "m 0", "m-1/ m.x m0 ");
	assert_list(catalog, "q", "m/", "m/ m 0/ m-1/ m.x m0 ");
	assert_list(catalog, "q", "\x01", "m/ m 0/ m-1/ m.x m0 ");
	assert_list(catalog, "q/m", NULL, "a b c/ ");
	assert_list(catalog, "q/m", "b", "c/ ");
	assert_list(catalog, "q/m", "c", "");
	assert_list(catalog, "q/m/c/d", NULL, "e ");
	assert_int_equal(verify_catalog_list(catalog, "q", NULL, list_place, &listing), 99);
	assert_string_equal(listing.text, "m/ m 0/ ");

	assert_int_equal(verify_catalog_list(catalog, "q/m/a", NULL, list_place, &listing),
			 -ENOTDIR);
	for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
		assert_int_equal(
			verify_catalog_list(catalog, missing[i], NULL, list_place, &listing),
			-ENOENT);
		assert_int_equal(verify_catalog_lookup(catalog, missing[i], &place), -ENOENT);
	}
	assert_int_equal(verify_catalog_lookup(catalog, "q/m", &place), 0);
	assert_true(place.folder);
	assert_string_equal(place.name, "m");
	assert_int_equal(verify_catalog_lookup(catalog, "", &place), 0);
	assert_true(place.folder);
	assert_string_equal(place.name, "");
	assert_int_equal(verify_catalog_lookup(catalog, "q/m/c/d/e", &place), 0);
	assert_false(place.folder);
	assert_string_equal(place.name, "e");
	assert_int_equal(place.object.size, 4);
	verify_catalog_unref(catalog);

	assert_int_equal(load_text(HEADER, NULL, &catalog, &problem), 0);
	assert_list(catalog, "", NULL, "");
	assert_int_equal(verify_catalog_lookup(catalog, "a", &place), -ENOENT);
	verify_catalog_unref(catalog);
}

/* ---- patterns ---- */

struct matches {
	char text[2048];
	unsigned int n, stop;
};

static int add_match(void *arg, const char *name, const struct verify_object *object)
{
	struct matches *matches = arg;

	strcat(strcat(matches->text, name), " ");
	return ++matches->n == matches->stop ? 77 : 0;
}

static void assert_match(const struct verify_catalog *catalog, const char *pattern,
			 const char *expected)
{
	struct matches matches = {{0}, 0, 0};

	assert_int_equal(verify_catalog_match(catalog, pattern, add_match, &matches), 0);
	assert_string_equal(matches.text, expected);
}

static void test_patterns(void **state)
{
	static const char *const names[] = {"Qwen/Q3/a.bin", "Qwen/Q3/b.txt", "Qwen/Q3-x/a.bin",
					    "Qwen/R",	     "Meta/L/a.bin",  "a.bin"};
	static const char *const bad[] = {"", "/", "/Qwen", "Qwen/", "Qwen//Q3", "*/"};
	struct verify_catalog *catalog;
	struct matches matches = {{0}, 0, 2};
	char longest[VERIFY_NAME_MAX + 2];

	assert_int_equal(load_names(names, ARRAY_SIZE(names), &catalog), 0);
	assert_match(catalog, "Qwen/*", "Qwen/Q3/a.bin Qwen/Q3/b.txt Qwen/Q3-x/a.bin Qwen/R ");
	assert_match(catalog, "Q*n/Q3*/*", "Qwen/Q3/a.bin Qwen/Q3/b.txt Qwen/Q3-x/a.bin ");
	assert_match(catalog, "Qwen/Q3*", "");
	assert_match(catalog, "Qwen/Q3", "");
	assert_match(catalog, "Qwen/Q3/*", "Qwen/Q3/a.bin Qwen/Q3/b.txt ");
	assert_match(catalog, "Qwen/?*", "Qwen/R ");
	assert_match(catalog, "Qwen/Q?/?.bin", "Qwen/Q3/a.bin ");
	assert_match(catalog, "*/*/a.bin", "Meta/L/a.bin Qwen/Q3/a.bin Qwen/Q3-x/a.bin ");
	assert_match(catalog, "*/[!Q]", "Qwen/R ");
	assert_match(catalog, "*.bin", "a.bin ");
	assert_match(catalog, "Qwen/R/*", "");
	assert_match(catalog, "Qwen/R/x", "");
	assert_match(catalog, "Qwe", "");
	assert_match(catalog, "Qwen", "");
	assert_match(catalog, "Qwen/[", "");
	assert_match(catalog, "Qwen/\\R", "Qwen/R ");
	assert_match(catalog, "Zzz/*", "");
	assert_int_equal(verify_catalog_match(catalog, "*", add_match, &matches), 77);
	assert_string_equal(matches.text, "Meta/L/a.bin Qwen/Q3/a.bin ");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(verify_catalog_match(catalog, bad[i], add_match, &matches),
				 -EINVAL);
	memset(longest, 'x', sizeof(longest));
	longest[VERIFY_NAME_MAX + 1] = '\0';
	assert_int_equal(verify_catalog_match(catalog, longest, add_match, &matches), -EINVAL);
	longest[VERIFY_NAME_MAX] = '\0';
	assert_match(catalog, longest, "");
	verify_catalog_unref(catalog);
}

/* ---- at random ---- */

#define MANY 400

struct forest {
	char names[MANY][64];
	const char *pointers[MANY];
	size_t n;
	struct verify_catalog *catalog;
};

static bool clashes(const struct forest *forest, const char *name)
{
	for (size_t i = 0; i < forest->n; i++) {
		const char *other = forest->names[i];
		size_t a = strlen(name), b = strlen(other), least = a < b ? a : b;

		if (!strncmp(name, other, least) &&
		    (a == b || (a < b ? other[least] : name[least]) == '/'))
			return true;
	}
	return false;
}

/* Few different bytes, such that components begin alike and sort around "/". */
static void random_path(uint64_t *seed, char *out)
{
	static const char letters[] = "ab-0";
	size_t n = 1 + next_random(seed) % 4;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < 1 + next_random(seed) % 3; k++)
			*out++ = letters[next_random(seed) % 4];
		*out++ = '/';
	}
	out[-1] = '\0';
}

static void grow_forest(struct forest *forest, uint64_t *seed)
{
	for (unsigned int tries = 0; tries < 3000 && forest->n < MANY; tries++) {
		char name[64];

		random_path(seed, name);
		if (clashes(forest, name))
			continue;
		forest->pointers[forest->n] = forest->names[forest->n];
		strcpy(forest->names[forest->n++], name);
	}
	assert_int_equal(load_names(forest->pointers, forest->n, &forest->catalog), 0);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The children of PATH, by looking at all names. */
static size_t children_of(const struct forest *forest, const char *path, char out[MANY][64])
{
	size_t n = 0, kept = 0, len = strlen(path);

	for (size_t i = 0; i < forest->n; i++) {
		const char *name = forest->names[i];

		if (len > 0 && (strncmp(name, path, len) != 0 || name[len] != '/'))
			continue;
		name += len ? len + 1 : 0;
		snprintf(out[n++], 64, "%.*s", (int)strcspn(name, "/"), name);
	}
	qsort(out, n, 64, by_bytes);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || strcmp(out[kept - 1], out[i]) != 0)
			memmove(out[kept++], out[i], 64);
	return kept;
}

struct expected_list {
	char (*names)[64];
	size_t n, seen;
};

static int expect_place(void *arg, const struct verify_place *place)
{
	struct expected_list *expected = arg;

	assert_true(expected->seen < expected->n);
	assert_string_equal(place->name, expected->names[expected->seen++]);
	return 0;
}

static void check_listing(const struct forest *forest, const char *path, const char *after)
{
	char names[MANY][64];
	struct expected_list expected = {names, children_of(forest, path, names), 0};
	struct verify_place place;
	int r = verify_catalog_lookup(forest->catalog, path, &place);
	bool file = false;

	for (size_t i = 0; i < forest->n; i++)
		file |= !strcmp(forest->names[i], path);
	assert_int_equal(r, expected.n > 0 || file ? 0 : -ENOENT);
	if (r == 0)
		assert_int_equal(place.folder, !file);
	while (after && expected.n > 0 && strcmp(expected.names[0], after) <= 0) {
		expected.names++;
		expected.n--;
	}
	r = verify_catalog_list(forest->catalog, path, after, expect_place, &expected);
	assert_int_equal(expected.seen, expected.n);
	assert_true(r == 0 || expected.n == 0);
}

struct marks {
	const struct forest *forest;
	bool seen[MANY];
};

static int mark(void *arg, const char *name, const struct verify_object *object)
{
	struct marks *marks = arg;

	/* Sizes are numbers of lines. */
	assert_string_equal(name, marks->forest->names[object->size]);
	assert_false(marks->seen[object->size]);
	marks->seen[object->size] = true;
	return 0;
}

/* Only a "*" that is all of the last component covers what is further below. */
static void check_pattern(const struct forest *forest, const char *pattern)
{
	const char *last = strrchr(pattern, '/');
	bool below = !strcmp(last ? last + 1 : pattern, "*");
	int flags = FNM_PATHNAME | (below ? FNM_LEADING_DIR : 0);
	struct marks marks = {.forest = forest};

	assert_int_equal(verify_catalog_match(forest->catalog, pattern, mark, &marks), 0);
	for (size_t i = 0; i < forest->n; i++)
		assert_int_equal(marks.seen[i], fnmatch(pattern, forest->names[i], flags) == 0);
}

static void test_against_looking_at_all(void **state)
{
	uint64_t seed = 20261125;

	for (unsigned int round = 0; round < 20; round++) {
		struct forest *forest = calloc(1, sizeof(*forest));

		grow_forest(forest, &seed);
		check_listing(forest, "", NULL);
		for (unsigned int i = 0; i < 200; i++) {
			char path[64], after[64];

			random_path(&seed, path);
			random_path(&seed, after);
			*strchrnul(after, '/') = '\0';
			check_listing(forest, path, NULL);
			check_listing(forest, path, after);
			check_listing(forest, "", after);
			for (char *c = path; *c; c++)
				if (*c != '/' && next_random(&seed) % 4 == 0)
					*c = next_random(&seed) % 2 ? '*' : '?';
			check_pattern(forest, path);
		}
		verify_catalog_unref(forest->catalog);
		free(forest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_that_cannot_be),
		cmocka_unit_test(test_names_that_clash),
		cmocka_unit_test(test_listing),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_against_looking_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
