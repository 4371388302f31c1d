/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB itself: how it is opened, what its errors mean, and reading it in spite of them.
 *
 * Damage is what RocksDB calls corruption, and a file of the database that is not there. What a full disk, a limit
 * or a failing read says is none: it may pass, and nothing is thrown away for it.
 *
 * A log may end in the middle of a record: a crash cuts it there. Anything else that is wrong in one makes the
 * opening fail (kTolerateCorruptedTailRecords), where the default would drop all that follows, synced or not, without
 * a word.
 */
#include "store/internal.h"

/* The whole daemon shall stay under 64 MiB beside its transfers. */
#define WRITE_BUFFER  ((size_t)4 << 20)
#define WRITE_BUFFERS 2
#define LOG_TOTAL     ((uint64_t)16 << 20)
#define BLOCK_CACHE   ((size_t)8 << 20)
#define OPEN_TABLES   64
#define READAHEAD     ((size_t)1 << 20)
/* InfoLogLevel::FATAL_LEVEL; librocksdb 7.8 aborts when its info log meets a full disk. */
#define LOG_LEVEL_FATAL 4
/* WALRecoveryMode */
#define WAL_TOLERATE_TAIL 0
#define WAL_POINT_IN_TIME 2

static bool says(const char *message, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strstr(message, words[i]))
			return true;
	}
	return false;
}

/* RocksDB says what happened in words only. */
int engine_error(const char *message)
{
	static const char *const full[] = {"No space left", "NoSpace", "Disk quota exceeded"};
	static const char *const system[] = {
		"Input/output error", "Too many open files",		  "Permission denied",
		"Cannot allocate",    "Resource temporarily unavailable", "Read-only file system",
	};

	if (says(message, full, ARRAY_SIZE(full)))
		return -ENOSPC;
	if (says(message, system, ARRAY_SIZE(system)))
		return -EIO;
	if (strstr(message, "newer version of RocksDB"))
		return -EPROTO;
	if (!strncmp(message, "Corruption", strlen("Corruption")) ||
	    strstr(message, "No such file or directory"))
		return -EUCLEAN;
	return -EIO;
}

static rocksdb_options_t *database_options(enum engine_mode mode)
{
	rocksdb_options_t *options = rocksdb_options_create();
	rocksdb_block_based_table_options_t *tables = rocksdb_block_based_options_create();
	rocksdb_cache_t *cache = rocksdb_cache_create_lru(BLOCK_CACHE);

	rocksdb_options_set_create_if_missing(options, mode == ENGINE_CREATE);
	rocksdb_options_set_wal_recovery_mode(options, mode == ENGINE_PREFIX ? WAL_POINT_IN_TIME
									     : WAL_TOLERATE_TAIL);
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
	/* In small blocks: a filter of a whole table is larger than a shard of the cache, and would be read for each key. */
	rocksdb_block_based_options_set_index_type(
		tables, rocksdb_block_based_table_index_type_two_level_index_search);
	rocksdb_block_based_options_set_partition_filters(tables, 1);
	rocksdb_options_set_block_based_table_factory(options, tables);
	rocksdb_block_based_options_destroy(tables);
	rocksdb_cache_destroy(cache);
	return options;
}

rocksdb_t *engine_open(const char *path, enum engine_mode mode, char **message)
{
	rocksdb_options_t *options = database_options(mode);
	rocksdb_t *rocksdb;

	if (mode == ENGINE_CREATE || mode == ENGINE_WRITE)
		rocksdb = rocksdb_open(options, path, message);
	else
		rocksdb = rocksdb_open_for_read_only(options, path, 0, message);
	rocksdb_options_destroy(options);
	return *message ? NULL : rocksdb;
}

void engine_close(rocksdb_t *rocksdb)
{
	if (!rocksdb)
		return;
	rocksdb_cancel_all_background_work(rocksdb, 1);
	rocksdb_close(rocksdb);
}

