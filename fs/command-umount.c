/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mount.h>
#include <sys/wait.h>
#include "common/log.h"
#include "fs/commands.h"

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

int command_umount(const struct command *command, int argc, char **argv)
{
	if (argc != 2)
		return command_usage(command);
	if (umount2(argv[1], UMOUNT_NOFOLLOW) == 0)
		return EXIT_DONE;
	if (errno == EPERM && fusermount(argv[1]) == 0)
		return EXIT_DONE;
	if (errno != EPERM)
		log_error_errno(-errno, "%s: cannot be unmounted", argv[1]);
	return EXIT_FAILED;
}
