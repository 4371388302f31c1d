/* SPDX-License-Identifier: Apache-2.0 */
/* What was found, as a catalog: an object a line, which may have several names. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "commands/import/importing.h"
#include "verify/catalog.h"
#include "verify/verify.h"

#define NEVER INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* By digest, then as their registry lists them. */
static int compare(const void *a, const void *b)
{
	const struct registry_file *const *x = a, *const *y = b;
	int order = memcmp((*x)->sha256.bytes, (*y)->sha256.bytes, DIGEST_SIZE);

	return order ? order : (*x > *y) - (*x < *y);
}

static void add_urls(struct verify_catalog_line *line, const char **urls,
		     const struct registry_file *file)
{
	for (size_t i = 0; i < file->n_urls && line->n_urls < VERIFY_OBJECT_URLS; i++)
		urls[line->n_urls++] = file->urls[i];
}

/* The N FILES have the same digest. */
static int put_object(FILE *out, const char *folder, const struct registry_file *const *files, size_t n,
		      char *problem)
{
	const char *urls[VERIFY_OBJECT_URLS], *names[VERIFY_OBJECT_NAMES];
	char *names_made[VERIFY_OBJECT_NAMES] = { NULL };
	struct verify_catalog_line line = {
		.digests = { .has_sha256 = true, .sha256 = files[0]->sha256 },
		.size = files[0]->size,
		.urls = urls,
		.names = names,
	};
	struct verify_problem wrong;
	int r = 0;

	if (n > VERIFY_OBJECT_NAMES) {
		snprintf(problem, REGISTRY_PROBLEM_SIZE, "%s: %zu files have the same bytes, more than %d",
			 files[0]->path, n, VERIFY_OBJECT_NAMES);
		return -E2BIG;
	}
	for (size_t i = 0; i < n && r == 0; i++) {
		if (files[i]->size != line.size) {
			snprintf(problem, REGISTRY_PROBLEM_SIZE,
				 "%s and %s have one SHA-256 and two sizes", files[0]->path,
				 files[i]->path);
			r = -EINVAL;
		} else if (asprintf(&names_made[i], "%s%s%s", folder ? folder : "",
				    folder ? "/" : "", files[i]->path) < 0) {
			names_made[i] = NULL;
			r = -ENOMEM;
		} else {
			names[line.n_names++] = names_made[i];
			add_urls(&line, urls, files[i]);
		}
	}
	if (r == 0) {
		r = verify_catalog_write_object(out, &line, &wrong);
		if (r < 0)
			snprintf(problem, REGISTRY_PROBLEM_SIZE, "%s: %s", files[0]->path, wrong.text);
	}
	for (size_t i = 0; i < n; i++)
		free(names_made[i]);
	return r;
}

static int put_objects(FILE *out, const struct import_found *found, char *problem)
{
	const struct registry_files *files = &found->files;
	_cleanup_free_ const struct registry_file **sorted = calloc(files->n + 1, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < files->n; i++)
		sorted[i] = &files->files[i];
	qsort(sorted, files->n, sizeof(*sorted), compare);
	for (size_t i = 0, n; i < files->n; i += n) {
		int r;

		for (n = 1; i + n < files->n; n++)
			if (!digest_equal(&sorted[i]->sha256, &sorted[i + n]->sha256))
				break;
		r = put_object(out, found->folder, sorted + i, n, problem);
		if (r < 0)
			return r;
	}
	return 0;
}

int import_write(const struct import_found *found, const char *name, int *fd,
		 char problem[REGISTRY_PROBLEM_SIZE])
{
	int opened = memfd_create("import", MFD_CLOEXEC);
	FILE *out = opened < 0 ? NULL : fdopen(dup(opened), "w");
	struct verify_problem wrong;
	int r;

	snprintf(problem, REGISTRY_PROBLEM_SIZE, "no memory");
	r = out ? verify_catalog_write_header(out, name, 0, NEVER, &wrong) : -ENOMEM;
	if (r == 0)
		r = put_objects(out, found, problem);
	if (out && fclose(out) == EOF && r == 0)
		r = -ENOMEM;
	if (r == 0)
		*fd = opened;
	else if (opened >= 0)
		close(opened);
	return r;
}
