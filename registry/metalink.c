/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metalink 4. What is read stands at fixed depths: metalink, file in it, and in that size, hash and url; everything else is
 * skipped, whatever it holds (`pieces` has hashes of its own).
 *
 * A document type is refused at its begin: without one there are no entities but XML's five, so that no document becomes
 * larger than it is.
 */
#include "registry/metalink.h"

#include <expat.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "common/name.h"
#include "common/number.h"
#include "registry/internal.h"

#define NAMESPACE     "urn:ietf:params:xml:ns:metalink"
#define METALINK_3    "http://www.metalinker.org/ metalink"
#define ELEMENT(name) NAMESPACE " " name

#define URL_MAX	      2048
#define DEPTH_MAX     32
#define PRIORITY_LAST 999999 /* section 4.2.16.1 */

enum {
	DEPTH_ROOT = 1,
	DEPTH_FILE,
	DEPTH_VALUE,
};

enum value {
	VALUE_NONE,
	VALUE_SIZE,
	VALUE_HASH,
	VALUE_URL,
};

struct parse {
	XML_Parser parser;
	unsigned int depth;
	bool in_file;	  /* what is at DEPTH_FILE is a file */
	enum value value; /* what is at DEPTH_VALUE */
	uint64_t priority;
	char text[URL_MAX + 1]; /* of the value, with a NUL */
	size_t len;
	struct registry_file file;
	uint64_t priorities[REGISTRY_URLS_MAX]; /* of its URLs, ascending */
	struct registry_files files;
	int error;
	char *problem;
};

/* The first one counts: handlers may be called once more after the parser was stopped. */
static void stop(struct parse *parse, int error, const char *format, ...) printf_like(3, 4);

static void stop(struct parse *parse, int error, const char *format, ...)
{
	char what[REGISTRY_PROBLEM_SIZE];
	va_list args;

	if (parse->error < 0)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	parse->error =
		registry_refuse(parse->problem, error, "line %lu: %s",
				(unsigned long)XML_GetCurrentLineNumber(parse->parser), what);
	XML_StopParser(parse->parser, XML_FALSE);
}

static void stop_text(struct parse *parse, const char *what, const char *text, const char *refused)
{
	char shown[REGISTRY_SHOWN_SIZE];

	stop(parse, -EINVAL, "%s \"%s\" %s", what, registry_shown(text, strlen(text), shown),
	     refused);
}

static const char *attribute(const XML_Char **attributes, const char *name)
{
	for (; attributes[0]; attributes += 2)
		if (!strcmp(attributes[0], name))
			return attributes[1];
	return NULL;
}

/* ---- values ---- */

static void take_size(struct parse *parse)
{
	const char *at = parse->text;
	uint64_t size;

	if (number_digits(&at, &size) < 0 || *at || size > NUMBER_SIZE_MAX) {
		stop_text(parse, "the size", parse->text, "is no number of bytes");
		return;
	}
	if (parse->file.has_size && parse->file.size != size) {
		stop_text(parse, "the size", parse->text, "is not what was said before");
		return;
	}
	parse->file.has_size = true;
	parse->file.size = size;
}

static void take_hash(struct parse *parse)
{
	struct digest digest;

	for (char *c = parse->text; *c; c++)
		if (*c >= 'A' && *c <= 'F')
			*c += 'a' - 'A';
	if (parse->len != DIGEST_HEX_SIZE - 1 || digest_from_hex(parse->text, &digest) < 0) {
		stop_text(parse, "the sha-256", parse->text, "is not 64 hex digits");
		return;
	}
	if (parse->file.has_sha256 && !digest_equal(&parse->file.sha256, &digest)) {
		stop_text(parse, "the sha-256", parse->text, "is not what was said before");
		return;
	}
	parse->file.has_sha256 = true;
	parse->file.sha256 = digest;
}

