/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Catalogs from nowhere: what is taken is what jansson reads in the same text, within the rules; each of it is found again.
 *
 * Input: flags (1 byte), then the text. With HEADER it begins with a good header, with SIGN it is signed and must load
 * alike, with LINE it is one line for the reader of JSON alone.
 */
#include <jansson.h>
#include <stdio.h>
#include "tests/unit/catalog-testing.h"
#include "tests/fuzz/target.h"
#include "verify/json.h"

enum {
	HEADER_FIRST = 1,
	LINE = 4,
	SIGN = 0x72, /* costs more than all the rest: rare */
};

/* ---- the reader of JSON, against jansson ---- */

/* A line as its own buffer, so that reading past it is seen. */
static char *copy_of(const uint8_t *data, size_t len)
{
	char *copy = malloc(len + 1);

	require(copy != NULL);
	memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

/* Members are skipped, as they all are unknown; the keys must be jansson's, in the same order. */
static bool read_object(char *text, size_t len, json_t *known)
{
	struct verify_json json = verify_json_of(text, len);
	void *next = known ? json_object_iter(known) : NULL;
	const char *key;
	size_t key_len;
	int r;

	if (verify_json_object(&json) < 0)
		return false;
	while ((r = verify_json_key(&json, &key, &key_len)) > 0) {
		if (known) {
			require(next != NULL && !strcmp(json_object_iter_key(next), key));
			next = json_object_iter_next(known, next);
		}
		if (verify_json_skip(&json) < 0)
			return false;
	}
	return r == 0 && verify_json_end(&json) == 0;
}

/* How deep a text goes at most: brackets in strings count, too. */
static bool is_deep(const uint8_t *data, size_t len)
{
	size_t depth = 0;

	for (size_t i = 0; i < len; i++)
		depth += data[i] == '{' || data[i] == '[';
	return depth > VERIFY_JSON_DEPTH;
}

static void try_line(const uint8_t *data, size_t len)
{
	char *text = copy_of(data, len);
	json_error_t error;
	json_t *known = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	bool object = known && json_is_object(known);
	bool taken = read_object(text, len, object ? known : NULL);

	/* jansson loses a NUL that stands behind a number. */
	if (memchr(data, 0, len))
		require(!taken);
	else if (object)
		require(taken || is_deep(data, len));
	else if (taken)
		/* Numbers that it cannot hold, and keys of a kind that are not looked at here. */
		require(json_error_code(&error) == json_error_numeric_overflow ||
			json_error_code(&error) == json_error_duplicate_key);
	json_decref(known);
	free(text);
}

/* ---- catalogs ---- */

static void require_string(json_t *value, const char *text)
{
	require(json_is_string(value) && !strcmp(json_string_value(value), text));
}

static void require_found(const struct verify_catalog *catalog, const struct verify_object *object,
			  enum digest_kind kind, json_t *hex)
{
	struct digest_name name = {kind, kind == DIGEST_SHA256 ? object->digests.sha256
							       : object->digests.fsverity};
	struct verify_object again;
	char text[DIGEST_HEX_SIZE];

	digest_to_hex(&name.digest, text);
	require_string(hex, text);
	require(verify_catalog_find(catalog, &name, &again) == 0 && again.index == object->index);
	require(verify_objects_agree(object, &again));
}

static int find_it(void *arg, const struct verify_place *place)
{
	return strcmp(place->name, arg) == 0;
}

static void require_name(const struct verify_catalog *catalog, const struct verify_object *object,
			 const char *name)
{
	char folder[VERIFY_NAME_MAX + 1], *slash;
	struct verify_place place;

	require(verify_name_refused(name, strlen(name)) == NULL);
	require(verify_catalog_lookup(catalog, name, &place) == 0 && !place.folder);
	require(place.object.index == object->index);
	require(verify_catalog_list(catalog, name, NULL, find_it, NULL) == -ENOTDIR);
	strcpy(folder, name);
	slash = strrchr(folder, '/');
	if (slash)
		*slash = '\0';
	else
		*folder = '\0';
	require(verify_catalog_list(catalog, folder, NULL, find_it, place.name) == 1);
	require(verify_catalog_list(catalog, folder, place.name, find_it, place.name) == 0);
}

/* What is in LINE, by jansson, is what OBJECT has. */
static void require_entry(const struct verify_catalog *catalog, size_t index, json_t *line)
{
	json_t *names = json_object_get(line, "names"), *urls = json_object_get(line, "urls");
	char url[VERIFY_URL_MAX + 1];
	struct verify_object object;

	verify_catalog_object(catalog, index, &object);
	require((uint64_t)json_integer_value(json_object_get(line, "size")) == object.size);
	require(json_is_integer(json_object_get(line, "size")));
	require(object.digests.has_sha256 || object.digests.has_fsverity);
	require(object.digests.has_sha256 == !!json_object_get(line, "sha256"));
	require(object.digests.has_fsverity == !!json_object_get(line, "fsverity"));
	if (object.digests.has_sha256)
		require_found(catalog, &object, DIGEST_SHA256, json_object_get(line, "sha256"));
	if (object.digests.has_fsverity)
		require_found(catalog, &object, DIGEST_FSVERITY, json_object_get(line, "fsverity"));
	require(json_array_size(names) == object.n_names && json_array_size(urls) == object.n_urls);
	for (unsigned int i = 0; i < object.n_names; i++) {
		require_string(json_array_get(names, i), verify_object_name(catalog, &object, i));
		require_name(catalog, &object, verify_object_name(catalog, &object, i));
	}
	for (unsigned int i = 0; i < object.n_urls; i++)
		require_string(json_array_get(urls, i),
			       verify_object_url(catalog, &object, i, url));
	require(object.has_tree == !!json_object_get(line, "tree"));
	if (object.has_tree)
		require_string(json_object_get(line, "tree"),
			       verify_object_tree(catalog, &object, url));
}

static int count_match(void *arg, const char *name, const struct verify_object *object)
{
	(*(size_t *)arg)++;
	return 0;
}

static void require_same(const struct verify_catalog *catalog, const char *text, size_t len)
{
	const struct verify_catalog_info *info = verify_catalog_info(catalog);
	size_t line = 0, matched = 0;

	while (len > 0) {
		const char *newline = memchr(text, '\n', len);
		size_t n = newline ? (size_t)(newline - text) : len;
		json_error_t error;
		json_t *json = json_loadb(text, n, 0, &error);

		/* A number in what nobody reads. */
		require(json || json_error_code(&error) == json_error_numeric_overflow);
		if (json && line == 0)
			require_string(json_object_get(json, "name"), info->name);
		else if (json)
			require_entry(catalog, line - 1, json);
		json_decref(json);
		n += newline != NULL;
		text += n;
		len -= n;
		line++;
	}
	require(line == info->n_objects + 1);
	require(verify_catalog_match(catalog, "*", count_match, &matched) == 0);
	require(matched == info->n_names);
}

static void try_signed(int fd, int unsigned_result)
{
	const struct verify_key key = key_of(KNOWN_KEY);
	_cleanup_free_ char *signature = signature_of(fd, "");
	struct verify_catalog *catalog = NULL;

	require(verify_catalog_load(fd, signature, strlen(signature), &key, 1, &any_rules, &catalog,
				    NULL) == unsigned_result);
	verify_catalog_unref(catalog);
}

static void try_catalog(const char *text, size_t len, bool sign)
{
	_cleanup_close_ int fd = file_of(text, len);
	struct verify_catalog *catalog = NULL;
	struct verify_problem problem = {0};
	int r = verify_catalog_load_unsigned(fd, &any_rules, &catalog, &problem);

	require((r == 0) == (catalog != NULL));
	if (r == 0)
		require_same(catalog, text, len);
	else
		require(r == -EINVAL && problem.line > 0 && problem.text[0]);
	for (const char *c = problem.text; *c; c++)
		require(*c >= ' ' && *c <= '~');
	if (sign)
		try_signed(fd, r);
	verify_catalog_unref(catalog);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	const size_t header = strlen(HEADER);
	char *text;

	if (len < 1)
		return 0;
	if (input[0] & LINE) {
		try_line(input + 1, len - 1);
		return 0;
	}
	text = malloc(header + len);
	require(text != NULL);
	memcpy(text, HEADER, header);
	memcpy(text + header, input + 1, len - 1);
	if (input[0] & HEADER_FIRST)
		try_catalog(text, header + len - 1, (input[0] & SIGN) == SIGN);
	else
		try_catalog(text + header, len - 1, (input[0] & SIGN) == SIGN);
	free(text);
	return 0;
}
