/* SPDX-License-Identifier: Apache-2.0 */
/* What is in OCI registries is called how, and credentials for them. */
#include "tests/unit/registry-testing.h"
#include "registry/oci.h"

#define ONE   "3d6fece8033d146d8611eab4f032df738c8c1283620fd02a1f2bfec6e27d590d"
#define TWO   "17bfc4a6058d2d7d82db859c8b0528c6ab4d832fae620ec49fca6c6ff52e0b17"

/* ---- names ---- */

static void expect_reference(const struct oci_reference *reference, const char *base,
			     const char *name, const char *tag, const char *folder)
{
	assert_string_equal(reference->base, base);
	assert_string_equal(reference->name, name);
	if (tag)
		assert_string_equal(reference->tag, tag);
	else
		assert_null(reference->tag);
	assert_string_equal(reference->folder, folder);
}

static void test_references(void **state)
{
	static const struct {
		const char *text, *base, *name, *tag, *folder;
		bool digest;
	} good[] = {
		{"ghcr.io/org/model", "https://ghcr.io", "org/model", "latest", "ghcr.io/org/model"},
		{"ghcr.io/a/b.c/d_e/f__g/h---i:V1.0_x-y", "https://ghcr.io", "a/b.c/d_e/f__g/h---i",
		 "V1.0_x-y", "ghcr.io/a/b.c/d_e/f__g/h---i"},
		{"GHCR.IO/x", "https://ghcr.io", "x", "latest", "ghcr.io/x"},
		{"localhost/x:1", "https://localhost", "x", "1", "localhost/x"},
		{"r:5000/x", "https://r:5000", "x", "latest", "r:5000/x"},
		{"[::1]:5000/x:t", "https://[::1]:5000", "x", "t", "[::1]:5000/x"},
		{"127.0.0.1:65535/x/y", "https://127.0.0.1:65535", "x/y", "latest",
		 "127.0.0.1:65535/x/y"},
		{"docker.io/x", "https://registry-1.docker.io", "library/x", "latest",
		 "docker.io/library/x"},
		{"docker.io/ai/smollm2:Q4", "https://registry-1.docker.io", "ai/smollm2", "Q4",
		 "docker.io/ai/smollm2"},
		{"ghcr.io/x@sha256:" ONE, "https://ghcr.io", "x", NULL, "ghcr.io/x", true},
		{"ghcr.io/x:t@sha256:" ONE, "https://ghcr.io", "x", "t", "ghcr.io/x", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char problem[REGISTRY_PROBLEM_SIZE] = "";
		struct oci_reference reference;

		if (oci_reference_parse(good[i].text, &reference, problem) < 0)
			fail_msg("%s", problem);
		expect_reference(&reference, good[i].base, good[i].name, good[i].tag,
				 good[i].folder);
		assert_int_equal(reference.has_digest, good[i].digest);
		if (reference.has_digest)
			expect_hex(&reference.digest, ONE);
		oci_reference_clear(&reference);
	}
}

static void test_references_refused(void **state)
{
	static const struct {
		const char *text, *what;
	} bad[] = {
		{"", "has no registry"},
		{"model", "has no registry"},
		{"org/model:tag", "has no registry in front of it"},
		{"ghcr.io/", "is no name"},
		{"ghcr.io/Org/x", "is no name"},
		{"ghcr.io/a//b", "is no name"},
		{"ghcr.io/a/", "is no name"},
		{"ghcr.io/a..b", "is no name"},
		{"ghcr.io/a/../b", "is no name"},
		{"ghcr.io/a___b", "is no name"},
		{"ghcr.io/-a", "is no name"},
		{"ghcr.io/a-", "is no name"},
		{"ghcr.io/a?b", "is no name"},
		{"ghcr.io/a:", "is no tag"},
		{"ghcr.io/a:.x", "is no tag"},
		{"ghcr.io/a:x/y", "is no tag"},
		{"ghcr.io/a:x:y", "is no tag"},
		{"ghcr.io/a@sha256:" ONE "0", "is not sha256: and 64"},
		{"ghcr.io/a@sha256:", "is not sha256: and 64"},
		{"ghcr.io/a@sha512:" ONE ONE, "only sha256:"},
		{"-a.b/x", "is no registry"},
		{"a..b/x", "is no registry"},
		{"a.b:/x", "is no registry"},
		{"a.b:123456/x", "is no registry"},
		{"a.b:x/x", "is no registry"},
		{"u@a.b/x", "only sha256:"},
		{"[::1/x", "is no registry"},
		{"a.b\n/x", "is no registry"},
	};
	char problem[REGISTRY_PROBLEM_SIZE], text[400] = "ghcr.io/";
	struct oci_reference reference;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		problem[0] = '\0';
		if (oci_reference_parse(bad[i].text, &reference, problem) != -EINVAL)
			fail_msg("%s", bad[i].text);
		expect_problem(problem, bad[i].what);
	}
	memset(text + 8, 'a', 250);
	assert_int_equal(oci_reference_parse(text, &reference, problem), -EINVAL);
	expect_problem(problem, "is no name");
	memset(text + 8, 'a', 129);
	text[9] = ':';
	text[10 + 129] = '\0';
	assert_int_equal(oci_reference_parse(text, &reference, problem), -EINVAL);
	expect_problem(problem, "is no tag");
}

