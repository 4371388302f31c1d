/* SPDX-License-Identifier: Apache-2.0 */
/* What users imported: merged, taken out, refused, found damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/imports-testing.h"

static int setup(void **state)
{
	make_store();
	return 0;
}

static int teardown(void **state)
{
	remove_store();
	return 0;
}

static const char *path_of(const char *rest)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/imports/%s", store, rest);
	return path;
}

static unsigned int mode_of(const char *rest)
{
	struct stat st;

	assert_int_equal(stat(path_of(rest), &st), 0);
	return st.st_mode & 07777;
}

static int take_out(const char *folder, size_t *n)
{
	problem = (struct verify_problem){ 0 };
	return imports_remove(store, UID, "hf", folder, n, &problem);
}

static void test_merge(void **state)
{
	assert_string_equal(show(UID), "");
	assert_int_equal(add(OBJECT(A, "3", "\"" HF "a\"", "\"o/m@1/x\"") OBJECT(B, "5", "", "\"o/m@1/y\"")), 0);
	assert_int_equal(added, 2);
	assert_string_equal(show(UID), "a:3[o/m@1/x](" HF "a)b:5[o/m@1/y]()");
	/* The same again, and more names and URLs; those of today come first. */
	assert_int_equal(add(OBJECT(A, "3", "\"" HF "a\"", "\"o/m@1/x\"")), 0);
	assert_int_equal(added, 0);
	assert_int_equal(add(OBJECT(C, "9", "", "\"o/m@2/z\"") OBJECT(A, "3", "\"" HF "2\"", "\"o/m@2/x\"")), 0);
	assert_int_equal(added, 1);
	assert_string_equal(show(UID), "a:3[o/m@1/x o/m@2/x](" HF "2 " HF "a)b:5[o/m@1/y]()c:9[o/m@2/z]()");
	assert_string_equal(show(UID + 1), "");
	assert_string_equal(show(CATALOG_EVERYBODY), "");
	assert_int_equal(mode_of(""), 0700);
	assert_int_equal(mode_of("1000"), 0700);
	assert_int_equal(mode_of("1000/hf.jsonl"), 0600);
	assert_int_equal(mode_of("1000/hf.3.json"), 0600);
	assert_int_equal(access(path_of("1000/hf.2.json"), F_OK), -1);
}

/* What was believed once holds. */
static void test_conflicts(void **state)
{
	const char before[] = "a:3[d/x]()";

	assert_int_equal(add(OBJECT(A, "3", "", "\"d/x\"")), 0);
	assert_int_equal(add(OBJECT(B, "3", "", "\"d/x\"")), -EINVAL);
	assert_non_null(strstr(problem.text, "\"d/x\" was imported before, and is another object"));
	assert_int_equal(add(OBJECT(B, "3", "", "\"d\"")), -EINVAL);
	assert_non_null(strstr(problem.text, "\"d\" was imported before, and is a folder"));
	assert_int_equal(add(OBJECT(B, "3", "", "\"d/x/y\"")), -EINVAL);
	assert_non_null(strstr(problem.text, "d/x"));
	assert_int_equal(add(OBJECT(A, "4", "", "\"e\"")), -EINVAL);
	assert_non_null(strstr(problem.text, A " was imported before, with another size"));
	assert_string_equal(show(UID), before);
	/* Another user may say what he likes. */
	assert_int_equal(add_with((struct import_request){ .owner = 7 }, OBJECT(B, "3", "", "\"d/x\""), NULL), 0);
	assert_string_equal(show(UID), before);
	/* And what it replaces does not hold any more. */
	assert_int_equal(add_with((struct import_request){ .replaces = "d" }, OBJECT(B, "3", "", "\"d/x\""), NULL), 0);
	assert_string_equal(show(UID), "b:3[d/x]()");
}

