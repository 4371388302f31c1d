/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of verify/ share: data to hash, and fs-verity in its plainest words, which the
 * real code is held against where an object would be too large to have (and by the fuzzer).
 */
#ifndef TESTS_UNIT_VERIFY_REFERENCE_H
#define TESTS_UNIT_VERIFY_REFERENCE_H

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "verify/verify.h"

/* What `yes weightfs | head -c LEN` gives: anybody can check a literal with the usual tools. */
static inline void fill_yes(uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t) "weightfs\n"[i % 9];
}

/* xorshift64*: the same bytes on every machine. SEED is not 0. */
static inline uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1d;
}

static inline void fill_random(uint8_t *data, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(next_random(&seed) >> 56);
}

static inline void reference_sha256(const void *data, size_t len, uint8_t out[DIGEST_SIZE])
{
	if (EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) != 1)
		abort();
}

static inline struct digest reference_digest(uint64_t size, const uint8_t root[DIGEST_SIZE])
{
	uint8_t descriptor[256] = {[0] = 1, [1] = 1, [2] = 12};
	struct digest digest;

	for (int i = 0; i < 8; i++)
		descriptor[8 + i] = (uint8_t)(size >> 8 * i);
	memcpy(descriptor + 16, root, DIGEST_SIZE);
	reference_sha256(descriptor, sizeof(descriptor), digest.bytes);
	return digest;
}

/* The hash of the level-1 block over a chunk. */
static inline void reference_chunk(const uint8_t *data, size_t len, uint8_t out[DIGEST_SIZE])
{
	uint8_t level1[4096] = {0};

	for (size_t i = 0; i * 4096 < len; i++) {
		size_t left = len - i * 4096;
		uint8_t block[4096] = {0};

		memcpy(block, data + i * 4096, left < 4096 ? left : 4096);
		reference_sha256(block, 4096, level1 + i * DIGEST_SIZE);
	}
	reference_sha256(level1, 4096, out);
}

/*
 * The front over N > 1 chunk hashes: each level is the hashes of the one below in whole blocks; the
 * last one made comes first. The caller frees it.
 */
static inline uint8_t *reference_front(const uint8_t *hashes, size_t n, size_t *len,
				       uint8_t root[DIGEST_SIZE])
{
	uint8_t *front = NULL, *below = malloc(n * DIGEST_SIZE);
	size_t front_len = 0;

	memcpy(below, hashes, n * DIGEST_SIZE);
	while (n > 1) {
		size_t blocks = (n + 127) / 128, level_len = blocks * 4096;
		uint8_t *grown = calloc(1, level_len + front_len);

		memcpy(grown, below, n * DIGEST_SIZE);
		if (front_len)
			memcpy(grown + level_len, front, front_len);
		free(front);
		free(below);
		front = grown;
		front_len += level_len;

		below = malloc(blocks * DIGEST_SIZE);
		for (size_t i = 0; i < blocks; i++)
			reference_sha256(front + i * 4096, 4096, below + i * DIGEST_SIZE);
		n = blocks;
	}
	memcpy(root, below, DIGEST_SIZE);
	free(below);
	*len = front_len;
	return front;
}

#endif
