/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB, held small and kept alive.
 *
 * On a full disk a write fails, and RocksDB refuses all further ones until its own recovery (a
 * thread of its SstFileManager that watches the free space) has been successful: each is an error
 * here, told once; reading goes on. A write that the caller saw fail may be found in the log by the
 * next open.
 */
#include "store/internal.h"

#include "common/log.h"

/* The whole daemon shall stay under 64 MiB beside its transfers. */
#define WRITE_BUFFER  ((size_t)4 << 20)
#define WRITE_BUFFERS 2
#define LOG_TOTAL     ((uint64_t)16 << 20)
#define BLOCK_CACHE   ((size_t)8 << 20)
#define OPEN_TABLES   64
/* InfoLogLevel::FATAL_LEVEL; librocksdb 7.8 aborts when its info log meets a full disk. */
#define LOG_LEVEL_FATAL 4

struct db {
	rocksdb_t *rocksdb;
	rocksdb_readoptions_t *reading;
	rocksdb_writeoptions_t *writing, *syncing;
	atomic_bool failing; /* the last write failed: said once */
};

/* RocksDB says what happened in words only. */
static int error_number(const char *message)
{
	if (strstr(message, "No space left") || strstr(message, "NoSpace") ||
	    strstr(message, "Disk quota exceeded"))
		return -ENOSPC;
	return -EIO;
}

static rocksdb_options_t *database_options(void)
{
	rocksdb_options_t *options = rocksdb_options_create();
	rocksdb_block_based_table_options_t *tables = rocksdb_block_based_options_create();
	rocksdb_cache_t *cache = rocksdb_cache_create_lru(BLOCK_CACHE);

	rocksdb_options_set_create_if_missing(options, 1);
	rocksdb_options_set_info_log_level(options, LOG_LEVEL_FATAL);
	rocksdb_options_set_keep_log_file_num(options, 1);
	rocksdb_options_set_stats_dump_period_sec(options, 0);
	rocksdb_options_set_stats_persist_period_sec(options, 0);
	rocksdb_options_set_max_background_jobs(options, 2);
	rocksdb_options_set_write_buffer_size(options, WRITE_BUFFER);
	rocksdb_options_set_max_write_buffer_number(options, WRITE_BUFFERS);
	rocksdb_options_set_max_total_wal_size(options, LOG_TOTAL);
	rocksdb_options_set_max_open_files(options, OPEN_TABLES);
	rocksdb_options_set_manifest_preallocation_size(options, (size_t)64 << 10);
	/* Digests do not compress, and a codec would take memory. */
	rocksdb_options_set_compression(options, rocksdb_no_compression);

	rocksdb_block_based_options_set_block_cache(tables, cache);
	rocksdb_block_based_options_set_cache_index_and_filter_blocks(tables, 1);
	rocksdb_block_based_options_set_filter_policy(tables,
						      rocksdb_filterpolicy_create_bloom(10));
	rocksdb_options_set_block_based_table_factory(options, tables);
	rocksdb_block_based_options_destroy(tables);
	rocksdb_cache_destroy(cache);
	return options;
}

int db_open(const char *path, struct db **out)
{
	rocksdb_options_t *options;
	char *message = NULL;
	struct db *db = calloc(1, sizeof(*db));
	int r;

	if (!db)
		return -ENOMEM;
	options = database_options();
	db->rocksdb = rocksdb_open(options, path, &message);
	rocksdb_options_destroy(options);
	if (message) {
		r = error_number(message);
		log_error("%s: the database cannot be opened: %s", path, message);
		rocksdb_free(message);
		free(db);
		return r;
	}
	db->reading = rocksdb_readoptions_create();
	db->writing = rocksdb_writeoptions_create();
	db->syncing = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(db->syncing, 1);
	*out = db;
	return 0;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	rocksdb_cancel_all_background_work(db->rocksdb, 1);
	rocksdb_close(db->rocksdb);
	rocksdb_readoptions_destroy(db->reading);
	rocksdb_writeoptions_destroy(db->writing);
	rocksdb_writeoptions_destroy(db->syncing);
	free(db);
}

