/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories of hub/: what is one, its revisions, the commits that are made up, and refs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "fs/names/folders.h"
#include "tests/unit/catalog-set-standin.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

/* ---- ids ---- */

static void test_ids(void **state)
{
	static const char *const good[][3] = {
		{"Qwen", "Qwen3-0.6B", "models--Qwen--Qwen3-0.6B"},
		{"a", "b", "models--a--b"},
		{"a_b.c-d", "_x_", "models--a_b.c-d--_x_"},
	};
	/* What huggingface_hub refuses, or would be two ids in one folder. */
	static const char *const bad[][2] = {
		{"a--b", "c"}, {"a", "b--c"}, {"a-", "b"}, {"a", "-b"}, {"a.", "b"}, {"a", ".b"}, {"a", "b..c"},
		{"", "b"}, {"a", ""}, {"a", "b c"}, {"a", "b.git"}, {"\xc3\xa4", "b"}, {"a@b", "c"},
	};
	static const char *const no_folder[] = {
		"models--", "models--a", "models--a--", "models----b", "models--a--b--c", "models--a---b", "a--b", "",
		"datasets--a--b", "models--a--b@c", "Models--a--b",
	};
	char folder[NAME_MAX + 1], longest[HUB_PART_MAX + 2];
	struct hub_repo repo, again;
	const char *revision;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(hub_repo_of(good[i][0], good[i][1], &repo, &revision));
		assert_null(revision);
		hub_repo_folder(&repo, folder);
		assert_string_equal(folder, good[i][2]);
		assert_int_equal(hub_repo_parse(folder, &again), 0);
		assert_memory_equal(&repo, &again, sizeof(repo));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(hub_repo_of(bad[i][0], bad[i][1], &repo, &revision));
	for (size_t i = 0; i < ARRAY_SIZE(no_folder); i++)
		assert_int_equal(hub_repo_parse(no_folder[i], &repo), -EINVAL);
	memset(longest, 'x', HUB_PART_MAX);
	longest[HUB_PART_MAX] = '\0';
	assert_true(hub_repo_of(longest, longest, &repo, &revision));
	hub_repo_folder(&repo, folder);
	assert_int_equal(hub_repo_parse(folder, &again), 0);
	strcat(longest, "x");
	assert_false(hub_repo_of(longest, "b", &repo, &revision) || hub_repo_of("a", longest, &repo, &revision));

	assert_true(hub_repo_of("a", "b@v1@2", &repo, &revision));
	assert_string_equal(repo.name, "b");
	assert_string_equal(revision, "v1@2");
	assert_false(hub_repo_of("a", "b@", &repo, &revision) || hub_repo_of("a", "@v1", &repo, &revision));
}

/* ---- snapshots and refs ---- */

static struct hub_snapshots snapshots_of(const struct catalog_set *set, const char *folder, struct hub_repo *repo)
{
	struct hub_snapshots snapshots;

	assert_int_equal(hub_repo_parse(folder, repo), 0);
	assert_int_equal(hub_snapshots(set, USER, repo, &snapshots), 0);
	return snapshots;
}

static void test_made_up(void **state)
{
	/* printf 'a/config.json\0<sha256>\0z\0<sha256>\0' | sha256sum, of a repository with these two files */
	static const char expected[] = "e5903fa59ef11efdb510a97f9430a27aeae98de1";
	static const char lines[] = OBJECT("0001", "\"o/r/z\"") OBJECT("0002", "\"o/r/a/config.json\",\"o/q/x\"");
	struct catalog_set set = {0}, other = {0};
	struct hub_snapshots snapshots, same;
	struct hub_repo repo;

	add_catalog(&set, "hub", CATALOG_EVERYBODY, lines, NULL);
	snapshots = snapshots_of(&set, "models--o--r", &repo);
	assert_int_equal(snapshots.n, 1);
	assert_null(snapshots.at[0].revision);
	assert_string_equal(snapshots.at[0].path, "o/r");
	assert_string_equal(snapshots.at[0].commit, expected);
	/* The same files under another name, in another order, with others beside them, are the same. */
	add_catalog(&other, "b", USER,
		    OBJECT("0003", "\"a/b/c\"") OBJECT("0002", "\"o/r@v1/a/config.json\"") OBJECT("0001", "\"o/r@v1/z\""),
		    NULL);
	same = snapshots_of(&other, "models--o--r", &repo);
	assert_int_equal(same.n, 1);
	assert_string_equal(same.at[0].revision, "v1");
	assert_string_equal(same.at[0].commit, expected);
	free(same.at);
	free(snapshots.at);
	release(&other);
	/* One more file, or another digest, is another. */
	add_catalog(&set, "c", CATALOG_EVERYBODY,
		    OBJECT("0002", "\"o/r/z\"") OBJECT("0001", "\"o/r/a/config.json\""), NULL);
	snapshots = snapshots_of(&set, "models--o--r", &repo);
	assert_int_equal(snapshots.n, 2);
	assert_string_not_equal(snapshots.at[0].commit, snapshots.at[1].commit);
	free(snapshots.at);
	assert_int_equal(snapshots_of(&set, "models--o--none", &repo).n, 0);
	release(&set);
}

