/* SPDX-License-Identifier: Apache-2.0 */
#include <libgen.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include "commands/commands.h"
#include "common/log.h"

/* Without root, fusermount3(1) unmounts what its user mounted. */
static int fusermount(const char *mountpoint)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child == 0) {
		execlp("fusermount3", "fusermount3", "-u", "--", mountpoint, (char *)NULL);
		_exit(127);
	}
	if (waitpid(child, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

/*
 * The canonical form of PATH, which may be a mount whose daemon died: of it nothing can be asked, so only its
 * folder is resolved.
 */
static char *mountpoint_of(const char *path)
{
	_cleanup_free_ char *first = strdup(path), *second = strdup(path), *folder = NULL;
	char *joined;

	if (!first || !second)
		return NULL;
	folder = realpath(dirname(first), NULL);
	if (!folder || asprintf(&joined, "%s/%s", strcmp(folder, "/") ? folder : "",
				basename(second)) < 0)
		return NULL;
	return joined;
}

/* Is what was mounted last at POINT of our type? proc(5), /proc/self/mountinfo through getmntent(3). */
static bool is_ours(const char *point)
{
	FILE *table = setmntent("/proc/self/mounts", "r");
	struct mntent *entry;
	bool ours = false;

	if (!table)
		return false;
	while ((entry = getmntent(table))) {
		if (!strcmp(entry->mnt_dir, point))
			ours = !strcmp(entry->mnt_type, "fuse.weightfs");
	}
	endmntent(table);
	return ours;
}

int command_umount(const struct command *command, int argc, char **argv)
{
	_cleanup_free_ char *point = NULL;

	if (argc != 2)
		return command_usage(command);
	point = mountpoint_of(argv[1]);
	if (!point || !is_ours(point)) {
		log_error("%s: is not a weightfs mount", argv[1]);
		return EXIT_FAILED;
	}
	if (umount2(point, UMOUNT_NOFOLLOW) == 0)
		return EXIT_DONE;
	if (errno == EPERM && fusermount(point) == 0)
		return EXIT_DONE;
	if (errno != EPERM)
		log_error_errno(-errno, "%s: cannot be unmounted", argv[1]);
	return EXIT_FAILED;
}
