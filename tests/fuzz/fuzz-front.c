/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fronts and chunks from nowhere.
 *
 * Input: flags (1 byte), size (8 bytes, little endian), then the front. No fuzzer finds a SHA-256,
 * so the flags say how much of the way it is helped: REPAIR_TOP makes the digest fit the root
 * block, REPAIR_ALL makes the front itself true, from its lowest level up, in whatever shape its
 * length allows; FLIP then damages one bit of it, which must be noticed.
 */
#include "tests/unit/verify-reference.h"
#include "tests/fuzz/target.h"

enum {
	REPAIR_TOP = 1,
	REPAIR_ALL = 2,
	FLIP = 4,
};

/*
 * What a check of noise has to say. The fuzzer sees what hashes are compared with, and can have put
 * the hash of the noise into a front; that chunk is true, then.
 */
static int expected(uint64_t size, const uint8_t *front, size_t len, uint64_t index,
		    const uint8_t *noise, size_t length)
{
	uint64_t n = chunk_count(size), level = (n + 127) / 128 * 4096;
	uint8_t hash[DIGEST_SIZE];

	if (index >= n)
		return -EINVAL;
	if (n == 1)
		return -EBADMSG; /* the digest is over an empty root */
	reference_chunk(noise, length, hash);
	return memcmp(front + len - level + index * DIGEST_SIZE, hash, DIGEST_SIZE) ? -EBADMSG : 0;
}

/* A tree that was taken must be what was given. */
static void use_tree(struct verify_tree *tree, uint64_t size, const uint8_t *front, size_t len)
{
	static const uint8_t noise[CHUNK_SIZE] = {1, 2, 3};
	const uint64_t n = chunk_count(size);
	const uint64_t indexes[] = {0, 1, n / 2, n - 1, n, size, UINT64_MAX};
	size_t kept;
	const void *copy = verify_tree_front(tree, &kept);

	require(verify_tree_size(tree) == size);
	require(kept == len && (len == 0 || !memcmp(copy, front, len)));
	for (size_t i = 0; i < ARRAY_SIZE(indexes); i++) {
		bool inside = indexes[i] < n;
		size_t length = inside ? chunk_length(size, indexes[i]) : CHUNK_SIZE;

		require(verify_tree_check(tree, indexes[i], noise, length - 1) == -EINVAL);
		/* Large ones are rare: they cost more than all the rest. */
		if (!inside || length <= 16384 || (i == 0 && len == 4096 && front[0] == 0))
			require(verify_tree_check(tree, indexes[i], noise, length) ==
				expected(size, front, len, indexes[i], noise, length));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	_cleanup_free_ uint8_t *front = NULL;
	uint8_t flags, root[DIGEST_SIZE] = {0};
	struct verify_tree *tree = NULL;
	struct digest fsverity;
	uint64_t size = 0;
	int r;

	if (len < 9)
		return 0;
	flags = input[0];
	for (size_t i = 0; i < 8; i++)
		size |= (uint64_t)input[1 + i] << 8 * i;
	input += 9;
	len -= 9;
	require(verify_front_size(size) % 4096 == 0);
	require((verify_front_size(size) == 0) == (size <= CHUNK_SIZE));

	if (flags & REPAIR_ALL && len >= 2 * DIGEST_SIZE) {
		/* The input is the hashes of as many chunks; the size is made to have that many. */
		size_t n = len / DIGEST_SIZE;

		size = (n - 1) * CHUNK_SIZE + 1 + size % CHUNK_SIZE;
		front = reference_front(input, n, &len, root);
		require(len == verify_front_size(size));
	} else {
		flags &= (uint8_t) ~(REPAIR_ALL | FLIP);
		/* Of its own length, so that reading past it is seen. */
		front = malloc(len ? len : 1);
		require(front != NULL);
		memcpy(front, input, len);
		if (flags & REPAIR_TOP && len >= 4096)
			reference_sha256(front, 4096, root);
	}
	fsverity = reference_digest(size, root);
	if (flags & FLIP)
		front[size / 8 % len] ^= (uint8_t)(1 << size % 8);

	r = verify_tree_new(size, &fsverity, front, len, &tree);
	require((r == 0) == (tree != NULL));
	if (size > VERIFY_SIZE_MAX)
		require(r == -EFBIG);
	else if (len != verify_front_size(size))
		require(r == -EMSGSIZE);
	else if (flags & FLIP)
		require(r == -EBADMSG);
	else if (flags & REPAIR_ALL || len == 0)
		require(r == 0);
	else
		require(r == 0 || r == -EBADMSG);
	if (r == 0)
		use_tree(tree, size, front, len);
	verify_tree_free(tree);
	return 0;
}
