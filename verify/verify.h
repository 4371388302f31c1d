/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes bytes trustworthy: the fs-verity Merkle tree and the SHA-256 of a whole file.
 *
 * The tree is fs-verity's, bit for bit (linux/Documentation/filesystems/fsverity.rst): SHA-256,
 * 4096-byte blocks, no salt; a short last block is padded with zeros before it is hashed. Level 0 is
 * the data, a level-1 block holds the hashes of 128 data blocks (one chunk), and so on to the one
 * block whose hash is the root hash; data of one block or less has no tree, its hash is the root;
 * the root hash of an empty file is all zero.
 * The fs-verity digest is the SHA-256 of the 256-byte fsverity_descriptor (version 1, hash algorithm 1,
 * log_blocksize 12, no salt, no signature, data_size, root hash).
 *
 * The *front* of a tree is the file that `fsverity digest --out-merkle-tree` writes (root block first)
 * without its last level, the level-1 blocks. It is empty for objects of one chunk or less. A chunk
 * is checked by building its level-1 block from the data and comparing that block's hash with the
 * front, so the front is all that has to be kept or fetched. The height of the tree follows from the
 * size, and the size is part of the descriptor: no inner node can pass for a leaf.
 *
 * A *tree file* is the front with the descriptor behind it: all that has to be known of an object whose
 * fs-verity digest is known, its size included.
 *
 * Everything returns 0 or -errno and sets outputs on success only. Nothing here logs.
 */
#ifndef VERIFY_VERIFY_H
#define VERIFY_VERIFY_H

#include <stddef.h>
#include <stdint.h>
#include "common/chunk.h"
#include "common/cleanup.h"
#include "common/digest.h"

#define VERIFY_BLOCK_SIZE ((size_t)4096)
#define VERIFY_DESCRIPTOR_SIZE ((size_t)256)
/* Larger objects are refused everywhere (-EFBIG): keeps every offset inside a signed 64-bit one. */
#define VERIFY_SIZE_MAX ((uint64_t)1 << 62)

/* Bytes of the front of the tree of an object of SIZE bytes; 0 for one chunk or less. */
uint64_t verify_front_size(uint64_t size);

/* ---- the descriptor ---- */

/* What the fs-verity digest is the hash of: `fsverity digest --out-descriptor` writes the same. */
void verify_descriptor_make(uint64_t size, const struct digest *root,
			    uint8_t out[VERIFY_DESCRIPTOR_SIZE]);
/*
 * The size of the object with the digest FSVERITY, by its DESCRIPTOR (VERIFY_DESCRIPTOR_SIZE bytes). 0, or
 * -EBADMSG: it is not that object's, or of parameters other than those above; -EIO or -ENOMEM when
 * OpenSSL fails. Any thread; one hash of 256 bytes.
 */
int must_check verify_descriptor_check(const void *descriptor, const struct digest *fsverity,
				       uint64_t *size);

/* ---- the tree ---- */

/* A checked front, bound to a size and an fs-verity digest. Immutable: any number of threads. */
struct verify_tree;

/*
 * Check FRONT (LEN bytes, copied) against FSVERITY for an object of SIZE bytes: every block of it,
 * bottom to top. -EMSGSIZE when LEN is not verify_front_size(SIZE), -EBADMSG when a hash does not
 * fit, -EFBIG, -ENOMEM. For one chunk or less there is no front (LEN 0): the tree is then made of
 * size and digest alone, and verify_tree_check() checks the chunk against the digest itself. A wrong
 * SIZE is found here or, for one chunk, there. SIZE 0 is checked here.
 */
int must_check verify_tree_new(uint64_t size, const struct digest *fsverity, const void *front,
			       size_t len, struct verify_tree **out);
void verify_tree_free(struct verify_tree *tree); /* NULL is allowed */

/*
 * Does DATA (LEN = chunk_length()) equal chunk INDEX? 0, -EBADMSG when it does not, -EINVAL for an
 * index or a length that the size does not allow; -EIO or -ENOMEM when OpenSSL fails. Costs one
 * SHA-256 pass; no lock, and no allocation but a thread's first (and OpenSSL 3.0's own: 100 bytes of
 * state for each hash).
 */
int must_check verify_tree_check(const struct verify_tree *tree, uint64_t index, const void *data,
				 size_t len);

uint64_t verify_tree_size(const struct verify_tree *tree);
const struct digest *verify_tree_fsverity(const struct verify_tree *tree);
/* The front as verify_tree_new() takes it; valid as long as the tree. */
const void *verify_tree_front(const struct verify_tree *tree, size_t *len);

/* ---- computing both digests in one pass ---- */

struct verify_result {
	uint64_t size;
	struct digest sha256;
	struct digest root;       /* of the tree, all zero for an empty file */
	struct verify_tree *tree; /* the caller's to free; holds the fs-verity digest */
};

/* Both digests. */
struct digest_pair verify_result_digests(const struct verify_result *result);

/*
 * A stream of bytes of any length. Used by one thread at a time; inside, the tree is hashed on a
 * second thread where the machine has one (SHA-256 of the stream is serial, so two cores are all
 * that pays).
 */
struct verify_stream;

int must_check verify_stream_new(struct verify_stream **out);
void verify_stream_free(struct verify_stream *stream); /* NULL is allowed; also in mid-stream */
/* Any length. -ENOMEM, -EFBIG. DATA may be reused when it returns. */
int must_check verify_stream_update(struct verify_stream *stream, const void *data, size_t len);
/* Ends the stream, which can then only be freed. */
int must_check verify_stream_finish(struct verify_stream *stream, struct verify_result *out);

/*
 * The same over the next bytes of FD to its end (a file at offset 0, or a pipe). When COPY_TO >= 0
 * every byte is also written there, from offset 0. PROGRESS (may be NULL) hears the bytes done so
 * far, about every 8 MiB and at the end, and ends the run by returning other than 0, which is passed
 * on.
 */
typedef int (*verify_progress)(void *arg, uint64_t done);
int must_check verify_fd(int fd, int copy_to, verify_progress progress, void *arg,
			 struct verify_result *out);

#endif
