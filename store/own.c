/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which objects a view fetched itself, all of them: what a view that shares nothing else may be served from the store.
 *
 * The key is asked for by the name that the view uses, so that a look-up of what it does not own takes as long whether or
 * not others have it. It counts as long as the view is charged for the object: what a quota released, or what left the
 * store, is fetched again as if it had never been here.
 */
#include "store/internal.h"

#include "common/log.h"

#define OWN_SIZE 9

static struct schema_key own_key(uint32_t view, const struct digest_name *name)
{
	struct schema_key key = schema_key(SCHEMA_OWN);

	schema_key_u32(&key, view);
	schema_key_name(&key, name);
	return key;
}

int store_owns(struct store *store, uint32_t view, const struct digest_name *name, uint64_t *id)
{
	struct schema_key key = own_key(view, name);
	_cleanup_free_ uint8_t *value = NULL;
	size_t len;
	int r;

	r = db_get(store->db, &key, &value, &len);
	if (r < 0)
		return r;
	if (len != OWN_SIZE || value[0] != SCHEMA_VALUE_VERSION)
		return log_error_errno(-EIO, "%s: what view %u owns cannot be understood", store->path,
				       view);
	*id = schema_get_u64(value + 1);
	return store_uses_object(store, view, *id) ? 0 : -ENOENT;
}

struct owners {
	struct store *store;
	bool (*counts)(const char *origin);
	const struct digest_name *name;
	uint64_t id;
};

/* 1: this view does. */
static int ask_view(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	_cleanup_free_ char *origin = strndup((const char *)key + 5, key_len - 5);
	struct owners *owners = arg;
	int r;

	if (!origin || len != 5)
		return origin ? 0 : -ENOMEM;
	if (!owners->counts(origin))
		return 0;
	r = store_owns(owners->store, schema_get_u32(value + 1), owners->name, &owners->id);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int store_user_owns(struct store *store, uid_t uid, bool (*counts)(const char *origin),
		    const struct digest_name *name, uint64_t *id)
{
	struct owners owners = {store, counts, name, 0};
	struct schema_key key = schema_key(SCHEMA_VIEW_OF);
	int r;

	schema_key_u32(&key, uid);
	r = db_scan(store->db, &key, key.len, ask_view, &owners);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*id = owners.id;
	return 0;
}

struct walk {
	struct schema_key after;
	store_name_found found;
	void *arg;
};

static int visit(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	const struct walk *walk = arg;
	struct digest_name name = {.kind = key[5]};

	if (key_len == walk->after.len && !memcmp(key, walk->after.bytes, key_len))
		return 0;
	memcpy(name.digest.bytes, key + 6, DIGEST_SIZE);
	return walk->found(walk->arg, &name);
}

int store_each_own(struct store *store, uint32_t view, const struct digest_name *after,
		   store_name_found found, void *arg)
{
	struct walk walk = {own_key(view, after), found, arg};

	return db_scan(store->db, &walk.after, 1 + sizeof(view), visit, &walk);
}

static int put(struct store *store, uint32_t view, const struct store_info *info)
{
	const struct digest_pair *digests = &info->digests;
	struct schema_key sha256 = own_key(view, &(struct digest_name){DIGEST_SHA256, digests->sha256});
	struct schema_key fsverity =
		own_key(view, &(struct digest_name){DIGEST_FSVERITY, digests->fsverity});
	_cleanup_batch_ struct db_batch batch = db_batch();
	uint8_t value[OWN_SIZE] = {SCHEMA_VALUE_VERSION};

	schema_put_u64(value + 1, info->id);
	if (digests->has_sha256)
		db_batch_put(&batch, &sha256, value, sizeof(value));
	if (digests->has_fsverity)
		db_batch_put(&batch, &fsverity, value, sizeof(value));
	return db_write(store->db, &batch, false);
}

int own_record(struct store_object *object, uint32_t view, const struct store_info *to)
{
	struct store *store = object->store;
	struct store_uses due = {.view = view, .n = 1, .ids = malloc(sizeof(*due.ids))};

	if (!due.ids)
		return -ENOMEM;
	due.ids[0] = to->id;
	/* It released it meanwhile: what the store has now is others' until it fetches it again. */
	if (!account_move(store, view, object, to)) {
		store_uses_free(&due);
		return 0;
	}
	/* It left the store after it was published, and before it was charged. */
	if (store_get(store, to->id, &(struct store_info){0}) < 0)
		accounts_forget(store, to->id);
	if (put(store, view, to) < 0)
		log_debug("%s: what view %u fetched will be fetched again", store->path, view);
	return store_record_uses(store, &due);
}

/* Of objects that the view does not use any more. */
static int collect(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct store *store = arg;
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key dead = {.len = key_len};

	if (len == OWN_SIZE &&
	    store_uses_object(store, schema_get_u32(key + 1), schema_get_u64(value + 1)))
		return 0;
	memcpy(dead.bytes, key, key_len);
	db_batch_delete(&batch, &dead);
	return db_write(store->db, &batch, false);
}

int own_load(struct store *store)
{
	struct schema_key all = schema_key(SCHEMA_OWN);

	return db_scan(store->db, &all, all.len, collect, store);
}
