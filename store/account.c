/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each view uses: the full size of every object that it ever opened and has not released since, whether or not
 * the object's bytes are here. So what a view is told of its quota follows from its own doings, and not from
 * what others brought in.
 *
 *	account   a view's charges, sorted by id          used = sum of their sizes
 *	charge    an object: its size, when it was used last, how often the view has it open, is it pinned?
 *
 * In memory only, 24 bytes a charge: summed at open over the keys 'u', which follow it (use.c). A charge goes with the
 * object, too. Its own lock, a leaf.
 */
#include "store/account.h"

#include "common/log.h"

/* Seconds, and the order within one: so that they need not be told apart on the disk. */
#define RANK_BITS 20

static uint64_t rank_of(int64_t seconds)
{
	return (uint64_t)seconds << RANK_BITS;
}

/* Locked, as all below. */
static uint64_t next_rank(struct store *store, int64_t now)
{
	uint64_t rank = rank_of(now);

	if (rank <= store->last_rank)
		rank = store->last_rank + 1;
	store->last_rank = rank;
	return rank;
}

struct account *account_find(struct store *store, uint32_t view)
{
	struct account *account;

	HASH_FIND(hh, store->accounts, &view, sizeof(view), account);
	return account;
}

struct account *account_make(struct store *store, uint32_t view)
{
	struct account *account = account_find(store, view);

	if (account)
		return account;
	account = calloc(1, sizeof(*account));
	if (!account)
		return NULL;
	account->view = view;
	HASH_ADD(hh, store->accounts, view, sizeof(account->view), account);
	return account;
}

