/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of the catalog: an object each, whatever it is called, by their first names. The same files give the same
 * lines.
 */
#include "commands/publish/publish.h"

#include <stdio.h>
#include <string.h>
#include "common/log.h"

/* A name, and the object that it is to stand for: FILE's, or (NULL) one of the catalog that is there. */
struct binding {
	const char *name;
	struct digest_name digest;
	const struct publish_file *file;
	struct verify_object object;
};

struct line {
	const struct binding *first;
	size_t n;
};

struct making {
	struct publish *publish;
	struct binding *bindings;
	size_t n_bindings;
	struct line *lines;
	size_t n_lines;
};

static int out_of_memory(const struct publish *publish)
{
	return log_error_errno(-ENOMEM, "%s", publish->catalog_path);
}

static struct verify_object object_of(const struct publish_file *file)
{
	return (struct verify_object){ .digests = file->digests, .size = file->stamp.size };
}

/* ---- names ---- */

/* A name is for ever: is it another's in the catalog that is there? */
static int check_names(const struct publish *publish)
{
	size_t n_rebound = 0;

	if (!publish->old)
		return 0;
	for (size_t i = 0; i < publish->n_files; i++) {
		const struct publish_file *file = &publish->files[i];
		struct verify_object object = object_of(file);
		struct verify_place place;

		if (verify_catalog_lookup(publish->old, file->name, &place) < 0 || place.folder ||
		    catalog_same_object(&place.object, &object))
			continue;
		/* The others are counted. */
		if (n_rebound++ == 0)
			log_error("%s/%s: %s has other bytes under the name %s, and a name is for "
				  "ever: publish with --revision, which puts @REVISION behind the "
				  "model's folder, or take the file out of %s",
				  publish->dir, file->path, publish->catalog_path, file->name,
				  publish->dir);
	}
	if (n_rebound > 1)
		log_error("and so have %zu more names", n_rebound - 1);
	return n_rebound ? -EEXIST : 0;
}

static void add_binding(struct making *making, const char *name, const struct publish_file *file,
			const struct verify_object *object)
{
	making->bindings[making->n_bindings++] = (struct binding){
		name, digest_pair_name(&object->digests), file, *object
	};
}

static int compare_name(const void *name, const void *file)
{
	return strcmp(name, ((const struct publish_file *)file)->name);
}

static int keep_name(void *arg, const char *name, const struct verify_object *object)
{
	struct making *making = arg;
	const struct publish *publish = making->publish;

	if (!bsearch(name, publish->files, publish->n_files, sizeof(*publish->files), compare_name))
		add_binding(making, name, NULL, object);
	return 0;
}

static int collect(struct making *making)
{
	struct publish *publish = making->publish;
	size_t n = publish->n_files;
	bool keep = publish->keep && publish->old;

	if (keep)
		n += verify_catalog_info(publish->old)->n_names;
	making->bindings = calloc(n, sizeof(*making->bindings));
	making->lines = calloc(n, sizeof(*making->lines));
	if (!making->bindings || !making->lines)
		return out_of_memory(publish);
	for (size_t i = 0; i < publish->n_files; i++) {
		struct verify_object object = object_of(&publish->files[i]);

		add_binding(making, publish->files[i].name, &publish->files[i], &object);
	}
	return keep ? verify_catalog_match(publish->old, "*", keep_name, making) : 0;
}

/* By objects; of one, a file in DIR first. */
static int compare_bindings(const void *a, const void *b)
{
	const struct binding *x = a, *y = b;
	int r = digest_name_compare(&x->digest, &y->digest);

	return r ? r : strcmp(x->name, y->name);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(((const struct line *)a)->first->name, ((const struct line *)b)->first->name);
}

static int group(struct making *making)
{
	const struct binding *bindings = making->bindings;

	qsort(making->bindings, making->n_bindings, sizeof(*making->bindings), compare_bindings);
	for (size_t i = 0; i < making->n_bindings; i++) {
		if (i == 0 || digest_name_compare(&bindings[i - 1].digest, &bindings[i].digest) != 0)
			making->lines[making->n_lines++].first = &bindings[i];
		making->lines[making->n_lines - 1].n++;
	}
	qsort(making->lines, making->n_lines, sizeof(*making->lines), compare_lines);
	if (making->n_lines <= VERIFY_CATALOG_OBJECTS)
		return 0;
	log_error("%s: %zu different files: a catalog has at most %d; make several, with --name",
		  making->publish->dir, making->n_lines, VERIFY_CATALOG_OBJECTS);
	return -E2BIG;
}

/* ---- places ---- */

