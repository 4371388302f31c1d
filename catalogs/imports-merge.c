/* SPDX-License-Identifier: Apache-2.0 */
/* What was imported before and what comes now, as one catalog: a line for each digest, with the names of both. */
#include "catalogs/imports-internal.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <string.h>
#include "catalogs/ipfs.h"

/* Far away: what is imported does not expire. */
#define EXPIRES ((int64_t)253370764800) /* 9999-01-01 */

int import_refuse(struct verify_problem *problem, int error, const char *format, ...)
{
	va_list args;

	if (!problem)
		return error;
	problem->line = 0;
	va_start(args, format);
	vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
	return error;
}

bool import_is_in(const char *name, const char *folder)
{
	size_t len = strlen(folder);

	return !strncmp(name, folder, len) && (len == 0 || name[len] == '\0' || name[len] == '/');
}

/* ---- what may come ---- */

static int check_url(const char *text, struct verify_problem *problem)
{
	CURLU *url = ipfs_is_url(text) ? NULL : curl_url();
	CURLUcode code;

	/* verify/ looked at it; who cannot do anything with it leaves it out. */
	if (ipfs_is_url(text))
		return 0;
	if (!url)
		return import_refuse(problem, -ENOMEM, "no memory");
	/* A relative one is refused: there is nothing that it could be seen from. */
	code = curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER);
	curl_url_cleanup(url);
	if (code == CURLUE_OK)
		return 0;
	return import_refuse(problem, -EINVAL, "urls: \"%.160s\" %s", text,
			     code == CURLUE_USER_NOT_ALLOWED ? "has a user in it" : "is not an absolute URL");
}

int import_check(const struct verify_catalog *new, struct verify_problem *problem)
{
	const struct verify_catalog_info *info = verify_catalog_info(new);
	char url[VERIFY_URL_MAX + 1];
	int r = 0;

	if (info->n_objects > IMPORT_OBJECTS_MAX)
		return import_refuse(problem, -E2BIG, "more than %d objects", IMPORT_OBJECTS_MAX);
	for (size_t i = 0; r == 0 && i < info->n_objects; i++) {
		struct verify_object object;

		verify_catalog_object(new, i, &object);
		if (!object.digests.has_sha256 || object.n_names == 0)
			r = import_refuse(problem, -EINVAL, "an object without %s",
					  object.n_names == 0 ? "a name" : "its SHA-256");
		for (unsigned int j = 0; r == 0 && j < object.n_urls; j++)
			r = check_url(verify_object_url(new, &object, j, url), problem);
		if (r < 0 && problem)
			problem->line = (unsigned int)i + 2;
	}
	return r;
}

/* ---- a line ---- */

/* Of one object, from both. */
struct line {
	const struct import_merge *merge;
	struct verify_catalog_line line;
	const char *names[2 * VERIFY_OBJECT_NAMES], *urls[2 * VERIFY_OBJECT_URLS];
	char texts[2 * VERIFY_OBJECT_URLS][VERIFY_URL_MAX + 1];
};

static void begin(struct line *line, const struct verify_object *object)
{
	line->line = (struct verify_catalog_line){
		.digests = { .has_sha256 = true, .sha256 = object->digests.sha256 },
		.size = object->size,
		.names = line->names,
		.urls = line->urls,
	};
}

static bool goes(const struct import_merge *merge, const char *name)
{
	return merge->without && import_is_in(name, merge->without);
}

/* Is NAME one of OLD's that stays? */
static bool stays(const struct import_merge *merge, const char *name, struct verify_place *place)
{
	return merge->old && !goes(merge, name) && verify_catalog_lookup(merge->old, name, place) == 0;
}

/* The names of OLD's OBJECT that stay. */
static void add_old_names(struct line *line, const struct verify_object *object)
{
	for (unsigned int i = 0; i < object->n_names; i++) {
		const char *name = verify_object_name(line->merge->old, object, i);

		if (!goes(line->merge, name))
			line->names[line->line.n_names++] = name;
	}
}