static void test_remove(void **state)
{
	size_t n = 77;

	assert_int_equal(take_out(NULL, &n), -ENOENT);
	assert_int_equal(add_with((struct import_request){ 0 },
				  OBJECT(A, "3", "", "\"o/m@1/x\",\"o/m@2/x\"") OBJECT(B, "5", "", "\"o/m@1/y\""),
				  "{\"o/m\":{\"main\":\"2\",\"old\":\"1\"}}"), 0);
	assert_int_equal(take_out("o/m", &n), -ENOENT);
	assert_int_equal(take_out("o/m@", &n), -ENOENT);
	assert_int_equal(n, 77);
	assert_int_equal(take_out("o/m@1", &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(show(UID), "a:3[o/m@2/x]() {\"o/m\":{\"main\":\"2\"}}");
	assert_int_equal(take_out("o", &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(show(UID), "");
	assert_int_equal(access(path_of("1000/hf.jsonl"), F_OK), -1);
	assert_int_equal(access(path_of("1000/hf.1.json"), F_OK), -1);
	assert_int_equal(add(OBJECT(A, "3", "", "\"x\"")), 0);
	assert_int_equal(take_out(NULL, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(show(UID), "");
	assert_int_equal(imports_remove(store, UID, "../x", NULL, &n, &problem), -EINVAL);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		OBJECT(A, "3", "", "\"../x\""),
		OBJECT(A, "3", "", "\"a//x\""),
		OBJECT(A, "3", "", ""),
		OBJECT(A, "3", "\"file:///etc/passwd\"", "\"x\""),
		OBJECT(A, "3", "\"../x\"", "\"x\""),
		OBJECT(A, "3", "\"x\"", "\"x\""),
		OBJECT(A, "3", "\"https://me:secret@hf.example/x\"", "\"x\""),
		OBJECT(A, "3", "\"ftp://hf.example/x\"", "\"x\""),
		"{\"fsverity\":\"" A "\",\"size\":3,\"names\":[\"x\"]}\n",
		"{\"sha256\":\"" A "\",\"names\":[\"x\"]}\n",
		OBJECT(A, "3", "", "\"x\"") OBJECT(A, "3", "", "\"y\""),
		"no JSON\n",
	};
	char name[] = "hg";
	struct import_request other = { .name = name, .owner = UID, .fd = catalog_of("") };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(add(bad[i]), -EINVAL);
		assert_int_not_equal(problem.line, 0);
		assert_true(strlen(problem.text) > 0);
	}
	assert_int_equal(imports_add(store, &other, &added, &problem), -EINVAL);
	other.name = "oci"; /* is not what the catalog's header says */
	assert_int_equal(imports_add(store, &other, &added, &problem), -EINVAL);
	close(other.fd);
	assert_int_equal(add_with((struct import_request){ .replaces = "../1001" }, "", NULL), -EINVAL);
	assert_string_equal(show(UID), "");
	/* What a user says of trees is worth nothing. */
	assert_int_equal(add("{\"sha256\":\"" A "\",\"fsverity\":\"" B "\",\"size\":3,\"tree\":\"" HF "t\","
			     "\"names\":[\"x\"]}\n"), 0);
	assert_string_equal(show(UID), "a:3[x]()");
}

static void test_bounds(void **state)
{
	int fd = memfd_create("large", MFD_CLOEXEC);
	struct import_request request = { .name = "hf", .owner = UID, .fd = fd };
	FILE *out = fdopen(dup(fd), "w");

	fprintf(out, "{\"weightfs-catalog\":1,\"name\":\"hf\",\"serial\":7,\"expires\":\"2020-01-01T00:00:00Z\"}\n");
	for (int i = 0; i <= IMPORT_OBJECTS_MAX; i++)
		fprintf(out, "{\"sha256\":\"%064x\",\"size\":1,\"names\":[\"%d\"]}\n", i, i);
	fclose(out);
	assert_int_equal(imports_add(store, &request, &added, &problem), -E2BIG);
	assert_int_equal(ftruncate(fd, (off_t)IMPORT_REQUEST_MAX + 1), 0);
	assert_int_equal(imports_add(store, &request, &added, &problem), -E2BIG);
	close(fd);
	/* Room for all of a user's names is counted together. */
	assert_int_equal(add(OBJECT(A, "3", "", "\"x\"")), 0);
	fd = open(path_of("1000/local.jsonl"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, (off_t)IMPORT_BYTES_MAX), 0);
	close(fd);
	assert_int_equal(add(OBJECT(B, "3", "", "\"y\"")), -E2BIG);
	assert_string_equal(show(UID), "a:3[x]()");
}

/* Nor does it help to be many. */
static void test_bounds_of_all(void **state)
{
	struct import_request root = { .owner = CATALOG_EVERYBODY };
	size_t n;
	int fd;

	assert_int_equal(add(OBJECT(A, "3", "", "\"x\"") OBJECT(B, "3", "", "\"y/z\"")), 0);
	assert_int_equal(mkdir(path_of("1001"), 0700), 0);
	fd = open(path_of("1001/local.jsonl"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, (off_t)IMPORT_ALL_BYTES_MAX), 0);
	close(fd);
	assert_int_equal(add(OBJECT(C, "3", "", "\"c\"")), -E2BIG);
	assert_string_equal(problem.text, "all users have more than 2048 MiB of imports");
	assert_int_equal(add_with(root, OBJECT(C, "3", "", "\"c\""), NULL), 0);
	/* What makes it less can be done. */
	assert_int_equal(take_out("y", &n), 0);
	assert_string_equal(show(UID), "a:3[x]()");
}

static const struct import_request gated = { .gated = true, .authorization = "Bearer 1" };

static void test_gated(void **state)
{
	struct import_request other = gated;
	struct import *imports;
	size_t n;

	assert_int_equal(add_with(gated, OBJECT(A, "3", "\"" HF "a\"", "\"o/m@1/x\""), NULL), 0);
	assert_int_equal(add_with((struct import_request){ .authorization = "Bearer no" },
				  OBJECT(B, "3", "\"https://b.example/\"", "\"o/m@2/x\""), NULL), 0);
	other.authorization = "Bearer 2";
	other.token_challenge = true;
	assert_int_equal(add_with(other, OBJECT(C, "3", "\"https://B.example/\"", "\"o/m@3/x@1/y\""), NULL), 0);
	assert_string_equal(show(UID), "a:3[o/m@1/x](" HF "a)b:3[o/m@2/x](https://b.example/)"
			    "c:3[o/m@3/x@1/y](https://B.example/) gated=o/m@1/ gated=o/m@3/ "
			    "https://hf.example:443=Bearer 1 https://b.example:443=Bearer 2!");
	assert_int_equal(imports_load(store, UID, &imports, &n), 0);
	assert_true(import_is_gated(imports, "o/m@1/y"));
	assert_true(import_is_gated(imports, "o/m@3/deep/y"));
	assert_false(import_is_gated(imports, "o/m@2/x"));
	assert_false(import_is_gated(imports, "o/m@1"));
	assert_false(import_is_gated(imports, "o/m"));
	assert_string_equal(import_host_of(imports, "https://b.example/q")->authorization, "Bearer 2");
	assert_string_equal(import_host_of(imports, HF "q")->authorization, "Bearer 1");
	/* Nowhere else. */
	assert_null(import_host_of(imports, "http://hf.example/q"));
	assert_null(import_host_of(imports, "https://hf.example:444/q"));
	assert_null(import_host_of(imports, "https://hf.example.evil/q"));
	assert_null(import_host_of(imports, "https://hf.example:443@evil.example/q"));
	imports_free(imports, n);
	/* A credential that is for nothing does not stay. */
	assert_int_equal(take_out("o/m@1", &n), 0);
	assert_string_equal(show(UID), "b:3[o/m@2/x](https://b.example/)c:3[o/m@3/x@1/y](https://B.example/) "
			    "gated=o/m@3/ https://b.example:443=Bearer 2!");
	assert_int_equal(take_out("o/m@3", &n), 0);
	assert_string_equal(show(UID), "b:3[o/m@2/x](https://b.example/) https://b.example:443=!");
}

/* They have no host that there could be a credential for; others' stay as they are. */
static void test_gated_and_ipfs(void **state)
{
	static const char cid[] = "ipfs://QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPBdG";
	char object[512];

	assert_int_equal(add_with(gated, OBJECT(A, "3", "\"" HF "a\"", "\"o/m@1/x\""), NULL), 0);
	snprintf(object, sizeof(object), OBJECT(B, "3", "\"%s\"", "\"o/m@2/y\""), cid);
	assert_int_equal(add_with(gated, object, NULL), -EINVAL);
	assert_int_equal(add(object), 0);
	assert_non_null(strstr(show(UID), "https://hf.example:443=Bearer 1"));
}

static void test_gated_refused(void **state)
{
	const char url[] = OBJECT(A, "3", "\"" HF "a\"", "\"o/m@1/x\"");
	struct import_request without = { .gated = true }, bad = gated;
	char *large = malloc(IMPORT_AUTHORIZATION_MAX + 2);

	assert_int_equal(add_with(without, url, NULL), -EINVAL);
	assert_int_equal(add_with(gated, OBJECT(A, "3", "\"" HF "a\"", "\"o/m/x\""), NULL), -EINVAL);
	assert_int_equal(add_with(gated, OBJECT(A, "3", "\"" HF "a\"", "\"o/m@1\""), NULL), -EINVAL);
	assert_int_equal(add_with(gated, OBJECT(A, "3", "\"" HF "a\",\"https://evil.example/\"", "\"o/m@1/x\""), NULL),
			 -EINVAL);
	assert_int_equal(add_with(gated, OBJECT(A, "3", "", "\"o/m@1/x\""), NULL), -EINVAL);
	bad.authorization = "Bearer 1\r\nX-Evil: 1";
	assert_int_equal(add_with(bad, url, NULL), -EINVAL);
	bad.authorization = "";
	assert_int_equal(add_with(bad, url, NULL), -EINVAL);
	memset(large, 'x', IMPORT_AUTHORIZATION_MAX + 1);
	large[IMPORT_AUTHORIZATION_MAX + 1] = '\0';
	bad.authorization = large;
	assert_int_equal(add_with(bad, url, NULL), -EINVAL);
	free(large);
	assert_string_equal(show(UID), "");
}

static void test_refs(void **state)
{
	static const char *const bad[] = {
		"[]", "{\"o/m\":1}", "{\"o/m\":{\"main\":1}}", "{\"../m\":{\"main\":\"1\"}}",
		"{\"o/m\":{\"../main\":\"1\"}}", "{\"o/m\":{\"main\":\"1/..\"}}", "{\"o/m\":{\"main\":\"2\"}}",
	};
	const char object[] = OBJECT(A, "3", "", "\"o/m@1/x\"");

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(add_with((struct import_request){ 0 }, object, bad[i]), -EINVAL);
		assert_string_equal(show(UID), "");
	}
	assert_int_equal(add_with((struct import_request){ 0 }, object, "{\"o/m\":{\"main\":\"1\",\"refs/pr/1\":\"1\"}}"), 0);
	assert_int_equal(add_with((struct import_request){ 0 }, OBJECT(A, "3", "", "\"o/m@2/x\""),
				  "{\"o/m\":{\"main\":\"2\"}}"), 0);
	assert_string_equal(show(UID), "a:3[o/m@1/x o/m@2/x]() {\"o/m\":{\"main\":\"2\",\"refs/pr/1\":\"1\"}}");
}

static void test_owners(void **state)
{
	uid_t *uids = NULL;
	size_t n = 9;

	assert_int_equal(imports_owners(store, &uids, &n), 0);
	assert_int_equal(n, 0);
	free(uids);
	assert_int_equal(add_with((struct import_request){ .owner = CATALOG_EVERYBODY }, OBJECT(A, "3", "", "\"x\""), NULL), 0);
	assert_int_equal(add(OBJECT(B, "3", "", "\"x\"")), 0);
	assert_int_equal(mkdir(path_of("01000"), 0700), 0);
	assert_int_equal(mkdir(path_of("4294967295"), 0700), 0);
	assert_int_equal(imports_owners(store, &uids, &n), 0);
	assert_int_equal(n, 2);
	assert_true((uids[0] == UID && uids[1] == CATALOG_EVERYBODY) || (uids[1] == UID && uids[0] == CATALOG_EVERYBODY));
	free(uids);
	assert_string_equal(show(CATALOG_EVERYBODY), "a:3[x]()");
	assert_string_equal(show(UID), "b:3[x]()");
}

static void damage(const char *file, const char *text)
{
	int fd = open(path_of(file), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, text, strlen(text)), 0);
	close(fd);
}

static void check_damaged(void)
{
	size_t n;

	assert_string_equal(show(UID), "");
	assert_int_equal(add(OBJECT(B, "3", "", "\"y\"")), -EUCLEAN);
	assert_true(strlen(problem.text) > 0);
	assert_int_equal(take_out("x", &n), -EUCLEAN);
	assert_int_equal(take_out(NULL, &n), 0);
	assert_int_equal(add(OBJECT(A, "3", "", "\"x\"")), 0);
	assert_string_equal(show(UID), "a:3[x]()");
}

static void test_damaged(void **state)
{
	static const char *const rests[] = {
		"", "{}", "{\"refs\":{},\"gated\":{},\"hosts\":{}", "{\"refs\":{},\"gated\":{\"x\":true},\"hosts\":{}}",
		"{\"refs\":{},\"gated\":{},\"hosts\":{\"h\":{\"token_challenge\":false,\"authorization\":\"a\\nb\"}}}",
	};

	assert_int_equal(add(OBJECT(A, "3", "", "\"x\"")), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rests); i++) {
		damage("1000/hf.1.json", rests[i]);
		check_damaged();
	}
	assert_int_equal(unlink(path_of("1000/hf.1.json")), 0);
	check_damaged();
	damage("1000/hf.jsonl", "{\"weightfs-catalog\":1,\"name\":\"hf\",\"serial\":1,\"expi");
	check_damaged();
	/* One of another user's, or of another name, is not taken for this one. */
	assert_int_equal(rename(path_of("1000/hf.jsonl"), "/tmp/test-imports-moved"), 0);
	assert_int_equal(unlink("/tmp/test-imports-moved"), 0);
	assert_string_equal(show(UID), "");
	assert_int_equal(add(OBJECT(B, "3", "", "\"y\"")), 0);
	assert_string_equal(show(UID), "b:3[y]()");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_merge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conflicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds_of_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gated_and_ipfs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gated_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
