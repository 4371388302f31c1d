/* SPDX-License-Identifier: Apache-2.0 */
#include "commands/import/sources.h"

#include <string.h>

static const struct import_source *const sources[] = {
	&import_source_hf,	 &import_source_ollama, &import_source_oci,
	&import_source_metalink, &import_source_ipfs,
};

void import_found_clear(struct import_found *found)
{
	registry_files_clear(&found->files);
	free(found->folder);
	free(found->selected);
	json_decref(found->refs);
	if (found->authorization)
		explicit_bzero(found->authorization, strlen(found->authorization));
	free(found->authorization);
	*found = (struct import_found){ 0 };
}

const struct import_source *import_source_at(size_t i)
{
	return i < ARRAY_SIZE(sources) ? sources[i] : NULL;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && !strcmp(text + len - end_len, end);
}

const struct import_source *import_source_of(const char *spec, const char **rest)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		size_t len = strlen(sources[i]->scheme);

		if (!strncmp(spec, sources[i]->scheme, len) && spec[len] == ':') {
			*rest = spec + len + 1;
			return sources[i];
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		if (sources[i]->suffix && ends_with(spec, sources[i]->suffix)) {
			*rest = spec;
			return sources[i];
		}
	}
	return NULL;
}
