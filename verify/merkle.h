/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside verify/: hashing with OpenSSL, the shape of a front, trees under construction, and the one
 * helper thread that streams and descriptors share.
 */
#ifndef VERIFY_MERKLE_H
#define VERIFY_MERKLE_H

#include <openssl/evp.h>
#include "verify/verify.h"

#define VERIFY_BLOCK_HASHES (VERIFY_BLOCK_SIZE / DIGEST_SIZE)
/* 2^64 bytes are 2^45 chunks, and each level divides by 2^7. */
#define VERIFY_FRONT_LEVELS 7

_Static_assert(sizeof(struct digest) == DIGEST_SIZE, "a tree block is an array of digests");
_Static_assert(CHUNK_SIZE == VERIFY_BLOCK_HASHES * VERIFY_BLOCK_SIZE, "a chunk is a level-1 block");

/* ---- hash.c: SHA-256 --------------------------------------------------------------------------
 *
 * A hasher is used by one thread at a time and computes one hash at a time. -EIO or -ENOMEM when
 * OpenSSL fails; a new hash may be begun after that.
 */

/* What made a call of OpenSSL fail: -ENOMEM or -EIO. Empties this thread's queue of errors. */
int must_check verify_ssl_error(void);

int must_check verify_hasher_new(EVP_MD_CTX **out);
/* This thread's own, never held over a call out of the folder. Only the first call allocates. */
int must_check verify_hasher_mine(EVP_MD_CTX **out);

int must_check verify_hash_begin(EVP_MD_CTX *hasher);
int must_check verify_hash_add(EVP_MD_CTX *hasher, const void *data, size_t len);
int must_check verify_hash_add_zeros(EVP_MD_CTX *hasher, size_t len); /* up to one block */
int must_check verify_hash_end(EVP_MD_CTX *hasher, struct digest *out);

/* A block of LEN bytes, zeros behind them. */
int must_check verify_hash_block(EVP_MD_CTX *hasher, const void *data, size_t len,
				 struct digest *out);
static inline void verify_cleanup_hasher(EVP_MD_CTX **hasher)
{
	EVP_MD_CTX_free(*hasher);
}

/* ---- descriptor.c ---- */

/* The fs-verity digest: the hash of the descriptor. */
int must_check verify_hash_descriptor(EVP_MD_CTX *hasher, uint64_t size, const struct digest *root,
				      struct digest *out);

/* ---- front.c: the levels of a front ---- */

struct verify_level {
	uint64_t first;	   /* where it begins in the front, counted in hashes */
	uint64_t n_hashes; /* without the zeros that fill its last block */
	uint64_t n_blocks;
};

struct verify_shape {
	unsigned int n_levels;
	/* [0] has the hashes of the level-1 blocks, one a chunk; the last is the root block. */
	struct verify_level levels[VERIFY_FRONT_LEVELS];
	uint64_t n_hashes; /* in the whole front, zeros included */
};

struct verify_shape verify_shape_of(uint64_t size);

/* For shapes of a level or more: does every block fit its parent? -EBADMSG when not. */
int must_check verify_front_check(EVP_MD_CTX *hasher, const struct verify_shape *shape,
				  const struct digest *front, struct digest *root);
/* Fill the levels above [0], which is there, and zero what no hash takes. */
int must_check verify_front_fill(EVP_MD_CTX *hasher, const struct verify_shape *shape,
				 struct digest *front, struct digest *root);

/* ---- tree.c ---- */

/* A tree of parts that were computed here; takes FRONT (may be NULL) over on success. */
int must_check verify_tree_assemble(uint64_t size, const struct digest *fsverity,
				    struct digest *front, struct verify_tree **out);

/* ---- builder.c: a tree from bytes in order ---- */

struct verify_builder {
	EVP_MD_CTX *hasher;
	uint64_t size;				   /* bytes so far; the next three follow from it */
	size_t block_fill;			   /* bytes of the open data block in the hasher */
	size_t n_blocks;			   /* hashes in level1 */
	size_t n_chunks;			   /* hashes in chunks */
	struct digest level1[VERIFY_BLOCK_HASHES]; /* of the chunk under way */
	struct digest *chunks;
	size_t capacity; /* of chunks */
};

/* BUILDER is all zero before; released in any case. */
int must_check verify_builder_init(struct verify_builder *builder);
void verify_builder_release(struct verify_builder *builder);
/* After an error the builder can only be released. */
int must_check verify_builder_add(struct verify_builder *builder, const void *data, size_t len);
int must_check verify_builder_finish(struct verify_builder *builder, struct digest *root,
				     struct verify_tree **out);

/* ---- helper.c: a thread that does one job at a time ---- */

struct verify_helper;

int must_check verify_helper_new(const char *name, struct verify_helper **out);
/* Lets a job under way end first. NULL is allowed. */
void verify_helper_free(struct verify_helper *helper);
/* The job before must have been waited for. ARG is the helper's until then. */
void verify_helper_start(struct verify_helper *helper, int (*run)(void *arg), void *arg);
/* What the last job returned, once; 0 when there is none. */
int must_check verify_helper_wait(struct verify_helper *helper);

#endif
