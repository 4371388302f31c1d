/* SPDX-License-Identifier: Apache-2.0 */
/* One record after the other. */
#include "store/internal.h"

#include "common/log.h"

struct walk {
	struct store *store;
	store_found found;
	void *arg;
};

static int visit(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	const struct walk *walk = arg;
	uint64_t id = schema_get_u64(key + 1);
	struct store_info info;
	struct record record;
	int r = 0;

	if (schema_get_record(value, len, &record) < 0)
		return log_error_errno(-EIO, "%s: the record of object %llu cannot be understood",
				       walk->store->path, (unsigned long long)id);
	if (!object_peek(walk->store, id, &r, &info))
		r = record_describe(walk->store, id, &record, &info);
	if (r < 0)
		return r == -ENOENT ? 0 : r; /* it was removed meanwhile */
	return walk->found(walk->arg, &info);
}

/* One iterator for all: to make one takes as long as ten steps. */
int store_each(struct store *store, uint64_t after, store_found found, void *arg)
{
	struct walk walk = {store, found, arg};
	struct schema_key key;

	if (after >= STORE_ID_MAX)
		return 0;
	key = schema_key_id(SCHEMA_OBJECT, after + 1);
	return db_scan(store->db, &key, 1, visit, &walk);
}

static int take(void *arg, const struct store_info *info)
{
	*(struct store_info *)arg = *info;
	return 1;
}

int store_next(struct store *store, uint64_t after, struct store_info *out)
{
	struct store_info info;
	int r;

	r = store_each(store, after, take, &info);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	if (info.last_open == 0)
		r = record_last_open(store, info.id, &info.last_open);
	if (r < 0)
		return r;
	*out = info;
	return 0;
}
