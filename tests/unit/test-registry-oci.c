/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests and indexes of OCI registries. */
#include "tests/unit/registry-testing.h"
#include <openssl/evp.h>
#include "registry/oci.h"

#define ONE   "3d6fece8033d146d8611eab4f032df738c8c1283620fd02a1f2bfec6e27d590d"
#define TWO   "17bfc4a6058d2d7d82db859c8b0528c6ab4d832fae620ec49fca6c6ff52e0b17"
#define THREE "e0c7f9beae64d2d27724a9571f5e7612066a68b0ab4375d211c30e0b8cdbb627"

static int parse_as(const char *json, const char *type, struct oci_manifest *out,
		    char problem[REGISTRY_PROBLEM_SIZE])
{
	struct oci_reply reply = {.body = json, .len = strlen(json), .content_type = type};
	struct oci_reference reference;
	int r;

	problem[0] = '\0';
	assert_int_equal(oci_reference_parse("r.example/m", &reference, problem), 0);
	r = oci_manifest_parse(&reply, &reference, out, problem);
	oci_reference_clear(&reference);
	return r;
}

static struct oci_manifest parse(const char *json, const char *type)
{
	char problem[REGISTRY_PROBLEM_SIZE];
	struct oci_manifest manifest;

	if (parse_as(json, type, &manifest, problem) < 0)
		fail_msg("%s", problem);
	return manifest;
}

static void refused(const char *json, const char *type, const char *what)
{
	char problem[REGISTRY_PROBLEM_SIZE];
	struct oci_manifest manifest;

	if (parse_as(json, type, &manifest, problem) != -EINVAL)
		fail_msg("%s", json);
	expect_problem(problem, what);
}

#define BLOB "https://r.example/v2/m/blobs/sha256:"
#define LAYER(type, hex, size, more) \
	"{\"mediaType\": \"" type "\", \"digest\": \"sha256:" hex "\", \"size\": " #size more "}"
#define TITLE(title) ", \"annotations\": {\"org.opencontainers.image.title\": \"" title "\"}"
#define OCI_TYPE     "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE   "application/vnd.oci.image.index.v1+json"
#define DOCKER_TYPE  "application/vnd.docker.distribution.manifest.v2+json"
#define MANIFEST(type, layers) \
	"{\"schemaVersion\": 2, \"mediaType\": \"" type "\", \"config\": {}, \"layers\": [" layers "]}"
#define INDEX(list) "{\"schemaVersion\": 2, \"manifests\": [" list "]}"
#define RAW	    "application/octet-stream"

static void expect_path(const struct oci_manifest *manifest, size_t i, const char *path,
			const char *hex, int64_t size)
{
	char url[200];

	snprintf(url, sizeof(url), BLOB "%s", hex);
	expect_file(&manifest->files.files[i], path, size, hex, (const char *[]){url, NULL});
}

static void test_layers(void **state)
{
	struct oci_manifest manifest =
		parse(MANIFEST(OCI_TYPE,
			       LAYER(RAW, ONE, 5, TITLE("onnx/model.onnx")) ","
			       LAYER(RAW, ONE, 5, TITLE("again")) ","
			       LAYER("application/vnd.cncf.model.weight.v1.raw", TWO, 0,
				     ", \"annotations\": {\"org.cncf.model.filepath\": \"w/x.gguf\"}") ","
			       LAYER("application/vnd.cncf.model.weight.v1.tar+gzip", TWO, 7, TITLE("folder")) ","
			       LAYER("application/vnd.oci.image.layer.v1.tar", THREE, 8, TITLE("x.tar")) ","
			       LAYER("application/vnd.oci.image.layer.v1.tar+zstd", THREE, 8, "") ","
			       LAYER("", TWO, 9, "")),
		      NULL);
	static const char *const paths[] = {"onnx/model.onnx", "again",	     "w/x.gguf",
					    "folder.tar.gz",   "x.tar", THREE ".tar.zst", TWO};
	static const char *const digests[] = {ONE, ONE, TWO, TWO, THREE, THREE, TWO};
	static const int64_t sizes[] = {5, 5, 0, 7, 8, 8, 9};

	assert_false(manifest.index);
	assert_int_equal(manifest.files.n, ARRAY_SIZE(paths));
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		expect_path(&manifest, i, paths[i], digests[i], sizes[i]);
	registry_files_clear(&manifest.files);
}

