/* SPDX-License-Identifier: Apache-2.0 */
/* metalink:URL, metalink:FILE, FILE.meta4: registry/metalink.h. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "commands/import/size.h"
#include "common/io.h"
#include "common/name.h"
#include "registry/metalink.h"

static const struct import_advice advice = {
	.unauthorized = "it is not for everybody, and credentials are not sent for Metalink documents",
	.forbidden = "it is not for everybody",
	.missing = "there is no such document: check the URL",
};
static const struct import_advice file_advice = {
	.unauthorized = "a mirror of the document wants a credential",
	.forbidden = "a mirror of the document wants a credential",
	.missing = "a mirror of the document does not have it any more",
};

static bool is_url(const char *text)
{
	return !strncasecmp(text, "https://", 8) || !strncasecmp(text, "http://", 7);
}

static int download(struct import_talk *talk, const char *url, char **text, size_t *len)
{
	struct fetch_document document;
	struct import_get get = {
		.url = url,
		.what = "the document",
		.accept = "application/metalink4+xml, */*;q=0.5",
		.users_own = true,
		.max = REGISTRY_METALINK_MAX,
	};
	int r;

	r = import_get(talk, &get, &advice, &document);
	if (r < 0)
		return r;
	*text = steal_pointer(document.body);
	*len = document.len;
	fetch_document_release(&document);
	return 0;
}

static int read_document(struct import_talk *talk, const char *rest, char **text, size_t *len)
{
	int r;

	if (is_url(rest))
		return download(talk, rest, text, len);
	r = io_read_file(rest, REGISTRY_METALINK_MAX, text, len);
	if (r == -EFBIG)
		return import_fail(talk, r, "%s is larger than %zu MiB", rest, REGISTRY_METALINK_MAX >> 20);
	return r < 0 ? import_fail(talk, r, "%s: %s", rest, strerror(-r)) : 0;
}

/* "models" of ".../models.meta4?x". */
static void title_of(const char *rest, char out[NAME_COMPONENT_MAX + 1])
{
	static const char *const endings[] = {".meta4", ".metalink"};
	size_t end = is_url(rest) ? strcspn(rest, "?#") : strlen(rest), begin = end;

	while (begin > 0 && rest[begin - 1] != '/')
		begin--;
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		size_t len = strlen(endings[i]);

		if (end - begin > len && !strncmp(rest + end - len, endings[i], len))
			end -= len;
	}
	/* There is the digest yet to come. */
	if (end - begin > NAME_COMPONENT_MAX - DIGEST_HEX_SIZE)
		end = begin + NAME_COMPONENT_MAX - DIGEST_HEX_SIZE;
	snprintf(out, NAME_COMPONENT_MAX + 1, "%.*s", (int)(end - begin), rest + begin);
	if (name_refused(out, strlen(out)))
		strcpy(out, "metalink");
}

static int describe(const char *rest, const char *text, size_t len, struct import_found *out)
{
	char title[NAME_COMPONENT_MAX + 1], hex[DIGEST_HEX_SIZE];
	struct digest digest;

	if (registry_sha256(text, len, &digest) < 0)
		return -ENOMEM;
	digest_to_hex(&digest, hex);
	title_of(rest, title);
	if (asprintf(&out->folder, "%s@%s", title, hex) < 0) {
		out->folder = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int find(struct import_talk *talk, const char *rest, struct import_found *out)
{
	char problem[REGISTRY_PROBLEM_SIZE];
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r;

	r = read_document(talk, rest, &text, &len);
	if (r < 0)
		return r;
	r = registry_metalink_parse(text, len, &out->files, problem);
	if (r < 0)
		return import_fail(talk, r, "%s", r == -ENOMEM ? "no memory" : problem);
	for (size_t i = 0; i < out->files.n; i++) {
		struct registry_file *file = &out->files.files[i];

		if (!file->has_size)
			r = import_size(talk, file, is_url(rest) ? rest : NULL, &file_advice);
		if (r < 0)
			return r;
	}
	r = describe(rest, text, len, out);
	return r < 0 ? import_fail(talk, r, "no memory") : 0;
}

const struct import_source import_source_metalink = {
	.scheme = "metalink",
	.suffix = ".meta4",
	.catalog = "metalink",
	.form = "metalink:URL, metalink:FILE, FILE.meta4",
	.find = find,
};
