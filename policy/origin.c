/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of who asks.
 *
 * An origin has one canonical spelling and one directory name: whatever is accepted is taken apart
 * into `struct web` and written anew, and the way back accepts only what that writing gives.
 * libcurl's URL API takes URLs apart; what it lets pass beyond an origin (RFC 6454 section 7) is
 * refused before or after it.
 */
#include "policy/internal.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HOST_MAX  (POLICY_HOST_SIZE - 1)
#define LABEL_MAX 63

struct web {
	bool https;
	char host[HOST_MAX + 3];
	unsigned int port; /* 0: the scheme's default */
};

static void free_url(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void free_part(char **part)
{
	curl_free(*part);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

bool policy_name_valid(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > POLICY_NAME_MAX || !is_lower(name[0]))
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!is_lower(name[i]) && !is_digit(name[i]) && !strchr("._-", name[i]))
			return false;
	}
	return strcmp(name, "any") != 0 && strcmp(name, "none") != 0;
}

/* Would a directory of this name be read as a web origin's? */
static bool is_web_dir(const char *name)
{
	return !strncmp(name, "https_", 6) || !strncmp(name, "http_", 5);
}

bool policy_origin_is_web(const char *origin)
{
	return strstr(origin, "://") != NULL;
}

/* ---- hosts ---- */

/*
 * As browsers write it (WHATWG URL, IPv6 serializer): the first longest run of two or more zero
 * words is
 * `::`, and no dotted quad at the end, which inet_ntop() would write.
 */
static void format_ipv6(const struct in6_addr *address, char *out, size_t size)
{
	unsigned int best = 8, best_len = 1, run = 0;
	size_t used;

	for (unsigned int i = 0; i < 8; i++) {
		bool zero = !address->s6_addr[2 * i] && !address->s6_addr[2 * i + 1];

		run = zero ? run + 1 : 0;
		if (run > best_len) {
			best_len = run;
			best = i + 1 - run;
		}
	}
	used = (size_t)snprintf(out, size, "[");
	for (unsigned int i = 0; i < 8; i++) {
		unsigned int word =
			(unsigned int)address->s6_addr[2 * i] << 8 | address->s6_addr[2 * i + 1];

		if (i == best) {
			used += (size_t)snprintf(out + used, size - used, "::");
			i += best_len - 1;
			continue;
		}
		used += (size_t)snprintf(out + used, size - used, "%s%x",
					 i && out[used - 1] != ':' ? ":" : "", word);
	}
	snprintf(out + used, size - used, "]");
}

/* Does the last label make it an IPv4 address in a browser's eyes (WHATWG URL, "ends in a number")?
 */
static bool ends_in_number(const char *host)
{
	const char *dot = strrchr(host, '.');
	const char *label = dot ? dot + 1 : host;

	if (label[0] == '0' && label[1] == 'x')
		return strspn(label + 2, "0123456789abcdef") == strlen(label + 2);
	return label[0] && strspn(label, "0123456789") == strlen(label);
}

static const char *check_domain(const char *host)
{
	struct in_addr v4;
	size_t label = 0;

	if (strlen(host) > HOST_MAX)
		return "the host is longer than 253 bytes";
	for (const char *c = host;; c++) {
		if (*c && *c != '.') {
			if (!is_lower(*c) && !is_digit(*c) && *c != '-' && *c != '_')
				return "the host has a character that no host name has";
			label++;
			continue;
		}
		if (label == 0 && !*c && c != host)
			return "the host ends with a dot";
		if (label == 0)
			return "the host has an empty label";
		if (label > LABEL_MAX)
			return "the host has a label longer than 63 bytes";
		label = 0;
		if (!*c)
			break;
	}
	if (ends_in_number(host) && inet_pton(AF_INET, host, &v4) != 1)
		return "the host is not an IPv4 address";
	return NULL;
}

/* HOST as libcurl gave it, canonical into OUT. */
static const char *take_host(const char *host, char out[HOST_MAX + 3])
{
	struct in6_addr v6;
	size_t len = strlen(host);

	if (len > HOST_MAX)
		return "the host is longer than 253 bytes";
	for (size_t i = 0; i <= len; i++)
		out[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] - 'A' + 'a' : host[i]);
	if (out[0] != '[')
		return check_domain(out);
	if (out[len - 1] != ']')
		return "the host is not an IPv6 address";
	out[len - 1] = '\0';
	if (inet_pton(AF_INET6, out + 1, &v6) != 1)
		return "the host is not an IPv6 address";
	format_ipv6(&v6, out, HOST_MAX + 3);
	return NULL;
}

