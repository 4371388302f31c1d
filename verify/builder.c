/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree from bytes in order, in pieces of any length.
 *
 * Nothing is copied: an unfinished data block lives in the hasher, an unfinished chunk as the
 * hashes of its blocks, and what grows is one hash a chunk, the array that becomes the front.
 *
 * Between two calls: size = (n_chunks * 128 + n_blocks) * 4096 + block_fill, with n_blocks < 128
 * and block_fill < 4096.
 */
#include "verify/merkle.h"

int verify_builder_init(struct verify_builder *builder)
{
	return verify_hasher_new(&builder->hasher);
}

void verify_builder_release(struct verify_builder *builder)
{
	EVP_MD_CTX_free(steal_pointer(builder->hasher));
	free(steal_pointer(builder->chunks));
}

/* The chunk under way is whole, or the last one. */
static int end_chunk(struct verify_builder *builder)
{
	int r;

	if (builder->n_chunks == builder->capacity) {
		size_t wanted = builder->capacity ? 2 * builder->capacity : VERIFY_BLOCK_HASHES;
		struct digest *grown = reallocarray(builder->chunks, wanted, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		builder->chunks = grown;
		builder->capacity = wanted;
	}
	r = verify_hash_block(builder->hasher, builder->level1, builder->n_blocks * DIGEST_SIZE,
			      &builder->chunks[builder->n_chunks]);
	if (r < 0)
		return r;
	builder->n_chunks++;
	builder->n_blocks = 0;
	return 0;
}

/* The data block in the hasher is whole, or padded. */
static int end_block(struct verify_builder *builder)
{
	int r = verify_hash_end(builder->hasher, &builder->level1[builder->n_blocks]);

	if (r < 0)
		return r;
	builder->block_fill = 0;
	if (++builder->n_blocks < VERIFY_BLOCK_HASHES)
		return 0;
	return end_chunk(builder);
}

int verify_builder_add(struct verify_builder *builder, const void *data, size_t len)
{
	const uint8_t *next = data;

	while (len > 0) {
		size_t room = VERIFY_BLOCK_SIZE - builder->block_fill;
		size_t n = len < room ? len : room;
		int r = 0;

		if (builder->block_fill == 0)
			r = verify_hash_begin(builder->hasher);
		if (r == 0)
			r = verify_hash_add(builder->hasher, next, n);
		if (r < 0)
			return r;
		builder->block_fill += n;
		builder->size += n;
		next += n;
		len -= n;
		if (builder->block_fill == VERIFY_BLOCK_SIZE)
			r = end_block(builder);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Turn the hashes of the chunks, two or more, into the front, in place. */
static int make_front(struct verify_builder *builder, struct digest *root)
{
	struct verify_shape shape = verify_shape_of(builder->size);
	struct digest *front =
		reallocarray(builder->chunks, (size_t)shape.n_hashes, sizeof(*front));

	if (!front)
		return -ENOMEM;
	builder->chunks = front;
	memmove(front + shape.levels[0].first, front, builder->n_chunks * sizeof(*front));
	return verify_front_fill(builder->hasher, &shape, front, root);
}

int verify_builder_finish(struct verify_builder *builder, struct digest *root,
			  struct verify_tree **out)
{
	struct digest fsverity;
	int r = 0;

	if (builder->block_fill > 0) {
		r = verify_hash_add_zeros(builder->hasher, VERIFY_BLOCK_SIZE - builder->block_fill);
		if (r == 0)
			r = end_block(builder);
	}
	if (r == 0 && builder->n_blocks > 0)
		r = end_chunk(builder);
	if (r < 0)
		return r;

	memset(root, 0, sizeof(*root)); /* of an empty file */
	if (builder->n_chunks > 1)
		r = make_front(builder, root);
	else if (builder->size > VERIFY_BLOCK_SIZE)
		*root = builder->chunks[0];
	else if (builder->size > 0)
		*root = builder->level1[0]; /* one block: its hash is the root */
	if (r == 0)
		r = verify_hash_descriptor(builder->hasher, builder->size, root, &fsverity);
	if (r == 0)
		r = verify_tree_assemble(builder->size, &fsverity,
					 builder->n_chunks > 1 ? builder->chunks : NULL, out);
	if (r == 0 && builder->n_chunks > 1)
		builder->chunks = NULL; /* the tree's */
	return r;
}
