/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/json.h"

#include <string.h>
#include "common/utf8.h"

struct verify_json verify_json_of(char *text, size_t len)
{
	return (struct verify_json){.at = text, .end = text + len};
}

static int fail(struct verify_json *json, const char *what)
{
	json->what = what;
	return -EINVAL;
}

/* The next character that is no blank; NUL at the end, which no text has elsewhere outside of strings. */
static char peek(struct verify_json *json)
{
	while (json->at < json->end &&
	       (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r'))
		json->at++;
	return json->at < json->end ? *json->at : '\0';
}

static int expect(struct verify_json *json, char c, const char *what)
{
	if (peek(json) != c)
		return fail(json, what);
	json->at++;
	return 0;
}

int verify_json_end(struct verify_json *json)
{
	peek(json);
	return json->at == json->end ? 0 : fail(json, "something follows the object");
}

/* ---- strings ---- */

static int hex4(const char *text, const char *end, uint32_t *out)
{
	uint32_t value = 0;

	if (end - text < 4)
		return -EINVAL;
	for (int i = 0; i < 4; i++) {
		char c = text[i], lower = (char)(c | 0x20);

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if (lower >= 'a' && lower <= 'f')
			value = value << 4 | (uint32_t)(lower - 'a' + 10);
		else
			return -EINVAL;
	}
	*out = value;
	return 0;
}

static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* \uXXXX at *FROM, or two that are a surrogate pair. What comes out is never longer. */
static int unicode_escape(struct verify_json *json, char **from, char **to)
{
	uint32_t high, low;

	if (hex4(*from + 2, json->end, &high) < 0)
		return fail(json, "bad \\u escape");
	*from += 6;
	if (high == 0)
		return fail(json, "NUL in a string");
	if (high >= 0xd800 && high <= 0xdfff) {
		if (high > 0xdbff || json->end - *from < 6 || (*from)[0] != '\\' ||
		    (*from)[1] != 'u' || hex4(*from + 2, json->end, &low) < 0 || low < 0xdc00 ||
		    low > 0xdfff)
			return fail(json, "half a surrogate pair");
		*from += 6;
		high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
	}
	*to = put_utf8(*to, high);
	return 0;
}

static int escape(struct verify_json *json, char **from, char **to)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *name;

	if (json->end - *from < 2)
		return fail(json, "a string without end");
	if ((*from)[1] == 'u')
		return unicode_escape(json, from, to);
	name = (*from)[1] ? strchr(names, (*from)[1]) : NULL;
	if (!name)
		return fail(json, "bad escape in a string");
	*(*to)++ = values[name - names];
	*from += 2;
	return 0;
}

int verify_json_string(struct verify_json *json, const char **string, size_t *len)
{
	char *from, *to, *begin;
	int r = expect(json, '"', "a string is expected");

	if (r < 0)
		return r;
	begin = from = to = json->at;
	while (from < json->end && *from != '"') {
		size_t n;

		json->at = from; /* where it is wrong, if so */
		if (*from == '\\') {
			r = escape(json, &from, &to);
			if (r < 0)
				return r;
			continue;
		}
		if ((unsigned char)*from < 0x20)
			return fail(json, "a control character in a string");
		n = (unsigned char)*from < 0x80 ? 1 : utf8_length(from, (size_t)(json->end - from));
		if (n == 0)
			return fail(json, "not UTF-8");
		while (n-- > 0)
			*to++ = *from++;
	}
	if (from >= json->end)
		return fail(json, "a string without end");
	*to = '\0'; /* at most where the closing quote is */
	json->at = from + 1;
	*string = begin;
	*len = (size_t)(to - begin);
	return 0;
}

/* ---- numbers and words ---- */

static bool is_digit(const struct verify_json *json)
{
	return json->at < json->end && *json->at >= '0' && *json->at <= '9';
}

static int digits(struct verify_json *json)
{
	if (!is_digit(json))
		return fail(json, "bad number");
	while (is_digit(json))
		json->at++;
	return 0;
}

/* Steps over a number. INTEGER: it has neither fraction nor exponent. */
static int number(struct verify_json *json, bool *integer)
{
	int r;

	*integer = true;
	json->at += *json->at == '-';
	if (json->at < json->end && *json->at == '0') {
		json->at++;
		r = is_digit(json) ? fail(json, "bad number") : 0;
	} else {
		r = digits(json);
	}
	if (r == 0 && json->at < json->end && *json->at == '.') {
		*integer = false;
		json->at++;
		r = digits(json);
	}
	if (r == 0 && json->at < json->end && (*json->at | 0x20) == 'e') {
		*integer = false;
		json->at++;
		json->at += json->at < json->end && (*json->at == '+' || *json->at == '-');
		r = digits(json);
	}
	return r;
}

int verify_json_integer(struct verify_json *json, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;
	const char *begin;
	bool integer;
	char c = peek(json);

	if (c != '-' && (c < '0' || c > '9'))
		return fail(json, "a number is expected");
	begin = json->at;
	if (number(json, &integer) < 0)
		return -EINVAL;
	if (!integer)
		return fail(json, "an integer is expected");
	begin += c == '-';
	for (; begin < json->at; begin++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*begin - '0'), &value))
			return fail(json, "the number is too large");
	if (c == '-' && value != 0)
		return fail(json, "the number is negative");
	if (value > max)
		return fail(json, "the number is too large");
	*out = value;
	return 0;
}