static void test_revisions(void **state)
{
	struct catalog_set set = {0};
	struct hub_snapshots snapshots;
	struct hub_repo repo;

	/* "o/r-x@…" lies between "o/r" and "o/r@…"; "o/r@f" is a file. */
	add_catalog(&set, "hub", CATALOG_EVERYBODY,
		    OBJECT("0001", "\"o/r/a\",\"o/r-x@v1/a\",\"o/r@" COMMIT "/a\",\"o/r@v1/a\",\"o/r@f\""), NULL);
	add_catalog(&set, "hf", USER, OBJECT("0002", "\"o/r@v2/a\",\"o/r@w/b\""),
		    "{\"o/r\":{\"main\":\"v2\",\"tip\":\"w\",\"gone\":\"v3\",\"a/b\":\"w\",\"..\":\"w\",\"v1\":\"w\"}}");
	add_catalog(&set, "hf", USER + 1, OBJECT("0003", "\"o/r@other/a\""), NULL);
	snapshots = snapshots_of(&set, "models--o--r", &repo);
	assert_int_equal(snapshots.n, 5);
	assert_string_equal(snapshots.at[1].commit, COMMIT);
	/* The first catalog has an answer: what has no revision. */
	assert_ptr_equal(hub_ref(&repo, &snapshots, "main"), &snapshots.at[0]);
	assert_ptr_equal(hub_ref(&repo, &snapshots, "v1"), &snapshots.at[2]);
	assert_ptr_equal(hub_ref(&repo, &snapshots, "tip"), &snapshots.at[4]);
	assert_ptr_equal(hub_ref(&repo, &snapshots, "w"), &snapshots.at[4]);
	assert_null(hub_ref(&repo, &snapshots, "gone"));
	assert_null(hub_ref(&repo, &snapshots, "a/b"));
	assert_null(hub_ref(&repo, &snapshots, ".."));
	assert_null(hub_ref(&repo, &snapshots, COMMIT));
	free(snapshots.at);
	/* By the import's word, without the first one. */
	set.at[0].owner = USER + 1;
	set.generation = ++generations;
	snapshots = snapshots_of(&set, "models--o--r", &repo);
	assert_int_equal(snapshots.n, 2);
	assert_ptr_equal(hub_ref(&repo, &snapshots, "main"), &snapshots.at[0]);
	free(snapshots.at);
	release(&set);
}

/* More revisions than anybody has: the first ones are there, and looking costs no more. */
static void test_too_many(void **state)
{
	size_t n = HUB_REVISIONS_MAX + 9, len = 0;
	char *text = malloc(n * 256);
	struct catalog_set set = {0};
	struct hub_snapshots snapshots;
	struct hub_repo repo;

	for (size_t i = 0; i < n; i++)
		len += (size_t)sprintf(text + len, OBJECT("%04zx", "\"o/r@v%05zu/a\""), i, i);
	add_catalog(&set, "hub", CATALOG_EVERYBODY, text, NULL);
	snapshots = snapshots_of(&set, "models--o--r", &repo);
	assert_int_equal(snapshots.n, HUB_REVISIONS_MAX);
	assert_non_null(hub_ref(&repo, &snapshots, "v00000"));
	free(snapshots.at);
	free(text);
	release(&set);
}

