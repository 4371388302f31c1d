/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A `WWW-Authenticate: Bearer` challenge (RFC 6750, section 3; the token flow of the OCI distribution specification), and
 * what a realm answers. Pure.
 */
#include "fetch/exchange.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PARAMETERS_MAX 16

/* A token or a quoted string (RFC 9110, section 5.6) at *TEXT, moved past; to be freed. NULL: neither, or no memory. */
static char *take_value(const char **text)
{
	const char *p = *text;
	bool quoted = *p == '"';
	char *out = malloc(strlen(p) + 1);
	size_t len = 0;

	if (!out)
		return NULL;
	p += quoted;
	while (*p && (quoted ? *p != '"' : !strchr(", \t", *p))) {
		if (quoted && *p == '\\' && p[1])
			p++;
		out[len++] = *p++;
	}
	if (quoted && *p++ != '"') {
		free(out);
		return NULL;
	}
	out[len] = '\0';
	*text = p;
	return out;
}

static int add_query(char **url, const char *name, const char *value)
{
	char *longer;

	if (!*value)
		return 0;
	longer = url_with_query(*url, name, value);
	if (!longer)
		return -EINVAL;
	free(*url);
	*url = longer;
	return 0;
}

/* NAME=VALUE at *TEXT, moved past, to where it belongs in PARAMETERS. */
static int take_parameter(const char **text, char *parameters[3])
{
	static const char *const names[] = {"realm", "service", "scope"};
	const char *name = *text;
	size_t len = strcspn(name, "= \t,");
	_cleanup_free_ char *value = NULL;

	*text += len;
	*text += strspn(*text, " \t");
	if (len == 0 || **text != '=')
		return -EINVAL;
	++*text;
	*text += strspn(*text, " \t");
	value = take_value(text);
	if (!value)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == len && !strncasecmp(name, names[i], len) && !parameters[i])
			parameters[i] = steal_pointer(value);
	return 0;
}

char *challenge_url(const char *challenge)
{
	char *parameters[3] = {NULL};
	const char *p = challenge;
	char *url = NULL;
	int r = strncasecmp(p, "Bearer ", 7) ? -EINVAL : 0;

	p += r == 0 ? 7 : 0;
	for (unsigned int n = 0; r == 0; n++) {
		p += strspn(p, " \t,");
		if (!*p || n == PARAMETERS_MAX)
			break;
		r = take_parameter(&p, parameters);
	}
	if (r == 0 && parameters[0] && *parameters[0])
		url = strdup(parameters[0]);
	if (url && parameters[1])
		r = add_query(&url, "service", parameters[1]);
	if (url && r == 0 && parameters[2])
		r = add_query(&url, "scope", parameters[2]);
	if (r < 0)
		free(steal_pointer(url));
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		free(parameters[i]);
	return url;
}

/* RFC 6750, section 2.1. */
static bool is_bearer_token(const char *text)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=";

	return *text && !text[strspn(text, allowed)];
}

char *challenge_header(const char *body, size_t len)
{
	json_t *json = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
	const char *token = json_string_value(json_object_get(json, "token"));
	char *header = NULL;

	if (!token)
		token = json_string_value(json_object_get(json, "access_token"));
	if (token && is_bearer_token(token) &&
	    asprintf(&header, "Authorization: Bearer %s", token) < 0)
		header = NULL;
	json_decref(json);
	return header;
}
