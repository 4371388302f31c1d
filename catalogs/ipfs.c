/* SPDX-License-Identifier: Apache-2.0 */
#include "catalogs/ipfs.h"

#include <stdio.h>
#include <string.h>

/* Of a URL that is sent: nothing that leaves the folder, or the path. */
static const char *path_refused(const char *path)
{
	for (const char *c = path; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("\\?#", *c))
			return "has a character in its path that has to be percent-encoded";
	for (; *path; path += strcspn(path, "/")) {
		size_t n = strcspn(++path, "/");

		if (n == 0 || (n <= 2 && !strncmp(path, "..", n)))
			return "has an empty component in its path, or one that is \".\" or \"..\"";
	}
	return NULL;
}

int ipfs_name_parse(const char *text, struct ipfs_name *out, char problem[REGISTRY_PROBLEM_SIZE])
{
	struct ipfs_name name;
	const char *refused;
	size_t len;
	int r;

	text += strncmp(text, "//", 2) ? 0 : 2;
	len = strcspn(text, "/");
	name.path = text + len;
	r = registry_cid_parse(text, len, &name.cid, problem);
	if (r < 0)
		return r;
	refused = path_refused(name.path);
	if (refused) {
		snprintf(problem, REGISTRY_PROBLEM_SIZE, "ipfs:%.*s/... %s", (int)len, text, refused);
		return -EINVAL;
	}
	*out = name;
	return 0;
}

bool ipfs_name_equal(const struct ipfs_name *a, const struct ipfs_name *b)
{
	return a->cid.codec == b->cid.codec && digest_equal(&a->cid.digest, &b->cid.digest) &&
	       !strcmp(a->path, b->path);
}

char *ipfs_gateway_url(const char *gateway, const struct ipfs_name *name)
{
	char cid[REGISTRY_CID_TEXT_SIZE], *url;
	size_t len = strlen(gateway);

	while (len > 0 && gateway[len - 1] == '/')
		len--;
	registry_cid_format(&name->cid, cid);
	return asprintf(&url, "%.*s/ipfs/%s%s", (int)len, gateway, cid, name->path) < 0 ? NULL : url;
}
