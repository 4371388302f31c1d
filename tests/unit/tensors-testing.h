/* SPDX-License-Identifier: Apache-2.0 */
/* Files of tensors that are written field by field, and what a parser is expected to make of them. */
#ifndef TENSORS_TESTING_H
#define TENSORS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/chunk.h"
#include "fs/objects/tensors.h"

/* ---- a file that is being written ---- */

struct file {
	unsigned char *data;
	size_t length, room;
	uint64_t size; /* of the whole: the data behind the header is not made */
	uint64_t here; /* bytes of the front that can be read */
	uint64_t furthest;
	size_t reads;
	int error; /* of the read that it is counted down to */
	size_t fail_at;
};

static inline void put(struct file *file, const void *data, size_t len)
{
	if (file->length + len > file->room) {
		file->room = 2 * (file->length + len);
		file->data = realloc(file->data, file->room);
		assert_non_null(file->data);
	}
	memcpy(file->data + file->length, data, len);
	file->length += len;
}

static inline void put_number(struct file *file, uint64_t value, size_t width)
{
	for (size_t i = 0; i < width; i++) {
		unsigned char byte = (unsigned char)(value >> (8 * i));

		put(file, &byte, 1);
	}
}

static inline void put_text(struct file *file, const char *text)
{
	put(file, text, strlen(text));
}

static inline int read_file(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct file *file = arg;

	assert_true(len > 0 && offset + len <= file->size);
	/* One piece never needs two chunks. */
	assert_true(offset / CHUNK_SIZE == (offset + len - 1) / CHUNK_SIZE);
	if (++file->reads == file->fail_at)
		return file->error;
	if (offset + len > file->here)
		return -ENODATA;
	if (offset + len > file->furthest)
		file->furthest = offset + len;
	memset(buf, 0, len);
	if (offset < file->length)
		memcpy(buf, file->data + offset,
		       len < file->length - offset ? len : (size_t)(file->length - offset));
	return 0;
}

static inline int parse(struct file *file, struct tensors **out)
{
	uint64_t need;

	if (file->here == 0)
		file->here = file->size;
	return tensors_parse(file->size, read_file, file, out, &need);
}

static inline void expect_tensors(struct file *file, const struct tensor *wanted, size_t n)
{
	struct tensors *tensors;

	assert_int_equal(parse(file, &tensors), 0);
	assert_int_equal(tensors_count(tensors), n);
	for (size_t i = 0; i < n; i++) {
		assert_true(tensors_at(tensors, i)->begin == wanted[i].begin);
		assert_true(tensors_at(tensors, i)->end == wanted[i].end);
	}
	tensors_free(tensors);
	free(file->data);
}

static inline void expect_none(struct file *file, const char *what)
{
	struct tensors *tensors;
	int r = parse(file, &tensors);

	if (r != -EBADMSG)
		fail_msg("%d: %s", r, what);
	free(file->data);
}

#endif
