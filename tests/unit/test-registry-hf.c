/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of huggingface.co: specs, URLs, models, trees, Link headers; ids of git blobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/utf8.h"
#include "registry/hf.h"

#define COMMIT "c1899de289a04d12100db370d81485cdf75e47ca"
#define SHA256 "f47f71177f32bcd101b7573ec9171e6a57f4f4d31148d38e382306f42996874b"
#define BLOB   "b5d9e6dd2d1a0dd0a3d2a4f0fae5e6f0bbdc3ff7"

static char problem[REGISTRY_PROBLEM_SIZE];

/* ---- specs ---- */

static void check_spec(const char *text, const char *repo, const char *revision, const char *path)
{
	struct hf_spec spec;

	assert_int_equal(hf_spec_parse(text, &spec, problem), 0);
	assert_string_equal(spec.repo, repo);
	assert_string_equal(spec.revision, revision);
	if (path)
		assert_string_equal(spec.path, path);
	else
		assert_null(spec.path);
	hf_spec_clear(&spec);
}

static void test_specs(void **state)
{
	check_spec("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "main", NULL);
	check_spec("Qwen/Qwen3-0.6B/", "Qwen/Qwen3-0.6B", "main", NULL);
	check_spec("Qwen/Qwen3-0.6B@v1.0", "Qwen/Qwen3-0.6B", "v1.0", NULL);
	check_spec("a/b/config.json", "a/b", "main", "config.json");
	check_spec("a/b@" COMMIT "/onnx/model.onnx", "a/b", COMMIT, "onnx/model.onnx");
	check_spec("a/b/onnx/", "a/b", "main", "onnx");
	check_spec("a/b@refs/pr/1/x", "a/b", "refs/pr/1", "x");
	check_spec("a/b@refs/convert/parquet", "a/b", "refs/convert/parquet", NULL);
	check_spec("a/b@team%2Ftest/x", "a/b", "team/test", "x");
	check_spec("a/b@team%2ftest", "a/b", "team/test", NULL);
	check_spec("a/b/x@y", "a/b", "main", "x@y");
	check_spec("_a/b_", "_a/b_", "main", NULL);
}

static void test_specs_refused(void **state)
{
	static const char *const refused[] = {
		"",	   "gpt2",	"/b",	    "a/",      "a//b",	   "a/b@",     "a/b@/x",
		"a/b/..",  "a/b/x//y",	"a/b/../x", "../b",    "a/..",	   "-a/b",     "a/b-",
		"a b/c",   "a/b\n",	"a@x/b",    "a/b//",   "a/b@..",   "a/b@x%2F..",
		"a/b/x\\y", "a/b/x\x1b", "a?/b",    "a/b?c",   "a/b#c",	   "a/b/\xff",
	};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct hf_spec spec;

		problem[0] = '\0';
		assert_int_equal(hf_spec_parse(refused[i], &spec, problem), -EINVAL);
		assert_true(problem[0] && utf8_is_plain(problem, strlen(problem)));
	}
}

/* ---- URLs ---- */

static void check_url(char *url, const char *expected)
{
	assert_non_null(url);
	assert_string_equal(url, expected);
	free(url);
}

static void test_urls(void **state)
{
	const struct hf_model model = { .commit = COMMIT };
	struct hf_spec spec;

	assert_int_equal(hf_spec_parse("a/b@x%2Fy z", &spec, problem), 0);
	check_url(hf_model_url("https://hub", &spec),
		  "https://hub/api/models/a/b/revision/x%2Fy%20z");
	check_url(hf_tree_url("https://hub", &spec, &model),
		  "https://hub/api/models/a/b/tree/" COMMIT "?recursive=true&expand=false");
	check_url(hf_check_url("https://hub", &spec), "https://hub/api/models/a/b/auth-check");
	check_url(hf_file_url("https://hub/p", &spec, &model, "onnx/m 1#?%\xc3\xa9.bin"),
		  "https://hub/p/a/b/resolve/" COMMIT "/onnx/m%201%23%3F%25%C3%A9.bin");
	hf_spec_clear(&spec);
}

/* ---- models ---- */

static int parse_model(const char *text, struct hf_model *out)
{
	problem[0] = '\0';
	return hf_model_parse(text, strlen(text), out, problem);
}

static void test_models(void **state)
{
	struct hf_model model;

	assert_int_equal(parse_model("{\"id\":\"a/b\",\"sha\":\"" COMMIT "\",\"private\":false,"
				     "\"gated\":false,\"siblings\":[{\"rfilename\":\"x\"}]}",
				     &model),
			 0);
	assert_string_equal(model.commit, COMMIT);
	assert_false(model.restricted);
	assert_int_equal(parse_model("{\"sha\":\"" COMMIT "\"}", &model), 0);
	assert_false(model.restricted);
	assert_int_equal(parse_model("{\"sha\":\"" COMMIT "\",\"gated\":\"manual\"}", &model), 0);
	assert_true(model.restricted);
	assert_int_equal(parse_model("{\"sha\":\"" COMMIT "\",\"private\":true}", &model), 0);
	assert_true(model.restricted);
}

