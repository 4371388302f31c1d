/* SPDX-License-Identifier: Apache-2.0 */
/* URLs, by libcurl's parser: the same one that connects must be the one that judges. */
#include "fetch/document.h"
#include "fetch/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static void cleanup_url(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void cleanup_part(char **part)
{
	curl_free(*part);
}

#define _cleanup_url_  _cleanup_(cleanup_url)
#define _cleanup_part_ _cleanup_(cleanup_part)

static CURLU *parse(const char *text)
{
	CURLU *url = curl_url();

	if (url && curl_url_set(url, CURLUPART_URL, text, 0)) {
		curl_url_cleanup(url);
		return NULL;
	}
	return url;
}

static bool has(CURLU *url, CURLUPart part)
{
	_cleanup_part_ char *text = NULL;

	return curl_url_get(url, part, &text, 0) == CURLUE_OK;
}

const char *url_refused(const char *text, bool allow_http)
{
	_cleanup_url_ CURLU *url = NULL;
	_cleanup_part_ char *scheme = NULL;

	if (strlen(text) >= FETCH_URL_MAX)
		return "the URL is too long";
	url = parse(text);
	if (!url)
		return "not an absolute URL";
	if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0))
		return "not an absolute URL";
	if (!strcmp(scheme, "http") && !allow_http)
		return "http is not allowed (allow-http = no)";
	if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
		return "the scheme is neither https nor http";
	if (!has(url, CURLUPART_HOST))
		return "the URL has no host";
	if (has(url, CURLUPART_USER) || has(url, CURLUPART_PASSWORD))
		return "the URL has credentials in it (they belong in header-file)";
	return NULL;
}

char *url_resolve(const char *base, const char *location)
{
	_cleanup_url_ CURLU *url = parse(base);
	_cleanup_part_ char *text = NULL;

	/* Setting a relative reference resolves it as RFC 3986 section 5 says. */
	if (!url || !*location || curl_url_set(url, CURLUPART_URL, location, 0) ||
	    curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) ||
	    curl_url_get(url, CURLUPART_URL, &text, 0))
		return NULL;
	return strdup(text);
}

char *url_origin(const char *text)
{
	_cleanup_url_ CURLU *url = parse(text);
	_cleanup_part_ char *scheme = NULL;
	_cleanup_part_ char *host = NULL;
	_cleanup_part_ char *port = NULL;
	char *out;

	if (!url || curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) ||
	    curl_url_get(url, CURLUPART_HOST, &host, 0))
		return NULL;
	(void)curl_url_get(url, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
	if (asprintf(&out, "%s://%s%s%s", scheme, host, port ? ":" : "", port ? port : "") < 0)
		return NULL;
	for (char *p = out; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return out;
}

bool url_same_host(const char *a, const char *b)
{
	static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
	_cleanup_url_ CURLU *first = parse(a);
	_cleanup_url_ CURLU *second = parse(b);

	if (!first || !second)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_part_ char *x = NULL;
		_cleanup_part_ char *y = NULL;

		if (curl_url_get(first, parts[i], &x, CURLU_DEFAULT_PORT) ||
		    curl_url_get(second, parts[i], &y, CURLU_DEFAULT_PORT) || strcasecmp(x, y) != 0)
			return false;
	}
	return true;
}

int fetch_url_resolve(const char *base, const char *reference, char **out)
{
	/* The base itself (RFC 3986, section 4.4); libcurl 7.88 takes it for an empty path. */
	bool same = !*reference || *reference == '#';
	_cleanup_free_ char *resolved = url_resolve(base, same ? base : reference);

	if (!resolved || url_refused(resolved, true))
		return -EINVAL;
	*out = steal_pointer(resolved);
	return 0;
}