int engine_repair(const char *path)
{
	rocksdb_options_t *options = database_options(ENGINE_CREATE);
	char *message = NULL;
	int r;

	rocksdb_repair_db(options, path, &message);
	rocksdb_options_destroy(options);
	r = message ? engine_error(message) : 0;
	rocksdb_free(message);
	return r;
}

/* The whole database once, past the cache. */
static rocksdb_iterator_t *begin_walk(rocksdb_t *rocksdb)
{
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	rocksdb_iterator_t *it;

	rocksdb_readoptions_set_fill_cache(options, 0);
	rocksdb_readoptions_set_readahead_size(options, READAHEAD);
	it = rocksdb_create_iterator(rocksdb, options);
	rocksdb_readoptions_destroy(options);
	rocksdb_iter_seek_to_first(it);
	return it;
}

/* From where IT is until there is no more, or no more can be read. LAST: where it came to. */
static int walk(rocksdb_iterator_t *it, db_found found, void *arg, struct schema_key *last)
{
	for (; rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		size_t key_len, len;
		const char *key = rocksdb_iter_key(it, &key_len);
		const char *value = rocksdb_iter_value(it, &len);
		int r = found(arg, (const uint8_t *)key, key_len, (const uint8_t *)value, len);

		if (r != 0)
			return r;
		last->len = key_len < sizeof(last->bytes) ? key_len : sizeof(last->bytes);
		memcpy(last->bytes, key, last->len);
	}
	return 0;
}

static bool stopped_by_error(rocksdb_iterator_t *it, char **message)
{
	rocksdb_iter_get_error(it, message);
	return *message;
}

int engine_walk(rocksdb_t *rocksdb, db_found found, void *arg, char **message)
{
	rocksdb_iterator_t *it = begin_walk(rocksdb);
	struct schema_key last = {.len = 0};
	int r = walk(it, found, arg, &last);

	if (r == 0 && stopped_by_error(it, message))
		r = engine_error(*message);
	rocksdb_iter_destroy(it);
	return r;
}

/* Does IT find something from KEY on, or the end? */
static bool lands(rocksdb_iterator_t *it, const struct schema_key *key)
{
	char *message = NULL;

	rocksdb_iter_seek(it, (const char *)key->bytes, key->len);
	if (rocksdb_iter_valid(it) || !stopped_by_error(it, &message))
		return true;
	rocksdb_free(message);
	return false;
}

/*
 * Behind a block that cannot be read: what follows its key's type byte is a number in nearly all keys (or a digest), so
 * numbers farther and farther on are tried, then the other types.
 */
static bool step_over(rocksdb_iterator_t *it, const struct schema_key *last)
{
	struct schema_key key = {.len = 9};
	uint64_t number;

	memcpy(key.bytes, last->bytes, last->len < key.len ? last->len : key.len);
	number = schema_get_u64(key.bytes + 1);
	for (unsigned int shift = 0; shift < 64 && last->len > 0; shift++) {
		uint64_t step = (uint64_t)1 << shift;

		if (number > UINT64_MAX - step)
			break;
		schema_put_u64(key.bytes + 1, number + step);
		if (lands(it, &key))
			return true;
	}
	for (unsigned int type = (last->len > 0 ? last->bytes[0] : 0) + 1U; type < 256; type++) {
		key = schema_key((enum schema_type)type);
		if (lands(it, &key))
			return true;
	}
	return false;
}

int engine_salvage(rocksdb_t *rocksdb, db_found found, void *arg, uint64_t *gaps)
{
	rocksdb_iterator_t *it = begin_walk(rocksdb);
	struct schema_key last = {.len = 0};
	char *message = NULL;
	int r;

	for (;;) {
		r = walk(it, found, arg, &last);
		if (r != 0 || !stopped_by_error(it, &message))
			break;
		rocksdb_free(steal_pointer(message));
		++*gaps;
		if (!step_over(it, &last))
			break;
	}
	rocksdb_iter_destroy(it);
	return r;
}
