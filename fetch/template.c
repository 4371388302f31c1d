/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URL templates: text with {sha256}, {fsverity}, and {sha256:2}, {fsverity:2} for the first two
 * digits. A brace has no other meaning (RFC 3986 does not allow one in a URL).
 */
#include "fetch/internal.h"

#include <stdio.h>
#include <string.h>

struct variable {
	const char *text;
	bool fsverity;
	size_t digits;
};

static const struct variable variables[] = {
	{"{sha256}", false, 64},
	{"{sha256:2}", false, 2},
	{"{fsverity}", true, 64},
	{"{fsverity:2}", true, 2},
};

static const struct variable *variable_at(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		if (!strncmp(text, variables[i].text, strlen(variables[i].text)))
			return &variables[i];
	return NULL;
}

static int check_braces(const char *text, struct template *out, char message[FETCH_MESSAGE_SIZE])
{
	for (const char *p = text; *p;) {
		const struct variable *variable;
		size_t len;

		if (*p != '{' && *p != '}') {
			p++;
			continue;
		}
		variable = variable_at(p);
		if (!variable) {
			len = strcspn(p + 1, "}") + 1;
			len += p[len] == '}';
			snprintf(message, FETCH_MESSAGE_SIZE,
				 "\"%.*s\" is none of {sha256}, {sha256:2}, {fsverity}, "
				 "{fsverity:2}",
				 (int)(len < 40 ? len : 40), p);
			return -EINVAL;
		}
		if (variable->fsverity)
			out->fsverity = true;
		else
			out->sha256 = true;
		p += strlen(variable->text);
	}
	return 0;
}

int template_parse(const char *text, bool allow_http, struct template *out,
		   char message[FETCH_MESSAGE_SIZE])
{
	static const struct digest_pair any = {.has_sha256 = true, .has_fsverity = true};
	struct template template = {.text = (char *)(uintptr_t)text};
	_cleanup_free_ char *url = NULL;
	const char *reason;
	int r = check_braces(text, &template, message);

	if (r < 0)
		return r;
	/* Whatever the digests, the URL is as good as with these. */
	url = template_expand(&template, &any);
	if (!url) {
		snprintf(message, FETCH_MESSAGE_SIZE, "no memory");
		return -ENOMEM;
	}
	reason = url_refused(url, allow_http);
	if (reason) {
		snprintf(message, FETCH_MESSAGE_SIZE, "%s", reason);
		return -EINVAL;
	}
	template.text = strdup(text);
	if (!template.text) {
		snprintf(message, FETCH_MESSAGE_SIZE, "no memory");
		return -ENOMEM;
	}
	*out = template;
	return 0;
}

bool template_applies(const struct template *template, const struct digest_pair *digests)
{
	return template->text && (!template->sha256 || digests->has_sha256) &&
	       (!template->fsverity || digests->has_fsverity);
}

/* The expansion's length; written to OUT unless that is NULL. */
static size_t expand(const char *text, const char *sha256, const char *fsverity, char *out)
{
	size_t len = 0;

	while (*text) {
		const struct variable *variable = *text == '{' ? variable_at(text) : NULL;
		const char *from = text;
		size_t n = 1;

		if (variable) {
			from = variable->fsverity ? fsverity : sha256;
			n = variable->digits;
			text += strlen(variable->text);
		} else {
			text++;
		}
		if (out)
			memcpy(out + len, from, n);
		len += n;
	}
	return len;
}

char *template_expand(const struct template *template, const struct digest_pair *digests)
{
	char sha256[DIGEST_HEX_SIZE], fsverity[DIGEST_HEX_SIZE];
	size_t len;
	char *url;

	digest_to_hex(&digests->sha256, sha256);
	digest_to_hex(&digests->fsverity, fsverity);
	len = expand(template->text, sha256, fsverity, NULL);
	url = malloc(len + 1);
	if (!url)
		return NULL;
	expand(template->text, sha256, fsverity, url);
	url[len] = '\0';
	return url;
}

int fetch_template_check(const char *template, bool allow_http, char message[FETCH_MESSAGE_SIZE])
{
	struct template parsed = {0};
	int r = template_parse(template, allow_http, &parsed, message);

	free(parsed.text);
	return r < 0 ? -EINVAL : 0;
}
