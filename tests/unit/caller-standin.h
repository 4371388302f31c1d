/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-ins for callers: the policy's needs, libfuse, time. */
#ifndef TESTS_UNIT_CALLER_STANDIN_H
#define TESTS_UNIT_CALLER_STANDIN_H

#include <stdatomic.h>
#include <time.h>
#include "fs/origins/caller.h"

static bool needs_cgroup, needs_groups;
static __thread struct fuse_ctx ctx;
static int n_groups;
static atomic_llong now_ms = 1000000;

bool policy_needs_cgroup(const struct policy *policy)
{
	return needs_cgroup;
}

bool policy_needs_groups(const struct policy *policy)
{
	return needs_groups;
}

const struct fuse_ctx *fuse_req_ctx(fuse_req_t request)
{
	return &ctx;
}

int fuse_req_getgroups(fuse_req_t request, int size, gid_t list[])
{
	for (int i = 0; i < n_groups && i < size; i++)
		list[i] = (gid_t)i;
	return n_groups;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
	long long now = atomic_load(&now_ms);

	*out = (struct timespec){.tv_sec = now / 1000, .tv_nsec = now % 1000 * 1000000};
	return 0;
}

#endif