static int read_failed(char *message)
{
	int r = error_number(message);

	log_error("the store's database cannot be read: %s", message);
	rocksdb_free(message);
	return r;
}

int db_get(struct db *db, const struct schema_key *key, uint8_t **value, size_t *len)
{
	char *message = NULL;
	rocksdb_pinnableslice_t *pinned;
	const char *bytes;
	uint8_t *copy;
	size_t n;

	pinned = rocksdb_get_pinned(db->rocksdb, db->reading, (const char *)key->bytes, key->len,
				    &message);
	if (message)
		return read_failed(message);
	if (!pinned)
		return -ENOENT;
	bytes = rocksdb_pinnableslice_value(pinned, &n);
	copy = malloc(n + 1);
	if (copy && n)
		memcpy(copy, bytes, n);
	rocksdb_pinnableslice_destroy(pinned);
	if (!copy)
		return -ENOMEM;
	*value = copy;
	*len = n;
	return 0;
}

/* The first key behind all that begin with PREFIX; the type bytes are letters, so there is one. */
static void key_after(const struct schema_key *prefix, size_t len, struct schema_key *out)
{
	memcpy(out->bytes, prefix->bytes, len);
	out->len = len;
	while (out->len > 1 && out->bytes[out->len - 1] == 0xff)
		out->len--;
	out->bytes[out->len - 1]++;
}

int db_scan(struct db *db, const struct schema_key *from, size_t prefix, db_found found, void *arg)
{
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	char *message = NULL;
	struct schema_key end;
	rocksdb_iterator_t *it;
	int r = 0;

	key_after(from, prefix, &end);
	rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)end.bytes, end.len);
	it = rocksdb_create_iterator(db->rocksdb, options);
	rocksdb_iter_seek(it, (const char *)from->bytes, from->len);
	for (; r == 0 && rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		size_t key_len, len;
		const char *key = rocksdb_iter_key(it, &key_len);
		const char *value = rocksdb_iter_value(it, &len);

		r = found(arg, (const uint8_t *)key, key_len, (const uint8_t *)value, len);
		if (r != 0)
			break;
	}
	rocksdb_iter_get_error(it, &message);
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(options);
	if (message)
		return read_failed(message);
	return r;
}

struct db_batch db_batch(void)
{
	return (struct db_batch){rocksdb_writebatch_create()};
}

void db_batch_free(struct db_batch *batch)
{
	int saved = errno;

	rocksdb_writebatch_destroy(batch->changes);
	errno = saved;
}

void db_batch_put(struct db_batch *batch, const struct schema_key *key, const void *value,
		  size_t len)
{
	rocksdb_writebatch_put(batch->changes, (const char *)key->bytes, key->len, value, len);
}

void db_batch_delete(struct db_batch *batch, const struct schema_key *key)
{
	rocksdb_writebatch_delete(batch->changes, (const char *)key->bytes, key->len);
}

void db_batch_delete_all(struct db_batch *batch, const struct schema_key *prefix)
{
	struct schema_key end;

	key_after(prefix, prefix->len, &end);
	rocksdb_writebatch_delete_range(batch->changes, (const char *)prefix->bytes, prefix->len,
					(const char *)end.bytes, end.len);
}

int db_write(struct db *db, struct db_batch *batch, bool sync)
{
	char *message = NULL;
	int r;

	rocksdb_write(db->rocksdb, sync ? db->syncing : db->writing, batch->changes, &message);
	if (!message) {
		if (atomic_load(&db->failing) && atomic_exchange(&db->failing, false))
			log_info("the store's database can be written again");
		return 0;
	}
	r = error_number(message);
	if (!atomic_exchange(&db->failing, true))
		log_error("the store's database cannot be written: %s", message);
	rocksdb_free(message);
	return r;
}
