/* SPDX-License-Identifier: Apache-2.0 */
/* Metalink documents from anywhere. */
#include <string.h>
#include <strings.h>
#include "common/name.h"
#include "registry/metalink.h"
#include "tests/fuzz/target.h"

static void require_file(const struct registry_file *file)
{
	require(!name_refused(file->path, strlen(file->path)));
	require(file->has_sha256 && file->size <= (uint64_t)INT64_MAX);
	require(file->n_urls >= 1 && file->n_urls <= REGISTRY_URLS_MAX);
	for (size_t i = 0; i < file->n_urls; i++) {
		require(!strncasecmp(file->urls[i], "http", 4));
		require(strlen(file->urls[i]) <= 2048);
		for (const char *c = file->urls[i]; *c; c++)
			require(*c > ' ' && *c <= '~' && *c != '\\');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	char problem[REGISTRY_PROBLEM_SIZE] = "";
	struct registry_files files;
	int r = registry_metalink_parse((const char *)input, len, &files, problem);

	if (r < 0) {
		require(r == -EINVAL && problem[0]);
		for (const char *c = problem; *c; c++)
			require(*c >= ' ' && *c <= '~');
		return 0;
	}
	require(files.n > 0);
	for (size_t i = 0; i < files.n; i++)
		require_file(&files.files[i]);
	registry_files_clear(&files);
	return 0;
}
