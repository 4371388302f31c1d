/* SPDX-License-Identifier: Apache-2.0 */
/* The database: RocksDB as the files of store/ see it. Nobody else includes this. */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <rocksdb/c.h>
#include "common/cleanup.h"
#include "store/schema.h"

/* Called with each key that is found; other than 0 ends it, and is passed on. It may read the database. */
typedef int (*db_found)(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
			size_t len);

/* ---- engine.c: RocksDB itself ---- */

enum engine_mode {
	ENGINE_CREATE,	/* to read and write; made if it is not there */
	ENGINE_WRITE,	/* to read and write */
	ENGINE_READ,
	ENGINE_SALVAGE, /* to read, with errors */
	ENGINE_PREFIX,	/* the same, up to where its log is damaged */
};

/* What a message of RocksDB comes to: -EUCLEAN for damage; -ENOSPC; -EPROTO; -EIO for the rest. */
int must_check engine_error(const char *message);
/* NULL: MESSAGE, to be rocksdb_free()d, says why. */
rocksdb_t *must_check engine_open(const char *path, enum engine_mode mode, char **message);
void engine_close(rocksdb_t *rocksdb); /* NULL is allowed */
/* Make the damaged database at PATH one that can be opened. Deleted keys may come back. */
int must_check engine_repair(const char *path);
/* Every key, from the disk. An error that RocksDB has is as engine_error(), with its MESSAGE to be freed. */
int must_check engine_walk(rocksdb_t *rocksdb, db_found found, void *arg, char **message);
/* The same with GAPS where nothing can be read. */
int must_check engine_salvage(rocksdb_t *rocksdb, db_found found, void *arg, uint64_t *gaps);

/* ---- db.c: RocksDB, its errors logged and turned into -errno ---- */

struct db;

/* In words, what is damaged. */
struct db_reason {
	char text[256];
};
/* Behind the path of a database: the file that says that it was found damaged while in use. */
#define DB_SUSPECT ".suspect"

/* -EUCLEAN: it is damaged, for REASON, which is not logged. */
int must_check db_open(const char *path, enum engine_mode mode, struct db_reason *reason,
		       struct db **out);
void db_close(struct db *db); /* NULL is allowed */

/* Nobody else is here yet: every key from the disk, see engine_walk(). -EUCLEAN as db_open(). */
int must_check db_check(struct db *db, db_found found, void *arg, struct db_reason *reason);
/* Of one opened with ENGINE_SALVAGE or _PREFIX, where what cannot be read is -EUCLEAN everywhere: see engine_salvage(). */
int must_check db_salvage(struct db *db, db_found found, void *arg, uint64_t *gaps);

/* VALUE is to be freed; -ENOENT. */
int must_check db_get(struct db *db, const struct schema_key *key, uint8_t **value, size_t *len);
/*
 * Every key that begins as FROM does up to PREFIX bytes, from FROM on, in order, until FOUND
 * returns other than 0, which is passed on. FOUND may read the database.
 */
int must_check db_scan(struct db *db, const struct schema_key *from, size_t prefix, db_found found,
		       void *arg);

/* Changes that happen together or not at all: batch.c. */
struct db_batch {
	rocksdb_writebatch_t *changes;
};
void db_batch_free(struct db_batch *batch);
#define _cleanup_batch_ _cleanup_(db_batch_free)
struct db_batch db_batch(void);
void db_batch_put(struct db_batch *batch, const struct schema_key *key, const void *value,
		  size_t len);
void db_batch_delete(struct db_batch *batch, const struct schema_key *key);
/* Every key that begins with PREFIX. */
void db_batch_delete_all(struct db_batch *batch, const struct schema_key *prefix);
/* SYNC: it outlives the machine's power, not only the process. An error may have been written all
 * the same. */
int must_check db_write(struct db *db, struct db_batch *batch, bool sync);

#endif
