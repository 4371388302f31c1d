/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records: finding, making and listing them.
 *
 * A record is changed by the exclusive claim of its open object only (store/change.c), and made by
 * the claim `naming`. Its time of last use and its users have keys of their own, so that an open
 * need not rewrite it.
 */
#include "store/internal.h"

#include "common/log.h"
#include "store/bare.h"

int record_read(struct store *store, uint64_t id, struct record *out)
{
	struct schema_key key = schema_key_id(SCHEMA_OBJECT, id);
	_cleanup_free_ uint8_t *value = NULL;
	size_t len;
	int r;

	r = db_get(store->db, &key, &value, &len);
	if (r < 0)
		return r;
	if (schema_get_record(value, len, out) < 0)
		return log_error_errno(-EIO, "%s: the record of object %llu cannot be understood",
				       store->path, (unsigned long long)id);
	return 0;
}

struct digest_name record_name(const struct record *record)
{
	return (struct digest_name){record->name, record->name == DIGEST_SHA256
							  ? record->digests.sha256
							  : record->digests.fsverity};
}

int record_merge(struct digest_pair *into, const struct digest_pair *digests)
{
	if (into->has_sha256 && digests->has_sha256 &&
	    !digest_equal(&into->sha256, &digests->sha256))
		return -EINVAL;
	if (into->has_fsverity && digests->has_fsverity &&
	    !digest_equal(&into->fsverity, &digests->fsverity))
		return -EINVAL;
	if (digests->has_sha256) {
		into->has_sha256 = true;
		into->sha256 = digests->sha256;
	}
	if (digests->has_fsverity) {
		into->has_fsverity = true;
		into->fsverity = digests->fsverity;
	}
	return 0;
}

void record_set_complete(struct record *record)
{
	record->file = true;
	record->complete = true;
	record->doubtful = false;
	record->lacks_front = false;
	record->claimed = false;
}

static void alias_put(struct db_batch *batch, const struct digest_name *name, uint64_t id)
{
	struct schema_key key = schema_key_digest(SCHEMA_ALIAS, name);

	schema_key_u64(&key, id);
	db_batch_put(batch, &key, "", 0);
}

void record_put(struct db_batch *batch, uint64_t id, const struct record *record)
{
	struct schema_key key = schema_key_id(SCHEMA_OBJECT, id);
	uint8_t value[SCHEMA_RECORD_SIZE];

	schema_put_record(value, record);
	db_batch_put(batch, &key, value, sizeof(value));
	if (record->digests.has_sha256)
		alias_put(batch, &(struct digest_name){DIGEST_SHA256, record->digests.sha256}, id);
	if (record->digests.has_fsverity)
		alias_put(batch, &(struct digest_name){DIGEST_FSVERITY, record->digests.fsverity},
			  id);
}

void front_put(struct db_batch *batch, uint64_t id, const void *front, size_t len)
{
	struct schema_key key = schema_key_id(SCHEMA_FRONT, id);
	const char version = SCHEMA_VALUE_VERSION;
	const char *keys[] = {(const char *)key.bytes};
	const char *values[] = {&version, front};
	const size_t key_sizes[] = {key.len}, value_sizes[] = {sizeof(version), len};

	rocksdb_writebatch_putv(batch->changes, 1, keys, key_sizes, 2, values, value_sizes);
}

struct search {
	struct store *store;
	uint64_t id; /* 0: none yet */
	struct record record;
};

static int consider(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct search *search = arg;
	uint64_t id = schema_get_u64(key + key_len - 8);
	struct record record;
	int r = record_read(search->store, id, &record);

	if (r == -ENOENT)
		return 0; /* removed at this moment */
	if (r < 0)
		return r;
	if (search->id && !record.complete)
		return 0;
	search->id = id;
	search->record = record;
	return record.complete;
}

int record_find(struct store *store, const struct digest_name *name, uint64_t *id,
		struct record *out)
{
	struct schema_key key = schema_key_digest(SCHEMA_ALIAS, name);
	struct search search = {.store = store};
	int r = db_scan(store->db, &key, key.len, consider, &search);

	if (r < 0)
		return r;
	if (!search.id)
		return -ENOENT;
	*id = search.id;
	*out = search.record;
	return 0;
}

static int consider_twin(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
			 size_t len)
{
	struct search *search = arg;
	uint64_t id = schema_get_u64(key + key_len - 8);
	struct record record;

	if (id == search->id || record_read(search->store, id, &record) < 0 || !record.complete)
		return 0;
	search->id = id;
	return 1;
}

static int find_twin(struct store *store, enum digest_kind kind, const struct digest *digest,
		     uint64_t id, uint64_t *twin)
{
	struct schema_key key =
		schema_key_digest(SCHEMA_ALIAS, &(struct digest_name){kind, *digest});
	struct search search = {.store = store, .id = id};
	int r = db_scan(store->db, &key, key.len, consider_twin, &search);

	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*twin = search.id;
	return 0;
}

int store_twin(struct store *store, uint64_t id, uint64_t *twin)
{
	struct store_info info;
	int r;

	r = store_get(store, id, &info);
	if (r < 0)
		return r;
	r = -ENOENT;
	if (info.digests.has_sha256)
		r = find_twin(store, DIGEST_SHA256, &info.digests.sha256, id, twin);
	if (r == -ENOENT && info.digests.has_fsverity)
		r = find_twin(store, DIGEST_FSVERITY, &info.digests.fsverity, id, twin);
	return r;
}

