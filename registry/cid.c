/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multibase, unsigned varints and multihashes, as the CID specification (multiformats) puts them together. Each value has one
 * spelling in a base: no padding, no bits behind the last byte, the shortest varint.
 */
#include "registry/cid.h"

#include <string.h>
#include "registry/internal.h"

#define CID_BYTES_MAX 96 /* more than REGISTRY_CID_TEXT_MAX digits of any base are */
#define SHA2_256      0x12
#define CID_V0_LENGTH 46

static const char base58[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
static const char base32_lower[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char base32_upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char base36_lower[] = "0123456789abcdefghijklmnopqrstuvwxyz";
static const char base36_upper[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

struct bytes {
	uint8_t bytes[CID_BYTES_MAX];
	size_t n;
};

static int digit_of(const char *digits, char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -EINVAL;
}

/* RFC 4648, section 6, without padding. */
static int decode_base32(const char *digits, const char *text, size_t len, struct bytes *out)
{
	unsigned int bits = 0, have = 0;

	out->n = 0;
	for (size_t i = 0; i < len; i++) {
		int digit = digit_of(digits, text[i]);

		if (digit < 0)
			return -EINVAL;
		bits = (bits << 5 | (unsigned int)digit) & 0xfff;
		have += 5;
		if (have >= 8) {
			have -= 8;
			out->bytes[out->n++] = (uint8_t)(bits >> have);
		}
	}
	return have >= 5 || (bits & ((1U << have) - 1)) ? -EINVAL : 0;
}

/* A number; each zero digit in front is a zero byte. */
static int decode_number(const char *digits, const char *text, size_t len, struct bytes *out)
{
	unsigned int radix = (unsigned int)strlen(digits);
	size_t zeros = 0;

	out->n = 0; /* of the number, least significant byte first */
	while (zeros < len && text[zeros] == digits[0])
		zeros++;
	for (size_t i = zeros; i < len; i++) {
		int digit = digit_of(digits, text[i]);
		unsigned int carry = (unsigned int)digit;

		if (digit < 0)
			return -EINVAL;
		for (size_t j = 0; j < out->n || carry; j++) {
			if (j == out->n)
				out->bytes[out->n++] = 0;
			carry += radix * out->bytes[j];
			out->bytes[j] = (uint8_t)carry;
			carry >>= 8;
		}
	}
	if (zeros + out->n > CID_BYTES_MAX)
		return -EINVAL;
	memset(out->bytes + out->n, 0, zeros);
	out->n += zeros;
	for (size_t i = 0; i < out->n / 2; i++) {
		uint8_t byte = out->bytes[i];

		out->bytes[i] = out->bytes[out->n - 1 - i];
		out->bytes[out->n - 1 - i] = byte;
	}
	return 0;
}

static int decode_multibase(const char *text, size_t len, struct bytes *out)
{
	switch (text[0]) {
	case 'b':
		return decode_base32(base32_lower, text + 1, len - 1, out);
	case 'B':
		return decode_base32(base32_upper, text + 1, len - 1, out);
	case 'k':
		return decode_number(base36_lower, text + 1, len - 1, out);
	case 'K':
		return decode_number(base36_upper, text + 1, len - 1, out);
	case 'z':
		return decode_number(base58, text + 1, len - 1, out);
	default:
		return -EINVAL;
	}
}

/* At most 9 bytes, of which the last is not zero. */
static int take_varint(const struct bytes *bytes, size_t *at, uint64_t *out)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < 9 && *at < bytes->n; i++) {
		uint8_t byte = bytes->bytes[(*at)++];

		value |= (uint64_t)(byte & 0x7f) << 7 * i;
		if (byte & 0x80)
			continue;
		if (byte == 0 && i > 0)
			return -EINVAL;
		*out = value;
		return 0;
	}
	return -EINVAL;
}

static int refuse(char problem[REGISTRY_PROBLEM_SIZE], const char *text, size_t len, const char *what)
{
	char shown[REGISTRY_SHOWN_SIZE];

	return registry_refuse(problem, -EINVAL, "\"%s\" %s", registry_shown(text, len, shown),
			       what);
}

static int take_multihash(const struct bytes *bytes, size_t at, struct digest *out)
{
	uint64_t function, size;

	if (take_varint(bytes, &at, &function) < 0 || take_varint(bytes, &at, &size) < 0 ||
	    size != bytes->n - at)
		return -EINVAL;
	if (function != SHA2_256)
		return -ENOTSUP;
	if (size != DIGEST_SIZE)
		return -EINVAL;
	memcpy(out->bytes, bytes->bytes + at, DIGEST_SIZE);
	return 0;
}

/* Version 1: version, codec, multihash. OUT is set where they are understood; -ENOTSUP, -EINVAL. */
static int take_version_1(const struct bytes *bytes, struct registry_cid *out)
{
	uint64_t version, codec;
	size_t at = 0;

	if (take_varint(bytes, &at, &version) < 0 || version != 1 ||
	    take_varint(bytes, &at, &codec) < 0)
		return -EINVAL;
	if (codec != REGISTRY_CID_RAW && codec != REGISTRY_CID_DAG_PB)
		return -ENOTSUP;
	out->codec = codec == REGISTRY_CID_RAW ? REGISTRY_CID_RAW : REGISTRY_CID_DAG_PB;
	return take_multihash(bytes, at, &out->digest);
}

int registry_cid_parse(const char *text, size_t len, struct registry_cid *out,
		       char problem[REGISTRY_PROBLEM_SIZE])
{
	struct registry_cid cid = {.codec = REGISTRY_CID_DAG_PB};
	struct bytes bytes;
	int r;

	if (len < 2 || len > REGISTRY_CID_TEXT_MAX)
		return refuse(problem, text, len, "is no CID: its length");
	if (len == CID_V0_LENGTH && text[0] == 'Q' && text[1] == 'm') {
		r = decode_number(base58, text, len, &bytes);
		r = r < 0 ? r : take_multihash(&bytes, 0, &cid.digest);
	} else {
		r = decode_multibase(text, len, &bytes);
		r = r < 0 ? r : take_version_1(&bytes, &cid);
	}
	if (r == -ENOTSUP)
		return refuse(problem, text, len,
			      "is a CID of neither raw nor dag-pb with SHA-256");
	if (r < 0)
		return refuse(problem, text, len,
			      "is no CID of version 0, or 1 in base32, base36 or base58btc");
	*out = cid;
	return 0;
}

void registry_cid_format(const struct registry_cid *cid, char out[REGISTRY_CID_TEXT_SIZE])
{
	uint8_t bytes[4 + DIGEST_SIZE] = {1, (uint8_t)cid->codec, SHA2_256, DIGEST_SIZE};
	unsigned int bits = 0, have = 0;
	char *at = out;

	memcpy(bytes + 4, cid->digest.bytes, DIGEST_SIZE);
	*at++ = 'b';
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bits = bits << 8 | bytes[i];
		for (have += 8; have >= 5; have -= 5)
			*at++ = base32_lower[bits >> (have - 5) & 31];
	}
	*at++ = base32_lower[bits << (5 - have) & 31];
	*at = '\0';
}
