/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/caller.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include "common/clock.h"
#include "common/log.h"
#include "fs/origins/process.h"

#define SETS	    256
#define WAYS	    4
#define CGROUPS_MAX 65536 /* bytes of /proc/PID/cgroup: a path of 4 KiB for each of 16 hierarchies */

/* Where a process was at a time. */
struct place {
	struct process process;
	int64_t looked_ms; /* before the look */
	char *cgroup;	   /* NULL: nothing is kept here */
};

struct callers {
	int proc; /* -1: none of ours, nobody is identified */
	char *cgroup;
	uid_t owner;
	atomic_bool warned;
	pthread_mutex_t lock;
	struct place places[SETS][WAYS]; /* protected by lock */
};

int callers_new(const char *proc, const char *cgroup, uid_t owner, struct callers **out)
{
	struct callers *callers = calloc(1, sizeof(*callers));

	if (!callers)
		return -ENOMEM;
	pthread_mutex_init(&callers->lock, NULL);
	callers->owner = owner;
	callers->cgroup = strdup(cgroup);
	callers->proc = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* By the numbers of another namespace everybody would be somebody else. */
	if (callers->proc >= 0 && !process_numbers_are_ours(callers->proc)) {
		close(callers->proc);
		callers->proc = -1;
	}
	if (!callers->cgroup) {
		callers_free(callers);
		return -ENOMEM;
	}
	*out = callers;
	return 0;
}

void callers_free(struct callers *callers)
{
	if (!callers)
		return;
	for (size_t i = 0; i < SETS * WAYS; i++)
		free(callers->places[i / WAYS][i % WAYS].cgroup);
	if (callers->proc >= 0)
		close(callers->proc);
	pthread_mutex_destroy(&callers->lock);
	free(callers->cgroup);
	free(callers);
}

/* ---- what is kept ---- */

static struct place *set_of(struct callers *callers, const struct process *process)
{
	return callers->places[(uint32_t)process->pid % SETS];
}

static bool is_of(const struct place *place, const struct process *process)
{
	return place->cgroup && place->process.pid == process->pid &&
	       place->process.start == process->start;
}

static bool recall(struct callers *callers, const struct process *process, int64_t now,
		   char cgroup[CGROUP_PATH_SIZE])
{
	struct place *set = set_of(callers, process);
	bool found = false;

	pthread_mutex_lock(&callers->lock);
	for (size_t i = 0; i < WAYS && !found; i++) {
		found = is_of(&set[i], process) && now - set[i].looked_ms < CALLER_KEEP_MS;
		if (found)
			memcpy(cgroup, set[i].cgroup, strlen(set[i].cgroup) + 1);
	}
	pthread_mutex_unlock(&callers->lock);
	return found;
}

/* In the place of what is known of this process, or else of what is kept for longest. */
static void keep(struct callers *callers, const struct process *process, int64_t looked_ms,
		 const char *cgroup)
{
	struct place *set = set_of(callers, process), *slot = set;
	char *copy = strdup(cgroup);

	if (!copy)
		return;
	pthread_mutex_lock(&callers->lock);
	for (size_t i = 1; i < WAYS && !is_of(slot, process); i++) {
		if (is_of(&set[i], process) || !set[i].cgroup ||
		    (slot->cgroup && set[i].looked_ms < slot->looked_ms))
			slot = &set[i];
	}
	/* Another thread may have looked later. */
	if (!is_of(slot, process) || slot->looked_ms <= looked_ms) {
		char *old = slot->cgroup;

		*slot = (struct place){*process, looked_ms, copy};
		copy = old;
	}
	pthread_mutex_unlock(&callers->lock);
	free(copy);
}

/* ---- the process ---- */

/* The cgroup of thread TID's process, if that began at LATEST at the latest. */
static int find_cgroup(struct callers *callers, pid_t tid, uint64_t latest,
		       char cgroup[CGROUP_PATH_SIZE])
{
	_cleanup_free_ char *text = NULL;
	struct process process, again;
	int64_t now = clock_ms();
	int r;

	if (callers->proc < 0)
		return -ENXIO;
	r = process_of(callers->proc, tid, &process);
	if (r < 0)
		return r;
	if (process.start > latest)
		return -ESRCH;
	if (recall(callers, &process, now, cgroup))
		return 0;
	r = process_read(callers->proc, &process, "cgroup", CGROUPS_MAX, &text);
	if (r == 0)
		r = cgroup_of(callers->cgroup, callers->owner, text, cgroup);
	if (r < 0)
		return r;
	/* Was all of that about the same process? */
	r = process_of(callers->proc, tid, &again);
	if (r < 0)
		return r;
	if (!process_is_same(&process, &again))
		return -ESRCH;
	keep(callers, &process, now, cgroup);
	return 0;
}

