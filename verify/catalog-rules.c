/* SPDX-License-Identifier: Apache-2.0 */
/* What a catalog may say: names, URLs, dates. */
#include "verify/catalog-internal.h"

#include <string.h>
#include <time.h>
#include "common/name.h"

const char *verify_name_refused(const char *name, size_t len)
{
	return name_refused(name, len);
}

/* Only what is the same for everybody who reads it; whoever fetches it parses it. */
const char *catalog_url_refused(const char *url, size_t len)
{
	static const char *const schemes[] = {"https://", "http://"};
	static const char ipfs[] = "ipfs://";
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t plain;

	if (len == 0)
		return "is empty";
	if (len > VERIFY_URL_MAX)
		return "has more than 2048 bytes";
	for (size_t i = 0; i < len; i++)
		if (url[i] <= ' ' || url[i] > '~' || url[i] == '\\')
			return "has blanks, backslashes or other than ASCII's characters";
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		size_t n = strlen(schemes[i]);

		if (len > n && !memcmp(url, schemes[i], n))
			return url[n] == '/' ? "has no host" : NULL;
	}
	if (len > strlen(ipfs) && !memcmp(url, ipfs, strlen(ipfs)))
		return strspn(url + strlen(ipfs), letters) == strcspn(url + strlen(ipfs), "/") &&
				       url[strlen(ipfs)] != '/' ?
			       NULL :
			       "has no CID behind ipfs://";
	/* A colon in the first segment is the end of a scheme. */
	plain = strcspn(url, ":/?#");
	if (plain < len && url[plain] == ':')
		return "is neither relative nor one of https://, http:// or ipfs://";
	if (len >= 2 && url[0] == '/' && url[1] == '/')
		return "has a host without a scheme";
	return NULL;
}

/* As names of local origins are: it is a name of a directory, and a word in a policy. */
const char *catalog_label_refused(const char *name, size_t len)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

	if (len == 0 || len > 64 || strspn(name, allowed) != len || name[0] < 'a' || name[0] > 'z')
		return "is not a lowercase letter and up to 63 of a-z, 0-9, \".\", \"_\", \"-\"";
	return NULL;
}

const char *verify_label_refused(const char *name)
{
	return catalog_label_refused(name, strlen(name));
}

const char *verify_url_refused(const char *url)
{
	return catalog_url_refused(url, strlen(url));
}

int verify_date_parse(const char *text, size_t len, int64_t *out)
{
	struct tm tm = {0}, again;
	const char *rest;
	char back[32];
	time_t t;

	if (len != strlen("2027-01-01T00:00:00Z"))
		return -EINVAL;
	rest = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (!rest || *rest)
		return -EINVAL;
	/* The thirtieth of February would be some day in March, and strptime() takes blanks. */
	t = timegm(&tm);
	if (!gmtime_r(&t, &again) || !strftime(back, sizeof(back), "%Y-%m-%dT%H:%M:%SZ", &again) ||
	    strcmp(back, text) != 0)
		return -EINVAL;
	*out = t;
	return 0;
}
