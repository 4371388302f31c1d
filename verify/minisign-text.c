/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of minisign's files: comments and base64. */
#include "verify/signing.h"

#include <string.h>
#include "common/utf8.h"

struct verify_text verify_text_of(const char *file, const char *text, size_t len,
				  struct verify_problem *problem)
{
	return (struct verify_text){text, text + len, 0, file, problem};
}

int verify_text_refuse(const struct verify_text *text, const char *what)
{
	return verify_refuse(text->problem, -EINVAL, 0, "%s, line %u: %s", text->file, text->line,
			     what);
}

/* The newline at the very end may be missing. */
static int take_line(struct verify_text *text, const char **line, size_t *len)
{
	const char *newline;

	text->line++;
	if (text->at == text->end)
		return verify_text_refuse(text, "the line is missing");
	newline = memchr(text->at, '\n', (size_t)(text->end - text->at));
	*line = text->at;
	*len = (size_t)((newline ? newline : text->end) - text->at);
	if (*len > 0 && (*line)[*len - 1] == '\r')
		return verify_text_refuse(text, "ends with a carriage return");
	text->at = newline ? newline + 1 : text->end;
	return 0;
}

bool verify_comment_valid(const char *comment, size_t len)
{
	if (len > VERIFY_COMMENT_MAX)
		return false;
	/* Between tabs: minisign's own trusted comment has some. */
	while (len > 0) {
		const char *tab = memchr(comment, '\t', len);
		size_t n = tab ? (size_t)(tab - comment) : len;

		if (!utf8_is_plain(comment, n))
			return false;
		n += tab != NULL;
		comment += n;
		len -= n;
	}
	return true;
}

int verify_text_comment(struct verify_text *text, const char *prefix, const char **comment,
			size_t *len)
{
	size_t prefix_len = strlen(prefix), n;
	const char *line;
	int r = take_line(text, &line, &n);

	if (r < 0)
		return r;
	if (n < prefix_len || memcmp(line, prefix, prefix_len) != 0)
		return verify_refuse(text->problem, -EINVAL, 0,
				     "%s, line %u: does not begin with \"%s\"", text->file,
				     text->line, prefix);
	if (!verify_comment_valid(line + prefix_len, n - prefix_len))
		return verify_text_refuse(
			text, "the comment is too long, not UTF-8, or has control characters");
	*comment = line + prefix_len;
	*len = n - prefix_len;
	return 0;
}

int verify_text_bytes(struct verify_text *text, const char *what, void *out, size_t size)
{
	const char *line;
	size_t n;
	int r = take_line(text, &line, &n);

	if (r < 0)
		return r;
	if (verify_base64_decode(line, n, out, size) < 0)
		return verify_refuse(text->problem, -EINVAL, 0,
				     "%s, line %u: not the base64 of %s (%zu characters)",
				     text->file, text->line, what, VERIFY_BASE64_LENGTH(size));
	return 0;
}

int verify_text_end(struct verify_text *text)
{
	if (text->at == text->end)
		return 0;
	text->line++;
	return verify_text_refuse(text, "something follows the end");
}
