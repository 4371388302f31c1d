/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the database that happen together or not at all. */
#include "store/internal.h"

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

	schema_key_after(prefix, prefix->len, &end);
	rocksdb_writebatch_delete_range(batch->changes, (const char *)prefix->bytes, prefix->len,
					(const char *)end.bytes, end.len);
}