/* ---- web origins ---- */

static bool is_ascii(const char *text)
{
	while (*text && (unsigned char)*text < 0x80)
		text++;
	return !*text;
}

/* What libcurl would accept, repair or leave out, and an origin must not have. */
static const char *check_web(const char *text)
{
	const char *authority = strstr(text, "://") + 3;
	size_t len = strlen(text);

	for (const char *c = text; *c; c++) {
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return "an origin has no blanks or control characters";
	}
	if (strncasecmp(text, "https://", 8) && strncasecmp(text, "http://", 7))
		return "only https:// and http:// are web origins";
	if (len >= (is_ascii(text) ? POLICY_ORIGIN_SIZE : POLICY_ORIGIN_TEXT_SIZE))
		return "the origin is too long";
	if (strchr(authority, '@'))
		return "an origin has no user name or password";
	if (strpbrk(authority, "/\\"))
		return "an origin has no path, not even a last '/'";
	if (strpbrk(authority, "?#"))
		return "an origin has no query or fragment";
	if (strchr(authority, '%'))
		return "an origin's host has no percent-encoding or zone";
	if (strchr(authority, '*'))
		return "'*.' is for the front of a pattern's host, and stands for whole labels";
	if (!*authority || *authority == ':')
		return "the host is missing";
	if (text[len - 1] == ':')
		return "the port is missing";
	return NULL;
}

/* The same origin with an ASCII host. */
static int to_ascii(const char *text, char out[POLICY_ORIGIN_SIZE], const char **reason)
{
	const char *host = strstr(text, "://") + 3, *rest;
	char name[POLICY_HOST_SIZE];
	int r = policy_idn(host, name, &rest, reason);

	if (r < 0)
		return r;
	r = snprintf(out, POLICY_ORIGIN_SIZE, "%.*s%s%s", (int)(host - text), text, name, rest);
	if (r < POLICY_ORIGIN_SIZE)
		return 0;
	*reason = "the origin is too long";
	return -EINVAL;
}

