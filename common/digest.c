/* SPDX-License-Identifier: Apache-2.0 */
#include "common/digest.h"

#include <errno.h>

static const char FSVERITY_PREFIX[] = "fsverity-";

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int digest_from_hex(const char hex[64], struct digest *out)
{
	struct digest digest;

	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		int high = nibble(hex[2 * i]);
		int low = high < 0 ? -1 : nibble(hex[2 * i + 1]);

		if (low < 0)
			return -EINVAL;
		digest.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*out = digest;
	return 0;
}

void digest_to_hex(const struct digest *digest, char out[DIGEST_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		out[2 * i] = digits[digest->bytes[i] >> 4];
		out[2 * i + 1] = digits[digest->bytes[i] & 15];
	}
	out[2 * DIGEST_SIZE] = '\0';
}

int digest_name_parse(const char *name, struct digest_name *out)
{
	struct digest_name parsed = { .kind = DIGEST_SHA256 };
	int r;

	if (!strncmp(name, FSVERITY_PREFIX, sizeof(FSVERITY_PREFIX) - 1)) {
		parsed.kind = DIGEST_FSVERITY;
		name += sizeof(FSVERITY_PREFIX) - 1;
	} else if (!strncmp(name, "sha256-", 7) || !strncmp(name, "sha256:", 7)) {
		name += 7;
	}
	if (strlen(name) != 2 * DIGEST_SIZE)
		return -EINVAL;
	r = digest_from_hex(name, &parsed.digest);
	if (r < 0)
		return r;
	*out = parsed;
	return 0;
}

void digest_name_format(const struct digest_name *name, char out[DIGEST_NAME_SIZE])
{
	size_t prefix = 0;

	if (name->kind == DIGEST_FSVERITY) {
		prefix = sizeof(FSVERITY_PREFIX) - 1;
		memcpy(out, FSVERITY_PREFIX, prefix);
	}
	digest_to_hex(&name->digest, out + prefix);
}

struct digest_pair digest_pair_of(const struct digest_name *name)
{
	if (name->kind == DIGEST_SHA256)
		return (struct digest_pair){ .has_sha256 = true, .sha256 = name->digest };
	return (struct digest_pair){ .has_fsverity = true, .fsverity = name->digest };
}

struct digest_name digest_pair_name(const struct digest_pair *pair)
{
	if (pair->has_sha256)
		return (struct digest_name){ DIGEST_SHA256, pair->sha256 };
	return (struct digest_name){ DIGEST_FSVERITY, pair->fsverity };
}
