/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many short-lived processes of several callers at once, each of which checks that what it sees is its own:
 *
 *	storm MOUNTPOINT PROCESSES AT-A-TIME CALLER CALLER…
 *
 * PROCESSES of each CALLER, AT-A-TIME of them running. A CALLER is
 *	uid=UID,target=LINK,own=DIGEST,file=PATH,other=DIGEST[,cgroup=FILE]
 * whose processes run as UID, in the cgroup that takes them by FILE (cgroup.procs). MOUNTPOINT/hash leads them to LINK,
 * in which OWN is there with the bytes of PATH, and OTHER is not.
 *
 * Says how many processes there were, and what was wrong. Exit status 0 if nothing was.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/io.h"
#include "common/number.h"

#define FILE_MAX ((size_t)1 << 20)

struct caller {
	uint64_t uid;
	const char *target, *own, *file, *other, *cgroup;
	char *bytes; /* of file */
	size_t size;
};

/* What a process found; its exit status. */
enum finding {
	FINE,
	WRONG_LINK,
	NOT_OPENED,
	WRONG_BYTES,
	NOT_HIDDEN,
	FINDINGS,
};

static const char *const findings[FINDINGS] = {
	"is fine",	 "is led elsewhere", "cannot open its own",
	"reads what is not its own", "finds what is the other's",
};

static const char *mountpoint;

/* ---- one process ---- */

static int open_object(const char *digest)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/hash/%s", mountpoint, digest) >= PATH_MAX)
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

static enum finding check_link(const struct caller *caller)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/hash", mountpoint);
	n = readlink(path, target, sizeof(target));
	return n == (ssize_t)strlen(caller->target) && !memcmp(target, caller->target, (size_t)n) ?
		       FINE :
		       WRONG_LINK;
}

static enum finding check_own(const struct caller *caller)
{
	_cleanup_close_ int fd = open_object(caller->own);
	_cleanup_free_ char *bytes = malloc(caller->size + 1);
	ssize_t n;

	if (fd < 0 || !bytes)
		return NOT_OPENED;
	n = io_read(fd, bytes, caller->size + 1);
	return n == (ssize_t)caller->size && !memcmp(bytes, caller->bytes, caller->size) ?
		       FINE :
		       WRONG_BYTES;
}

static enum finding check_other(const struct caller *caller)
{
	_cleanup_close_ int fd = open_object(caller->other);

	return fd < 0 && errno == ENOENT ? FINE : NOT_HIDDEN;
}

static enum finding check(const struct caller *caller)
{
	enum finding found = check_link(caller);

	if (found == FINE)
		found = check_own(caller);
	if (found == FINE)
		found = check_other(caller);
	return found;
}

/* ---- the processes of a caller ---- */

static int become(const struct caller *caller)
{
	if (caller->cgroup) {
		_cleanup_close_ int fd = open(caller->cgroup, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1)
			return -errno;
	}
	if (setgid((gid_t)caller->uid) < 0 || setuid((uid_t)caller->uid) < 0)
		return -errno;
	return 0;
}

/* One of the children ended: what it found. */
static void reap(unsigned long counts[FINDINGS])
{
	int status;

	if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) >= FINDINGS)
		counts[NOT_OPENED]++;
	else
		counts[WEXITSTATUS(status)]++;
}

static int run(const struct caller *caller, unsigned long processes, unsigned long at_a_time)
{
	unsigned long counts[FINDINGS] = {0}, running = 0;
	int r = become(caller);

	if (r < 0) {
		fprintf(stderr, "uid %lu: %s\n", (unsigned long)caller->uid, strerror(-r));
		return EXIT_FAILURE;
	}
	for (unsigned long i = 0; i < processes; i++) {
		pid_t pid;

		if (running == at_a_time)
			reap(counts);
		else
			running++;
		pid = fork();
		if (pid == 0)
			_exit((int)check(caller));
		if (pid < 0) {
			perror("fork");
			return EXIT_FAILURE;
		}
	}
	for (; running > 0; running--)
		reap(counts);
	for (size_t i = 0; i < FINDINGS; i++) {
		if (counts[i] > 0)
			printf("%s: %lu %s\n", caller->target, counts[i], findings[i]);
	}
	fflush(stdout);
	return counts[FINE] == processes ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- the command line ---- */

static int parse_caller(char *text, struct caller *caller)
{
	static const char *const keys[] = {"uid", "target", "own", "file", "other", "cgroup"};
	const char *values[ARRAY_SIZE(keys)] = {NULL};
	char *word;

	while ((word = strsep(&text, ","))) {
		const char *key = strsep(&word, "=");
		size_t i = 0;

		while (i < ARRAY_SIZE(keys) && strcmp(key, keys[i]))
			i++;
		if (i == ARRAY_SIZE(keys) || !word)
			return -EINVAL;
		values[i] = word;
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys) - 1; i++) {
		if (!values[i])
			return -EINVAL;
	}
	*caller = (struct caller){
		.target = values[1],
		.own = values[2],
		.file = values[3],
		.other = values[4],
		.cgroup = values[5],
	};
	if (number_digits(&values[0], &caller->uid) < 0 || *values[0])
		return -EINVAL;
	return io_read_file(caller->file, FILE_MAX, &caller->bytes, &caller->size);
}

int main(int argc, char **argv)
{
	uint64_t processes, at_a_time;
	const char *first, *second;
	int status, result = EXIT_SUCCESS;

	if (argc < 5) {
		fprintf(stderr, "usage: storm MOUNTPOINT PROCESSES AT-A-TIME CALLER…\n");
		return 2;
	}
	mountpoint = argv[1];
	first = argv[2];
	second = argv[3];
	if (number_digits(&first, &processes) < 0 || *first ||
	    number_digits(&second, &at_a_time) < 0 || *second || at_a_time == 0) {
		fprintf(stderr, "not a number\n");
		return 2;
	}
	for (int i = 4; i < argc; i++) {
		struct caller caller;
		int r = parse_caller(argv[i], &caller);
		pid_t pid;

		if (r < 0) {
			fprintf(stderr, "caller %d: %s\n", i - 3, strerror(-r));
			return 2;
		}
		pid = fork();
		if (pid == 0)
			_exit(run(&caller, processes, at_a_time));
		free(caller.bytes);
		if (pid < 0) {
			perror("fork");
			result = EXIT_FAILURE;
		}
	}
	while (wait(&status) > 0) {
		if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
			result = EXIT_FAILURE;
	}
	return result;
}