static int add_new_names(struct line *line, const struct verify_object *object,
			 struct verify_problem *problem)
{
	for (unsigned int i = 0; i < object->n_names; i++) {
		const char *name = verify_object_name(line->merge->new, object, i);
		struct verify_place place;

		if (!stays(line->merge, name, &place)) {
			line->names[line->line.n_names++] = name;
			continue;
		}
		if (place.folder || !digest_equal(&place.object.digests.sha256, &object->digests.sha256))
			return import_refuse(problem, -EINVAL,
					     "\"%.160s\" was imported before, and is %s (weightfs imports --remove "
					     "forgets that)", name, place.folder ? "a folder" : "another object");
	}
	return 0;
}

static bool has_url(const struct line *line, const char *url)
{
	for (size_t i = 0; i < line->line.n_urls; i++) {
		if (!strcmp(line->urls[i], url))
			return true;
	}
	return false;
}

/* Of those that came last, as many as there may be. */
static void add_urls(struct line *line, const struct verify_catalog *catalog, const struct verify_object *object)
{
	for (unsigned int i = 0; i < object->n_urls && line->line.n_urls < VERIFY_OBJECT_URLS; i++) {
		const char *url = verify_object_url(catalog, object, i, line->texts[line->line.n_urls]);

		if (!has_url(line, url))
			line->urls[line->line.n_urls++] = url;
	}
}

static int put(struct import_merge *merge, struct line *line, FILE *out, struct verify_problem *problem)
{
	char hex[DIGEST_HEX_SIZE];

	if (line->line.n_names == 0)
		return 0;
	if (++merge->objects > IMPORT_OBJECTS_MAX)
		return import_refuse(problem, -E2BIG, "more than %d objects, with those of before",
				     IMPORT_OBJECTS_MAX);
	digest_to_hex(&line->line.digests.sha256, hex);
	if (line->line.n_names > VERIFY_OBJECT_NAMES)
		return import_refuse(problem, -E2BIG, "%s: more than %d names, with those of before", hex,
				     VERIFY_OBJECT_NAMES);
	return verify_catalog_write_object(out, &line->line, problem);
}

/* ---- all of them ---- */

static struct digest_name name_of(const struct verify_object *object)
{
	return (struct digest_name){ DIGEST_SHA256, object->digests.sha256 };
}

static int write_old(struct import_merge *merge, struct line *line, size_t i, FILE *out,
		     struct verify_problem *problem)
{
	struct verify_object object, again;
	struct digest_name name;
	int r = 0;

	verify_catalog_object(merge->old, i, &object);
	begin(line, &object);
	name = name_of(&object);
	add_old_names(line, &object);
	if (merge->new && verify_catalog_find(merge->new, &name, &again) == 0) {
		char hex[DIGEST_HEX_SIZE];

		digest_to_hex(&name.digest, hex);
		if (again.size != object.size)
			return import_refuse(problem, -EINVAL, "%s was imported before, with another size", hex);
		r = add_new_names(line, &again, problem);
		add_urls(line, merge->new, &again);
	}
	add_urls(line, merge->old, &object);
	return r < 0 ? r : put(merge, line, out, problem);
}

static int write_new(struct import_merge *merge, struct line *line, size_t i, FILE *out,
		     struct verify_problem *problem)
{
	struct verify_object object, before;
	struct digest_name name;
	int r;

	verify_catalog_object(merge->new, i, &object);
	name = name_of(&object);
	if (merge->old && verify_catalog_find(merge->old, &name, &before) == 0)
		return 0;
	merge->added++;
	begin(line, &object);
	r = add_new_names(line, &object, problem);
	add_urls(line, merge->new, &object);
	return r < 0 ? r : put(merge, line, out, problem);
}

int import_merge_write(struct import_merge *merge, FILE *out, struct verify_problem *problem)
{
	size_t n_old = merge->old ? verify_catalog_info(merge->old)->n_objects : 0;
	size_t n_new = merge->new ? verify_catalog_info(merge->new)->n_objects : 0;
	_cleanup_free_ struct line *line = malloc(sizeof(*line));
	int r;

	if (!line)
		return import_refuse(problem, -ENOMEM, "no memory");
	line->merge = merge;
	r = verify_catalog_write_header(out, merge->name, merge->serial, EXPIRES, problem);
	for (size_t i = 0; r == 0 && i < n_old; i++)
		r = write_old(merge, line, i, out, problem);
	for (size_t i = 0; r == 0 && i < n_new; i++)
		r = write_new(merge, line, i, out, problem);
	return r;
}
