/* SPDX-License-Identifier: Apache-2.0 */
/*
 * International host names as DNS has them: UTS 46, non-transitional, as browsers do. Before libcurl sees the name,
 * which may or may not have been built to do the same.
 */
#include "policy/internal.h"

#include <idn2.h>
#include <string.h>

static void free_name(uint8_t **name)
{
	idn2_free(*name);
}

/* Full-width forms are mapped to ASCII: what was no `/` before may be one now. */
static bool is_host_name(const char *name)
{
	return name[0] && !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")];
}

int policy_idn(const char *text, char out[POLICY_HOST_SIZE], const char **rest, const char **reason)
{
	_cleanup_free_ char *host = strndup(text, strcspn(text, ":"));
	_cleanup_(free_name) uint8_t *name = NULL;
	int r;

	if (!host)
		return -ENOMEM;
	r = idn2_lookup_u8((const uint8_t *)host, &name, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (r == IDN2_MALLOC)
		return -ENOMEM;
	*reason = NULL;
	if (r == IDN2_TOO_BIG_DOMAIN)
		*reason = "the host is longer than 253 bytes";
	else if (r == IDN2_TOO_BIG_LABEL)
		*reason = "the host has a label longer than 63 bytes";
	else if (r != IDN2_OK)
		*reason = "the host is not a valid international name";
	else if (!is_host_name((char *)name))
		*reason = "the host has a character that no host name has";
	else if (strlen((char *)name) >= POLICY_HOST_SIZE)
		*reason = "the host is longer than 253 bytes";
	if (*reason)
		return -EINVAL;
	strcpy(out, (char *)name);
	*rest = text + strlen(host);
	return 0;
}
