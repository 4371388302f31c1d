/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uses: who opened an object, and what that costs whom.
 *
 *	u id view   a view uses an object, and did so last at that time: while it is charged
 *
 * The sums are changed first, in one step (account.c), and that is what counts. The disk follows: whoever claims
 * `recording` writes what is true by then, so later writes are never overtaken by earlier ones. What a crash leaves
 * unrecorded is a charge too few or too many at the next open of the store, until the view's next use.
 */
#include "store/internal.h"

#include <time.h>
#include "common/log.h"
#include "store/bare.h"

static struct schema_key user_key(uint64_t id, uint32_t view)
{
	struct schema_key key = schema_key_id(SCHEMA_USER, id);

	schema_key_u32(&key, view);
	return key;
}

/* What is charged for the object now. -ENOENT: it was removed. */
static int look(struct store_object *object, struct use *use)
{
	struct store *store = object->store;
	bool removed;

	pthread_mutex_lock(&store->lock);
	removed = object->removed && !object->separate;
	use->size = object->record.size;
	use->pinned = object->record.pinned;
	pthread_mutex_unlock(&store->lock);
	return removed ? -ENOENT : 0;
}

/* It was removed, or became another, while it was charged? Who did that may have come before the charge. */
static int look_again(struct store_object *object, const struct use *use)
{
	struct use charged = *use, now = *use;

	while (look(object, &now) == 0) {
		if (now.size == charged.size && now.pinned == charged.pinned)
			return 0;
		accounts_change(object->store, use->id, now.size, now.pinned);
		charged = now;
	}
	accounts_forget(object->store, use->id);
	return -ENOENT;
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

bool store_uses_object(struct store *store, uint32_t view, uint64_t id)
{
	int64_t last_use;

	return account_last_use(store, view, id, &last_use);
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
			return bares_sweep(store, n) || more;
		n--;
		bare_released(store, id);
		if (evict_unused(store, id) < 0)
			log_debug("%s: object %llu stays until its room is wanted", store->path,
				  (unsigned long long)id);
	}
}

/* What was released, and, if OWN, the object itself. */
static void make_due(struct use *use, bool own, struct store_uses *due)
{
	uint64_t *ids = own ? reallocarray(use->released, use->n_released + 1, sizeof(*ids))
			    : use->released;

	if (own && ids)
		ids[use->n_released++] = use->id;
	*due = (struct store_uses){use->view, use->n_released, ids ? ids : use->released};
}

int store_object_use(struct store_object *object, uint32_t view, uint64_t quota,
		     struct store_uses *due)
{
	struct store *store = object->store;
	struct use use = {
		.object = object,
		.view = view,
		.quota = quota,
		.now = (int64_t)time(NULL),
	};
	bool recorded = false;
	int r;

	*due = (struct store_uses){.view = view};
	r = look(object, &use);
	if (r < 0)
		return r;
	if (!account_hold(store, &use, &recorded))
		r = account_charge(store, &use);
	if (r == 0) {
		used(object, &use);
		r = look_again(object, &use);
	}
	if (use.n_released)
		abandon(store, &use);
	make_due(&use, r == 0 && !recorded, due);
	return r;
}

void store_object_unuse(struct store_object *object, uint32_t view)
{
	account_unhold(object->store, view, object);
}

/* ---- on the disk ---- */

/* Claimed: recording. OBJECT: NULL, or open and shared; only then is a use recorded, that none is behind a removal. */
static int record_truth(struct store *store, struct store_object *object, uint64_t id, uint32_t view)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key user = user_key(id, view), opened = schema_key_id(SCHEMA_OPENED, id);
	uint8_t value[SCHEMA_TIME_SIZE];
	int64_t last_use;

	if (!account_last_use(store, view, id, &last_use)) {
		db_batch_delete(&batch, &user);
	} else if (object && !object->removed) {
		schema_put_time(value, last_use);
		db_batch_put(&batch, &user, value, sizeof(value));
		db_batch_put(&batch, &opened, value, sizeof(value));
	} else {
		return 0;
	}
	return db_write(store->db, &batch, false);
}

static int record_use(struct store *store, uint64_t id, uint32_t view)
{
	struct store_object *object = NULL;
	int64_t last_use;
	int r;

	if (account_last_use(store, view, id, &last_use)) {
		r = store_object_open(store, id, &object);
		if (r < 0)
			return r == -ENOENT ? 0 : r; /* it left, and its uses with it */
		object_share(object);
	}
	store_claim(store, &store->recording);
	r = record_truth(store, object, id, view);
	store_unclaim(store, &store->recording);
	if (object)
		object_unshare(object);
	store_object_close(object);
	return r;
}

int store_record_uses(struct store *store, struct store_uses *due)
{
	int result = 0;

	for (size_t i = 0; i < due->n; i++) {
		int r = record_use(store, due->ids[i], due->view);

		result = result < 0 ? result : r;
	}
	store_uses_free(due);
	return result;
}

void store_uses_free(struct store_uses *due)
{
	free(due->ids);
	*due = (struct store_uses){.view = due->view};
}

int store_touch(struct store *store, uint64_t id, uint32_t view)
{
	struct store_object *object;
	struct store_uses due;
	int r;

	r = store_object_open(store, id, &object);
	if (r < 0)
		return r;
	r = store_object_use(object, view, 0, &due);
	if (r == 0) {
		store_object_unuse(object, view);
		r = store_record_uses(store, &due);
	}
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
