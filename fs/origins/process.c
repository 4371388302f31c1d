/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/process.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "common/io.h"
#include "common/number.h"

#define START_SIZE 1024	      /* bytes of stat and status that are looked at: what is needed stands in front */
#define EXITING	   0x00000004 /* PF_EXITING of the kernel's include/linux/sched.h */

bool process_is_same(const struct process *a, const struct process *b)
{
	return a->pid == b->pid && a->start == b->start && a->thread_start == b->thread_start;
}

/* How the file begins. */
static int read_start(int proc, const char *path, char out[START_SIZE])
{
	_cleanup_close_ int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = io_read(fd, out, START_SIZE - 1);
	if (n < 0)
		return (int)n;
	out[n] = '\0';
	return 0;
}

/* The number behind "\nLABEL:\t", which is all of its line. A name with a newline is written with "\n". */
static int status_number(const char *status, const char *label, pid_t *out)
{
	const char *at = strstr(status, label);
	uint64_t value;

	if (!at)
		return -EBADMSG;
	at += strlen(label);
	if (number_digits(&at, &value) < 0 || *at != '\n' || value == 0 || value > INT32_MAX)
		return -EBADMSG;
	*out = (pid_t)value;
	return 0;
}

/* proc(5), /proc/PID/stat: fields 9 (flags) and 22 (start). A name (field 2) may hold blanks and brackets. */
static int stat_start(const char *stat, uint64_t *start)
{
	const char *at = strrchr(stat, ')');
	uint64_t flags;

	for (unsigned int field = 2; at && field < 9; field++)
		at = strchr(at + 1, ' ');
	if (!at || *++at == '\0' || number_digits(&at, &flags) < 0 || *at != ' ')
		return -EBADMSG;
	for (unsigned int field = 10; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at || *++at == '\0' || number_digits(&at, start) < 0 || *at != ' ')
		return -EBADMSG;
	return flags & EXITING ? -EOWNERDEAD : 0;
}

static int read_stat(int proc, const char *path, uint64_t *start)
{
	char text[START_SIZE];
	int r = read_start(proc, path, text);

	return r < 0 ? r : stat_start(text, start);
}

int process_of(int proc, pid_t tid, struct process *out)
{
	struct process process = {0};
	char path[64], text[START_SIZE];
	pid_t named;
	int r;

	snprintf(path, sizeof(path), "%d/status", tid);
	r = read_start(proc, path, text);
	if (r == 0)
		r = status_number(text, "\nTgid:\t", &process.pid);
	if (r == 0)
		r = status_number(text, "\nPid:\t", &named);
	if (r < 0)
		return r;
	if (named != tid)
		return -EBADMSG;
	snprintf(path, sizeof(path), "%d/stat", process.pid);
	r = read_stat(proc, path, &process.start);
	if (r < 0)
		return r;
	process.thread_start = process.start;
	/* Below its process, a thread is there only as long as it belongs to it. */
	if (tid != process.pid) {
		snprintf(path, sizeof(path), "%d/task/%d/stat", process.pid, tid);
		r = read_stat(proc, path, &process.thread_start);
	}
	if (r < 0)
		return r;
	*out = process;
	return 0;
}

int process_read(int proc, const struct process *process, const char *name, size_t limit, char **out)
{
	_cleanup_free_ char *text = malloc(limit + 2);
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	if (!text)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%d/%s", process->pid, name);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = io_read(fd, text, limit + 1);
	if (n < 0)
		return (int)n;
	if ((size_t)n > limit)
		return -EFBIG;
	text[n] = '\0';
	if (strlen(text) != (size_t)n)
		return -EBADMSG;
	*out = steal_pointer(text);
	return 0;
}

bool process_numbers_are_ours(int proc)
{
	char text[START_SIZE];
	pid_t pid;

	/* From the namespace of PROC to its own: one number, if they are the same. */
	return read_start(proc, "self/status", text) == 0 &&
	       status_number(text, "\nNSpid:\t", &pid) == 0 && pid == getpid();
}
