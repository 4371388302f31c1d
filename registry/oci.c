/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests and indexes: which digest they have, and what they are made of. */
#include <stdio.h>
#include <string.h>
#include "registry/oci-internal.h"

#define OCI_INDEX	"application/vnd.oci.image.index.v1+json"
#define OCI_MANIFEST	"application/vnd.oci.image.manifest.v1+json"
#define OCI_ARTIFACT	"application/vnd.oci.artifact.manifest.v1+json"
#define DOCKER_LIST	"application/vnd.docker.distribution.manifest.list.v2+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

enum kind {
	KIND_UNKNOWN,
	KIND_INDEX,
	KIND_MANIFEST,
	KIND_ARTIFACT,
};

static int refuse_type(char problem[REGISTRY_PROBLEM_SIZE], const char *type, const char *what)
{
	char shown[REGISTRY_SHOWN_SIZE];

	return registry_refuse(problem, -EINVAL, "%s: \"%s\"", what,
			       registry_shown(type, strlen(type), shown));
}

/* TYPE as it stands in a header: parameters may follow. */
static enum kind kind_of(const char *type)
{
	static const struct {
		const char *type;
		enum kind kind;
	} kinds[] = {
		{OCI_INDEX, KIND_INDEX},       {DOCKER_LIST, KIND_INDEX},
		{OCI_MANIFEST, KIND_MANIFEST}, {DOCKER_MANIFEST, KIND_MANIFEST},
		{OCI_ARTIFACT, KIND_ARTIFACT},
	};
	size_t len = strcspn(type, "; \t");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strlen(kinds[i].type) == len && !memcmp(kinds[i].type, type, len))
			return kinds[i].kind;
	return KIND_UNKNOWN;
}

/* ---- descriptors ---- */

static int take_digest(const char *text, const char *what, struct digest *out,
		       char problem[REGISTRY_PROBLEM_SIZE])
{
	char shown[REGISTRY_SHOWN_SIZE];

	if (!strncmp(text, "sha256:", 7) && strlen(text + 7) == DIGEST_HEX_SIZE - 1 &&
	    digest_from_hex(text + 7, out) == 0)
		return 0;
	return registry_refuse(problem, -EINVAL,
			       "%s: its digest \"%s\" is not sha256: and 64 lowercase hex digits",
			       what, registry_shown(text, strlen(text), shown));
}

int oci_descriptor_take(const json_t *json, const char *what, struct oci_descriptor *out,
			char problem[REGISTRY_PROBLEM_SIZE])
{
	const char *type = json_string_value(json_object_get(json, "mediaType"));
	const char *digest = json_string_value(json_object_get(json, "digest"));
	const json_t *size = json_object_get(json, "size");
	const json_t *annotations = json_object_get(json, "annotations");
	struct oci_descriptor descriptor = {.media_type = type ? type : ""};

	if (!digest || !json_is_integer(size) || json_integer_value(size) < 0)
		return registry_refuse(problem, -EINVAL, "%s: it has no digest or no size", what);
	descriptor.size = (uint64_t)json_integer_value(size);
	descriptor.annotations = json_is_object(annotations) ? annotations : NULL;
	if (take_digest(digest, what, &descriptor.digest, problem) < 0)
		return -EINVAL;
	*out = descriptor;
	return 0;
}

/* ---- indexes ---- */

static const char *platform_of(const json_t *manifest, const char *key)
{
	const char *value =
		json_string_value(json_object_get(json_object_get(manifest, "platform"), key));

	return value ? value : "";
}

/* Neither about another manifest (signatures, attestations) nor something else than a manifest. */
static bool is_candidate(const json_t *manifest)
{
	const char *type = json_string_value(json_object_get(manifest, "mediaType"));
	const json_t *annotations = json_object_get(manifest, "annotations");

	return (!type || kind_of(type) != KIND_UNKNOWN) &&
	       !json_object_get(annotations, "vnd.docker.reference.type") &&
	       strcmp(platform_of(manifest, "os"), "unknown") != 0;
}

/* Whoever asked has to say which one he means: as many as there is room for. */
static int refuse_many(const json_t *manifests, size_t n, char problem[REGISTRY_PROBLEM_SIZE])
{
	char list[REGISTRY_PROBLEM_SIZE] = "";
	size_t used = 0, i;
	const json_t *manifest;

	json_array_foreach(manifests, i, manifest)
	{
		const char *digest = json_string_value(json_object_get(manifest, "digest"));
		const char *os = platform_of(manifest, "os");
		int len;

		if (!is_candidate(manifest))
			continue;
		len = snprintf(list + used, sizeof(list) - used, " %.71s%s%.16s%s%.16s%s",
			       digest ? digest : "", *os ? " (" : "", os, *os ? "/" : "",
			       *os ? platform_of(manifest, "architecture") : "", *os ? ")" : "");
		if (len < 0 || used + (size_t)len > 170) {
			list[used] = '\0';
			break;
		}
		used += (size_t)len;
	}
	return registry_refuse(problem, -EINVAL, "an index of %zu manifests: say which, by @:%s%s",
			       n, list, i < json_array_size(manifests) ? " ..." : "");
}

