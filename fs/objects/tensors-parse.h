/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parsers of fs/objects/tensors.h. */
#ifndef FS_OBJECTS_TENSORS_PARSE_H
#define FS_OBJECTS_TENSORS_PARSE_H

#include <stdbool.h>
#include "fs/objects/tensors.h"

/*
 * safetensors allows 100 MB, but who claims so much has it fetched. This is enough for TENSORS_MAX
 * tensors with long names, and for the vocabularies in GGUF.
 */
#define HEADER_MAX ((uint64_t)32 << 20)

#define CURSOR_BUFFER 32768

/* Reads a header from its front to its end. */
struct cursor {
	tensors_read *read;
	void *arg;
	uint64_t end;	 /* of what may be read: the header, or HEADER_MAX */
	uint64_t at;	 /* of the next byte */
	uint64_t filled; /* the buffer holds [filled - length, filled) */
	size_t length;
	unsigned char buffer[CURSOR_BUFFER];
};

/* LEN bytes, copied. -EBADMSG when the header ends before. */
int must_check cursor_take(struct cursor *cursor, void *buf, size_t len);
/* One byte, quickly. */
static inline int cursor_byte(struct cursor *cursor, char *c)
{
	uint64_t left = cursor->filled - cursor->at;

	if (cursor->at >= cursor->end || left == 0 || left > cursor->length)
		return cursor_take(cursor, c, 1);
	*c = (char)cursor->buffer[cursor->length - left];
	cursor->at++;
	return 0;
}

/* Passes over LEN bytes, which need not be here. */
int must_check cursor_skip(struct cursor *cursor, uint64_t len);
int must_check cursor_u32(struct cursor *cursor,
			  uint32_t *value); /* little-endian, as both formats */
int must_check cursor_u64(struct cursor *cursor, uint64_t *value);

/* The ranges as they are found, in any order. */
struct tensor_list {
	struct tensor *items;
	size_t n, room;
};

/* 0, -EBADMSG: too many, -ENOMEM. */
int must_check tensor_list_add(struct tensor_list *list, uint64_t begin, uint64_t end);

/*
 * With the cursor at 0. *NEED: how far the header goes, as soon as that is known.
 */
int must_check safetensors_parse(struct cursor *cursor, uint64_t size, struct tensor_list *list,
				 uint64_t *need);
/* Behind the magic. Every `end` is UINT64_MAX: tensors go on to the next one. */
int must_check gguf_parse(struct cursor *cursor, uint64_t size, struct tensor_list *list);

#endif
