/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checked tree: nothing in it changes after it was made, so readers need no lock.
 *
 * Invariant: the front hashes up to the root that, with the size, hashes to the fs-verity digest.
 * An object of one chunk or less has no front; there the chunk takes that way itself, every time.
 */
#include "verify/merkle.h"

struct verify_tree {
	uint64_t size;
	struct digest fsverity;
	struct digest *front;	     /* NULL without a front */
	const struct digest *chunks; /* in front: a hash for each chunk */
	size_t front_len;	     /* in bytes */
};

int verify_tree_assemble(uint64_t size, const struct digest *fsverity, struct digest *front,
			 struct verify_tree **out)
{
	struct verify_shape shape = verify_shape_of(size);
	struct verify_tree *tree = malloc(sizeof(*tree));

	if (!tree)
		return -ENOMEM;
	*tree = (struct verify_tree){
		.size = size,
		.fsverity = *fsverity,
		.front = front,
		.chunks = front ? front + shape.levels[0].first : NULL,
		.front_len = (size_t)shape.n_hashes * DIGEST_SIZE,
	};
	*out = tree;
	return 0;
}

/* Does the object of SIZE bytes with that root have the digest FSVERITY? */
static int check_root(EVP_MD_CTX *hasher, uint64_t size, const struct digest *root,
		      const struct digest *fsverity)
{
	struct digest digest;
	int r = verify_hash_descriptor(hasher, size, root, &digest);

	if (r < 0)
		return r;
	return digest_equal(&digest, fsverity) ? 0 : -EBADMSG;
}

int verify_tree_new(uint64_t size, const struct digest *fsverity, const void *front, size_t len,
		    struct verify_tree **out)
{
	struct verify_shape shape = verify_shape_of(size);
	_cleanup_free_ struct digest *copy = NULL;
	struct digest root = {0}; /* of an empty file */
	EVP_MD_CTX *hasher;
	int r;

	if (size > VERIFY_SIZE_MAX)
		return -EFBIG;
	if (len != shape.n_hashes * DIGEST_SIZE)
		return -EMSGSIZE;
	r = verify_hasher_mine(&hasher);
	if (r < 0)
		return r;
	if (len) {
		/* What is checked is the copy: the caller's bytes may be shared memory. */
		copy = malloc(len);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, front, len);
		r = verify_front_check(hasher, &shape, copy, &root);
		if (r < 0)
			return r;
	}
	if (len || size == 0) {
		r = check_root(hasher, size, &root, fsverity);
		if (r < 0)
			return r;
	}
	r = verify_tree_assemble(size, fsverity, copy, out);
	if (r < 0)
		return r;
	copy = NULL; /* the tree's */
	return 0;
}

void verify_tree_free(struct verify_tree *tree)
{
	if (!tree)
		return;
	free(tree->front);
	free(tree);
}

/* The hash of the level-1 block over the data of one chunk. */
static int hash_chunk(EVP_MD_CTX *hasher, const uint8_t *data, size_t len, struct digest *out)
{
	struct digest level1[VERIFY_BLOCK_HASHES];
	size_t n = 0;

	for (size_t done = 0; done < len; n++) {
		size_t block = len - done < VERIFY_BLOCK_SIZE ? len - done : VERIFY_BLOCK_SIZE;
		int r = verify_hash_block(hasher, data + done, block, &level1[n]);

		if (r < 0)
			return r;
		done += block;
	}
	return verify_hash_block(hasher, level1, n * DIGEST_SIZE, out);
}

int verify_tree_check(const struct verify_tree *tree, uint64_t index, const void *data, size_t len)
{
	EVP_MD_CTX *hasher;
	struct digest hash;
	int r;

	if (index >= chunk_count(tree->size) || len != chunk_length(tree->size, index))
		return -EINVAL;
	r = verify_hasher_mine(&hasher);
	if (r < 0)
		return r;
	/* A file of one block has no level 1: the block's hash is the root. */
	if (tree->size <= VERIFY_BLOCK_SIZE)
		r = verify_hash_block(hasher, data, len, &hash);
	else
		r = hash_chunk(hasher, data, len, &hash);
	if (r < 0)
		return r;
	if (!tree->front)
		return check_root(hasher, tree->size, &hash, &tree->fsverity);
	return digest_equal(&hash, &tree->chunks[index]) ? 0 : -EBADMSG;
}

uint64_t verify_tree_size(const struct verify_tree *tree)
{
	return tree->size;
}

const struct digest *verify_tree_fsverity(const struct verify_tree *tree)
{
	return &tree->fsverity;
}

const void *verify_tree_front(const struct verify_tree *tree, size_t *len)
{
	*len = tree->front_len;
	return tree->front;
}