static void test_ollama(void **state)
{
	static const struct {
		const char *text, *base, *name, *tag, *folder;
	} good[] = {
		{"qwen3", "https://registry.ollama.ai", "library/qwen3", "latest", "library/qwen3"},
		{"qwen3:0.6b", "https://registry.ollama.ai", "library/qwen3", "0.6b", "library/qwen3"},
		{"Me_1/My.Model:Q4_K_M", "https://registry.ollama.ai", "Me_1/My.Model", "Q4_K_M",
		 "Me_1/My.Model"},
		{"hf.co/Org/Model-GGUF:Q8_0", "https://hf.co", "Org/Model-GGUF", "Q8_0",
		 "hf.co/Org/Model-GGUF"},
		{"localhost:11/a/b", "https://localhost:11", "a/b", "latest", "localhost:11/a/b"},
		{"registry.ollama.ai/library/x", "https://registry.ollama.ai", "library/x", "latest",
		 "library/x"},
	};
	static const char *const bad[] = {"", ":x", "a:", "a/b/c/d", "../x", "a/..", "a b", "/x",
					  "x/", "x@sha256:" ONE, "a/b:c/d", "\xc3\xa4"};
	char problem[REGISTRY_PROBLEM_SIZE] = "";
	struct oci_reference reference;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		if (ollama_reference_parse(good[i].text, NULL, &reference, problem) < 0)
			fail_msg("%s", problem);
		expect_reference(&reference, good[i].base, good[i].name, good[i].tag,
				 good[i].folder);
		oci_reference_clear(&reference);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		problem[0] = '\0';
		if (ollama_reference_parse(bad[i], NULL, &reference, problem) != -EINVAL)
			fail_msg("%s", bad[i]);
		expect_problem(problem, "\"");
	}
	assert_int_equal(ollama_reference_parse("x", "https://here.example/", &reference, problem), 0);
	expect_reference(&reference, "https://here.example", "library/x", "latest", "library/x");
	oci_reference_clear(&reference);
	/* Of others it is no business. */
	assert_int_equal(ollama_reference_parse("hf.co/a/b", "https://here.example/", &reference, problem),
			 0);
	expect_reference(&reference, "https://hf.co", "a/b", "latest", "hf.co/a/b");
	oci_reference_clear(&reference);
}

static void test_urls(void **state)
{
	char problem[REGISTRY_PROBLEM_SIZE];
	struct oci_reference reference;
	struct digest two;
	char *url;

	assert_int_equal(digest_from_hex(TWO, &two), 0);
	assert_int_equal(oci_reference_parse("ghcr.io/a/b:t", &reference, problem), 0);
	url = oci_manifest_url(&reference, NULL);
	assert_string_equal(url, "https://ghcr.io/v2/a/b/manifests/t");
	free(url);
	url = oci_manifest_url(&reference, &two);
	assert_string_equal(url, "https://ghcr.io/v2/a/b/manifests/sha256:" TWO);
	free(url);
	url = oci_blob_url(&reference, &two);
	assert_string_equal(url, "https://ghcr.io/v2/a/b/blobs/sha256:" TWO);
	free(url);
	oci_reference_clear(&reference);
	assert_int_equal(oci_reference_parse("ghcr.io/a/b:t@sha256:" ONE, &reference, problem), 0);
	url = oci_manifest_url(&reference, NULL);
	assert_string_equal(url, "https://ghcr.io/v2/a/b/manifests/sha256:" ONE);
	free(url);
	oci_reference_clear(&reference);
}

