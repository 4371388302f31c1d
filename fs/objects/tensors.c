/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include "common/chunk.h"
#include "fs/objects/tensors-parse.h"

struct tensors {
	size_t n;
	struct tensor items[]; /* sorted, none overlaps another */
};

/* ---- the cursor ---- */

/* The buffer holds the byte at `at`, and as much behind it as is here. */
static int fill(struct cursor *cursor)
{
	uint64_t left = cursor->end - cursor->at;
	/* Never across a chunk: what is here is here by chunks. */
	uint64_t in_chunk = CHUNK_SIZE - cursor->at % CHUNK_SIZE;
	size_t length = CURSOR_BUFFER;
	int r;

	if (left < length)
		length = (size_t)left;
	if (in_chunk < length)
		length = (size_t)in_chunk;
	r = cursor->read(cursor->arg, cursor->at, cursor->buffer, length);
	if (r < 0)
		return r;
	cursor->length = length;
	cursor->filled = cursor->at + length;
	return 0;
}

int cursor_take(struct cursor *cursor, void *buf, size_t len)
{
	char *to = buf;

	/* The buffer may hold more than the header. */
	if (len > cursor->end - cursor->at)
		return -EBADMSG;
	while (len > 0) {
		uint64_t have;
		int r = 0;

		if (cursor->at >= cursor->filled || cursor->at + cursor->length < cursor->filled)
			r = fill(cursor);
		if (r < 0)
			return r;
		have = cursor->filled - cursor->at;
		if (have > len)
			have = len;
		memcpy(to, cursor->buffer + (cursor->length - (cursor->filled - cursor->at)),
		       (size_t)have);
		cursor->at += have;
		to += have;
		len -= (size_t)have;
	}
	return 0;
}

int cursor_skip(struct cursor *cursor, uint64_t len)
{
	if (len > cursor->end - cursor->at)
		return -EBADMSG;
	cursor->at += len;
	return 0;
}

int cursor_u32(struct cursor *cursor, uint32_t *value)
{
	unsigned char bytes[4];
	int r = cursor_take(cursor, bytes, sizeof(bytes));

	if (r < 0)
		return r;
	*value = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
		 (uint32_t)bytes[3] << 24;
	return 0;
}

int cursor_u64(struct cursor *cursor, uint64_t *value)
{
	uint32_t low = 0, high = 0;
	int r = cursor_u32(cursor, &low);

	if (r == 0)
		r = cursor_u32(cursor, &high);
	if (r == 0)
		*value = low | (uint64_t)high << 32;
	return r;
}

/* ---- the list ---- */

int tensor_list_add(struct tensor_list *list, uint64_t begin, uint64_t end)
{
	if (begin == end)
		return 0;
	if (begin > end || list->n == TENSORS_MAX)
		return -EBADMSG;
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 256;
		struct tensor *items = realloc(list->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		list->items = items;
		list->room = room;
	}
	list->items[list->n++] = (struct tensor){begin, end};
	return 0;
}

static int by_begin(const void *a, const void *b)
{
	const struct tensor *x = a, *y = b;

	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Sort, let those without an end go on to the next, and refuse what does not fit into SIZE bytes. */
static int make(struct tensor_list *list, uint64_t size, struct tensors **out)
{
	struct tensors *tensors;

	if (list->n == 0)
		return -EBADMSG;
	qsort(list->items, list->n, sizeof(list->items[0]), by_begin);
	for (size_t i = 0; i < list->n; i++) {
		struct tensor *item = &list->items[i];
		uint64_t next = i + 1 < list->n ? item[1].begin : size;

		if (item->end == UINT64_MAX)
			item->end = next;
		/* Also what begins where another does: empty, or overlapping. */
		if (item->end > next || item->begin >= item->end)
			return -EBADMSG;
	}
	tensors = malloc(sizeof(*tensors) + list->n * sizeof(tensors->items[0]));
	if (!tensors)
		return -ENOMEM;
	tensors->n = list->n;
	memcpy(tensors->items, list->items, list->n * sizeof(tensors->items[0]));
	*out = tensors;
	return 0;
}

static int parse(struct cursor *cursor, uint64_t size, struct tensor_list *list, uint64_t *need)
{
	unsigned char magic[8];
	int r = cursor_take(cursor, magic, sizeof(magic));

	if (r < 0)
		return r;
	/* As a length of a safetensors header, "GGUF" and a version would be far above the limit. */
	if (memcmp(magic, "GGUF", 4) != 0) {
		cursor->at = 0;
		return safetensors_parse(cursor, size, list, need);
	}
	cursor->at = 4;
	return gguf_parse(cursor, size, list);
}

int tensors_parse(uint64_t size, tensors_read *read, void *arg, struct tensors **out,
		  uint64_t *need)
{
	struct cursor *cursor = calloc(1, sizeof(*cursor));
	struct tensor_list list = {0};
	uint64_t length = 0;
	int r;

	if (!cursor)
		return -ENOMEM;
	cursor->read = read;
	cursor->arg = arg;
	cursor->end = size < HEADER_MAX ? size : HEADER_MAX;
	r = parse(cursor, size, &list, &length);
	if (r == 0)
		r = make(&list, size, out);
	if (r == -ENODATA) {
		/* Half as much again as it went so far, and a chunk: few attempts, little for nothing. */
		if (length == 0)
			length = cursor->at + cursor->at / 2 + CHUNK_SIZE;
		*need = length < size ? length : size;
	}
	free(list.items);
	free(cursor);
	return r;
}

void tensors_free(struct tensors *tensors)
{
	free(tensors);
}

/* ---- looking up ---- */

size_t tensors_count(const struct tensors *tensors)
{
	return tensors->n;
}

const struct tensor *tensors_at(const struct tensors *tensors, size_t index)
{
	return &tensors->items[index];
}

/* How many begin before OFFSET. */
static size_t before(const struct tensors *tensors, uint64_t offset)
{
	size_t low = 0, high = tensors->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tensors->items[middle].begin < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct tensor *tensors_find(const struct tensors *tensors, uint64_t offset)
{
	size_t n = offset == UINT64_MAX ? tensors->n : before(tensors, offset + 1);

	if (n == 0 || tensors->items[n - 1].end <= offset)
		return NULL;
	return &tensors->items[n - 1];
}

const struct tensor *tensors_beginning(const struct tensors *tensors, uint64_t from, uint64_t to)
{
	size_t n = before(tensors, to);

	if (n == 0 || tensors->items[n - 1].begin < from)
		return NULL;
	return &tensors->items[n - 1];
}
