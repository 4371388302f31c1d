/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests and the names made of them.
 *
 * An object is named by the SHA-256 of the whole file, `<64 lowercase hex>` (aliases `sha256-<hex>`,
 * `sha256:<hex>`), or by its fs-verity digest, `fsverity-<64 hex>`.
 * All functions are pure: any thread, no allocation.
 */
#ifndef COMMON_DIGEST_H
#define COMMON_DIGEST_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "common/cleanup.h"

#define DIGEST_SIZE      32
#define DIGEST_HEX_SIZE  65 /* 64 digits and NUL */
#define DIGEST_NAME_SIZE 74 /* "fsverity-", 64 digits and NUL */

struct digest {
	uint8_t bytes[DIGEST_SIZE];
};

enum digest_kind {
	DIGEST_SHA256,
	DIGEST_FSVERITY,
};

/* A digest and what it is a digest of: what a name in hash/ says. */
struct digest_name {
	enum digest_kind kind;
	struct digest digest;
};

/*
 * What is known of an object's identity: either digest, or both. Set flags say which; a digest whose
 * flag is clear is all zero.
 */
struct digest_pair {
	bool has_sha256, has_fsverity;
	struct digest sha256, fsverity;
};

static inline bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}

/* By kind, then by the bytes: less than, equal to, or greater than 0. */
static inline int digest_name_compare(const struct digest_name *a, const struct digest_name *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return memcmp(a->digest.bytes, b->digest.bytes, DIGEST_SIZE);
}

/* Exactly 64 lowercase hex digits, no NUL needed behind them. Returns 0 or -EINVAL. */
int must_check digest_from_hex(const char hex[64], struct digest *out);
void digest_to_hex(const struct digest *digest, char out[DIGEST_HEX_SIZE]);

/* A whole name, canonical or alias. Returns 0 or -EINVAL. */
int must_check digest_name_parse(const char *name, struct digest_name *out);
/* The canonical spelling. */
void digest_name_format(const struct digest_name *name, char out[DIGEST_NAME_SIZE]);

/* The pair in which only NAME is known; and the canonical name of a pair: the SHA-256 if known. */
struct digest_pair digest_pair_of(const struct digest_name *name);
struct digest_name digest_pair_name(const struct digest_pair *pair);

#endif
