/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors: the header's length (8 bytes, little-endian), then a JSON object of that length, padded with
 * spaces: {"name": {"dtype": …, "shape": […], "data_offsets": [begin, end]}, …, "__metadata__": {…}}.
 * Offsets count from the end of the header.
 *
 * A header may be of many MB, and as a JSON document in memory many times that. So it is cut into its
 * members here, byte by byte, and jansson parses one value at a time.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include "fs/objects/tensors-parse.h"

#define VALUE_MAX 4096 /* a tensor's value is about 100 bytes */

struct text {
	struct cursor *cursor;
	char value[VALUE_MAX];
	size_t length; /* of value; above VALUE_MAX: it did not fit */
};

static int next_byte(struct text *text, char *c)
{
	return cursor_byte(text->cursor, c);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The first byte that is not white space. */
static int next_token(struct text *text, char *c)
{
	int r;

	do {
		r = next_byte(text, c);
	} while (r == 0 && is_space(*c));
	return r;
}

static int expect(struct text *text, char wanted)
{
	char c;
	int r = next_token(text, &c);

	return r < 0 ? r : c == wanted ? 0 : -EBADMSG;
}

static void keep(struct text *text, char c)
{
	if (text->length < VALUE_MAX)
		text->value[text->length] = c;
	if (text->length <= VALUE_MAX)
		text->length++;
}

/* Behind the opening quote. It is kept as it stands, escapes and all, with the closing quote. */
static int take_string(struct text *text)
{
	bool escaped = false;

	for (;;) {
		char c;
		int r = next_byte(text, &c);

		if (r < 0)
			return r;
		keep(text, c);
		if (c == '"' && !escaped)
			return 0;
		escaped = c == '\\' && !escaped;
	}
}

/* An object with all that is in it: brackets are counted, jansson sees to the rest. */
static int take_object(struct text *text)
{
	uint64_t depth = 1;
	int r;

	text->length = 0;
	r = expect(text, '{');
	keep(text, '{');
	while (r == 0 && depth > 0) {
		char c;

		r = next_byte(text, &c);
		if (r < 0)
			break;
		keep(text, c);
		if (c == '"')
			r = take_string(text);
		else if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
	}
	return r;
}

/* The value that was taken is a tensor's. */
static int add(const struct text *text, uint64_t base, uint64_t size, struct tensor_list *list)
{
	json_int_t begin, end;
	json_t *value;
	int r = -EBADMSG;

	if (text->length > VALUE_MAX)
		return -EBADMSG;
	value = json_loadb(text->value, text->length, JSON_REJECT_DUPLICATES, NULL);
	if (!value)
		return -EBADMSG;
	if (json_unpack(value, "{s:[II!]}", "data_offsets", &begin, &end) == 0 && begin >= 0 &&
	    begin <= end && (uint64_t)end <= size - base)
		r = tensor_list_add(list, base + (uint64_t)begin, base + (uint64_t)end);
	json_decref(value);
	return r;
}

/* "name": {…} behind the opening quote. */
static int take_member(struct text *text, uint64_t base, uint64_t size, struct tensor_list *list)
{
	static const char metadata[] = "__metadata__\"";
	bool is_tensor;
	int r;

	text->length = 0;
	r = take_string(text);
	if (r < 0)
		return r;
	is_tensor = text->length != sizeof(metadata) - 1 ||
		    memcmp(text->value, metadata, sizeof(metadata) - 1) != 0;
	r = expect(text, ':');
	if (r == 0)
		r = take_object(text);
	if (r == 0 && is_tensor)
		r = add(text, base, size, list);
	return r;
}

static int take_members(struct text *text, uint64_t base, uint64_t size, struct tensor_list *list)
{
	char c = ',';
	int r = expect(text, '{');

	while (r == 0 && c == ',') {
		r = expect(text, '"');
		if (r == 0)
			r = take_member(text, base, size, list);
		if (r == 0)
			r = next_token(text, &c);
	}
	return r < 0 ? r : c == '}' ? 0 : -EBADMSG;
}

int safetensors_parse(struct cursor *cursor, uint64_t size, struct tensor_list *list,
		      uint64_t *need)
{
	struct text *text;
	uint64_t length;
	int r;

	r = cursor_u64(cursor, &length);
	if (r < 0)
		return r;
	if (length < 2 || length > HEADER_MAX - 8 || length > size - 8)
		return -EBADMSG;
	cursor->end = *need = 8 + length;
	text = malloc(sizeof(*text));
	if (!text)
		return -ENOMEM;
	text->cursor = cursor;
	r = take_members(text, cursor->end, size, list);
	free(text);
	return r;
}
