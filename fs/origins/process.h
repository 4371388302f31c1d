/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes as proc(5) tells of them. A number alone names no process: it is given out again. A process is its number
 * and the time of its start (the kernel does not get through all numbers within a clock tick), and who looks at more than
 * that looks twice, process_of() before and after.
 *
 * PROC is a descriptor of the proc filesystem's root. Any thread. What cannot be understood is an error.
 */
#ifndef FS_ORIGINS_PROCESS_H
#define FS_ORIGINS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/cleanup.h"

struct process {
	pid_t pid;
	uint64_t start;        /* clock ticks since boot */
	uint64_t thread_start; /* of the thread that it was found by */
};

bool process_is_same(const struct process *a, const struct process *b);

/*
 * The process that thread TID belongs to. -ENOENT, -ESRCH: there is none. -EBADMSG: odd content. -EOWNERDEAD: its first
 * thread is exiting or did so; of such a process the kernel says that it is at the top of every version 1 hierarchy.
 */
int must_check process_of(int proc, pid_t tid, struct process *out);

/* Its file NAME as a string, to be freed. -EFBIG: longer than LIMIT. -EBADMSG: it has a NUL. */
int must_check process_read(int proc, const struct process *process, const char *name, size_t limit,
			    char **out);

/* Are the numbers in PROC those of this process's own namespace? */
bool process_numbers_are_ours(int proc);

#endif
