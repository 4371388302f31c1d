/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of views: kept for ever, both ways. */
#include "store/internal.h"

#include "common/log.h"

static int find(struct store *store, const struct schema_key *key, uint32_t *view)
{
	_cleanup_free_ uint8_t *value = NULL;
	size_t len;
	int r = db_get(store->db, key, &value, &len);

	if (r < 0)
		return r;
	if (len != 5 || value[0] != SCHEMA_VALUE_VERSION)
		return log_error_errno(-EIO, "%s: a view cannot be understood", store->path);
	*view = schema_get_u32(value + 1);
	return 0;
}

/* Claimed: naming. */
static int number(struct store *store, const struct schema_key *key, uid_t uid, const char *origin,
		  uint32_t *view)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key back = schema_key(SCHEMA_VIEW);
	uint8_t value[5 + STORE_ORIGIN_MAX] = {SCHEMA_VALUE_VERSION};
	size_t len = strlen(origin);
	uint64_t id;
	int r;

	r = find(store, key, view);
	if (r != -ENOENT)
		return r;
	r = store_next_id(store, &store->view_ids, &id);
	if (r < 0)
		return r;
	schema_put_u32(value + 1, (uint32_t)id);
	db_batch_put(&batch, key, value, 5);
	schema_key_u32(&back, (uint32_t)id);
	schema_put_u32(value + 1, uid);
	memcpy(value + 5, origin, len);
	db_batch_put(&batch, &back, value, 5 + len);
	r = db_write(store->db, &batch, true);
	if (r == 0)
		*view = (uint32_t)id;
	return r;
}

int store_view(struct store *store, uid_t uid, const char *origin, uint32_t *view)
{
	struct schema_key key = schema_key(SCHEMA_VIEW_OF);
	int r;

	schema_key_u32(&key, uid);
	r = schema_key_text(&key, origin);
	if (r < 0)
		return r;
	r = find(store, &key, view);
	if (r != -ENOENT)
		return r;
	store_claim(store, &store->naming);
	r = number(store, &key, uid, origin, view);
	store_unclaim(store, &store->naming);
	return r;
}

int store_view_get(struct store *store, uint32_t view, uid_t *uid, char **origin)
{
	struct schema_key key = schema_key(SCHEMA_VIEW);
	_cleanup_free_ uint8_t *value = NULL;
	size_t len;
	char *text;
	int r;

	schema_key_u32(&key, view);
	r = db_get(store->db, &key, &value, &len);
	if (r < 0)
		return r;
	if (len < 5 || value[0] != SCHEMA_VALUE_VERSION)
		return log_error_errno(-EIO, "%s: view %u cannot be understood", store->path, view);
	text = strndup((const char *)value + 5, len - 5);
	if (!text)
		return -ENOMEM;
	*uid = schema_get_u32(value + 1);
	*origin = text;
	return 0;
}