static void test_ollama_layers(void **state)
{
	struct oci_manifest manifest =
		parse(MANIFEST(DOCKER_TYPE,
			       LAYER("application/vnd.ollama.image.model", ONE, 1, "") ","
			       LAYER("application/vnd.ollama.image.projector", TWO, 2, "") ","
			       LAYER("application/vnd.ollama.image.license", ONE, 3, "") ","
			       LAYER("application/vnd.ollama.image.license", TWO, 4, "") ","
			       LAYER("application/vnd.ollama.image.params", THREE, 5, "") ","
			       LAYER("application/vnd.ollama.image.template", THREE, 6, "") ","
			       LAYER("application/vnd.ollama.image.new", THREE, 6, "")),
		      DOCKER_TYPE "; charset=utf-8");
	static const char *const paths[] = {"model.gguf", "projector.gguf", "license", "license-2",
					    "params.json", "template", THREE};

	assert_int_equal(manifest.files.n, ARRAY_SIZE(paths));
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		assert_string_equal(manifest.files.files[i].path, paths[i]);
	registry_files_clear(&manifest.files);
}

static void test_artifacts(void **state)
{
	struct oci_manifest manifest =
		parse("{\"mediaType\": \"application/vnd.oci.artifact.manifest.v1+json\", \"blobs\": ["
		      LAYER(RAW, ONE, 5, TITLE("x")) "]}",
		      NULL);

	assert_int_equal(manifest.files.n, 1);
	expect_path(&manifest, 0, "x", ONE, 5);
	registry_files_clear(&manifest.files);
	/* What it is by the header alone, and by what it has alone. */
	manifest = parse("{\"schemaVersion\": 2, \"layers\": [" LAYER(RAW, ONE, 5, "") "]}", OCI_TYPE);
	assert_int_equal(manifest.files.n, 1);
	registry_files_clear(&manifest.files);
	manifest = parse("{\"schemaVersion\": 2, \"layers\": [" LAYER(RAW, ONE, 5, "") "]}",
			 "application/json");
	assert_int_equal(manifest.files.n, 1);
	registry_files_clear(&manifest.files);
}

