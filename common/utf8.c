/* SPDX-License-Identifier: Apache-2.0 */
#include "common/utf8.h"

#include <stdint.h>

/* The code point at TEXT, and its length; 0 if there is none. */
static size_t decode(const char *text, size_t len, uint32_t *out)
{
	/* By the number of leading ones: what the first byte holds, and the least that needs so many bytes. */
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const uint8_t *bytes = (const uint8_t *)text;
	uint32_t value;
	size_t n;

	if (len == 0)
		return 0;
	if (bytes[0] < 0x80) {
		*out = bytes[0];
		return 1;
	}
	n = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
	if (bytes[0] < 0xc0 || bytes[0] >= 0xf8 || n > len)
		return 0;
	value = bytes[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (bytes[i] & 0x3f);
	}
	if (value < least[n] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*out = value;
	return n;
}

size_t utf8_length(const char *text, size_t len)
{
	uint32_t value;

	return decode(text, len, &value);
}

bool utf8_is_plain(const char *text, size_t len)
{
	while (len > 0) {
		uint32_t value;
		size_t n = decode(text, len, &value);

		if (n == 0 || value < 0x20 || (value >= 0x7f && value <= 0x9f))
			return false;
		text += n;
		len -= n;
	}
	return true;
}

void utf8_make_printable(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
		else if (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
			c[0] = c[1] = '?';
	}
}