static void test_models_refused(void **state)
{
	static const char *const refused[] = {
		"",
		"[]",
		"{",
		"null",
		"<html>",
		"{\"sha\":null}",
		"{\"sha\":\"\"}",
		"{\"sha\":\"main\"}",
		"{\"sha\":\"../../x\"}",
		"{\"sha\":\"" COMMIT "0\"}",
		"{\"sha\":\"" COMMIT "/x\"}",
	};
	struct hf_model model;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		assert_int_equal(parse_model(refused[i], &model), -EINVAL);
		assert_true(problem[0]);
	}
}

/* ---- trees ---- */

static int parse_tree(const char *text, struct registry_files *files)
{
	problem[0] = '\0';
	return hf_tree_parse(text, strlen(text), files, problem);
}

#define LFS_FILE                                                                                   \
	"{\"type\":\"file\",\"oid\":\"" BLOB "\",\"size\":1503300328,\"path\":\"model.safetensors\"," \
	"\"lfs\":{\"oid\":\"" SHA256 "\",\"size\":1503300328,\"pointerSize\":135},\"xetHash\":\"00\"}"
#define SMALL_FILE "{\"type\":\"file\",\"oid\":\"" BLOB "\",\"size\":726,\"path\":\"x/config.json\"}"

static void test_tree(void **state)
{
	struct registry_files files = { 0 };
	char hex[DIGEST_HEX_SIZE];

	assert_int_equal(parse_tree("[]", &files), 0);
	assert_int_equal(files.n, 0);
	assert_int_equal(parse_tree("[{\"type\":\"directory\",\"oid\":\"" BLOB "\",\"size\":0,"
				    "\"path\":\"x\"}," LFS_FILE "]",
				    &files),
			 0);
	assert_int_equal(parse_tree("[" SMALL_FILE "]", &files), 0);
	assert_int_equal(files.n, 2);
	assert_string_equal(files.files[0].path, "model.safetensors");
	assert_true(files.files[0].has_sha256 && files.files[0].has_size);
	assert_false(files.files[0].has_git_blob);
	digest_to_hex(&files.files[0].sha256, hex);
	assert_string_equal(hex, SHA256);
	assert_int_equal(files.files[0].size, 1503300328);
	assert_string_equal(files.files[1].path, "x/config.json");
	assert_true(files.files[1].has_git_blob && files.files[1].has_size);
	assert_false(files.files[1].has_sha256);
	assert_int_equal(files.files[1].git_blob[0], 0xb5);
	assert_int_equal(files.files[1].git_blob[19], 0xf7);
	assert_int_equal(files.files[1].size, 726);
	registry_files_clear(&files);
}

/* The problem names FILE, where there is one. */
static void refuse_tree(const char *text, const char *file)
{
	struct registry_files files = { 0 };

	assert_int_equal(parse_tree(text, &files), -EINVAL);
	assert_true(problem[0] && utf8_is_plain(problem, strlen(problem)));
	if (file)
		assert_non_null(strstr(problem, file));
	registry_files_clear(&files);
}

#define FILE_CALLED(path) "[{\"type\":\"file\",\"oid\":\"" BLOB "\",\"size\":1,\"path\":\"" path "\"}]"

static void test_tree_refused(void **state)
{
	refuse_tree("", NULL);
	refuse_tree("{}", NULL);
	refuse_tree("[", NULL);
	refuse_tree("[1]", NULL);
	refuse_tree("[{}]", NULL);
	refuse_tree("[{\"type\":\"file\"}]", NULL);
	refuse_tree(FILE_CALLED(""), NULL);
	refuse_tree(FILE_CALLED("../x"), "../x");
	refuse_tree(FILE_CALLED("/x"), "/x");
	refuse_tree(FILE_CALLED("x//y"), "x//y");
	refuse_tree(FILE_CALLED("x\\u001b[2J"), "x");
	refuse_tree(FILE_CALLED("x\\\\y"), "x\\y");
	refuse_tree("[{\"type\":\"file\",\"oid\":\"" BLOB "\",\"path\":\"x\"}]", "x");
	refuse_tree("[{\"type\":\"file\",\"oid\":\"" BLOB "\",\"size\":-1,\"path\":\"x\"}]", "x");
	refuse_tree("[{\"type\":\"file\",\"oid\":\"" BLOB "\",\"size\":1.5,\"path\":\"x\"}]", "x");
	refuse_tree("[{\"type\":\"file\",\"oid\":\"" SHA256 "\",\"size\":1,\"path\":\"x\"}]", "x");
	refuse_tree("[{\"type\":\"file\",\"size\":1,\"path\":\"x\"}]", "x");
	/* The git blob of the pointer does not stand in for what the pointer lacks. */
	refuse_tree("[{\"type\":\"file\",\"oid\":\"" BLOB "\",\"size\":1,\"path\":\"x\",\"lfs\":{}}]", "x");
	refuse_tree("[{\"type\":\"file\",\"oid\":\"" BLOB "\",\"size\":1,\"path\":\"x\",\"lfs\":"
		    "{\"oid\":\"" BLOB "\",\"size\":1}}]", "x");
	refuse_tree("[{\"type\":\"file\",\"oid\":\"" BLOB "\",\"size\":1,\"path\":\"x\",\"lfs\":"
		    "{\"oid\":\"" SHA256 "\"}}]", "x");
}

