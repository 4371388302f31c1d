/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "registry/internal.h"

void registry_file_clear(struct registry_file *file)
{
	free(file->path);
	for (size_t i = 0; i < file->n_urls; i++)
		free(file->urls[i]);
	*file = (struct registry_file){ 0 };
}

void registry_files_clear(struct registry_files *files)
{
	for (size_t i = 0; i < files->n; i++)
		registry_file_clear(&files->files[i]);
	free(files->files);
	*files = (struct registry_files){ 0 };
}

static int grow(struct registry_files *files)
{
	size_t capacity = files->capacity ? 2 * files->capacity : 16;
	struct registry_file *grown = reallocarray(files->files, capacity, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	files->files = grown;
	files->capacity = capacity;
	return 0;
}

int registry_files_add(struct registry_files *files, struct registry_file *file)
{
	if (files->n == REGISTRY_FILES_MAX)
		return -E2BIG;
	if (files->n == files->capacity && grow(files) < 0)
		return -ENOMEM;
	files->files[files->n++] = *file;
	*file = (struct registry_file){ 0 };
	return 0;
}

static int by_path(const void *a, const void *b)
{
	const struct registry_file *const *x = a, *const *y = b;

	return strcmp((*x)->path, (*y)->path);
}

int registry_files_distinct(const struct registry_files *files, char problem[REGISTRY_PROBLEM_SIZE])
{
	_cleanup_free_ const struct registry_file **sorted =
		calloc(files->n ? files->n : 1, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < files->n; i++)
		sorted[i] = &files->files[i];
	qsort(sorted, files->n, sizeof(*sorted), by_path);
	for (size_t i = 1; i < files->n; i++)
		if (by_path(&sorted[i - 1], &sorted[i]) == 0)
			return registry_refuse(problem, -EINVAL, "there are two files \"%.80s\"",
					       sorted[i]->path);
	return 0;
}
