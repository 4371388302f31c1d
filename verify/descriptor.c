/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct fsverity_descriptor (linux/Documentation/filesystems/fsverity.rst): version, hash
 * algorithm, log2 of the block size, salt size, 4 reserved bytes, le64 data size, root hash in a
 * field of 64 bytes; salt and the rest, all zero here.
 */
#include "verify/merkle.h"

#define SIZE_AT 8
#define ROOT_AT 16

void verify_descriptor_make(uint64_t size, const struct digest *root,
			    uint8_t out[VERIFY_DESCRIPTOR_SIZE])
{
	static const uint8_t begin[] = {1, 1, 12, 0};

	memset(out, 0, VERIFY_DESCRIPTOR_SIZE);
	memcpy(out, begin, sizeof(begin));
	for (size_t i = 0; i < 8; i++)
		out[SIZE_AT + i] = (uint8_t)(size >> 8 * i);
	memcpy(out + ROOT_AT, root->bytes, DIGEST_SIZE);
}

int verify_hash_descriptor(EVP_MD_CTX *hasher, uint64_t size, const struct digest *root,
			   struct digest *out)
{
	uint8_t descriptor[VERIFY_DESCRIPTOR_SIZE];
	int r = verify_hash_begin(hasher);

	verify_descriptor_make(size, root, descriptor);
	if (r == 0)
		r = verify_hash_add(hasher, descriptor, sizeof(descriptor));
	if (r == 0)
		r = verify_hash_end(hasher, out);
	return r;
}

int verify_descriptor_check(const void *descriptor, const struct digest *fsverity, uint64_t *size)
{
	uint8_t expected[VERIFY_DESCRIPTOR_SIZE];
	const uint8_t *bytes = descriptor;
	struct digest root, digest;
	EVP_MD_CTX *hasher;
	uint64_t found = 0;
	int r;

	for (size_t i = 8; i-- > 0;)
		found = found << 8 | bytes[SIZE_AT + i];
	memcpy(root.bytes, bytes + ROOT_AT, DIGEST_SIZE);
	verify_descriptor_make(found, &root, expected);
	if (found > VERIFY_SIZE_MAX || memcmp(bytes, expected, sizeof(expected)) != 0)
		return -EBADMSG;
	r = verify_hasher_mine(&hasher);
	if (r == 0)
		r = verify_hash_descriptor(hasher, found, &root, &digest);
	if (r < 0)
		return r;
	if (!digest_equal(&digest, fsverity))
		return -EBADMSG;
	*size = found;
	return 0;
}
