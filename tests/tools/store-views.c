/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the store believe that a user has seen it as many origins, without the syncs that each would cost:
 *
 *	store-views STORE UID COUNT
 *
 * They are called o0, o1 and so on, and have the highest numbers.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include "store/internal.h"

static int put_view(struct db_batch *batch, uint32_t uid, uint32_t index)
{
	struct schema_key by_number = schema_key(SCHEMA_VIEW), by_name = schema_key(SCHEMA_VIEW_OF);
	uint32_t number = (uint32_t)STORE_VIEW_MAX - index;
	uint8_t value[5 + 16] = {SCHEMA_VALUE_VERSION};
	char origin[16];
	int len = snprintf(origin, sizeof(origin), "o%" PRIu32, index);
	int r;

	schema_key_u32(&by_name, uid);
	r = schema_key_text(&by_name, origin);
	if (r < 0)
		return r;
	schema_put_u32(value + 1, number);
	db_batch_put(batch, &by_name, value, 5);
	schema_key_u32(&by_number, number);
	schema_put_u32(value + 1, uid);
	memcpy(value + 5, origin, (size_t)len);
	db_batch_put(batch, &by_number, value, 5 + (size_t)len);
	return 0;
}

static int fill(struct store *store, uint32_t uid, uint32_t count)
{
	_cleanup_batch_ struct db_batch batch = db_batch();

	for (uint32_t i = 0; i < count; i++) {
		int r = put_view(&batch, uid, i);

		if (r < 0)
			return r;
	}
	return db_write(store->db, &batch, true);
}

int main(int argc, char **argv)
{
	struct store_options options = {.size = UINT64_MAX / 2};
	struct store *store = NULL;
	int r;

	if (argc != 4) {
		fprintf(stderr, "usage: store-views STORE UID COUNT\n");
		return 2;
	}
	options.path = argv[1];
	r = store_open(&options, &store);
	if (r == 0)
		r = fill(store, (uint32_t)strtoul(argv[2], NULL, 10),
			 (uint32_t)strtoul(argv[3], NULL, 10));
	store_close(store);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-r));
		return 1;
	}
	return 0;
}
