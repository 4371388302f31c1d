/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded pool of page-aligned buffers of one size: the memory that in-flight bytes may take.
 *
 * Taking never waits. Whoever found the pool empty is told when a buffer comes back (`freed`), so
 * that an event loop can pause a connection and go on later. Any thread.
 */
#ifndef COMMON_POOL_H
#define COMMON_POOL_H

#include <stddef.h>
#include "common/cleanup.h"

struct pool;

/* COUNT buffers of SIZE bytes (a multiple of the page size); memory is touched on first use only. */
int must_check pool_new(size_t size, size_t count, struct pool **out);
/* All buffers must have been put back. NULL is allowed. */
void pool_free(struct pool *pool);

/*
 * Called without a lock held, on the thread that put the buffer. NULL ends it: when this returns, no
 * call is under way and none will come, so ARG may go although others still put buffers. Not to be
 * used from within FREED.
 */
void pool_on_freed(struct pool *pool, void (*freed)(void *arg), void *arg);

/* A buffer, or NULL when none is left. */
void *must_check pool_take(struct pool *pool);
/* NULL is allowed. */
void pool_put(struct pool *pool, void *buffer);

size_t pool_count(const struct pool *pool);
size_t pool_available(struct pool *pool);

#endif