/* Of a process that ends, or is elsewhere, there is nothing to say; of a machine on which it is always so, once. */
static void warn(struct callers *callers, int error)
{
	if (error == -ENOENT || error == -ESRCH || error == -EOWNERDEAD || error == -EXDEV)
		return;
	if (!atomic_exchange(&callers->warned, true))
		log_warning_errno(error, "the policy looks at cgroups, and that of a caller cannot "
				  "be found out, so it has no origin; said once");
}

/* An identified caller, whose process is TID's, stays so, or not. */
static void place(struct callers *callers, const struct policy *policy, pid_t tid, uint64_t latest,
		  struct caller *out)
{
	int r;

	if (!out->who.identified || !policy_needs_cgroup(policy))
		return;
	r = find_cgroup(callers, tid, latest, out->cgroup);
	if (r < 0) {
		warn(callers, r);
		out->who.identified = false;
		return;
	}
	if (out->cgroup[0])
		out->who.cgroup = out->cgroup;
	if (cgroup_unit(out->cgroup, out->unit))
		out->who.unit = out->unit;
}

/*
 * N groups were found, of which there is room for some; or -errno. Without all of them the caller might match a line that
 * comes after its own.
 */
static void set_groups(const struct policy *policy, int n, struct caller *out)
{
	bool all = n >= 0 && n <= CALLER_GROUPS_MAX;

	out->who.groups = out->groups;
	out->who.n_groups = all ? (size_t)n : 0;
	if (!all && policy_needs_groups(policy))
		out->who.identified = false;
}

void caller_of_request(struct callers *callers, const struct policy *policy, fuse_req_t request,
		       struct caller *out)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(request);

	out->who = (struct policy_caller){
		.identified = ctx->pid != 0 && ctx->uid != (uid_t)-1 && ctx->gid != (gid_t)-1,
		.uid = ctx->uid,
		.gid = ctx->gid,
		.groups = out->groups,
	};
	if (out->who.identified && policy_needs_groups(policy))
		set_groups(policy, fuse_req_getgroups(request, CALLER_GROUPS_MAX, out->groups), out);
	place(callers, policy, ctx->pid, UINT64_MAX, out);
}

void caller_of_peer(struct callers *callers, const struct policy *policy, int fd, uint64_t accepted,
		    struct caller *out)
{
	socklen_t len = sizeof(struct ucred), groups_size = sizeof(out->groups);
	struct ucred peer;
	int n_groups;

	out->who = (struct policy_caller){.uid = (uid_t)-1, .gid = (gid_t)-1};
	out->pid = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return;
	n_groups = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, out->groups, &groups_size) < 0 ?
			   -errno :
			   (int)(groups_size / sizeof(gid_t));
	out->who = (struct policy_caller){
		.identified = peer.pid != 0,
		.uid = peer.uid,
		.gid = peer.gid,
	};
	out->pid = peer.pid;
	set_groups(policy, n_groups, out);
	place(callers, policy, peer.pid, accepted, out);
}

uint64_t caller_now(void)
{
	struct timespec now;
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * hz + (uint64_t)now.tv_nsec * hz / 1000000000;
}

void caller_of_self(const struct policy *policy, struct caller *out)
{
	struct callers *callers;
	out->who = (struct policy_caller){
		.identified = true,
		.uid = getuid(),
		.gid = getgid(),
	};
	set_groups(policy, getgroups(CALLER_GROUPS_MAX, out->groups), out);
	if (!policy_needs_cgroup(policy))
		return;
	if (callers_new("/proc", "/sys/fs/cgroup", 0, &callers) < 0) {
		out->who.identified = false;
		return;
	}
	place(callers, policy, getpid(), UINT64_MAX, out);
	callers_free(callers);
}
