/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front of a tree: its levels above level 1, root block first.
 *
 * A front is an array of hashes, and every level begins at a block boundary; so hash N of a level
 * is the hash of block N of the level below (of chunk N, for the lowest), whatever block it stands
 * in.
 */
#include "verify/merkle.h"

struct verify_shape verify_shape_of(uint64_t size)
{
	struct verify_shape shape = {0};
	uint64_t below = chunk_count(size);

	while (below > 1) {
		struct verify_level *level = &shape.levels[shape.n_levels++];

		level->n_hashes = below;
		below = below / VERIFY_BLOCK_HASHES + (below % VERIFY_BLOCK_HASHES != 0);
		level->n_blocks = below;
	}
	for (unsigned int i = shape.n_levels; i-- > 0;) {
		shape.levels[i].first = shape.n_hashes;
		shape.n_hashes += shape.levels[i].n_blocks * VERIFY_BLOCK_HASHES;
	}
	return shape;
}

uint64_t verify_front_size(uint64_t size)
{
	return verify_shape_of(size).n_hashes * DIGEST_SIZE;
}

/* The hashes of one block, as the hash of the block has to be found in its parent. */
static int hash_front_block(EVP_MD_CTX *hasher, const struct digest *level, uint64_t block,
			    struct digest *out)
{
	return verify_hash_block(hasher, level + block * VERIFY_BLOCK_HASHES, VERIFY_BLOCK_SIZE,
				 out);
}

/*
 * fs-verity fills the last block of a level with zeros. A digest that was made over anything else
 * belongs to no file, though each hash fits.
 */
static bool padding_is_zero(const struct verify_level *level, const struct digest *hashes)
{
	static const struct digest zero;

	for (uint64_t i = level->n_hashes; i < level->n_blocks * VERIFY_BLOCK_HASHES; i++)
		if (!digest_equal(&hashes[i], &zero))
			return false;
	return true;
}

static int check_level(EVP_MD_CTX *hasher, const struct verify_level *level,
		       const struct digest *hashes, const struct digest *parents)
{
	if (!padding_is_zero(level, hashes))
		return -EBADMSG;
	for (uint64_t i = 0; i < level->n_blocks; i++) {
		struct digest hash;
		int r = hash_front_block(hasher, hashes, i, &hash);

		if (r < 0)
			return r;
		if (!digest_equal(&hash, &parents[i]))
			return -EBADMSG;
	}
	return 0;
}

int verify_front_check(EVP_MD_CTX *hasher, const struct verify_shape *shape,
		       const struct digest *front, struct digest *root)
{
	const struct verify_level *top = &shape->levels[shape->n_levels - 1];
	int r;

	for (unsigned int i = 0; i + 1 < shape->n_levels; i++) {
		r = check_level(hasher, &shape->levels[i], front + shape->levels[i].first,
				front + shape->levels[i + 1].first);
		if (r < 0)
			return r;
	}
	if (!padding_is_zero(top, front + top->first))
		return -EBADMSG;
	return hash_front_block(hasher, front + top->first, 0, root);
}

static void zero_padding(const struct verify_level *level, struct digest *hashes)
{
	uint64_t end = level->n_blocks * VERIFY_BLOCK_HASHES;

	memset(&hashes[level->n_hashes], 0, (size_t)(end - level->n_hashes) * DIGEST_SIZE);
}

int verify_front_fill(EVP_MD_CTX *hasher, const struct verify_shape *shape, struct digest *front,
		      struct digest *root)
{
	const struct verify_level *level = &shape->levels[0];

	zero_padding(level, front + level->first);
	for (const struct verify_level *above = level + 1; above < shape->levels + shape->n_levels;
	     level = above++) {
		for (uint64_t i = 0; i < level->n_blocks; i++) {
			int r = hash_front_block(hasher, front + level->first, i,
						 &front[above->first + i]);

			if (r < 0)
				return r;
		}
		zero_padding(above, front + above->first);
	}
	return hash_front_block(hasher, front + level->first, 0, root);
}
