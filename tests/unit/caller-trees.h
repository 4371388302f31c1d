/* SPDX-License-Identifier: Apache-2.0 */
/* Trees that look like /proc and /sys/fs/cgroup, in a folder that is the working directory of the test. */
#ifndef CALLER_TREES_H
#define CALLER_TREES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void remove_tree(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static char *trees; /* where they are */

static inline int trees_begin(void **state)
{
	const char *tmp = getenv("TMPDIR");

	if (asprintf(&trees, "%s/weightfs-caller-XXXXXX", tmp ? tmp : "/tmp") < 0 ||
	    !mkdtemp(trees) || chdir(trees) < 0)
		return -1;
	umask(022);
	return 0;
}

static inline int trees_end(void **state)
{
	int r = chdir("/");

	remove_tree(trees);
	free(trees);
	return r;
}

/* PATH and what is above it. */
static inline void make_folders(const char *path)
{
	char part[4096];

	for (const char *end = strchr(path, '/');; end = strchr(end + 1, '/')) {
		size_t len = end ? (size_t)(end - path) : strlen(path);

		memcpy(part, path, len);
		part[len] = '\0';
		mkdir(part, 0755);
		if (!end)
			break;
	}
	assert_int_equal(access(path, F_OK), 0);
}

/* A new file in the place of what is there, in a folder that is made. */
static inline void put_file(const char *path, const char *text)
{
	char *folder = strdup(path);
	FILE *file;

	assert_non_null(folder);
	*strrchr(folder, '/') = '\0';
	make_folders(folder);
	free(folder);
	unlink(path);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* ---- /proc, in proc/ ---- */

#define RUNS	"4194560" /* flags of stat */
#define EXITS	"4228356"

static inline void put_stat(const char *path, unsigned int pid, const char *flags, unsigned int start)
{
	char text[512];

	/* A name that would mislead whoever counts blanks, or believes the first bracket. */
	snprintf(text, sizeof(text),
		 "%u (a) S 1 (b) R 1 1 1 0 -1 %s 5 6 7 8 9 10 11 12 20 0 3 0 %u 3100672 100 "
		 "18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0\n",
		 pid, flags, start);
	put_file(path, text);
}

/* Thread TID, which began at START, of process PID. */
static inline void put_thread(unsigned int pid, unsigned int tid, unsigned int start)
{
	char path[128], text[256];

	snprintf(path, sizeof(path), "proc/%u/status", tid);
	snprintf(text, sizeof(text), "Name:\tTgid:\\n\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t%u\n"
		 "Ngid:\t0\nPid:\t%u\nPPid:\t1\n", pid, tid);
	put_file(path, text);
	snprintf(path, sizeof(path), "proc/%u/stat", tid);
	put_stat(path, tid, RUNS, start);
	snprintf(path, sizeof(path), "proc/%u/task/%u/stat", pid, tid);
	put_stat(path, tid, RUNS, start);
}

static inline void put_cgroup(unsigned int pid, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "proc/%u/cgroup", pid);
	put_file(path, text);
}

/* As it is where this process looks at its own namespace. */
static inline void put_self(const char *numbers)
{
	char text[128];

	snprintf(text, sizeof(text), "Name:\ttest\nPid:\t%u\nNSpid:\t%s\n", (unsigned int)getpid(),
		 numbers);
	put_file("proc/self/status", text);
}

/* ---- /sys/fs/cgroup, in cgroup/ ---- */

/* A cgroup: a folder, and the files that take processes, those of both versions. */
static inline void put_group(const char *path)
{
	static const char *const files[] = {"cgroup.procs", "cgroup.threads", "tasks"};
	char file[4096 + 32];

	make_folders(path);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(file, sizeof(file), "%s/%s", path, files[i]);
		put_file(file, "");
	}
}

/* The top of a version 2 hierarchy. */
static inline void put_version_2(const char *path)
{
	char file[256];

	put_group(path);
	snprintf(file, sizeof(file), "%s/cgroup.controllers", path);
	put_file(file, "cpu memory\n");
}

#endif
