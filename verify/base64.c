/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648) with one spelling for each value. OpenSSL's decoder skips blanks, and does not mind what the unused bits
 * of the last digit are.
 */
#include "verify/signing.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit_value(char c)
{
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) : -1;
}

int verify_base64_decode(const char *text, size_t len, void *out, size_t size)
{
	uint8_t *bytes = out;
	size_t n_digits = (size * 8 + 5) / 6, done = 0;
	uint32_t bits = 0;
	unsigned int n_bits = 0;

	if (len != VERIFY_BASE64_LENGTH(size))
		return -EINVAL;
	for (size_t i = 0; i < n_digits; i++) {
		int value = digit_value(text[i]);

		if (value < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)value;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			bytes[done++] = (uint8_t)(bits >> n_bits);
		}
	}
	if (bits & ((1U << n_bits) - 1))
		return -EINVAL;
	for (size_t i = n_digits; i < len; i++)
		if (text[i] != '=')
			return -EINVAL;
	return 0;
}

void verify_base64_encode(const void *data, size_t size, char *out)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i += 3) {
		size_t n = size - i < 3 ? size - i : 3;
		uint32_t bits = (uint32_t)bytes[i] << 16;

		if (n > 1)
			bits |= (uint32_t)bytes[i + 1] << 8;
		if (n > 2)
			bits |= bytes[i + 2];
		*out++ = digits[bits >> 18];
		*out++ = digits[bits >> 12 & 63];
		*out++ = n > 1 ? digits[bits >> 6 & 63] : '=';
		*out++ = n > 2 ? digits[bits & 63] : '=';
	}
	*out = '\0';
}