static int word(struct verify_json *json)
{
	static const char *const words[] = {"true", "false", "null"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(json->end - json->at) >= n && !memcmp(json->at, words[i], n)) {
			json->at += n;
			return 0;
		}
	}
	return fail(json, "a value is expected");
}

/* ---- objects and arrays ---- */

int verify_json_object(struct verify_json *json)
{
	json->first = true;
	return expect(json, '{', "an object is expected");
}

int verify_json_array(struct verify_json *json)
{
	json->first = true;
	return expect(json, '[', "an array is expected");
}

/* 1: another member follows; 0: CLOSE was taken. */
static int member(struct verify_json *json, char close, const char *what)
{
	bool first = json->first;

	json->first = false;
	if (peek(json) == close) {
		json->at++;
		return 0;
	}
	if (!first && expect(json, ',', what) < 0)
		return -EINVAL;
	return 1;
}

int verify_json_key(struct verify_json *json, const char **key, size_t *len)
{
	int r = member(json, '}', "\",\" or \"}\" is expected");

	if (r <= 0)
		return r;
	r = verify_json_string(json, key, len);
	if (r == 0)
		r = expect(json, ':', "\":\" is expected");
	return r < 0 ? r : 1;
}

int verify_json_element(struct verify_json *json)
{
	return member(json, ']', "\",\" or \"]\" is expected");
}

/* A value that is neither object nor array. */
static int skip_scalar(struct verify_json *json)
{
	const char *string;
	size_t len;
	bool integer;
	char c = peek(json);

	if (c == '"')
		return verify_json_string(json, &string, &len);
	if (c == '-' || (c >= '0' && c <= '9'))
		return number(json, &integer);
	return word(json);
}

/* Without recursion: the depth of what is open is bounded by OPEN. */
int verify_json_skip(struct verify_json *json)
{
	char open[VERIFY_JSON_DEPTH];
	unsigned int depth = 0;
	const char *key;
	size_t len;
	int r;

	do {
		char c = peek(json);

		if ((c == '{' || c == '[') && depth == VERIFY_JSON_DEPTH)
			return fail(json, "too many objects within objects");
		if (c == '{' || c == '[') {
			open[depth++] = c;
			json->first = true;
			json->at++;
		} else if (skip_scalar(json) < 0) {
			return -EINVAL;
		}
		/* What ends here, to the next value or out of everything. */
		for (r = 0; r == 0 && depth > 0;) {
			r = open[depth - 1] == '{' ? verify_json_key(json, &key, &len)
						   : verify_json_element(json);
			if (r < 0)
				return r;
			depth -= r == 0;
		}
	} while (depth > 0);
	json->first = false;
	return 0;
}