/* Percent-encoded but for what every server takes as it is (RFC 3986, section 2.3). */
static char *encode(const char *base, const char *path)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
	char *url = malloc(strlen(base) + 3 * strlen(path) + 1), *end;

	if (!url)
		return NULL;
	end = stpcpy(url, base);
	for (; *path; path++)
		end += strchr(plain, *path) ? sprintf(end, "%c", *path) :
					      sprintf(end, "%%%02X", (unsigned char)*path);
	return url;
}

struct places {
	char *urls[VERIFY_OBJECT_URLS];
	size_t n_urls;
	char *tree;
};

static void release_places(struct places *places)
{
	for (size_t i = 0; i < places->n_urls; i++)
		free(places->urls[i]);
	free(places->tree);
}

static int places_of_file(const struct publish *publish, const struct publish_file *file,
			  struct places *out)
{
	_cleanup_free_ char *base = NULL;

	if (asprintf(&base, "%s%s", publish->url ? publish->url : "", publish->url ? "/" : "") < 0) {
		base = NULL;
		return out_of_memory(publish);
	}
	out->urls[0] = publish->in_place ? encode(base, file->path) :
					   publish_object_path(base, &file->digests.sha256, "");
	out->n_urls = 1;
	/* In place, BASE is where the models are; the trees are beside the catalog. */
	out->tree = publish_object_path(publish->in_place ? "" : base, &file->digests.sha256, ".vtree");
	return out->urls[0] && out->tree ? 0 : out_of_memory(publish);
}

static int places_kept(const struct publish *publish, const struct verify_object *object,
		       struct places *out)
{
	char url[VERIFY_URL_MAX + 1];

	for (; out->n_urls < object->n_urls; out->n_urls++) {
		out->urls[out->n_urls] = strdup(verify_object_url(publish->old, object,
								  (unsigned int)out->n_urls, url));
		if (!out->urls[out->n_urls])
			return out_of_memory(publish);
	}
	if (!object->has_tree)
		return 0;
	out->tree = strdup(verify_object_tree(publish->old, object, url));
	return out->tree ? 0 : out_of_memory(publish);
}

/* ---- writing ---- */

/* The first of its bindings that is a file, else its first one. */
static const struct binding *source_of(const struct line *line)
{
	for (size_t i = 0; i < line->n; i++)
		if (line->first[i].file)
			return &line->first[i];
	return line->first;
}

static int write_line(struct making *making, const struct line *line, FILE *out)
{
	const struct binding *source = source_of(line);
	const char *names[VERIFY_OBJECT_NAMES];
	_cleanup_(release_places) struct places places = { 0 };
	struct verify_problem problem;
	int r;

	if (line->n > VERIFY_OBJECT_NAMES) {
		log_error("%zu files have the bytes of %s, and an object has at most %d names",
			  line->n, line->first->name, VERIFY_OBJECT_NAMES);
		return -E2BIG;
	}
	for (size_t i = 0; i < line->n; i++)
		names[i] = line->first[i].name;
	r = source->file ? places_of_file(making->publish, source->file, &places) :
			   places_kept(making->publish, &source->object, &places);
	if (r < 0)
		return r;
	r = verify_catalog_write_object(
		out,
		&(struct verify_catalog_line){
			.digests = source->object.digests, .size = source->object.size,
			.urls = (const char *const *)places.urls, .n_urls = places.n_urls,
			.tree = places.tree, .names = names, .n_names = line->n },
		&problem);
	return r < 0 ? catalog_problem_log(r, source->name, &problem) : 0;
}

static int write_all(struct making *making, const char *path)
{
	struct publish *publish = making->publish;
	FILE *out = fopen(path, "we");
	struct verify_problem problem;
	int r;

	if (!out)
		return log_error_errno(-errno, "%s", path);
	r = verify_catalog_write_header(out, publish->name, publish->serial, publish->expires,
					&problem);
	if (r < 0)
		catalog_problem_log(r, path, &problem);
	for (size_t i = 0; r == 0 && i < making->n_lines; i++)
		r = write_line(making, &making->lines[i], out);
	if (r == 0 && (fflush(out) == EOF || fchmod(fileno(out), 0644) < 0 || fsync(fileno(out)) < 0))
		r = log_error_errno(-errno, "%s", path);
	fclose(out);
	return r;
}

int publish_lines(struct publish *publish, const char *path)
{
	struct making making = { .publish = publish };
	int r = check_names(publish);

	if (r == 0)
		r = collect(&making);
	if (r == 0)
		r = group(&making);
	if (r == 0)
		r = write_all(&making, path);
	publish->n_objects = making.n_lines;
	publish->n_names = making.n_bindings;
	free(making.bindings);
	free(making.lines);
	return r;
}
