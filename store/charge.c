/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas: what an open adds to a view's account is compared with what the view may have, and what it used longest ago
 * is released. All of it happens in one step, under accounts_lock, so that the sum is never seen above.
 */
#include "store/account.h"

/* A heap of the places of charges, the one used longest ago on top. */
struct heap {
	const struct charge *charges;
	size_t *places;
	size_t n;
};

static bool is_older(const struct heap *heap, size_t a, size_t b)
{
	return heap->charges[heap->places[a]].rank < heap->charges[heap->places[b]].rank;
}

static void sink(struct heap *heap, size_t at)
{
	for (;;) {
		size_t oldest = at, child = 2 * at + 1, place = heap->places[at];

		if (child < heap->n && is_older(heap, child, oldest))
			oldest = child;
		if (child + 1 < heap->n && is_older(heap, child + 1, oldest))
			oldest = child + 1;
		if (oldest == at)
			return;
		heap->places[at] = heap->places[oldest];
		heap->places[oldest] = place;
		at = oldest;
	}
}

/* Stays whatever the quota: its pin is everybody's to see. */
static bool is_kept(const struct account *account, const struct charge *charge)
{
	return charge->pinned && !account->apart;
}

/* May be released while ID is being opened. */
static bool may_go(const struct account *account, const struct charge *charge, uint64_t id)
{
	return charge->holds == 0 && !is_kept(account, charge) && charge->id != id;
}

/* Of what may go, the oldest, until no more than TARGET is in use. */
static void release(struct account *account, uint64_t target, struct use *use, struct heap *heap)
{
	struct charge *charges = account->charges;
	size_t kept = 0;

	for (size_t i = 0; i < account->n; i++) {
		if (may_go(account, &charges[i], use->id))
			heap->places[heap->n++] = i;
	}
	for (size_t i = heap->n / 2; i-- > 0;)
		sink(heap, i);
	while (heap->n && account->used > target) {
		struct charge *oldest = &charges[heap->places[0]];

		heap->places[0] = heap->places[--heap->n];
		sink(heap, 0);
		account->used -= oldest->size;
		use->released[use->n_released++] = oldest->id;
		oldest->id = 0;
	}
	for (size_t i = 0; i < account->n; i++) {
		if (charges[i].id)
			charges[kept++] = charges[i];
	}
	account->n = kept;
}

/* Bytes that would be in use with NEED more, if all went that may. */
static uint64_t least_use(const struct account *account, uint64_t need, uint64_t id)
{
	uint64_t sum = account->used + need;

	for (size_t i = 0; i < account->n; i++)
		sum -= may_go(account, &account->charges[i], id) ? account->charges[i].size : 0;
	return sum;
}

/* More is in use than the quota allows, or will be with NEED. */
static int enforce(struct account *account, uint64_t need, struct use *use)
{
	_cleanup_free_ size_t *places = reallocarray(NULL, account->n + 1, sizeof(*places));
	struct heap heap = {account->charges, places, 0};
	struct charge *charge = account_charge_of(account, use->id);
	bool fits;

	use->released = reallocarray(NULL, account->n + 1, sizeof(*use->released));
	if (!places || !use->released)
		return -ENOMEM;
	fits = least_use(account, need, use->id) <= use->quota;
	/* It is open already, and what is open is above the quota: that others go would not help. */
	if (!fits && charge && charge->holds > 0)
		return -EDQUOT;
	/* Others may use it, but it is not this view's any more. */
	if (!fits && charge && !is_kept(account, charge)) {
		use->released[use->n_released++] = use->id;
		account_remove(account, charge);
	}
	release(account, fits ? use->quota - need : use->quota, use, &heap);
	return fits ? 0 : -EDQUOT;
}

/* ---- charging ---- */

static int charge_locked(struct store *store, struct use *use)
{
	struct account *account = account_make(store, use->view);
	struct charge *charge;
	uint64_t need, sum;
	int r;

	r = account ? account_make_room(account) : -ENOMEM;
	if (r < 0)
		return r;
	charge = account_charge_of(account, use->id);
	need = charge ? 0 : use->size;
	if (__builtin_add_overflow(account->used, need, &sum))
		return -EFBIG;
	if (use->quota && sum > use->quota) {
		r = enforce(account, need, use);
		if (r < 0)
			return r;
		charge = account_charge_of(account, use->id);
	}
	if (!charge)
		charge = account_add(account, use->id, use->size, use->pinned);
	charge->holds++;
	return 0;
}

int account_charge(struct store *store, struct use *use)
{
	int r;

	pthread_mutex_lock(&store->accounts_lock);
	use->id = atomic_load(&use->object->charged);
	r = charge_locked(store, use);
	pthread_mutex_unlock(&store->accounts_lock);
	return r;
}