/* ---- headers and refusals ---- */

static void check_next(const char *value, const char *expected)
{
	char *url = NULL;

	if (expected) {
		assert_int_equal(registry_link_next(value, &url), 0);
		assert_string_equal(url, expected);
	} else {
		assert_int_equal(registry_link_next(value, &url), -ENOENT);
	}
	free(url);
}

static void test_link(void **state)
{
	static const char *const refused[] = {
		"https://hub/x; rel=next", "<https://hub/x", "<x>; rel=\"next", "<x> y; rel=next",
		"<x>; rel=\"next\" y",
	};
	char *url;

	check_next("<https://hub/x?cursor=a,b>; rel=\"next\"", "https://hub/x?cursor=a,b");
	check_next("<x>;rel=next", "x");
	check_next("<x>; REL=\"Next\"", "x");
	check_next("<x>; rel=\"last next\"", "x");
	check_next("<a>; rel=\"prev\", <b>; title=\"x, <y>; \\\"rel=next\"; rel=\"next\"", "b");
	check_next(" , <a>; rel = \"next\" ; x, <b>; rel=next", "a");
	check_next("<>; rel=next", "");
	check_next("", NULL);
	check_next("<a>; rel=\"nextone\"", NULL);
	check_next("<a>; rel=\"prev\"; rel=\"next\"", NULL); /* the first counts */
	check_next("<a>; title=\"rel=next\"", NULL);
	check_next("<a>", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		assert_int_equal(registry_link_next(refused[i], &url), -EINVAL);
}

static void check_error(const char *body, const char *expected)
{
	char text[REGISTRY_PROBLEM_SIZE];

	assert_int_equal(registry_error_text(body, strlen(body), text), expected != NULL);
	if (expected)
		assert_string_equal(text, expected);
}

static void test_errors(void **state)
{
	check_error("{\"error\":\"Repository not found\"}", "Repository not found");
	check_error("{\"error\":{\"message\":\"no\"}}", "no");
	check_error("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"denied\"}]}", "denied");
	check_error("{\"message\":\"m\"}", "m");
	check_error("{\"error\":\"a\\u001b[2Jb\"}", "a?[2Jb");
	check_error("{\"error\":\"\"}", NULL);
	check_error("<html>", NULL);
	check_error("", NULL);
	check_error("[]", NULL);
	check_error("{\"errors\":[]}", NULL);
}

/* ---- bytes: known answers of `git hash-object` and `sha256sum` ---- */

static void test_git_blob(void **state)
{
	uint8_t blob[REGISTRY_GIT_BLOB_SIZE], expected[REGISTRY_GIT_BLOB_SIZE];

	assert_int_equal(registry_from_hex("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", expected,
					   sizeof(expected)), 0);
	assert_int_equal(registry_git_blob("", 0, blob), 0);
	assert_memory_equal(blob, expected, sizeof(blob));
	assert_int_equal(registry_from_hex("ce013625030ba8dba906f756967f9e9ca394464a", expected,
					   sizeof(expected)), 0);
	assert_int_equal(registry_git_blob("hello\n", 6, blob), 0);
	assert_memory_equal(blob, expected, sizeof(blob));
	assert_int_equal(registry_from_hex("CE013625030ba8dba906f756967f9e9ca394464a", expected,
					   sizeof(expected)), -EINVAL);
	assert_int_equal(registry_from_hex("ce", expected, sizeof(expected)), -EINVAL);
}

static void test_hash(void **state)
{
	struct registry_file file = { .path = (char *)"config.json", .has_git_blob = true };
	char hex[DIGEST_HEX_SIZE];

	assert_int_equal(registry_from_hex("ce013625030ba8dba906f756967f9e9ca394464a", file.git_blob,
					   sizeof(file.git_blob)), 0);
	assert_int_equal(registry_file_hash(&file, "hellO\n", 6, problem), -EBADMSG);
	assert_non_null(strstr(problem, "config.json"));
	assert_false(file.has_sha256 || file.has_size);
	assert_int_equal(registry_file_hash(&file, "hello\n", 6, problem), 0);
	digest_to_hex(&file.sha256, hex);
	assert_string_equal(hex, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
	assert_true(file.has_sha256 && file.has_size && file.size == 6);
	/* What is known binds. */
	file.has_git_blob = false;
	assert_int_equal(registry_file_hash(&file, "hello", 5, problem), -EBADMSG);
	assert_int_equal(registry_file_hash(&file, "hellO\n", 6, problem), -EBADMSG);
	assert_int_equal(registry_file_hash(&file, "hello\n", 6, problem), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_specs),
		cmocka_unit_test(test_specs_refused),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_models_refused),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_tree_refused),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_git_blob),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
