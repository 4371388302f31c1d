/* SPDX-License-Identifier: Apache-2.0 */
#include "store/schema.h"

#include <assert.h>
#include <endian.h>

/* Larger than any object may be: keeps offsets inside a signed 64-bit integer. */
#define SIZE_MAX_EVER ((uint64_t)1 << 62)

enum record_flag {
	FLAG_COMPLETE = 1,
	FLAG_FILE = 2,
	FLAG_SHA256 = 4,
	FLAG_FSVERITY = 8,
	FLAG_PINNED = 16,
	FLAG_DOUBTFUL = 32,
	FLAG_LACKS_FRONT = 64,
	FLAGS_ALL = 127,
};

enum more_flag {
	MORE_TOLD = 1,
	MORE_GATED = 2,
	MORE_CLAIMED = 4,
	MORE_ALL = 7,
};

static void append(struct schema_key *key, const void *bytes, size_t len)
{
	assert(len <= sizeof(key->bytes) - key->len);
	memcpy(key->bytes + key->len, bytes, len);
	key->len += len;
}

struct schema_key schema_key(enum schema_type type)
{
	struct schema_key key;

	key.len = 1;
	key.bytes[0] = (uint8_t)type;
	return key;
}

struct schema_key schema_key_id(enum schema_type type, uint64_t id)
{
	struct schema_key key = schema_key(type);

	schema_key_u64(&key, id);
	return key;
}

struct schema_key schema_key_digest(enum schema_type type, const struct digest_name *name)
{
	struct schema_key key = schema_key(type);

	schema_key_name(&key, name);
	return key;
}

void schema_key_name(struct schema_key *key, const struct digest_name *name)
{
	schema_key_u8(key, (uint8_t)name->kind);
	append(key, name->digest.bytes, DIGEST_SIZE);
}

void schema_key_u8(struct schema_key *key, uint8_t value)
{
	append(key, &value, sizeof(value));
}

void schema_key_u32(struct schema_key *key, uint32_t value)
{
	uint32_t big = htobe32(value);

	append(key, &big, sizeof(big));
}

void schema_key_u64(struct schema_key *key, uint64_t value)
{
	uint64_t big = htobe64(value);

	append(key, &big, sizeof(big));
}

int schema_key_text(struct schema_key *key, const char *text)
{
	size_t len = strlen(text);

	if (len > STORE_ORIGIN_MAX)
		return -ENAMETOOLONG;
	append(key, text, len);
	return 0;
}

void schema_key_after(const struct schema_key *prefix, size_t len, struct schema_key *out)
{
	memcpy(out->bytes, prefix->bytes, len);
	out->len = len;
	while (out->len > 1 && out->bytes[out->len - 1] == 0xff)
		out->len--;
	out->bytes[out->len - 1]++;
}

uint32_t schema_get_u32(const uint8_t bytes[4])
{
	uint32_t big;

	memcpy(&big, bytes, sizeof(big));
	return be32toh(big);
}

uint64_t schema_get_u64(const uint8_t bytes[8])
{
	uint64_t big;

	memcpy(&big, bytes, sizeof(big));
	return be64toh(big);
}

void schema_put_u32(uint8_t bytes[4], uint32_t value)
{
	value = htobe32(value);
	memcpy(bytes, &value, sizeof(value));
}

void schema_put_u64(uint8_t bytes[8], uint64_t value)
{
	value = htobe64(value);
	memcpy(bytes, &value, sizeof(value));
}

void schema_put_record(uint8_t bytes[SCHEMA_RECORD_SIZE], const struct record *record)
{
	const struct digest_pair *digests = &record->digests;

	bytes[0] = SCHEMA_VALUE_VERSION;
	bytes[1] =
		(uint8_t)((record->complete ? FLAG_COMPLETE : 0) | (record->file ? FLAG_FILE : 0) |
			  (digests->has_sha256 ? FLAG_SHA256 : 0) |
			  (digests->has_fsverity ? FLAG_FSVERITY : 0) |
			  (record->pinned ? FLAG_PINNED : 0) |
			  (record->doubtful ? FLAG_DOUBTFUL : 0) |
			  (record->lacks_front ? FLAG_LACKS_FRONT : 0));
	bytes[2] = (uint8_t)record->name;
	bytes[3] = (uint8_t)((record->told ? MORE_TOLD : 0) | (record->gated ? MORE_GATED : 0) |
			     (record->claimed ? MORE_CLAIMED : 0));
	schema_put_u64(bytes + 4, record->size);
	memcpy(bytes + 12, digests->sha256.bytes, DIGEST_SIZE);
	memcpy(bytes + 12 + DIGEST_SIZE, digests->fsverity.bytes, DIGEST_SIZE);
}

