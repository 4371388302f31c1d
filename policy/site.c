/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is one site: hosts with the same registrable domain, which is one label more than a public suffix
 * (https://publicsuffix.org). Used in decisions: for the ASCII names of canonical origins libpsl
 * walks its built-in list and allocates nothing.
 */
#include "policy/internal.h"

#include <libpsl.h>
#include <string.h>

/* The last label of a canonical host is all digits in an IPv4 address only. */
static bool is_address(const char *host, size_t len)
{
	size_t label = len;

	if (host[0] == '[')
		return true;
	while (label > 0 && host[label - 1] >= '0' && host[label - 1] <= '9')
		label--;
	return label < len && (label == 0 || host[label - 1] == '.');
}

bool policy_host(const char *origin, char out[POLICY_HOST_SIZE])
{
	const char *host = strstr(origin, "://");
	size_t len;

	if (!host)
		return false;
	host += strlen("://");
	len = strcspn(host, ":");
	if (len == 0 || len >= POLICY_HOST_SIZE || is_address(host, len))
		return false;
	memcpy(out, host, len);
	out[len] = '\0';
	return true;
}

const char *policy_registrable(const char *host)
{
	const psl_ctx_t *list = psl_builtin();

	return list ? psl_registrable_domain(list, host) : NULL;
}

bool policy_is_suffix(const char *host)
{
	const psl_ctx_t *list = psl_builtin();

	/* Without a list every name might be one. */
	return !list || psl_is_public_suffix2(list, host, PSL_TYPE_ANY | PSL_TYPE_NO_STAR_RULE);
}
