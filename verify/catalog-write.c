/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a catalog, by the rules that loading has: what is written here is taken there. */
#include "verify/catalog-internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include "verify/verify.h"

static int refuse_text(struct verify_problem *problem, const char *key, const char *text,
		       const char *what)
{
	char shown[VERIFY_SHOWN_SIZE];

	return verify_refuse(problem, -EINVAL, 0, "%s: \"%s\" %s", key,
			     verify_shown(text, strlen(text), shown), what);
}

/* What these may be has no control characters; UTF-8 stays as it is. */
static void put_string(FILE *out, const char *text)
{
	putc_unlocked('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc_unlocked('\\', out);
		putc_unlocked(*text, out);
	}
	putc_unlocked('"', out);
}

static void put_strings(FILE *out, const char *key, const char *const *texts, size_t n)
{
	fprintf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			putc_unlocked(',', out);
		put_string(out, texts[i]);
	}
	putc_unlocked(']', out);
}

static void put_digest(FILE *out, const char *key, const struct digest *digest)
{
	char hex[DIGEST_HEX_SIZE];

	digest_to_hex(digest, hex);
	fprintf(out, "\"%s\":\"%s\",", key, hex);
}

static void put_object(FILE *out, const struct verify_catalog_line *line)
{
	putc_unlocked('{', out);
	if (line->digests.has_sha256)
		put_digest(out, "sha256", &line->digests.sha256);
	if (line->digests.has_fsverity)
		put_digest(out, "fsverity", &line->digests.fsverity);
	fprintf(out, "\"size\":%llu", (unsigned long long)line->size);
	if (line->n_urls > 0)
		put_strings(out, "urls", line->urls, line->n_urls);
	if (line->tree) {
		fputs(",\"tree\":", out);
		put_string(out, line->tree);
	}
	if (line->n_names > 0)
		put_strings(out, "names", line->names, line->n_names);
	fputs("}\n", out);
}

/* ---- the rules ---- */

static int check_urls(const struct verify_catalog_line *line, struct verify_problem *problem)
{
	const char *refused = NULL;

	if (line->n_urls > VERIFY_OBJECT_URLS)
		return verify_refuse(problem, -EINVAL, 0, "more than %d URLs of an object",
				     VERIFY_OBJECT_URLS);
	for (size_t i = 0; i < line->n_urls; i++) {
		refused = catalog_url_refused(line->urls[i], strlen(line->urls[i]));
		if (refused)
			return refuse_text(problem, "urls", line->urls[i], refused);
	}
	if (line->tree)
		refused = catalog_url_refused(line->tree, strlen(line->tree));
	return refused ? refuse_text(problem, "tree", line->tree, refused) : 0;
}

static int check_names(const struct verify_catalog_line *line, struct verify_problem *problem)
{
	if (line->n_names > VERIFY_OBJECT_NAMES)
		return verify_refuse(problem, -EINVAL, 0, "more than %d names of an object",
				     VERIFY_OBJECT_NAMES);
	for (size_t i = 0; i < line->n_names; i++) {
		const char *refused = verify_name_refused(line->names[i], strlen(line->names[i]));

		if (refused)
			return refuse_text(problem, "names", line->names[i], refused);
	}
	return 0;
}

static int check_object(const struct verify_catalog_line *line, struct verify_problem *problem)
{
	int r;

	if (!line->digests.has_sha256 && !line->digests.has_fsverity)
		return verify_refuse(problem, -EINVAL, 0, "an object without a digest");
	if (line->tree && !line->digests.has_fsverity)
		return verify_refuse(problem, -EINVAL, 0, "a tree without an fs-verity digest");
	if (line->size > VERIFY_SIZE_MAX)
		return verify_refuse(problem, -EFBIG, 0, "an object that is too large");
	r = check_urls(line, problem);
	return r < 0 ? r : check_names(line, problem);
}

int verify_catalog_write_object(FILE *out, const struct verify_catalog_line *line,
				struct verify_problem *problem)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *memory;
	int r = check_object(line, problem);

	if (r < 0)
		return r;
	/* Whole before any of it is written: only then is its length known. */
	memory = open_memstream(&text, &len);
	if (!memory)
		return verify_refuse_errno(problem, -ENOMEM, "a line");
	put_object(memory, line);
	if (fclose(memory) == EOF)
		return verify_refuse_errno(problem, -ENOMEM, "a line");
	if (len - 1 > VERIFY_CATALOG_LINE)
		return verify_refuse(problem, -EFBIG, 0,
				     "the line of an object with %zu names has more than 64 KiB",
				     line->n_names);
	if (fwrite(text, 1, len, out) != len)
		return verify_refuse_errno(problem, errno ? -errno : -EIO, "writing");
	return 0;
}

/* ---- the header ---- */

int verify_catalog_write_header(FILE *out, const char *name, uint64_t serial, int64_t expires,
				struct verify_problem *problem)
{
	const char *refused = verify_label_refused(name);
	char date[VERIFY_DATE_SIZE];

	if (refused)
		return refuse_text(problem, "name", name, refused);
	if (serial > INT64_MAX)
		return verify_refuse(problem, -EINVAL, 0, "a serial above 9223372036854775807");
	if (verify_date_format(expires, date) < 0)
		return verify_refuse(problem, -EINVAL, 0, "a time behind the year 9999");
	if (fprintf(out,
		    "{\"weightfs-catalog\":1,\"name\":\"%s\",\"serial\":%llu,\"expires\":\"%s\"}\n",
		    name, (unsigned long long)serial, date) < 0)
		return verify_refuse_errno(problem, errno ? -errno : -EIO, "writing");
	return 0;
}

int verify_date_format(int64_t seconds, char out[VERIFY_DATE_SIZE])
{
	time_t time = seconds;
	struct tm tm;

	if (!gmtime_r(&time, &tm) || tm.tm_year + 1900 < 1000 || tm.tm_year + 1900 > 9999)
		return -EINVAL;
	return strftime(out, VERIFY_DATE_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) ? 0 : -EINVAL;
}
