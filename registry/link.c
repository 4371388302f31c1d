/* SPDX-License-Identifier: Apache-2.0 */
/* The Link header, RFC 8288, section 3: <target>; rel="next"; other="…", <target>; … */
#include "registry/registry.h"

#include <string.h>
#include <strings.h>

#define BLANKS " \t"

/* A character of a token, RFC 9110, section 5.6.2. */
static bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip(const char *text, const char *what)
{
	return text + strspn(text, what);
}

/* A token or a quoted string at *TEXT, and step over it. OUT is to be freed. */
static int take_value(const char **text, char **out)
{
	const char *at = *text;
	char *value = malloc(strlen(at) + 1), *to = value;

	if (!value)
		return -ENOMEM;
	if (*at == '"') {
		for (at++; *at && *at != '"'; at++) {
			if (*at == '\\' && at[1])
				at++;
			*to++ = *at;
		}
		if (*at++ != '"') {
			free(value);
			return -EINVAL;
		}
	} else {
		while (is_token(*at))
			*to++ = *at++;
	}
	*to = '\0';
	*text = at;
	*out = value;
	return 0;
}

/* Relation types are separated by spaces, and have no case (sections 2.1.1 and 3.3). */
static bool has_next(const char *relations)
{
	while (*(relations = skip(relations, " "))) {
		size_t n = strcspn(relations, " ");

		if (n == strlen("next") && !strncasecmp(relations, "next", n))
			return true;
		relations += n;
	}
	return false;
}

/* The parameters behind a target, up to the "," or the end; NEXT: the first `rel` says so. */
static int take_parameters(const char **text, bool *next)
{
	const char *at = skip(*text, BLANKS);
	bool seen = false;

	*next = false;
	while (*at == ';') {
		_cleanup_free_ char *value = NULL;
		const char *name = at = skip(at + 1, BLANKS);
		size_t len;
		int r = 0;

		while (is_token(*at))
			at++;
		len = (size_t)(at - name);
		at = skip(at, BLANKS);
		if (*at == '=') {
			at = skip(at + 1, BLANKS);
			r = take_value(&at, &value);
		}
		if (r < 0)
			return r;
		if (value && !seen && len == 3 && !strncasecmp(name, "rel", len)) {
			seen = true;
			*next = has_next(value);
		}
		at = skip(at, BLANKS);
	}
	*text = at;
	return 0;
}

int registry_link_next(const char *value, char **out)
{
	const char *at = skip(value, BLANKS ",");

	while (*at) {
		const char *target = at + 1, *end = strchr(at, '>');
		bool next;
		int r;

		if (*at != '<' || !end)
			return -EINVAL;
		at = end + 1;
		r = take_parameters(&at, &next);
		if (r < 0)
			return r;
		if (*at && *at != ',')
			return -EINVAL;
		if (next) {
			char *url = strndup(target, (size_t)(end - target));

			if (!url)
				return -ENOMEM;
			*out = url;
			return 0;
		}
		at = skip(at, BLANKS ",");
	}
	return -ENOENT;
}