/* Where ID is, or would be. */
static size_t place_of(const struct account *account, uint64_t id)
{
	size_t low = 0, high = account->n;

	/* What is new has the greatest id. */
	if (high && account->charges[high - 1].id < id)
		return high;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (account->charges[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct charge *account_charge_of(struct account *account, uint64_t id)
{
	size_t at = account ? place_of(account, id) : 0;

	return account && at < account->n && account->charges[at].id == id ? &account->charges[at]
									   : NULL;
}

int account_make_room(struct account *account)
{
	size_t capacity = account->n + account->n / 4 + 4;
	struct charge *charges;

	if (account->n < account->capacity)
		return 0;
	charges = reallocarray(account->charges, capacity, sizeof(*charges));
	if (!charges)
		return -ENOMEM;
	account->charges = charges;
	account->capacity = capacity;
	return 0;
}

/* There is room for it, and it is not there. */
struct charge *account_add(struct account *account, uint64_t id, uint64_t size, bool pinned)
{
	size_t at = place_of(account, id);
	struct charge *charge = &account->charges[at];

	memmove(charge + 1, charge, (account->n - at) * sizeof(*charge));
	*charge = (struct charge){.id = id, .pinned = pinned, .size = size};
	account->n++;
	account->used += size;
	return charge;
}

void account_remove(struct account *account, struct charge *charge)
{
	size_t at = (size_t)(charge - account->charges);

	account->used -= charge->size;
	account->n--;
	memmove(charge, charge + 1, (account->n - at) * sizeof(*charge));
}

/* ---- loading ---- */

int accounts_know(struct account_loading *loading, uint64_t id, const struct record *record)
{
	if (loading->n == loading->capacity) {
		size_t capacity = 2 * loading->capacity + 1024;
		struct known_object *known =
			reallocarray(loading->known, capacity, sizeof(*known));

		if (!known)
			return -ENOMEM;
		loading->known = known;
		loading->capacity = capacity;
	}
	loading->known[loading->n++] = (struct known_object){id, record->size, record->pinned};
	return 0;
}

/* Both are read in the order of their ids. */
static int load_charge(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
		       size_t len)
{
	struct account_loading *loading = arg;
	struct store *store = loading->store;
	const struct known_object *known;
	struct account *account;
	int64_t seconds;
	uint64_t id;

	if (key_len != 13 || schema_get_time(value, len, &seconds) < 0)
		return log_error_errno(-EIO, "%s: a use cannot be understood", store->path);
	id = schema_get_u64(key + 1);
	while (loading->at < loading->n && loading->known[loading->at].id < id)
		loading->at++;
	if (loading->at == loading->n || loading->known[loading->at].id != id)
		return 0;
	known = &loading->known[loading->at];
	account = account_make(store, schema_get_u32(key + 9));
	if (!account || account_make_room(account) < 0)
		return -ENOMEM;
	account_add(account, id, known->size, known->pinned)->rank = rank_of(seconds);
	if (rank_of(seconds) > store->last_rank)
		store->last_rank = rank_of(seconds);
	return 0;
}

int accounts_load(struct account_loading *loading)
{
	struct schema_key users = schema_key(SCHEMA_USER);

	return db_scan(loading->store->db, &users, users.len, load_charge, loading);
}

void accounts_free(struct store *store)
{
	struct account *account, *next;

	free(store->abandoned);
	HASH_ITER (hh, store->accounts, account, next) {
		HASH_DEL(store->accounts, account);
		free(account->charges);
		free(account);
	}
}

/* ---- held ---- */

bool account_hold(struct store *store, struct use *use, bool *recorded)
{
	struct account *account;
	struct charge *charge;
	bool held;

	pthread_mutex_lock(&store->accounts_lock);
	use->id = atomic_load(&use->object->charged);
	account = account_find(store, use->view);
	charge = account_charge_of(account, use->id);
	held = charge && (use->quota == 0 || account->used <= use->quota);
	if (held) {
		charge->holds++;
		*recorded = charge->rank >> RANK_BITS == (uint64_t)use->now;
	}
	pthread_mutex_unlock(&store->accounts_lock);
	return held;
}

void account_used(struct store *store, const struct use *use)
{
	struct charge *charge;

	pthread_mutex_lock(&store->accounts_lock);
	charge = account_charge_of(account_find(store, use->view), use->id);
	if (charge)
		charge->rank = next_rank(store, use->now);
	pthread_mutex_unlock(&store->accounts_lock);
}

void account_unhold(struct store *store, uint32_t view, const struct store_object *object)
{
	struct charge *charge;

	pthread_mutex_lock(&store->accounts_lock);
	charge = account_charge_of(account_find(store, view), atomic_load(&object->charged));
	if (charge && charge->holds > 0)
		charge->holds--;
	pthread_mutex_unlock(&store->accounts_lock);
}

bool account_last_use(struct store *store, uint32_t view, uint64_t id, int64_t *seconds)
{
	struct charge *charge;

	pthread_mutex_lock(&store->accounts_lock);
	charge = account_charge_of(account_find(store, view), id);
	if (charge)
		*seconds = (int64_t)(charge->rank >> RANK_BITS);
	pthread_mutex_unlock(&store->accounts_lock);
	return charge;
}

/* ---- what befalls the object ---- */

void accounts_forget(struct store *store, uint64_t id)
{
	pthread_mutex_lock(&store->accounts_lock);
	for (struct account *account = store->accounts; account; account = account->hh.next) {
		struct charge *charge = account_charge_of(account, id);

		if (charge)
			account_remove(account, charge);
	}
	pthread_mutex_unlock(&store->accounts_lock);
}

void accounts_change(struct store *store, uint64_t id, uint64_t size, bool pinned)
{
	pthread_mutex_lock(&store->accounts_lock);
	for (struct account *account = store->accounts; account; account = account->hh.next) {
		struct charge *charge = account_charge_of(account, id);

		if (!charge)
			continue;
		account->used += size - charge->size;
		charge->size = size;
		charge->pinned = pinned;
	}
	pthread_mutex_unlock(&store->accounts_lock);
}

static bool move(struct account *account, uint64_t from, const struct store_info *to)
{
	struct charge *charge = account_charge_of(account, from);
	uint64_t rank, holds;

	if (!charge)
		return false;
	rank = charge->rank;
	holds = charge->holds;
	account_remove(account, charge);
	charge = account_charge_of(account, to->id);
	/* There is room: one was just removed. */
	if (!charge)
		charge = account_add(account, to->id, to->size, to->pinned);
	charge->holds += holds;
	if (charge->rank < rank)
		charge->rank = rank;
	return true;
}

bool account_move(struct store *store, uint32_t view, struct store_object *object,
		  const struct store_info *to)
{
	bool moved;

	pthread_mutex_lock(&store->accounts_lock);
	moved = move(account_find(store, view), object->id, to);
	if (moved)
		atomic_store(&object->charged, to->id);
	pthread_mutex_unlock(&store->accounts_lock);
	return moved;
}

bool accounts_use(struct store *store, uint64_t id)
{
	bool used = false;

	pthread_mutex_lock(&store->accounts_lock);
	for (struct account *account = store->accounts; account && !used; account = account->hh.next)
		used = account_charge_of(account, id);
	pthread_mutex_unlock(&store->accounts_lock);
	return used;
}

int store_view_apart(struct store *store, uint32_t view)
{
	struct account *account;

	pthread_mutex_lock(&store->accounts_lock);
	account = account_make(store, view);
	if (account)
		account->apart = true;
	pthread_mutex_unlock(&store->accounts_lock);
	return account ? 0 : -ENOMEM;
}

/* ---- what is told of them ---- */

static struct store_account describe(const struct account *account)
{
	return (struct store_account){account->view, account->used, account->n};
}

struct store_account store_account(struct store *store, uint32_t view)
{
	struct store_account result = {.view = view};
	struct account *account;

	pthread_mutex_lock(&store->accounts_lock);
	account = account_find(store, view);
	if (account)
		result = describe(account);
	pthread_mutex_unlock(&store->accounts_lock);
	return result;
}

static int by_view(const void *a, const void *b)
{
	const struct store_account *x = a, *y = b;

	return x->view < y->view ? -1 : x->view > y->view;
}

int store_accounts(struct store *store, struct store_account **out, size_t *n)
{
	struct store_account *list;
	size_t count = 0;

	pthread_mutex_lock(&store->accounts_lock);
	list = calloc(HASH_COUNT(store->accounts) + 1, sizeof(*list));
	for (struct account *account = store->accounts; list && account; account = account->hh.next)
		list[count++] = describe(account);
	pthread_mutex_unlock(&store->accounts_lock);
	if (!list)
		return -ENOMEM;
	qsort(list, count, sizeof(*list), by_view);
	*out = list;
	*n = count;
	return 0;
}