/* ---- credentials ---- */

static void expect_credential(const char *json, const char *reference_text, const char *expected)
{
	char problem[REGISTRY_PROBLEM_SIZE] = "?";
	struct oci_reference reference;
	char *found = NULL;
	int r;

	assert_int_equal(oci_reference_parse(reference_text, &reference, problem), 0);
	r = oci_credentials_find(json, strlen(json), &reference, &found, problem);
	if (expected && !strncmp(expected, "Basic ", 6)) {
		assert_int_equal(r, 0);
		assert_string_equal(found, expected);
	} else if (expected) {
		assert_true(r == -ENOENT || r == -EINVAL);
		expect_problem(problem, expected);
	} else {
		assert_int_equal(r, -ENOENT);
		assert_string_equal(problem, "");
	}
	free(found);
	oci_reference_clear(&reference);
}

static void test_credentials(void **state)
{
	static const char docker[] =
		"{\"auths\": {\"https://index.docker.io/v1/\": {\"auth\": \"ZG9ja2VyOmh1Yg==\"},"
		"\"ghcr.io\": {\"auth\": \"Z2hjcjppbw==\"}, \"https://r.example:5000/v2/\": {\"auth\": \"cg==\"},"
		"\"helper.example\": {}, \"identity.example\": {\"auth\": \"dTo=\", \"identitytoken\": \"x\"},"
		"\"bad.example\": {\"auth\": \"a b\"}, \"bad2.example\": {\"auth\": \"a\\r\\nX: y\"}}}";
	static const char podman[] = "{\"auths\": {\"quay.io\": {\"auth\": \"b25l\"},"
				     "\"quay.io/org\": {\"auth\": \"dHdv\"}, \"quay.io/org/x\": {\"auth\": \"dGhyZWU=\"},"
				     "\"docker.io\": {\"auth\": \"aHVi\"}, \"index.docker.io\": {\"auth\": \"b2xk\"}}}";

	expect_credential(docker, "docker.io/a/b", "Basic ZG9ja2VyOmh1Yg==");
	expect_credential(docker, "ghcr.io/a/b", "Basic Z2hjcjppbw==");
	expect_credential(docker, "GHCR.io/a", "Basic Z2hjcjppbw==");
	expect_credential(docker, "r.example:5000/a", "Basic cg==");
	expect_credential(docker, "r.example/a", NULL);
	expect_credential(docker, "ghcr.io.evil.example/a", NULL);
	expect_credential(docker, "ghcr.io:444/a", NULL);
	expect_credential(docker, "helper.example/a", "helper.example is kept by a credential helper");
	expect_credential(docker, "identity.example/a", "identity token");
	expect_credential(docker, "bad.example/a", "is not base64");
	expect_credential(docker, "bad2.example/a", "is not base64");
	expect_credential(podman, "quay.io/a", "Basic b25l");
	expect_credential(podman, "quay.io/org/y", "Basic dHdv");
	expect_credential(podman, "quay.io/org/x", "Basic dGhyZWU=");
	expect_credential(podman, "quay.io/orgs/x", "Basic b25l");
	expect_credential(podman, "docker.io/a", "Basic aHVi");
	expect_credential("{}", "ghcr.io/a", NULL);
	expect_credential("{\"auths\": []}", "ghcr.io/a", NULL);
	expect_credential("{\"credsStore\": \"desktop\"}", "ghcr.io/a", "credential helper");
	expect_credential("{\"credHelpers\": {\"gcr.io\": \"gcloud\"}}", "ghcr.io/a", NULL);
	expect_credential("{\"credHelpers\": {\"ghcr.io\": \"gh\"}}", "ghcr.io/a", "credential helper");
	expect_credential("{", "ghcr.io/a", "line 1 is no JSON");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_references), cmocka_unit_test(test_references_refused),
		cmocka_unit_test(test_ollama),	   cmocka_unit_test(test_urls),
		cmocka_unit_test(test_credentials),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