/* Behind those of the same priority; the last one goes where there are too many. */
static void keep_url(struct parse *parse, char *url)
{
	struct registry_file *file = &parse->file;
	size_t i = file->n_urls;

	if (i == REGISTRY_URLS_MAX) {
		if (parse->priorities[--i] <= parse->priority) {
			free(url);
			return;
		}
		free(file->urls[i]);
		file->n_urls--;
	}
	for (; i > 0 && parse->priorities[i - 1] > parse->priority; i--) {
		file->urls[i] = file->urls[i - 1];
		parse->priorities[i] = parse->priorities[i - 1];
	}
	file->urls[i] = url;
	parse->priorities[i] = parse->priority;
	file->n_urls++;
}

/* What no catalog could have. */
static const char *url_refused(const char *url)
{
	for (; *url; url++)
		if (*url <= ' ' || *url > '~' || *url == '\\')
			return "has blanks, backslashes or other than ASCII's characters";
	return NULL;
}

static void take_url(struct parse *parse)
{
	const char *refused;
	size_t scheme = strcspn(parse->text, ":/?#");
	char *url;

	if (parse->text[scheme] != ':' || scheme == 0) {
		stop_text(parse, "the URL", parse->text, "is not absolute");
		return;
	}
	/* Others (ftp, magnet) are for others. */
	if (strncasecmp(parse->text, "https://", 8) != 0 &&
	    strncasecmp(parse->text, "http://", 7) != 0)
		return;
	refused = url_refused(parse->text);
	if (refused) {
		stop_text(parse, "the URL", parse->text, refused);
		return;
	}
	url = strdup(parse->text);
	if (!url)
		stop(parse, -ENOMEM, "out of memory");
	else
		keep_url(parse, url);
}

static void take_value(struct parse *parse)
{
	switch (parse->value) {
	case VALUE_SIZE:
		take_size(parse);
		break;
	case VALUE_HASH:
		take_hash(parse);
		break;
	case VALUE_URL:
		take_url(parse);
		break;
	case VALUE_NONE:
		break;
	}
	parse->value = VALUE_NONE;
}

/* ---- elements ---- */

static void begin_root(struct parse *parse, const char *element)
{
	if (!strcmp(element, METALINK_3))
		stop(parse, -EINVAL, "this is Metalink 3; version 4 (RFC 5854) is what is read");
	else if (strcmp(element, ELEMENT("metalink")) != 0)
		stop(parse, -EINVAL, "this is no Metalink document (RFC 5854)");
}

static void begin_file(struct parse *parse, const char *element, const XML_Char **attributes)
{
	const char *name, *refused;

	parse->in_file = !strcmp(element, ELEMENT("file"));
	if (!parse->in_file)
		return;
	name = attribute(attributes, "name");
	if (!name) {
		stop(parse, -EINVAL, "a file without name");
		return;
	}
	refused = name_refused(name, strlen(name));
	if (refused) {
		stop_text(parse, "the name", name, refused);
		return;
	}
	parse->file.path = strdup(name);
	if (!parse->file.path)
		stop(parse, -ENOMEM, "out of memory");
}

static void begin_url(struct parse *parse, const XML_Char **attributes)
{
	const char *priority = attribute(attributes, "priority"), *at = priority;

	parse->value = VALUE_URL;
	parse->priority = PRIORITY_LAST;
	if (!priority)
		return;
	if (number_digits(&at, &parse->priority) < 0 || *at || parse->priority == 0 ||
	    parse->priority > PRIORITY_LAST)
		stop_text(parse, "the priority", priority, "is not a number from 1 to 999999");
}

static void begin_value(struct parse *parse, const char *element, const XML_Char **attributes)
{
	const char *type;

	parse->len = 0;
	if (!strcmp(element, ELEMENT("size"))) {
		parse->value = VALUE_SIZE;
	} else if (!strcmp(element, ELEMENT("hash"))) {
		type = attribute(attributes, "type");
		if (type && !strcasecmp(type, "sha-256"))
			parse->value = VALUE_HASH;
	} else if (!strcmp(element, ELEMENT("url"))) {
		begin_url(parse, attributes);
	}
}

