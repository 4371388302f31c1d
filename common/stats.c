/* SPDX-License-Identifier: Apache-2.0 */
#include "common/stats.h"

#include <errno.h>
#include <stdatomic.h>

/* Threads are dealt out over these, so that hardly ever two write to one cache line. */
#define SHARDS 16

static struct {
	_Alignas(64) atomic_uint_fast64_t counts[STAT_COUNT];
} shards[SHARDS];

static atomic_uint threads;
static _Thread_local unsigned int mine; /* number of the thread's shard + 1 */

void stats_add(enum stats_what stat, int64_t n)
{
	if (!mine)
		mine = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % SHARDS + 1;
	/* What is taken off wraps around, and so does the sum. */
	atomic_fetch_add_explicit(&shards[mine - 1].counts[stat], (uint64_t)n,
				  memory_order_relaxed);
}

uint64_t stats_get(enum stats_what stat)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < SHARDS; i++)
		sum += atomic_load_explicit(&shards[i].counts[stat], memory_order_relaxed);
	return sum;
}

void stats_read_failed(int error)
{
	switch (error) {
	case EIO:
		stats_add(STAT_FAILED_EIO, 1);
		break;
	case ENODATA:
		stats_add(STAT_FAILED_ENODATA, 1);
		break;
	case ETIMEDOUT:
		stats_add(STAT_FAILED_ETIMEDOUT, 1);
		break;
	case EINTR:
		stats_add(STAT_FAILED_EINTR, 1);
		break;
	default:
		stats_add(STAT_FAILED_OTHER, 1);
	}
}