/* The only one; else the only one that is for no platform. */
static int take_index(const json_t *manifests, struct digest *out,
		      char problem[REGISTRY_PROBLEM_SIZE])
{
	const json_t *manifest, *any = NULL, *plain = NULL;
	size_t n_any = 0, n_plain = 0, i;
	struct oci_descriptor descriptor;

	json_array_foreach(manifests, i, manifest)
	{
		if (!is_candidate(manifest))
			continue;
		any = manifest;
		n_any++;
		if (!json_object_get(manifest, "platform")) {
			plain = manifest;
			n_plain++;
		}
	}
	if (n_any == 0)
		return registry_refuse(problem, -EINVAL, "an index without a manifest");
	if (n_any > 1 && n_plain != 1)
		return refuse_many(manifests, n_any, problem);
	if (oci_descriptor_take(n_any == 1 ? any : plain, "the manifest", &descriptor, problem) < 0)
		return -EINVAL;
	*out = descriptor.digest;
	return 0;
}

/* ---- replies ---- */

/* Its bytes are what they are called. */
static int check_digest(const struct oci_reply *reply, struct digest *out,
			char problem[REGISTRY_PROBLEM_SIZE])
{
	char hex[DIGEST_HEX_SIZE], expected[DIGEST_HEX_SIZE];

	if (registry_sha256(reply->body, reply->len, out) < 0)
		return -ENOMEM;
	digest_to_hex(out, hex);
	if (reply->expected && !digest_equal(reply->expected, out)) {
		digest_to_hex(reply->expected, expected);
		return registry_refuse(problem, -EBADMSG,
				       "the manifest that came is sha256:%s, not sha256:%s", hex,
				       expected);
	}
	/* Another algorithm's digest is nothing to us. */
	if (reply->content_digest && !strncmp(reply->content_digest, "sha256:", 7) &&
	    strcmp(reply->content_digest + 7, hex) != 0)
		return registry_refuse(problem, -EBADMSG,
				       "the manifest that came is sha256:%s, its header says %.71s",
				       hex, reply->content_digest);
	return 0;
}

/*
 * By what it says of itself, then by what the reply's header says, then by what it has. One that could be read as either
 * kind is refused.
 */
static int take_kind(const json_t *json, const char *content_type, enum kind *out,
		     char problem[REGISTRY_PROBLEM_SIZE])
{
	const char *type = json_string_value(json_object_get(json, "mediaType"));
	const json_t *manifests = json_object_get(json, "manifests");
	const json_t *layers = json_object_get(json, "layers");

	if (!json_is_object(json))
		return registry_refuse(problem, -EINVAL, "the manifest is no JSON object");
	if (json_integer_value(json_object_get(json, "schemaVersion")) == 1)
		return registry_refuse(problem, -EINVAL,
				       "a manifest of Docker's schema 1, which is not read here");
	if (manifests && layers)
		return registry_refuse(problem, -EINVAL, "a manifest that is an index as well");
	if (type)
		*out = kind_of(type);
	else
		*out = content_type ? kind_of(content_type) : KIND_UNKNOWN;
	if (type && *out == KIND_UNKNOWN)
		return refuse_type(problem, type, "no kind of manifest that is known here");
	if (*out == KIND_UNKNOWN)
		*out = manifests ? KIND_INDEX : layers ? KIND_MANIFEST : KIND_UNKNOWN;
	if (*out == KIND_UNKNOWN)
		return refuse_type(problem, content_type ? content_type : "",
				   "the reply is no manifest");
	return 0;
}

static int take_json(const json_t *json, const struct oci_reply *reply,
		     const struct oci_reference *reference, struct oci_manifest *out,
		     char problem[REGISTRY_PROBLEM_SIZE])
{
	static const char *const keys[] = {
		[KIND_INDEX] = "manifests", [KIND_MANIFEST] = "layers", [KIND_ARTIFACT] = "blobs"};
	const json_t *list;
	enum kind kind;
	int r;

	if (take_kind(json, reply->content_type, &kind, problem) < 0)
		return -EINVAL;
	list = json_object_get(json, keys[kind]);
	if (!json_is_array(list))
		return registry_refuse(problem, -EINVAL, "the manifest has no \"%s\"", keys[kind]);
	if (kind == KIND_INDEX) {
		out->index = true;
		return take_index(list, &out->next, problem);
	}
	r = oci_layers_take(list, reference, &out->files, problem);
	if (r == 0 && out->files.n == 0)
		r = registry_refuse(problem, -EINVAL, "the manifest has no layers");
	return r < 0 ? r : registry_files_distinct(&out->files, problem);
}

int oci_manifest_parse(const struct oci_reply *reply, const struct oci_reference *reference,
		       struct oci_manifest *out, char problem[REGISTRY_PROBLEM_SIZE])
{
	struct oci_manifest manifest = {0};
	json_error_t error;
	json_t *json;
	int r;

	r = check_digest(reply, &manifest.digest, problem);
	if (r < 0)
		return r;
	json = json_loadb(reply->body, reply->len, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		return registry_refuse(problem, -EINVAL, "the manifest is no JSON: line %d: %s",
				       error.line, error.text);
	r = take_json(json, reply, reference, &manifest, problem);
	json_decref(json);
	if (r < 0) {
		registry_files_clear(&manifest.files);
		return r;
	}
	*out = manifest;
	return 0;
}