int schema_get_record(const void *value, size_t len, struct record *out)
{
	const uint8_t *bytes = value;
	struct record record = {.size = 0};

	if (len != SCHEMA_RECORD_SIZE || bytes[0] != SCHEMA_VALUE_VERSION ||
	    (bytes[1] & ~FLAGS_ALL) || bytes[2] > DIGEST_FSVERITY || (bytes[3] & ~MORE_ALL))
		return -EIO;
	record.complete = bytes[1] & FLAG_COMPLETE;
	record.file = bytes[1] & FLAG_FILE;
	record.pinned = bytes[1] & FLAG_PINNED;
	record.doubtful = bytes[1] & FLAG_DOUBTFUL;
	record.lacks_front = bytes[1] & FLAG_LACKS_FRONT;
	record.told = bytes[3] & MORE_TOLD;
	record.gated = bytes[3] & MORE_GATED;
	record.claimed = bytes[3] & MORE_CLAIMED;
	record.name = bytes[2];
	record.size = schema_get_u64(bytes + 4);
	record.digests.has_sha256 = bytes[1] & FLAG_SHA256;
	record.digests.has_fsverity = bytes[1] & FLAG_FSVERITY;
	memcpy(record.digests.sha256.bytes, bytes + 12, DIGEST_SIZE);
	memcpy(record.digests.fsverity.bytes, bytes + 12 + DIGEST_SIZE, DIGEST_SIZE);
	if (record.size > SIZE_MAX_EVER)
		return -EIO;
	if (!(record.name == DIGEST_SHA256 ? record.digests.has_sha256
					   : record.digests.has_fsverity))
		return -EIO;
	*out = record;
	return 0;
}

void schema_put_time(uint8_t bytes[SCHEMA_TIME_SIZE], int64_t seconds)
{
	bytes[0] = SCHEMA_VALUE_VERSION;
	schema_put_u64(bytes + 1, (uint64_t)seconds);
}

int schema_get_time(const void *value, size_t len, int64_t *out)
{
	const uint8_t *bytes = value;

	if (len != SCHEMA_TIME_SIZE || bytes[0] != SCHEMA_VALUE_VERSION)
		return -EIO;
	*out = (int64_t)schema_get_u64(bytes + 1);
	return 0;
}

/* How long keys and values are, and whether these are versioned: for types of which that is all there is to check. */
struct shape {
	enum schema_type type;
	size_t key_min, key_max, value_min, value_max;
	bool versioned;
};

static bool has_shape(const struct shape *shape, size_t key_len, const uint8_t *value, size_t len)
{
	return key_len >= shape->key_min && key_len <= shape->key_max && len >= shape->value_min &&
	       len <= shape->value_max && (!shape->versioned || value[0] == SCHEMA_VALUE_VERSION);
}

int schema_check(const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	static const struct shape shapes[] = {
		{SCHEMA_FORMAT, 1, 1, 4, 4, false},
		{SCHEMA_SEQUENCE, 2, 2, 9, 9, true},
		{SCHEMA_OBJECT, 9, 9, SCHEMA_RECORD_SIZE, SCHEMA_RECORD_SIZE, true},
		{SCHEMA_ALIAS, 2 + DIGEST_SIZE + 8, 2 + DIGEST_SIZE + 8, 0, SIZE_MAX, false},
		{SCHEMA_FRONT, 9, 9, 1, SIZE_MAX, true},
		{SCHEMA_PRESENCE, 17, 17, 0, SIZE_MAX, false},
		{SCHEMA_OPENED, 9, 9, SCHEMA_TIME_SIZE, SCHEMA_TIME_SIZE, true},
		{SCHEMA_USER, 13, 13, SCHEMA_TIME_SIZE, SCHEMA_TIME_SIZE, true},
		{SCHEMA_VIEW, 5, 5, 5, 5 + STORE_ORIGIN_MAX, true},
		{SCHEMA_VIEW_OF, 5, 5 + STORE_ORIGIN_MAX, 5, 5, true},
		{SCHEMA_DOOMED, 2 + DIGEST_SIZE, 2 + DIGEST_SIZE, 0, SIZE_MAX, false},
		{SCHEMA_OWN, 6 + DIGEST_SIZE, 6 + DIGEST_SIZE, 9, 9, true},
	};
	struct record record;

	for (size_t i = 0; key_len > 0 && i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (key[0] == shapes[i].type && !has_shape(&shapes[i], key_len, value, len))
			return -EIO;
	}
	if (key_len > 0 && key[0] == SCHEMA_OBJECT)
		return schema_get_record(value, len, &record);
	return 0;
}