/* Of revisions without a word the only one is "main"; of two none is. */
static void test_only_one(void **state)
{
	struct catalog_set set = {0};
	struct hub_snapshots snapshots;
	struct hub_repo repo;

	add_catalog(&set, "hub", CATALOG_EVERYBODY, OBJECT("0001", "\"o/r@v1/a\",\"o/r@v2/a\",\"o/q@v1/a\""), NULL);
	snapshots = snapshots_of(&set, "models--o--r", &repo);
	assert_int_equal(snapshots.n, 2);
	assert_null(hub_ref(&repo, &snapshots, "main"));
	free(snapshots.at);
	snapshots = snapshots_of(&set, "models--o--q", &repo);
	assert_ptr_equal(hub_ref(&repo, &snapshots, "main"), &snapshots.at[0]);
	free(snapshots.at);
	release(&set);
}

/* ---- paths ---- */

static void test_paths(void **state)
{
	static const struct {
		const char *path;
		int kind; /* -1: there is nothing */
		size_t n;
	} paths[] = {
		{"name", FOLDERS_CATALOGS, 0}, {"hub", FOLDERS_REPOS, 0}, {"name/hub", FOLDERS_FILES, 1},
		{"name/hub/o", FOLDERS_FILES, 1}, {"name/hub/o/r", FOLDERS_FILES, 1}, {"name/hub/o/r/a", -1, 0},
		{"name/hf", FOLDERS_FILES, 2}, {"name/hf/o", FOLDERS_FILES, 2}, {"name/none", -1, 0}, {"name/", -1, 0},
		{"hub/models--o--r", FOLDERS_REPO, 3}, {"hub/models--o--r/refs", FOLDERS_REFS, 3},
		{"hub/models--o--r/snapshots", FOLDERS_SNAPSHOTS, 3}, {"hub/models--o--r/refs/main", -1, 0},
		{"hub/models--o--r/snapshots/" COMMIT, FOLDERS_FILES, 2},
		{"hub/models--o--r/snapshots/" COMMIT "/d", FOLDERS_FILES, 1},
		{"hub/models--o--r/blobs", -1, 0}, {"hub/models--o--q", -1, 0}, {"other", -1, 0}, {"", -1, 0},
	};
	struct catalog_set set = {0};
	struct verify_place place;
	const struct catalog *catalog;
	struct folders folders;

	add_catalog(&set, "hub", CATALOG_EVERYBODY, OBJECT("0001", "\"o/r/a\""), NULL);
	add_catalog(&set, "hf", USER, OBJECT("0002", "\"o/r@" COMMIT "/a\",\"o/r@" COMMIT "/d/e\""), NULL);
	add_catalog(&set, "hf", CATALOG_EVERYBODY, OBJECT("0003", "\"o/r@" COMMIT "/a\",\"o/r@" COMMIT "/b\""), NULL);
	add_catalog(&set, "hf", USER + 1, OBJECT("0004", "\"o/r@" COMMIT "/c\""), NULL);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		int r = folders_find(&set, USER, paths[i].path, &folders);

		assert_int_equal(r, paths[i].kind < 0 ? -ENOENT : 0);
		if (r < 0)
			continue;
		assert_int_equal(folders.kind, paths[i].kind);
		assert_int_equal(folders.n, paths[i].n);
		folders_release(&folders);
	}
	assert_int_equal(folders_find(&set, USER, "hub/models--o--r/snapshots/" COMMIT, &folders), 0);
	assert_int_equal(folders_lookup(&folders, "a", &catalog, &place), 0);
	assert_ptr_equal(catalog, &set.at[1]); /* the first one's */
	assert_int_equal(folders_lookup(&folders, "b", &catalog, &place), 0);
	assert_ptr_equal(catalog, &set.at[2]);
	assert_int_equal(folders_lookup(&folders, "c", &catalog, &place), -ENOENT);
	folders_release(&folders);
	release(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_made_up),
		cmocka_unit_test(test_revisions),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_only_one),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
