/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles lie in blocks that are never moved or freed while the process lives, so that READ finds one without a
 * lock; freed ones are chained by number.
 */
#include "fs/requests/handle.h"

#include <pthread.h>
#include "fs/objects/kept.h"
#include "fs/origins/quota.h"

#define BLOCK_HANDLES 1024
#define BLOCKS_MAX    1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct handle *) blocks[BLOCKS_MAX];
static uint32_t n_handles;  /* protected by lock: ever used */
static uint32_t first_free; /* protected by lock: number + 1, 0: none */

struct handle *handle_get(uint64_t fh)
{
	return &atomic_load_explicit(&blocks[fh / BLOCK_HANDLES],
				     memory_order_acquire)[fh % BLOCK_HANDLES];
}

/* With the lock held. */
static int take_number(uint32_t *number)
{
	if (first_free) {
		*number = first_free - 1;
		first_free = handle_get(*number)->next_free;
		return 0;
	}
	if (n_handles == BLOCK_HANDLES * BLOCKS_MAX)
		return -ENFILE;
	if (n_handles % BLOCK_HANDLES == 0) {
		struct handle *block = calloc(BLOCK_HANDLES, sizeof(*block));

		if (!block)
			return -ENOMEM;
		atomic_store_explicit(&blocks[n_handles / BLOCK_HANDLES], block,
				      memory_order_release);
	}
	*number = n_handles++;
	return 0;
}

int handle_open(struct object *object, uint64_t *fh)
{
	uint32_t number;
	int r;

	pthread_mutex_lock(&lock);
	r = take_number(&number);
	pthread_mutex_unlock(&lock);
	if (r < 0)
		return r;
	*handle_get(number) = (struct handle){ .object = object };
	atomic_fetch_add(&object->handles, 1);
	*fh = number;
	return 0;
}

void handle_close(uint64_t fh)
{
	struct handle *handle = handle_get(fh);
	struct object *object = handle->object;

	free(steal_pointer(handle->prefetch));
	quota_close(handle);
	pthread_mutex_lock(&lock);
	handle->object = NULL;
	handle->next_free = first_free;
	first_free = (uint32_t)fh + 1;
	pthread_mutex_unlock(&lock);
	if (atomic_fetch_sub(&object->handles, 1) == 1)
		kept_drop(object->fs->kept, object);
	object_put(object);
}

void handle_close_all(void)
{
	for (uint32_t i = 0; i < n_handles; i++) {
		if (handle_get(i)->object)
			handle_close(i);
	}
	for (size_t i = 0; i < BLOCKS_MAX; i++)
		free(atomic_exchange(&blocks[i], NULL));
	n_handles = first_free = 0;
}
