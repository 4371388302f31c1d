/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GGUF of version 2 and 3, little-endian:
 *
 *	"GGUF", u32 version, u64 tensors, u64 pairs
 *	pairs × { string key, u32 type, value }
 *	tensors × { string name, u32 n, n × u64 dimension, u32 type, u64 offset }
 *	padding to general.alignment, then the data, where the offsets count from
 *
 * with strings as u64 length and bytes. How long a tensor is depends on its type, of which there are new ones
 * every year; that it goes on to where the next one begins does not.
 */
#include <errno.h>
#include <string.h>
#include "fs/objects/tensors-parse.h"

#define ALIGNMENT	32 /* where the file does not say */
#define ALIGNMENT_MAX	((uint32_t)1 << 20)
#define DIMENSIONS_MAX	8
#define ARRAY_DEPTH_MAX 4
#define ALIGNMENT_KEY	"general.alignment"

enum {
	TYPE_U32 = 4,
	TYPE_STRING = 8,
	TYPE_ARRAY = 9,
	TYPES = 13,
};

/* Bytes of a value; 0: of its own length. */
static const unsigned char widths[TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static int skip_string(struct cursor *cursor)
{
	uint64_t length;
	int r = cursor_u64(cursor, &length);

	return r < 0 ? r : cursor_skip(cursor, length);
}

static int skip_value(struct cursor *cursor, uint32_t type, unsigned int depth);

/* Every element of an array of its own length takes 8 bytes or more, so the header's end is the bound. */
static int skip_array(struct cursor *cursor, unsigned int depth)
{
	uint32_t type;
	uint64_t n;
	int r;

	r = cursor_u32(cursor, &type);
	if (r == 0)
		r = cursor_u64(cursor, &n);
	if (r < 0)
		return r;
	if (type >= TYPES || depth == ARRAY_DEPTH_MAX || n > HEADER_MAX)
		return -EBADMSG;
	if (widths[type])
		return cursor_skip(cursor, n * widths[type]);
	for (uint64_t i = 0; i < n && r == 0; i++)
		r = skip_value(cursor, type, depth + 1);
	return r;
}

static int skip_value(struct cursor *cursor, uint32_t type, unsigned int depth)
{
	if (type >= TYPES)
		return -EBADMSG;
	if (type == TYPE_STRING)
		return skip_string(cursor);
	if (type == TYPE_ARRAY)
		return skip_array(cursor, depth);
	return cursor_skip(cursor, widths[type]);
}

static int skip_pair(struct cursor *cursor, uint32_t *alignment)
{
	char key[sizeof(ALIGNMENT_KEY) - 1];
	bool is_alignment = false;
	uint64_t length;
	uint32_t type;
	int r = cursor_u64(cursor, &length);

	if (r == 0 && length == sizeof(key)) {
		r = cursor_take(cursor, key, sizeof(key));
		is_alignment = r == 0 && memcmp(key, ALIGNMENT_KEY, sizeof(key)) == 0;
	} else if (r == 0) {
		r = cursor_skip(cursor, length);
	}
	if (r == 0)
		r = cursor_u32(cursor, &type);
	if (r < 0)
		return r;
	if (!is_alignment)
		return skip_value(cursor, type, 0);
	return type == TYPE_U32 ? cursor_u32(cursor, alignment) : -EBADMSG;
}

/* Its offset in the data. */
static int take_tensor(struct cursor *cursor, uint64_t *offset)
{
	uint32_t dimensions;
	int r = skip_string(cursor);

	if (r == 0)
		r = cursor_u32(cursor, &dimensions);
	if (r == 0 && dimensions > DIMENSIONS_MAX)
		r = -EBADMSG;
	if (r == 0)
		r = cursor_skip(cursor, dimensions * sizeof(uint64_t) + sizeof(uint32_t));
	return r < 0 ? r : cursor_u64(cursor, offset);
}

/* The list holds offsets in the data: where that begins is known now. */
static int move_to(struct tensor_list *list, uint64_t base, uint64_t size)
{
	if (base > size)
		return -EBADMSG;
	for (size_t i = 0; i < list->n; i++) {
		if (list->items[i].begin >= size - base)
			return -EBADMSG;
		list->items[i].begin += base;
	}
	return 0;
}

int gguf_parse(struct cursor *cursor, uint64_t size, struct tensor_list *list)
{
	uint32_t version, alignment = ALIGNMENT;
	uint64_t tensors, pairs;
	int r;

	r = cursor_u32(cursor, &version);
	if (r == 0)
		r = cursor_u64(cursor, &tensors);
	if (r == 0)
		r = cursor_u64(cursor, &pairs);
	if (r < 0)
		return r;
	if (version < 2 || version > 3 || tensors > TENSORS_MAX)
		return -EBADMSG;
	/* A pair is at least 13 bytes. */
	for (uint64_t i = 0; i < pairs && r == 0; i++)
		r = skip_pair(cursor, &alignment);
	if (r == 0 && (alignment == 0 || alignment % 8 || alignment > ALIGNMENT_MAX))
		r = -EBADMSG;
	for (uint64_t i = 0; i < tensors && r == 0; i++) {
		uint64_t offset = 0;

		r = take_tensor(cursor, &offset);
		if (r == 0 && offset >= size)
			r = -EBADMSG;
		if (r == 0)
			r = tensor_list_add(list, offset, UINT64_MAX);
	}
	if (r < 0)
		return r;
	return move_to(list, (cursor->at + alignment - 1) / alignment * alignment, size);
}