static int web_parse(const char *text, struct web *out, const char **reason)
{
	_cleanup_(free_url) CURLU *url = curl_url();
	_cleanup_(free_part) char *host = NULL;
	_cleanup_(free_part) char *port = NULL;
	char ascii[POLICY_ORIGIN_SIZE];
	struct web web = {.https = strncasecmp(text, "https", 5) == 0};
	CURLUcode code;

	*reason = check_web(text);
	if (*reason)
		return -EINVAL;
	if (!is_ascii(text)) {
		int r = to_ascii(text, ascii, reason);

		if (r < 0)
			return r;
		text = ascii;
	}
	if (!url)
		return -ENOMEM;
	code = curl_url_set(url, CURLUPART_URL, text, 0);
	if (code == CURLUE_OUT_OF_MEMORY)
		return -ENOMEM;
	if (code == CURLUE_BAD_PORT_NUMBER)
		*reason = "a port is a number from 1 to 65535";
	else if (code)
		*reason = "the host is not valid";
	if (*reason)
		return -EINVAL;
	code = curl_url_get(url, CURLUPART_HOST, &host, 0);
	if (code == CURLUE_OUT_OF_MEMORY)
		return -ENOMEM;
	*reason = code ? "the host is missing" : take_host(host, web.host);
	if (*reason)
		return -EINVAL;
	code = curl_url_get(url, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
	if (code && code != CURLUE_NO_PORT)
		return -ENOMEM;
	if (port) {
		web.port = (unsigned int)strtoul(port, NULL, 10);
		if (web.port == 0)
			*reason = "a port is a number from 1 to 65535";
	}
	if (*reason)
		return -EINVAL;
	*out = web;
	return 0;
}

static void web_format(const struct web *web, char out[POLICY_ORIGIN_SIZE])
{
	const char *scheme = web->https ? "https" : "http";

	if (web->port)
		snprintf(out, POLICY_ORIGIN_SIZE, "%s://%s:%u", scheme, web->host, web->port);
	else
		snprintf(out, POLICY_ORIGIN_SIZE, "%s://%s", scheme, web->host);
}

int policy_origin_explain(const char *text, char out[POLICY_ORIGIN_SIZE], const char **reason)
{
	struct web web;
	int r;

	if (policy_origin_is_web(text)) {
		r = web_parse(text, &web, reason);
		if (r < 0)
			return r;
		web_format(&web, out);
		return 0;
	}
	*reason = NULL;
	if (!strcmp(text, "null"))
		*reason = "an opaque origin cannot be told from another";
	else if (!policy_name_valid(text))
		*reason = "neither https://HOST[:PORT], http://HOST[:PORT] nor a local name";
	else if (is_web_dir(text))
		*reason = "a local name must not look like the directory of a web origin";
	if (*reason)
		return -EINVAL;
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

int policy_origin_parse(const char *text, char out[POLICY_ORIGIN_SIZE])
{
	const char *reason;

	return policy_origin_explain(text, out, &reason);
}

/* Whether that is a public suffix is for others to say: a single label, such as `internal`, may be a domain. */
int policy_origin_below(const char *text, char out[POLICY_ORIGIN_SIZE], const char **reason)
{
	const char *host = strstr(text, "://") + 3;
	char apex[POLICY_ORIGIN_TEXT_SIZE];
	struct in_addr v4;
	struct web web;
	int r;

	if (strlen(text) >= sizeof(apex)) {
		*reason = "the origin is too long";
		return -EINVAL;
	}
	snprintf(apex, sizeof(apex), "%.*s%s", (int)(host - text), text, host + strlen("*."));
	r = web_parse(apex, &web, reason);
	if (r < 0)
		return r;
	if (web.host[0] == '[' || inet_pton(AF_INET, web.host, &v4) == 1) {
		*reason = "'*.' is not for addresses";
		return -EINVAL;
	}
	web_format(&web, out);
	return 0;
}

/* ---- directory names ---- */

/*
 * As Chromium's storage::GetIdentifierFromOrigin() writes it: scheme_host_port, with the colons of
 * an IPv6 host, which stays in its brackets, as `_`. A host may have a `_` itself: the first and
 * the last of the name are the separators.
 */
int policy_origin_to_dir(const char *origin, char out[POLICY_ORIGIN_SIZE])
{
	char canonical[POLICY_ORIGIN_SIZE];
	const char *reason;
	struct web web;
	int r;

	r = policy_origin_parse(origin, canonical);
	if (r < 0)
		return r;
	if (strcmp(canonical, origin) != 0)
		return -EINVAL;
	if (!policy_origin_is_web(origin)) {
		memcpy(out, canonical, sizeof(canonical));
		return 0;
	}
	r = web_parse(origin, &web, &reason);
	if (r < 0)
		return r;
	for (char *c = web.host; *c; c++) {
		if (*c == ':')
			*c = '_';
	}
	snprintf(out, POLICY_ORIGIN_SIZE, "%s_%s_%u", web.https ? "https" : "http", web.host,
		 web.port);
	return 0;
}

/* Reads generously, then lets policy_origin_to_dir() judge: only what it writes is a directory
 * name. */
int policy_origin_from_dir(const char *dir, char out[POLICY_ORIGIN_SIZE])
{
	char text[POLICY_ORIGIN_SIZE], origin[POLICY_ORIGIN_SIZE], again[POLICY_ORIGIN_SIZE];
	size_t len = strlen(dir);
	int r;

	if (len >= sizeof(text) - strlen("://"))
		return -EINVAL;
	if (is_web_dir(dir)) {
		const char *host = strchr(dir, '_') + 1;
		const char *port = strrchr(dir, '_') + 1;

		if (port == host)
			return -EINVAL;
		snprintf(text, sizeof(text), "%.*s://%.*s%s%s", (int)(host - dir - 1), dir,
			 (int)(port - host - 1), host, strcmp(port, "0") ? ":" : "",
			 strcmp(port, "0") ? port : "");
		if (host[0] == '[') {
			char *v6 = strchr(text, '[');

			for (char *c = v6; *c && *c != ']'; c++) {
				if (*c == '_')
					*c = ':';
			}
		}
	} else {
		memcpy(text, dir, len + 1);
	}
	r = policy_origin_parse(text, origin);
	if (r < 0)
		return r;
	r = policy_origin_to_dir(origin, again);
	if (r < 0)
		return r;
	if (strcmp(again, dir) != 0)
		return -EINVAL;
	memcpy(out, origin, sizeof(origin));
	return 0;
}