static void XMLCALL on_begin(void *arg, const XML_Char *element, const XML_Char **attributes)
{
	struct parse *parse = arg;

	if (parse->error < 0)
		return;
	if (++parse->depth > DEPTH_MAX)
		stop(parse, -EINVAL, "elements in elements, more than %d", DEPTH_MAX);
	else if (parse->depth == DEPTH_ROOT)
		begin_root(parse, element);
	else if (parse->depth == DEPTH_FILE)
		begin_file(parse, element, attributes);
	else if (parse->depth == DEPTH_VALUE && parse->in_file)
		begin_value(parse, element, attributes);
	else if (parse->value != VALUE_NONE)
		stop(parse, -EINVAL, "an element in a value");
}

static void end_file(struct parse *parse)
{
	struct registry_file *file = &parse->file;
	int r;

	if (!file->has_sha256)
		stop_text(parse, "the file", file->path,
			  "has no hash of type sha-256: nothing says which bytes are meant");
	else if (file->n_urls == 0)
		stop_text(parse, "the file", file->path, "has no URL of https or http");
	if (parse->error < 0)
		return;
	r = registry_files_add(&parse->files, file);
	if (r < 0)
		stop(parse, r, r == -E2BIG ? "too many files" : "out of memory");
	parse->in_file = false;
}

static void XMLCALL on_end(void *arg, const XML_Char *element)
{
	struct parse *parse = arg;

	if (parse->error < 0)
		return;
	if (parse->depth == DEPTH_VALUE) {
		parse->text[parse->len] = '\0';
		take_value(parse);
	} else if (parse->depth == DEPTH_FILE && parse->in_file) {
		end_file(parse);
	}
	parse->depth--;
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int len)
{
	struct parse *parse = arg;

	if (parse->error < 0 || parse->value == VALUE_NONE)
		return;
	if ((size_t)len > sizeof(parse->text) - 1 - parse->len) {
		stop(parse, -EINVAL, "a value of more than %zu bytes", sizeof(parse->text) - 1);
		return;
	}
	memcpy(parse->text + parse->len, text, (size_t)len);
	parse->len += (size_t)len;
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
			       const XML_Char *public_id, int has_internal_subset)
{
	stop(arg, -EINVAL, "a document type is not accepted");
}

/* ---- a document ---- */

static int run(struct parse *parse, const char *text, size_t len)
{
	XML_SetUserData(parse->parser, parse);
	XML_SetElementHandler(parse->parser, on_begin, on_end);
	XML_SetCharacterDataHandler(parse->parser, on_text);
	XML_SetStartDoctypeDeclHandler(parse->parser, on_doctype);
	if (XML_Parse(parse->parser, text, (int)len, XML_TRUE) == XML_STATUS_OK)
		return parse->error;
	if (parse->error < 0)
		return parse->error;
	if (XML_GetErrorCode(parse->parser) == XML_ERROR_NO_MEMORY)
		return -ENOMEM;
	return registry_refuse(parse->problem, -EINVAL, "line %lu: %s",
			       (unsigned long)XML_GetCurrentLineNumber(parse->parser),
			       XML_ErrorString(XML_GetErrorCode(parse->parser)));
}

int registry_metalink_parse(const char *text, size_t len, struct registry_files *out,
			    char problem[REGISTRY_PROBLEM_SIZE])
{
	_cleanup_free_ struct parse *parse = NULL;
	int r;

	if (len > REGISTRY_METALINK_MAX)
		return registry_refuse(problem, -EFBIG, "the document is larger than %zu MiB",
				       REGISTRY_METALINK_MAX >> 20);
	parse = calloc(1, sizeof(*parse));
	if (parse)
		parse->parser = XML_ParserCreateNS(NULL, ' ');
	if (!parse || !parse->parser)
		return -ENOMEM;
	parse->problem = problem;
	r = run(parse, text, len);
	if (r == 0 && parse->files.n == 0)
		r = registry_refuse(problem, -EINVAL, "there is no file in it");
	if (r == 0)
		r = registry_files_distinct(&parse->files, problem);
	XML_ParserFree(parse->parser);
	registry_file_clear(&parse->file);
	if (r < 0) {
		registry_files_clear(&parse->files);
		return r;
	}
	*out = parse->files;
	return 0;
}
