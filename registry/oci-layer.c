/* SPDX-License-Identifier: Apache-2.0 */
/* What the layers of a model are called: by their titles (ORAS, ModelPack), by what they are (Ollama, Docker), or by their digests. */
#include <stdio.h>
#include <string.h>
#include "common/name.h"
#include "registry/oci-internal.h"

/* Kinds of layers that have no titles; a second one of a kind is "model-2.gguf". */
static const struct kind {
	const char *media_type, *name, *suffix;
} kinds[] = {
	{"application/vnd.ollama.image.model", "model", ".gguf"},
	{"application/vnd.ollama.image.projector", "projector", ".gguf"},
	{"application/vnd.ollama.image.adapter", "adapter", ".gguf"},
	{"application/vnd.ollama.image.draft", "draft", ".gguf"},
	{"application/vnd.ollama.image.template", "template", ""},
	{"application/vnd.ollama.image.prompt", "prompt", ""},
	{"application/vnd.ollama.image.system", "system", ""},
	{"application/vnd.ollama.image.params", "params", ".json"},
	{"application/vnd.ollama.image.messages", "messages", ".json"},
	{"application/vnd.ollama.image.license", "license", ""},
	{"application/vnd.docker.ai.gguf.v3", "model", ".gguf"},
	{"application/vnd.docker.ai.safetensors", "model", ".safetensors"},
	{"application/vnd.docker.ai.mmproj", "projector", ".gguf"},
	{"application/vnd.docker.ai.chat.template.file", "template", ""},
	{"application/vnd.docker.ai.license", "license", ""},
};

/* How archives are told: the end of a media type, and of a name. */
static const struct {
	const char *media_type, *suffix;
} archives[] = {
	{".tar", ".tar"},
	{"tar+gzip", ".tar.gz"},
	{"tar.gzip", ".tar.gz"},
	{"tar+zstd", ".tar.zst"},
};

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && !strcmp(text + len - n, end);
}

/* What an archive's name should end with; "" for what is none. */
static const char *archive_suffix(const struct oci_descriptor *layer)
{
	for (size_t i = 0; i < ARRAY_SIZE(archives); i++)
		if (ends_with(layer->media_type, archives[i].media_type))
			return archives[i].suffix;
	return "";
}

static const char *title_of(const struct oci_descriptor *layer)
{
	static const char *const keys[] = {"org.opencontainers.image.title",
					   "org.cncf.model.filepath"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *title = json_string_value(json_object_get(layer->annotations, keys[i]));

		if (title)
			return title;
	}
	return NULL;
}

/* A title may be that of the folder that was packed. */
static int name_titled(const struct oci_descriptor *layer, const char *title, char **out,
		       char problem[REGISTRY_PROBLEM_SIZE])
{
	const char *suffix = archive_suffix(layer), *refused;
	char shown[REGISTRY_SHOWN_SIZE];

	if (ends_with(title, suffix) || ends_with(title, ".tgz"))
		suffix = "";
	if (asprintf(out, "%s%s", title, suffix) < 0) {
		*out = NULL;
		return -ENOMEM;
	}
	refused = name_refused(*out, strlen(*out));
	if (!refused)
		return 0;
	return registry_refuse(problem, -EINVAL, "the title \"%s\" %s",
			       registry_shown(title, strlen(title), shown), refused);
}

static int name_by_kind(const struct oci_descriptor *layer, unsigned int counts[ARRAY_SIZE(kinds)],
			char **out)
{
	char hex[DIGEST_HEX_SIZE], number[16] = "";

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(layer->media_type, kinds[i].media_type) != 0)
			continue;
		if (++counts[i] > 1)
			snprintf(number, sizeof(number), "-%u", counts[i]);
		return asprintf(out, "%s%s%s", kinds[i].name, number, kinds[i].suffix);
	}
	digest_to_hex(&layer->digest, hex);
	return asprintf(out, "%s%s", hex, archive_suffix(layer));
}

static int take_layer(const struct oci_descriptor *layer, const struct oci_reference *reference,
		      unsigned int *counts, struct registry_file *file,
		      char problem[REGISTRY_PROBLEM_SIZE])
{
	const char *title = title_of(layer);

	file->has_sha256 = file->has_size = true;
	file->sha256 = layer->digest;
	file->size = layer->size;
	file->urls[0] = oci_blob_url(reference, &layer->digest);
	if (!file->urls[0])
		return -ENOMEM;
	file->n_urls = 1;
	if (title)
		return name_titled(layer, title, &file->path, problem);
	if (name_by_kind(layer, counts, &file->path) < 0) {
		file->path = NULL;
		return -ENOMEM;
	}
	return 0;
}

int oci_layers_take(const json_t *layers, const struct oci_reference *reference,
		    struct registry_files *files, char problem[REGISTRY_PROBLEM_SIZE])
{
	unsigned int counts[ARRAY_SIZE(kinds)] = {0};

	for (size_t i = 0; i < json_array_size(layers); i++) {
		_cleanup_(registry_file_clear) struct registry_file file = {0};
		struct oci_descriptor layer;
		char what[32];
		int r;

		snprintf(what, sizeof(what), "layer %zu", i + 1);
		r = oci_descriptor_take(json_array_get(layers, i), what, &layer, problem);
		if (r == 0)
			r = take_layer(&layer, reference, counts, &file, problem);
		if (r == 0)
			r = registry_files_add(files, &file);
		if (r == -E2BIG)
			return registry_refuse(problem, r, "more than %d layers",
					       REGISTRY_FILES_MAX);
		if (r < 0)
			return r;
	}
	return 0;
}
