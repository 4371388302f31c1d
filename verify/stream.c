/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both digests of a stream in one pass.
 *
 * A long piece is hashed from the caller's buffer by two threads at once: the SHA-256 here, the
 * tree on the helper; both have ended when update() returns, so between calls nothing is under way
 * and the stream may be freed at any time. Short pieces would cost more to hand over than they win.
 *
 * States: open → (error) failed, open → finish → ended. Failed and ended streams refuse everything.
 */
#include "verify/merkle.h"

/* Measured: waking a thread and waiting for it costs what hashing 100 KiB does. */
#define HAND_OVER_MIN ((size_t)128 * 1024)

struct verify_stream {
	EVP_MD_CTX *sha256;
	struct verify_builder builder;
	struct verify_helper
		*helper; /* made for the first long piece; NULL until then, or without */
	bool alone;	 /* one processor, or no thread to be had */
	int refusal;	 /* 0 while open */

	/* The piece that the helper hashes. */
	const void *data;
	size_t len;
};

int verify_stream_new(struct verify_stream **out)
{
	struct verify_stream *stream = calloc(1, sizeof(*stream));
	int r;

	if (!stream)
		return -ENOMEM;
	stream->alone = sysconf(_SC_NPROCESSORS_ONLN) <= 1;
	r = verify_builder_init(&stream->builder);
	if (r == 0)
		r = verify_hasher_new(&stream->sha256);
	if (r == 0)
		r = verify_hash_begin(stream->sha256);
	if (r < 0) {
		verify_stream_free(stream);
		return r;
	}
	*out = stream;
	return 0;
}

void verify_stream_free(struct verify_stream *stream)
{
	if (!stream)
		return;
	verify_helper_free(stream->helper);
	verify_builder_release(&stream->builder);
	EVP_MD_CTX_free(stream->sha256);
	free(stream);
}

static bool have_helper(struct verify_stream *stream)
{
	if (!stream->helper && !stream->alone)
		stream->alone = verify_helper_new("verify-tree", &stream->helper) < 0;
	return !stream->alone;
}

static int build_piece(void *arg)
{
	struct verify_stream *stream = arg;

	return verify_builder_add(&stream->builder, stream->data, stream->len);
}

static int hash_piece(struct verify_stream *stream, const void *data, size_t len)
{
	bool share = len >= HAND_OVER_MIN && have_helper(stream);
	int flat, tree;

	stream->data = data;
	stream->len = len;
	if (share)
		verify_helper_start(stream->helper, build_piece, stream);
	flat = verify_hash_add(stream->sha256, data, len);
	tree = share ? verify_helper_wait(stream->helper) : build_piece(stream);
	stream->data = NULL;
	return flat < 0 ? flat : tree;
}

int verify_stream_update(struct verify_stream *stream, const void *data, size_t len)
{
	if (stream->refusal)
		return stream->refusal;
	if (len > VERIFY_SIZE_MAX - stream->builder.size)
		stream->refusal = -EFBIG;
	else if (len > 0)
		stream->refusal = hash_piece(stream, data, len);
	return stream->refusal;
}

int verify_stream_finish(struct verify_stream *stream, struct verify_result *out)
{
	struct verify_result result = {.size = stream->builder.size};
	int r = stream->refusal;

	if (r < 0)
		return r;
	stream->refusal = -EINVAL;
	r = verify_hash_end(stream->sha256, &result.sha256);
	if (r == 0)
		r = verify_builder_finish(&stream->builder, &result.root, &result.tree);
	if (r < 0)
		return r;
	*out = result;
	return 0;
}

struct digest_pair verify_result_digests(const struct verify_result *result)
{
	return (struct digest_pair){
		.has_sha256 = true,
		.sha256 = result->sha256,
		.has_fsverity = true,
		.fsverity = *verify_tree_fsverity(result->tree),
	};
}