static void test_manifests_refused(void **state)
{
	static const struct {
		const char *json, *what;
	} bad[] = {
		{"", "is no JSON"},
		{"{", "is no JSON: line 1"},
		{"[]", "is no JSON object"},
		{"{}", "the reply is no manifest"},
		{"{\"a\": 1, \"a\": 2}", "is no JSON"},
		{"{\"schemaVersion\": 1, \"fsLayers\": []}", "schema 1"},
		{"{\"mediaType\": \"text/html\", \"layers\": []}",
		 "no kind of manifest that is known here: \"text/html\""},
		{"{\"layers\": [], \"manifests\": []}", "an index as well"},
		{MANIFEST(INDEX_TYPE, LAYER(RAW, ONE, 1, "")), "has no \"manifests\""},
		{MANIFEST(OCI_TYPE, ""), "has no layers"},
		{"{\"mediaType\": \"" OCI_TYPE "\", \"layers\": {}}", "has no \"layers\""},
		{MANIFEST(OCI_TYPE, "3"), "layer 1: it has no digest or no size"},
		{MANIFEST(OCI_TYPE, LAYER(RAW, ONE, -1, "")), "layer 1: it has no digest or no size"},
		{MANIFEST(OCI_TYPE, LAYER(RAW, ONE, 1.5, "")), "layer 1: it has no digest or no size"},
		{MANIFEST(OCI_TYPE, LAYER(RAW, ONE, 1, "") "," LAYER(RAW, "x", 1, "")),
		 "layer 2: its digest \"sha256:x\" is not"},
		{MANIFEST(OCI_TYPE, "{\"digest\": \"sha512:" ONE ONE "\", \"size\": 1}"),
		 "layer 1: its digest \"sha512:"},
		{MANIFEST(OCI_TYPE, LAYER(RAW, ONE, 1, TITLE("../x"))), "the title \"../x\" has a component"},
		{MANIFEST(OCI_TYPE, LAYER(RAW, ONE, 1, TITLE("/etc/passwd"))), "the title \"/etc/passwd\""},
		{MANIFEST(OCI_TYPE, LAYER(RAW, ONE, 1, TITLE("a\\u001bb"))), "the title \"a?b\" is not"},
		{MANIFEST(OCI_TYPE, LAYER(RAW, ONE, 1, TITLE(""))), "the title \"\" is empty"},
		{MANIFEST(OCI_TYPE, LAYER(RAW, ONE, 1, TITLE("x")) "," LAYER(RAW, TWO, 1, TITLE("x"))),
		 "two files \"x\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refused(bad[i].json, NULL, bad[i].what);
	refused("{\"errors\": []}", "text/html", "the reply is no manifest: \"text/html\"");
}

static void test_indexes(void **state)
{
	static const char platform[] = LAYER(OCI_TYPE, ONE, 1, ", \"platform\": {\"os\": \"linux\", "
							       "\"architecture\": \"amd64\"}");
	static const char plain[] = LAYER(OCI_TYPE, TWO, 1, "");
	static const char attestation[] =
		LAYER(OCI_TYPE, THREE, 1, ", \"platform\": {\"os\": \"unknown\", \"architecture\": \"unknown\"}, "
					  "\"annotations\": {\"vnd.docker.reference.type\": "
					  "\"attestation-manifest\"}");
	static const char other[] = LAYER(RAW, THREE, 1, "");
	const struct {
		const char *a, *b, *c, *hex;
	} good[] = {
		{plain, NULL, NULL, TWO},
		{platform, NULL, NULL, ONE},
		{attestation, platform, other, ONE},
		{platform, plain, platform, TWO},
	};
	char json[2048];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct oci_manifest manifest;

		snprintf(json, sizeof(json), "{\"mediaType\": \"" INDEX_TYPE "\", \"manifests\": [%s%s%s%s%s]}",
			 good[i].a, good[i].b ? ", " : "", good[i].b ? good[i].b : "",
			 good[i].c ? ", " : "", good[i].c ? good[i].c : "");
		manifest = parse(json, NULL);
		assert_true(manifest.index);
		expect_hex(&manifest.next, good[i].hex);
		assert_int_equal(manifest.files.n, 0);
	}
	refused(INDEX(""), INDEX_TYPE, "an index without a manifest");
	refused(INDEX("{}"), INDEX_TYPE, "the manifest: it has no digest");
	snprintf(json, sizeof(json), INDEX("%s, %s"), plain, plain);
	refused(json, INDEX_TYPE, "an index of 2 manifests: say which, by @: sha256:" TWO);
	snprintf(json, sizeof(json), INDEX("%s, %s, %s"), platform, platform, platform);
	refused(json, INDEX_TYPE,
		"an index of 3 manifests: say which, by @: sha256:" ONE " (linux/amd64)");
}

static void test_digests(void **state)
{
	static const char json[] = MANIFEST(OCI_TYPE, LAYER(RAW, ONE, 1, ""));
	char problem[REGISTRY_PROBLEM_SIZE], hex[DIGEST_HEX_SIZE], header[80];
	struct oci_reply reply = {.body = json, .len = strlen(json)};
	struct oci_reference reference;
	struct oci_manifest manifest;
	struct digest digest, other;

	assert_int_equal(EVP_Digest(json, strlen(json), digest.bytes, NULL, EVP_sha256(), NULL), 1);
	digest_to_hex(&digest, hex);
	assert_int_equal(digest_from_hex(TWO, &other), 0);
	assert_int_equal(oci_reference_parse("r.example/m", &reference, problem), 0);

	reply.expected = &digest;
	snprintf(header, sizeof(header), "sha256:%s", hex);
	reply.content_digest = header;
	assert_int_equal(oci_manifest_parse(&reply, &reference, &manifest, problem), 0);
	assert_true(digest_equal(&manifest.digest, &digest));
	registry_files_clear(&manifest.files);
	reply.content_digest = "sha512:abc";
	assert_int_equal(oci_manifest_parse(&reply, &reference, &manifest, problem), 0);
	registry_files_clear(&manifest.files);
	reply.content_digest = "sha256:" TWO;
	assert_int_equal(oci_manifest_parse(&reply, &reference, &manifest, problem), -EBADMSG);
	expect_problem(problem, "its header says sha256:" TWO);
	reply.content_digest = NULL;
	reply.expected = &other;
	assert_int_equal(oci_manifest_parse(&reply, &reference, &manifest, problem), -EBADMSG);
	expect_problem(problem, "not sha256:" TWO);
	oci_reference_clear(&reference);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layers),	  cmocka_unit_test(test_ollama_layers),
		cmocka_unit_test(test_artifacts), cmocka_unit_test(test_manifests_refused),
		cmocka_unit_test(test_indexes),	  cmocka_unit_test(test_digests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
