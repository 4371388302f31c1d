/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long single calls take, for tests/integration/test_timing.py: nothing is left out and nothing is averaged.
 *
 *	call-times DIRECTORY REPEATS	names in DIRECTORY on stdin, one a line
 *
 * For each name in turn, and REPEATS times: it is looked up (fstatat), opened, and a byte is read. What was measured is kept
 * in memory until all is done, then printed, a line for each time:
 *
 *	LINE LOOKUP-ERRNO LOOKUP-NS OPEN-ERRNO OPEN-NS READ-ERRNO READ-NS
 *
 * LINE counts from 0; a read that could not be tried has errno -1. Times are of CLOCK_MONOTONIC.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct call {
	int error; /* -1: it was not made */
	uint64_t ns;
};

struct trial {
	struct call lookup, open, read;
};

struct names {
	char **names;
	size_t n, room;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct trial try_one(int directory, const char *name)
{
	struct trial trial = { .read.error = -1 };
	uint64_t begin;
	struct stat st;
	char byte;
	int fd, r;

	begin = now_ns();
	r = fstatat(directory, name, &st, 0);
	trial.lookup.ns = now_ns() - begin;
	trial.lookup.error = r < 0 ? errno : 0;

	begin = now_ns();
	fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	trial.open.ns = now_ns() - begin;
	trial.open.error = fd < 0 ? errno : 0;
	if (fd < 0)
		return trial;

	begin = now_ns();
	r = (int)pread(fd, &byte, 1, 0);
	trial.read.ns = now_ns() - begin;
	trial.read.error = r < 0 ? errno : 0;
	close(fd);
	return trial;
}

static int read_names(struct names *out)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, stdin)) > 0) {
		if (out->n == out->room) {
			size_t room = out->room ? out->room * 2 : 1024;
			char **grown = realloc(out->names, room * sizeof(*grown));

			if (!grown)
				return -ENOMEM;
			out->names = grown;
			out->room = room;
		}
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		out->names[out->n++] = line;
		line = NULL;
		size = 0;
	}
	free(line);
	return ferror(stdin) ? -EIO : 0;
}

static void print(const struct trial *trial, size_t line)
{
	printf("%zu %d %" PRIu64 " %d %" PRIu64 " %d %" PRIu64 "\n", line, trial->lookup.error,
	       trial->lookup.ns, trial->open.error, trial->open.ns, trial->read.error, trial->read.ns);
}

int main(int argc, char **argv)
{
	unsigned long repeats = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	struct names names = { 0 };
	struct trial *trials;
	int directory;

	if (repeats == 0) {
		fprintf(stderr, "usage: call-times DIRECTORY REPEATS <NAMES\n");
		return 2;
	}
	directory = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0 || read_names(&names) < 0) {
		perror(argv[1]);
		return 1;
	}
	trials = calloc(names.n * repeats + 1, sizeof(*trials));
	if (!trials)
		return 1;
	for (size_t i = 0; i < names.n * repeats; i++)
		trials[i] = try_one(directory, names.names[i / repeats]);
	for (size_t i = 0; i < names.n * repeats; i++)
		print(&trials[i], i / repeats);
	for (size_t i = 0; i < names.n; i++)
		free(names.names[i]);
	free(names.names);
	free(trials);
	close(directory);
	return 0;
}
