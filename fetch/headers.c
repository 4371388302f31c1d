/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header files: one "Name: value" a line, blank lines and lines that begin with # aside. They carry
 * credentials, so no message quotes a value.
 */
#include "fetch/exchange.h"
#include "common/io.h"
#include "common/log.h"

#include <string.h>
#include <strings.h>

#define FILE_MAX ((size_t)64 << 10)

/* What fetch itself decides; and the two by which a source could learn who asks. */
static const char *const reserved[] = {
	"Accept-Encoding", "Connection", "Content-Length", "Expect", "Host",	"If-Range",
	"Origin",	   "Range",	 "Referer",	   "TE",     "Trailer", "Transfer-Encoding",
	"Upgrade",	   "User-Agent",
};

/* RFC 9110 section 5.6.2. */
static bool is_token(const char *text, size_t len)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"!#$%&'*+-.^_`|~";

	return len > 0 && strspn(text, allowed) >= len;
}

static const char *line_refused(const char *line)
{
	size_t name = strcspn(line, ":");
	const char *value = line + name;

	if (*value != ':' || !is_token(line, name))
		return "not of the form \"Name: value\"";
	value += 1 + strspn(value + 1, " \t");
	if (!*value)
		return "the header has no value";
	for (; *value; value++)
		if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
			return "a control character in the value";
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (strlen(reserved[i]) == name && !strncasecmp(line, reserved[i], name))
			return "this header cannot be set";
	return NULL;
}

const char *headers_add(struct curl_slist **list, const char *line)
{
	const char *reason = line_refused(line);
	struct curl_slist *longer = reason ? NULL : curl_slist_append(*list, line);

	if (!longer)
		return reason ? reason : "no memory";
	*list = longer;
	return NULL;
}

static int take_line(const char *path, unsigned int number, char *line, struct curl_slist **list)
{
	const char *reason;
	size_t len = strlen(line);

	while (len > 0 && strchr(" \t\r", line[len - 1]))
		line[--len] = '\0';
	if (!*line || *line == '#')
		return 0;
	reason = headers_add(list, line);
	if (!reason)
		return 0;
	log_error("%s:%u: %s", path, number, reason);
	return -EINVAL;
}

int headers_read(const char *path, struct curl_slist **out)
{
	_cleanup_free_ char *text = NULL;
	struct curl_slist *list = NULL;
	unsigned int number = 1;
	size_t len;
	int r = io_read_file(path, FILE_MAX, &text, &len);

	if (r < 0)
		return log_error_errno(r, "%s: cannot be read", path);
	if (strlen(text) != len) {
		log_error("%s: a NUL in it", path);
		return -EINVAL;
	}
	for (char *line = text; line; number++) {
		char *end = strchr(line, '\n');

		if (end)
			*end = '\0';
		r = take_line(path, number, line, &list);
		if (r < 0) {
			curl_slist_free_all(list);
			return r;
		}
		line = end ? end + 1 : NULL;
	}
	*out = list;
	return 0;
}
