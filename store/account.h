/* SPDX-License-Identifier: Apache-2.0 */
/* The accounts themselves, which account.c keeps and charge.c holds against quotas. */
#ifndef STORE_ACCOUNT_H
#define STORE_ACCOUNT_H

#include "store/internal.h"

struct charge {
	uint64_t id : 40, pinned : 1, holds : 23;
	uint64_t size;
	uint64_t rank; /* of the last use: see next_rank(); 0: not recorded yet */
};

struct account {
	uint32_t view;
	bool apart; /* others' pins do not count for it */
	uint64_t used;
	struct charge *charges;
	size_t n, capacity;
	UT_hash_handle hh;
};

/* All with accounts_lock. */

struct account *account_find(struct store *store, uint32_t view); /* or NULL */
struct account *account_make(struct store *store, uint32_t view); /* the same; NULL: no memory */
/* NULL: there is none; ACCOUNT may be NULL. Valid until a charge is added or removed. */
struct charge *account_charge_of(struct account *account, uint64_t id);
/* For one more charge. 0 or -ENOMEM. */
int must_check account_make_room(struct account *account);
/* There is room for it, and it is not there. */
struct charge *account_add(struct account *account, uint64_t id, uint64_t size, bool pinned);
void account_remove(struct account *account, struct charge *charge);

#endif
