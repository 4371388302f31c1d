/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks: from a FUSE request, or the peer of a socket, to what the policy matches. Identity fails closed: a caller
 * of whom something that the policy looks at cannot be found out is not identified, and matches no line.
 *
 * Only where the policy has `cgroup` or `unit` lines the process is looked at. What was found is kept by process
 * (its number and start) for CALLER_KEEP_MS: a look-up by path asks three times who it is. So a process that was moved
 * is in its old cgroup for that long at most, half of the 100 ms in which opens obey a new policy.
 */
#ifndef FS_ORIGINS_CALLER_H
#define FS_ORIGINS_CALLER_H

#include <sys/socket.h>
#include "fs/fs.h"
#include "fs/origins/cgroup.h"

#define CALLER_GROUPS_MAX 1024 /* supplementary groups; who has more is not identified where they matter */
#define CALLER_KEEP_MS	  50

/* WHO points into the rest. */
struct caller {
	struct policy_caller who;
	pid_t pid; /* of a peer, its process; 0: not known */
	gid_t groups[CALLER_GROUPS_MAX];
	char cgroup[CGROUP_PATH_SIZE]; /* any bytes, as the kernel has them */
	char unit[CGROUP_UNIT_SIZE];
};

/* ---- what is kept of callers: any thread ---- */

/* PROC and CGROUP: where /proc and /sys/fs/cgroup are. OWNER: whose cgroups count, root. 0 or -ENOMEM. */
int must_check callers_new(const char *proc, const char *cgroup, uid_t owner, struct callers **out);
void callers_free(struct callers *callers); /* NULL is allowed */

/* ---- who it is, for a decision of POLICY ---- */

void caller_of_request(struct callers *callers, const struct policy *policy, fuse_req_t request,
		       struct caller *out);

/*
 * The peer of the socket FD, whose connection was accepted at ACCEPTED (caller_now()): a process that began later has
 * its number by chance.
 */
void caller_of_peer(struct callers *callers, const struct policy *policy, int fd, uint64_t accepted,
		    struct caller *out);
/* Clock ticks since boot, as starts of processes are counted; now's is not over yet. */
uint64_t caller_now(void);

/* This process itself. */
void caller_of_self(const struct policy *policy, struct caller *out);

#endif