int record_last_open(struct store *store, uint64_t id, int64_t *out)
{
	struct schema_key key = schema_key_id(SCHEMA_OPENED, id);
	_cleanup_free_ uint8_t *value = NULL;
	size_t len;
	int r = db_get(store->db, &key, &value, &len);

	if (r == 0)
		return schema_get_time(value, len, out);
	if (r == -ENOENT)
		*out = 0;
	return r == -ENOENT ? 0 : r;
}

struct tally {
	const struct store *store;
	const struct record *record;
	uint64_t bytes;
};

static int tally_chunk(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
		       size_t len)
{
	struct tally *tally = arg;
	uint64_t chunk = schema_get_u64(key + 9);

	if (chunk >= chunk_count(tally->record->size))
		return 0;
	if (!tally->record->digests.has_fsverity &&
	    (len != STORE_BOOT_ID_SIZE || memcmp(value, tally->store->boot_id, len)))
		return 0;
	tally->bytes += chunk_length(tally->record->size, chunk);
	return 0;
}

int record_describe(struct store *store, uint64_t id, const struct record *record,
		    struct store_info *out)
{
	struct schema_key chunks = schema_key_id(SCHEMA_PRESENCE, id);
	struct tally tally = {store, record, record->complete ? record->size : 0};
	struct store_info info = {
		.id = id,
		.size = record->size,
		.digests = record->digests,
		.name = record_name(record),
		.complete = record->complete,
		.pinned = record->pinned,
		.doubtful = record->doubtful,
		.lacks_front = record->lacks_front,
		.told = record->told,
		.gated = record->gated,
		.claimed = record->claimed,
	};
	int r = 0;

	if (record->file && !record->complete)
		r = db_scan(store->db, &chunks, chunks.len, tally_chunk, &tally);
	if (r < 0)
		return r;
	info.present = tally.bytes;
	*out = info;
	return 0;
}

/* The same with the time. */
static int describe(struct store *store, uint64_t id, const struct record *record,
		    struct store_info *out)
{
	int64_t last_open;
	int r;

	r = record_last_open(store, id, &last_open);
	if (r == 0)
		r = record_describe(store, id, record, out);
	if (r == 0)
		out->last_open = last_open;
	return r;
}

/* The same, by who may be about to open it. */
static int describe_wanted(struct store *store, uint64_t id, const struct record *record, struct store_info *out)
{
	if (!record->file) {
		pthread_mutex_lock(&store->lock);
		bare_touch(store, id);
		pthread_mutex_unlock(&store->lock);
	}
	return describe(store, id, record, out);
}

int store_get(struct store *store, uint64_t id, struct store_info *out)
{
	struct record record;
	int r;

	if (object_peek(store, id, &r, out))
		return r;
	r = record_read(store, id, &record);
	return r < 0 ? r : describe_wanted(store, id, &record, out);
}

int store_lookup(struct store *store, const struct digest_name *name, struct store_info *out)
{
	struct record record;
	uint64_t id;
	int r;

	r = record_find(store, name, &id, &record);
	if (r < 0)
		return r;
	if (object_peek(store, id, &r, out))
		return r;
	return describe_wanted(store, id, &record, out);
}

struct record record_of(const struct digest_pair *digests, uint64_t size)
{
	return (struct record){
		.size = size,
		.digests = *digests,
		/* By what its chunks can be checked, also should the database be lost. */
		.name = digests->has_fsverity ? DIGEST_FSVERITY : DIGEST_SHA256,
		.lacks_front = digests->has_fsverity && size > CHUNK_SIZE,
		.told = digests->has_fsverity && digests->has_sha256,
	};
}

int record_make(struct store *store, const struct digest_pair *digests, uint64_t size, bool gated,
		bool claimed, const void *front, size_t len, struct store_info *out)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct record record = record_of(digests, size);
	uint64_t id;
	int r;

	record.gated = gated;
	record.claimed = claimed;
	r = store_next_id(store, &store->object_ids, &id);
	if (r < 0)
		return r;
	if (len && record.lacks_front) {
		front_put(&batch, id, front, len);
		record.lacks_front = false;
	}
	record_put(&batch, id, &record);
	r = db_write(store->db, &batch, false);
	if (r < 0)
		return r;
	pthread_mutex_lock(&store->lock);
	bare_add(store, id);
	pthread_mutex_unlock(&store->lock);
	return describe(store, id, &record, out);
}

/* -ENOENT: it was there, and went meanwhile. */
static int create(struct store *store, const struct digest_name *name, uint64_t size,
		  const void *front, size_t len, struct store_info *out)
{
	struct digest_pair digests = digest_pair_of(name);
	int r;

	store_claim(store, &store->naming);
	r = store_lookup(store, name, out);
	if (r == -ENOENT)
		r = record_make(store, &digests, size, false, false, front, len, out);
	store_unclaim(store, &store->naming);
	if (r == 0 && out->lacks_front && name->kind == DIGEST_FSVERITY &&
	    (len > 0 || size <= CHUNK_SIZE))
		r = doubt_refill(store, size, front, len, out);
	return r;
}

int store_create(struct store *store, const struct digest_name *name, uint64_t size,
		 const void *front, size_t len, struct store_info *out)
{
	int r;

	if (size > (uint64_t)1 << 62)
		return -EFBIG;
	do
		r = create(store, name, size, front, len, out);
	while (r == -ENOENT);
	return r;
}
