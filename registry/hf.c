/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/hf.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "common/name.h"
#include "registry/internal.h"

#define SIZE_MAX_BYTES ((json_int_t)1 << 62) /* of a file: what a catalog may say */
#define REPO_PART_MAX  96		     /* bytes of ORG and of REPO, as the hub has it */
#define REVISION_MAX   255

/* ---- specs ---- */

/* ORG or REPO: letters, digits, "-", "_" and "."; none of these but "_" at its ends. */
static bool is_repo_part(const char *text, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	if (len == 0 || len > REPO_PART_MAX || !strchr(letters, text[0]) ||
	    !strchr(letters, text[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!strchr(letters, text[i]) && text[i] != '-' && text[i] != '.')
			return false;
	return true;
}

/*
 * Bytes of the revision at TEXT. One with a "/" in it could be taken for a file: that is only for the names that the hub
 * gives itself (refs/pr/1, refs/convert/parquet); of others it is written %2F.
 */
static size_t revision_length(const char *text)
{
	static const char *const special[] = { "refs/pr/", "refs/convert/" };

	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		size_t len = strlen(special[i]);

		if (!strncmp(text, special[i], len))
			return len + strcspn(text + len, "/");
	}
	return strcspn(text, "/");
}

/* "%2F" in it is a "/". */
static int take_revision(const char *text, size_t len, char **out)
{
	char *revision = strndup(text, len), *found;

	if (!revision)
		return -ENOMEM;
	while ((found = strcasestr(revision, "%2f"))) {
		*found = '/';
		memmove(found + 1, found + 3, strlen(found + 3) + 1);
	}
	*out = revision;
	return 0;
}

void hf_spec_clear(struct hf_spec *spec)
{
	free(spec->repo);
	free(spec->revision);
	free(spec->path);
	*spec = (struct hf_spec){ 0 };
}

static int parse_revision(const char **text, struct hf_spec *spec, char *problem)
{
	size_t len = revision_length(*text);
	int r = take_revision(*text, len, &spec->revision);

	if (r < 0)
		return r;
	*text += len;
	if (len > REVISION_MAX || name_refused(spec->revision, strlen(spec->revision)))
		return registry_refuse(problem, -EINVAL, "not a revision: \"%s\"", spec->revision);
	return 0;
}

static int parse_spec(const char *text, struct hf_spec *spec, char *problem)
{
	size_t org = strcspn(text, "/@"), repo = text[org] == '/' ? strcspn(text + org + 1, "/@") : 0;
	const char *rest = text + org + 1 + repo, *refused;

	if (!is_repo_part(text, org) || !is_repo_part(text + org + 1, repo))
		return registry_refuse(problem, -EINVAL,
				       "a model is named ORG/REPO[@REVISION][/FILE]: \"%s\"", text);
	spec->repo = strndup(text, org + 1 + repo);
	if (!spec->repo)
		return -ENOMEM;
	if (*rest == '@') {
		int r;

		rest++;
		r = parse_revision(&rest, spec, problem);
		if (r < 0)
			return r;
	} else {
		spec->revision = strdup("main");
	}
	if (!spec->revision)
		return -ENOMEM;
	if (!*rest || !strcmp(rest, "/"))
		return 0;
	spec->path = strdup(rest + 1);
	if (!spec->path)
		return -ENOMEM;
	/* A folder may be written with a "/" behind it. */
	if (spec->path[strlen(spec->path) - 1] == '/')
		spec->path[strlen(spec->path) - 1] = '\0';
	refused = name_refused(spec->path, strlen(spec->path));
	return refused ? registry_refuse(problem, -EINVAL, "\"%s\" %s", spec->path, refused) : 0;
}

int hf_spec_parse(const char *text, struct hf_spec *out, char problem[REGISTRY_PROBLEM_SIZE])
{
	struct hf_spec spec = { 0 };
	int r = parse_spec(text, &spec, problem);

	if (r < 0)
		hf_spec_clear(&spec);
	else
		*out = spec;
	return r;
}

/* ---- URLs ---- */

static char *format_url(const char *format, ...) printf_like(1, 2);
static char *format_url(const char *format, ...)
{
	va_list args;
	char *url;
	int n;

	va_start(args, format);
	n = vasprintf(&url, format, args);
	va_end(args);
	return n < 0 ? NULL : url;
}

char *hf_model_url(const char *endpoint, const struct hf_spec *spec)
{
	_cleanup_free_ char *revision = registry_url_encode(spec->revision, "");

	return revision ? format_url("%s/api/models/%s/revision/%s", endpoint, spec->repo, revision) :
			  NULL;
}

char *hf_tree_url(const char *endpoint, const struct hf_spec *spec, const struct hf_model *model)
{
	return format_url("%s/api/models/%s/tree/%s?recursive=true&expand=false", endpoint,
			  spec->repo, model->commit);
}

char *hf_check_url(const char *endpoint, const struct hf_spec *spec)
{
	return format_url("%s/api/models/%s/auth-check", endpoint, spec->repo);
}

char *hf_file_url(const char *endpoint, const struct hf_spec *spec, const struct hf_model *model,
		  const char *path)
{
	_cleanup_free_ char *encoded = registry_url_encode(path, "/");

	return encoded ? format_url("%s/%s/resolve/%s/%s", endpoint, spec->repo, model->commit,
				    encoded) :
			 NULL;
}

/* ---- replies ---- */

static bool is_commit(const char *text)
{
	size_t len = text ? strspn(text, "0123456789abcdef") : 0;

	return (len == 40 || len == 64) && !text[len];
}

static json_t *load(const char *text, size_t len, char *problem)
{
	json_error_t error;
	json_t *json = json_loadb(text, len, 0, &error);

	if (!json)
		registry_refuse(problem, -EINVAL, "the reply is not JSON: line %d: %s", error.line,
				error.text);
	return json;
}

int hf_model_parse(const char *text, size_t len, struct hf_model *out,
		   char problem[REGISTRY_PROBLEM_SIZE])
{
	json_t *json = load(text, len, problem);
	const char *commit = json_string_value(json_object_get(json, "sha"));
	const json_t *gated = json_object_get(json, "gated");
	int r = 0;

	if (!json)
		return -EINVAL;
	if (!is_commit(commit)) {
		r = registry_refuse(problem, -EINVAL, "the reply names no commit (\"sha\")");
	} else {
		snprintf(out->commit, sizeof(out->commit), "%s", commit);
		/* false, "auto" or "manual" */
		out->restricted = json_is_true(json_object_get(json, "private")) ||
				  json_is_string(gated) || json_is_true(gated);
	}
	json_decref(json);
	return r;
}

static int take_size(const json_t *json, struct registry_file *file, char *problem)
{
	const json_t *size = json_object_get(json, "size");

	if (!json_is_integer(size) || json_integer_value(size) < 0 ||
	    json_integer_value(size) > SIZE_MAX_BYTES)
		return registry_refuse(problem, -EINVAL, "%s: no size", file->path);
	file->has_size = true;
	file->size = (uint64_t)json_integer_value(size);
	return 0;
}

static int take_digest(const json_t *entry, struct registry_file *file, char *problem)
{
	const json_t *lfs = json_object_get(entry, "lfs");
	const char *oid = json_string_value(json_object_get(json_is_object(lfs) ? lfs : entry, "oid"));

	if (json_is_object(lfs)) {
		if (!oid || registry_from_hex(oid, file->sha256.bytes, DIGEST_SIZE) < 0)
			return registry_refuse(problem, -EINVAL, "%s: its LFS oid is no SHA-256",
					       file->path);
		file->has_sha256 = true;
		return take_size(lfs, file, problem);
	}
	if (!oid || registry_from_hex(oid, file->git_blob, REGISTRY_GIT_BLOB_SIZE) < 0)
		return registry_refuse(problem, -EINVAL, "%s: its oid is no git blob's", file->path);
	file->has_git_blob = true;
	return take_size(entry, file, problem);
}

static int take_file(const json_t *entry, struct registry_files *files, char *problem)
{
	const char *path = json_string_value(json_object_get(entry, "path")), *refused;
	struct registry_file file = { 0 };
	int r;

	if (!path)
		return registry_refuse(problem, -EINVAL, "the list of files has one without a path");
	refused = name_refused(path, strlen(path));
	if (refused)
		return registry_refuse(problem, -EINVAL, "the name of the file \"%s\" %s", path, refused);
	file.path = strdup(path);
	r = file.path ? take_digest(entry, &file, problem) : -ENOMEM;
	if (r == 0)
		r = registry_files_add(files, &file);
	if (r == -E2BIG)
		registry_refuse(problem, r, "more than %d files", REGISTRY_FILES_MAX);
	registry_file_clear(&file);
	return r;
}

int hf_tree_parse(const char *text, size_t len, struct registry_files *files,
		  char problem[REGISTRY_PROBLEM_SIZE])
{
	json_t *json = load(text, len, problem), *entry;
	size_t index;
	int r = 0;

	if (!json)
		return -EINVAL;
	if (!json_is_array(json))
		r = registry_refuse(problem, -EINVAL, "the list of files is no array");
	json_array_foreach(json, index, entry) {
		const char *type = json_string_value(json_object_get(entry, "type"));

		if (!type)
			r = registry_refuse(problem, -EINVAL,
					    "the list of files has an entry without a type");
		else if (!strcmp(type, "file"))
			r = take_file(entry, files, problem);
		if (r < 0)
			break;
	}
	json_decref(json);
	return r;
}
