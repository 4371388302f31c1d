/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of views: kept for ever, both ways. How many a user has is counted when it needs the first new one. */
#include "store/internal.h"

#include <uthash.h>
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

/* ---- how many a user has ---- */

struct user {
	uid_t uid;
	uint32_t views;
	bool told; /* that there are no more */
	UT_hash_handle hh;
};

static int count_view(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct user *user = arg;

	user->views++;
	return 0;
}

/* Claimed: naming. */
static int find_user(struct store *store, uid_t uid, struct user **out)
{
	struct schema_key key = schema_key(SCHEMA_VIEW_OF);
	struct user *user;
	int r;

	HASH_FIND(hh, store->users, &uid, sizeof(uid), user);
	if (!user) {
		user = calloc(1, sizeof(*user));
		if (!user)
			return -ENOMEM;
		user->uid = uid;
		schema_key_u32(&key, uid);
		r = db_scan(store->db, &key, key.len, count_view, user);
		if (r < 0) {
			free(user);
			return r;
		}
		HASH_ADD(hh, store->users, uid, sizeof(user->uid), user);
	}
	*out = user;
	return 0;
}

/* Claimed: naming. May USER have one more? */
static int check_room(struct store *store, struct user *user)
{
	if (user->views < STORE_VIEWS_OF_USER)
		return 0;
	if (!user->told)
		log_warning("%s: user %u has %u views, and gets no more", store->path, user->uid,
			    user->views);
	user->told = true;
	return -ENOSPC;
}

void users_free(struct store *store)
{
	struct user *user, *next;

	HASH_ITER (hh, store->users, user, next) {
		HASH_DEL(store->users, user);
		free(user);
	}
}

/* ---- their numbers ---- */

/* Claimed: naming. */
static int number(struct store *store, const struct schema_key *key, uid_t uid, const char *origin,
		  uint32_t *view)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key back = schema_key(SCHEMA_VIEW);
	uint8_t value[5 + STORE_ORIGIN_MAX] = {SCHEMA_VALUE_VERSION};
	size_t len = strlen(origin);
	struct user *user = NULL;
	uint64_t id;
	int r;

	r = find(store, key, view);
	if (r != -ENOENT)
		return r;
	r = find_user(store, uid, &user);
	if (r == 0)
		r = check_room(store, user);
	if (r == 0)
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
	if (r < 0)
		return r;
	user->views++;
	*view = (uint32_t)id;
	return 0;
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
