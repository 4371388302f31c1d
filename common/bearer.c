/* SPDX-License-Identifier: Apache-2.0 */
#include "common/bearer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BLANKS	" \t"
#define LETTERS "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static size_t token_length(const char *text)
{
	return strspn(text, LETTERS "!#$%&'*+-.^_`|~");
}

static const char *skip(const char *text, const char *what)
{
	return text + strspn(text, what);
}

/*
 * A token or a quoted string (section 5.6.4) at *TEXT, and step over it. A URL without quotes is taken, too. -EINVAL also if it
 * does not fit.
 */
static int take_value(const char **text, char out[BEARER_VALUE_SIZE])
{
	const char *at = *text;
	size_t n = 0;

	if (*at != '"') {
		n = strcspn(at, BLANKS ",\"");
		if (n == 0 || n >= BEARER_VALUE_SIZE)
			return -EINVAL;
		memcpy(out, at, n);
		at += n;
	} else {
		for (at++; *at != '"'; at++) {
			if (*at == '\\')
				at++;
			if (!*at || n == BEARER_VALUE_SIZE - 1)
				return -EINVAL;
			out[n++] = *at;
		}
		at++;
	}
	out[n] = '\0';
	*text = at;
	return 0;
}

/* Where the value of the parameter at TEXT begins, its name LEN bytes long; NULL: what is there is no parameter. */
static const char *parameter(const char *text, size_t *len)
{
	const char *at;

	*len = token_length(text);
	at = skip(text + *len, BLANKS);
	if (*len == 0 || *at != '=')
		return NULL;
	at = skip(at + 1, BLANKS);
	/* Otherwise it is the padding of a token68. */
	return *at == '"' || token_length(at) > 0 ? at : NULL;
}

static void keep(struct bearer_challenge *challenge, const char *name, size_t len,
		 const char *value)
{
	const struct {
		const char *name;
		char *to;
	} known[] = {
		{"realm", challenge->realm},
		{"service", challenge->service},
		{"scope", challenge->scope},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strlen(known[i].name) == len && !strncasecmp(known[i].name, name, len) &&
		    !*known[i].to)
			strcpy(known[i].to, value);
}

/* Behind a scheme: its parameters, or a token68; up to the next scheme or the end. */
static int take_parameters(const char **text, struct bearer_challenge *challenge)
{
	const char *at = skip(*text, BLANKS), *value;
	char kept[BEARER_VALUE_SIZE];
	bool any = false;
	size_t len;

	while ((value = parameter(at, &len))) {
		const char *name = at;

		if (take_value(&value, kept) < 0)
			return -EINVAL;
		keep(challenge, name, len, kept);
		any = true;
		at = skip(value, BLANKS);
		if (*at && *at != ',')
			return -EINVAL;
		at = skip(at, BLANKS ",");
	}
	if (!any && *at && *at != ',') {
		at = skip(skip(skip(at, LETTERS "-._~+/"), "="), BLANKS);
		if (*at && *at != ',')
			return -EINVAL;
	}
	*text = skip(at, BLANKS ",");
	return 0;
}

/* The next challenge; 1, 0 at the end. SCHEME is in VALUE. */
static int next_challenge(const char **value, const char **scheme, size_t *len,
			  struct bearer_challenge *out)
{
	const char *at = skip(*value, BLANKS ",");

	if (!*at)
		return 0;
	*scheme = at;
	*len = token_length(at);
	at += *len;
	if (*len == 0 || (*at && !strchr(BLANKS ",", *at)))
		return -EINVAL;
	*out = (struct bearer_challenge){0};
	if (take_parameters(&at, out) < 0)
		return -EINVAL;
	*value = at;
	return 1;
}

static bool is_scheme(const char *scheme, size_t len, const char *wanted)
{
	return len == strlen(wanted) && !strncasecmp(scheme, wanted, len);
}

int bearer_challenge_parse(const char *value, struct bearer_challenge *out)
{
	struct bearer_challenge challenge;
	const char *scheme;
	size_t len;
	int r;

	while ((r = next_challenge(&value, &scheme, &len, &challenge)) > 0)
		if (is_scheme(scheme, len, "Bearer") && challenge.realm[0]) {
			*out = challenge;
			return 0;
		}
	return r < 0 ? r : -ENOENT;
}

bool bearer_challenge_has(const char *value, const char *wanted)
{
	struct bearer_challenge challenge;
	const char *scheme;
	size_t len;

	while (next_challenge(&value, &scheme, &len, &challenge) > 0)
		if (is_scheme(scheme, len, wanted))
			return true;
	return false;
}

/* "&NAME=" and VALUE, of LEN bytes, percent-encoded. */
static void put(FILE *to, char *separator, const char *name, const char *value, size_t len)
{
	fprintf(to, "%c%s=", *separator, name);
	*separator = '&';
	for (size_t i = 0; i < len; i++)
		if (strchr(LETTERS "-._~:/@,", value[i]))
			fputc(value[i], to);
		else
			fprintf(to, "%%%02X", (unsigned char)value[i]);
}

int bearer_token_url(const struct bearer_challenge *challenge, char **out)
{
	const char *realm = challenge->realm, *scope = challenge->scope;
	char separator = strchr(realm, '?') ? '&' : '?';
	_cleanup_free_ char *url = NULL;
	size_t url_len, len;
	bool failed;
	FILE *to;

	if (!strstr(realm, "://") || strchr(realm, '#'))
		return -EINVAL;
	for (const char *c = realm; *c; c++)
		if (*c <= ' ' || *c > '~')
			return -EINVAL;
	to = open_memstream(&url, &url_len);
	if (!to)
		return -ENOMEM;
	fputs(realm, to);
	if (challenge->service[0])
		put(to, &separator, "service", challenge->service, strlen(challenge->service));
	for (; *(scope = skip(scope, " ")); scope += len) {
		len = strcspn(scope, " ");
		put(to, &separator, "scope", scope, len);
	}
	failed = ferror(to);
	if (fclose(to) != 0 || failed)
		return -ENOMEM;
	*out = steal_pointer(url);
	return 0;
}
