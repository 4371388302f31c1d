/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uses: who opened an object, and what that costs whom.
 *
 *	u id view   a view uses an object, and did so last at that time: exactly while it is charged
 *
 * The sums are changed first, in one step (account.c), then the disk: whoever comes in between finds the room taken. If
 * the disk refuses, the new charge is taken back. What was released to make room stays released; its key, should it
 * still be there, is another charge at the next open of the store, which the view's next use puts in order.
 */
#include "store/internal.h"

#include <time.h>
#include "common/log.h"

static struct schema_key user_key(uint64_t id, uint32_t view)
{
	struct schema_key key = schema_key_id(SCHEMA_USER, id);

	schema_key_u32(&key, view);
	return key;
}

static void put_use(struct db_batch *batch, const struct use *use)
{
	struct schema_key user = user_key(use->id, use->view);
	struct schema_key opened = schema_key_id(SCHEMA_OPENED, use->id);
	uint8_t value[SCHEMA_TIME_SIZE];

	schema_put_time(value, use->now);
	db_batch_put(batch, &user, value, sizeof(value));
	db_batch_put(batch, &opened, value, sizeof(value));
}

static void used(struct store_object *object, const struct use *use)
{
	struct store *store = object->store;

	account_used(store, use);
	atomic_store(&object->last_open, use->now);
	pthread_mutex_lock(&store->lock);
	resident_touch(store, use->id, use->now);
	pthread_mutex_unlock(&store->lock);
}

/* It is charged already, and nothing has to go. The time of its use is of less worth than the use. */
static void use_again(struct store_object *object, const struct use *use, bool recorded)
{
	_cleanup_batch_ struct db_batch batch = db_batch();

	put_use(&batch, use);
	if (recorded || db_write(object->store->db, &batch, false) == 0)
		used(object, use);
}

/* Claimed: charging. */
static int use_anew(struct store_object *object, struct use *use)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct store *store = object->store;
	int refused, r = 0;

	refused = account_charge(store, use);
	for (size_t i = 0; i < use->n_released; i++) {
		struct schema_key user = user_key(use->released[i], use->view);

		db_batch_delete(&batch, &user);
	}
	if (refused == 0)
		put_use(&batch, use);
	if (refused == 0 || use->n_released)
		r = db_write(store->db, &batch, false);
	if (refused < 0)
		return refused;
	if (r < 0)
		account_unhold(store, use->view, use->id, use->fresh);
	else
		used(object, use);
	return r;
}

/* Those that nobody else uses are to go. Without memory for the list they go when their room is wanted. */
static void abandon(struct store *store, const struct use *use)
{
	uint64_t *ids;

	for (size_t i = 0; i < use->n_released; i++) {
		if (accounts_use(store, use->released[i]))
			continue;
		pthread_mutex_lock(&store->accounts_lock);
		ids = reallocarray(store->abandoned, store->n_abandoned + 1, sizeof(*ids));
		if (ids) {
			store->abandoned = ids;
			ids[store->n_abandoned++] = use->released[i];
		}
		pthread_mutex_unlock(&store->accounts_lock);
	}
}

bool store_sweep(struct store *store, unsigned int n)
{
	for (;;) {
		uint64_t id = 0;
		bool more;

		pthread_mutex_lock(&store->accounts_lock);
		more = store->n_abandoned > 0;
		if (more && n > 0)
			id = store->abandoned[--store->n_abandoned];
		pthread_mutex_unlock(&store->accounts_lock);
		if (!id)
			return more;
		n--;
		if (evict_unused(store, id) < 0)
			log_debug("%s: object %llu stays until its room is wanted", store->path,
				  (unsigned long long)id);
	}
}

int store_object_use(struct store_object *object, uint32_t view, uint64_t quota)
{
	struct store *store = object->store;
	struct use use = {
		.id = object->id,
		.view = view,
		.quota = quota,
		.now = (int64_t)time(NULL),
	};
	bool recorded;
	int r = 0;

	/* So that no use is noted behind a removal, and the size stays. */
	object_share(object);
	use.size = object->record.size;
	use.pinned = object->record.pinned;
	if (object->removed) {
		r = -ENOENT;
	} else if (account_hold(store, &use, &recorded)) {
		use_again(object, &use, recorded);
	} else {
		store_claim(store, &store->charging);
		r = use_anew(object, &use);
		store_unclaim(store, &store->charging);
	}
	object_unshare(object);
	if (use.n_released)
		abandon(store, &use);
	free(use.released);
	return r;
}

void store_object_unuse(struct store_object *object, uint32_t view)
{
	account_unhold(object->store, view, object->id, false);
}

int store_touch(struct store *store, uint64_t id, uint32_t view)
{
	struct store_object *object;
	int r;

	r = store_object_open(store, id, &object);
	if (r < 0)
		return r;
	r = store_object_use(object, view, 0);
	if (r == 0)
		store_object_unuse(object, view);
	store_object_close(object);
	return r;
}

/* ---- who uses it? ---- */

struct user {
	uint32_t view;
	int64_t last_open;
};

static int take_user(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
		     size_t len)
{
	struct user *user = arg;

	user->view = schema_get_u32(key + 9);
	return schema_get_time(value, len, &user->last_open) < 0 ? -EIO : 1;
}

int store_next_user(struct store *store, uint64_t id, uint32_t after, uint32_t *view,
		    int64_t *last_open)
{
	struct schema_key key = schema_key_id(SCHEMA_USER, id);
	size_t prefix = key.len;
	struct user user;
	int r;

	if (after == UINT32_MAX)
		return -ENOENT;
	schema_key_u32(&key, after + 1);
	r = db_scan(store->db, &key, prefix, take_user, &user);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*view = user.view;
	*last_open = user.last_open;
	return 0;
}
