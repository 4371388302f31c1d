/* SPDX-License-Identifier: Apache-2.0 */
/* What is named by a content identifier of IPFS, "ipfs://CID[/PATH]", and the gateways that are asked for it over HTTP. */
#ifndef CATALOGS_IPFS_H
#define CATALOGS_IPFS_H

#include <stdbool.h>
#include <string.h>
#include "common/cleanup.h"
#include "registry/cid.h"

#define IPFS_PREFIX "ipfs://"

/* An "ipfs://" URL, or what stands behind "ipfs:" in a spec. */
struct ipfs_name {
	struct registry_cid cid;
	const char *path; /* what is below it, percent-encoded, with the "/" in front; "". In the text that was parsed */
};

static inline bool ipfs_is_url(const char *url)
{
	return !strncmp(url, IPFS_PREFIX, strlen(IPFS_PREFIX));
}

/* TEXT is what is behind "ipfs:", with or without "//". -EINVAL with PROBLEM. */
int must_check ipfs_name_parse(const char *text, struct ipfs_name *out,
			       char problem[REGISTRY_PROBLEM_SIZE]);
/* Do they name the same, however it is written? */
bool ipfs_name_equal(const struct ipfs_name *a, const struct ipfs_name *b);
/* "GATEWAY/ipfs/CID/PATH", to be freed; NULL: no memory. */
char *ipfs_gateway_url(const char *gateway, const struct ipfs_name *name);

#endif
