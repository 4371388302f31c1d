/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store's records say: a JSON line an object.
 *
 *	store-records STORE
 *	{"id":1,"sha256":null,"fsverity":"…","size":…,"complete":false,"pinned":false,"chunks":{"0":"BOOT ID",…}}
 *
 * For tests that look at a store after its daemon was killed: the database is read as it lies there, its log included.
 * Nothing is locked, changed or finished, so the next daemon finds what the last one left.
 */
#include <inttypes.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <string.h>
#include "store/schema.h"

static void print_digest(const char *key, bool known, const struct digest *digest)
{
	char hex[DIGEST_HEX_SIZE];

	digest_to_hex(digest, hex);
	printf(known ? "\"%s\":\"%s\"," : "\"%s\":null,", key, hex);
}

/* The chunks of object ID, and the boot that wrote each. */
static void print_chunks(rocksdb_t *db, const rocksdb_readoptions_t *reading, uint64_t id)
{
	struct schema_key prefix = schema_key_id(SCHEMA_PRESENCE, id);
	rocksdb_iterator_t *it = rocksdb_create_iterator(db, reading);
	const char *separator = "";

	rocksdb_iter_seek(it, (const char *)prefix.bytes, prefix.len);
	for (; rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		size_t key_len, len;
		const char *key = rocksdb_iter_key(it, &key_len), *boot = rocksdb_iter_value(it, &len);

		if (key_len != prefix.len + 8 || memcmp(key, prefix.bytes, prefix.len) != 0)
			break;
		printf("%s\"%" PRIu64 "\":\"", separator,
		       schema_get_u64((const uint8_t *)key + prefix.len));
		for (size_t i = 0; i < len; i++)
			printf("%02x", (unsigned char)boot[i]);
		printf("\"");
		separator = ",";
	}
	rocksdb_iter_destroy(it);
}

static int print_objects(rocksdb_t *db)
{
	struct schema_key type = schema_key(SCHEMA_OBJECT);
	rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
	rocksdb_iterator_t *it = rocksdb_create_iterator(db, reading);
	char *message = NULL;

	rocksdb_iter_seek(it, (const char *)type.bytes, type.len);
	for (; rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		size_t key_len, len;
		const char *key = rocksdb_iter_key(it, &key_len), *value = rocksdb_iter_value(it, &len);
		struct record record;

		if (key_len != 9 || key[0] != SCHEMA_OBJECT)
			break;
		if (schema_get_record(value, len, &record) < 0) {
			fprintf(stderr, "a record cannot be understood\n");
			return 1;
		}
		printf("{\"id\":%" PRIu64 ",", schema_get_u64((const uint8_t *)key + 1));
		print_digest("sha256", record.digests.has_sha256, &record.digests.sha256);
		print_digest("fsverity", record.digests.has_fsverity, &record.digests.fsverity);
		printf("\"size\":%" PRIu64 ",\"complete\":%s,\"pinned\":%s,\"chunks\":{", record.size,
		       record.complete ? "true" : "false", record.pinned ? "true" : "false");
		print_chunks(db, reading, schema_get_u64((const uint8_t *)key + 1));
		printf("}}\n");
	}
	rocksdb_iter_get_error(it, &message);
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(reading);
	if (message)
		fprintf(stderr, "%s\n", message);
	return message ? 1 : 0;
}

int main(int argc, char **argv)
{
	rocksdb_options_t *options = rocksdb_options_create();
	char path[4096], *message = NULL;
	rocksdb_t *db;
	int status;

	if (argc != 2) {
		fprintf(stderr, "usage: store-records STORE\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/meta", argv[1]);
	db = rocksdb_open_for_read_only(options, path, 0, &message);
	if (!db) {
		fprintf(stderr, "%s: %s\n", path, message);
		return 1;
	}
	status = print_objects(db);
	rocksdb_close(db);
	rocksdb_options_destroy(options);
	return status;
}
