/* SPDX-License-Identifier: Apache-2.0 */
/* Bare records: those without a file, and without a pin (store/bare.c). */
#ifndef STORE_BARE_H
#define STORE_BARE_H

#include "store/internal.h"

int must_check bares_new(const struct store_options *options, struct bares **out);
void bares_free(struct bares *bares);
/* It was there when the store was opened. */
int must_check bare_load(struct store *store, uint64_t id);

/* ---- with the lock ---- */

/* ID is bare: made, or closed, at this moment. Without memory it is not counted until the store is opened again. */
void bare_add(struct store *store, uint64_t id);
/* Somebody looked it up, if it is counted. */
void bare_touch(struct store *store, uint64_t id);
void bare_remove(struct store *store, uint64_t id);

/* ---- without ---- */

/* No view uses ID any more, if it is counted. */
void bare_released(struct store *store, uint64_t id);
/* Of what is too much, up to N go. True: there is more. */
bool bares_sweep(struct store *store, unsigned int n);

/* What all records have, but for the keys of chunks and users (store/change.c). */
void record_erase_own(struct db_batch *batch, uint64_t id, const struct record *record);

#endif
