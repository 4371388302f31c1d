/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "commands/commands.h"
#include "commands/tree-file.h"
#include "common/log.h"
#include "verify/verify.h"

static int show(void *arg, uint64_t done)
{
	progress_show(arg, done);
	return 0;
}

/* Written beside and renamed, so that a web server never serves half of one. */
static int write_tree_file(const char *path, const struct verify_result *result)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return log_error_errno(-errno, "%s", temporary);
	r = tree_file_write(fd, result);
	if (r == 0 && (fchmod(fd, 0644) < 0 || rename(temporary, path) < 0))
		r = -errno;
	if (r < 0) {
		unlink(temporary);
		return log_error_errno(r, "%s", path);
	}
	return 0;
}

static int make_tree(const char *file)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *path = NULL;
	char sha256[DIGEST_HEX_SIZE], fsverity[DIGEST_HEX_SIZE];
	struct progress progress = { .what = file };
	struct verify_result result;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return log_error_errno(-errno, "%s", file);
	progress.total = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	r = verify_fd(fd, -1, show, &progress, &result);
	progress_end(&progress);
	if (r < 0)
		return log_error_errno(r, "%s", file);
	if (asprintf(&path, "%s.vtree", file) < 0)
		r = -ENOMEM;
	else
		r = write_tree_file(path, &result);
	if (r == 0) {
		digest_to_hex(&result.sha256, sha256);
		digest_to_hex(verify_tree_fsverity(result.tree), fsverity);
		printf("sha256-%s  fsverity-%s  %s\n", sha256, fsverity, file);
	}
	verify_tree_free(result.tree);
	return r;
}

int command_tree(const struct command *command, int argc, char **argv)
{
	int status = EXIT_DONE;

	if (argc < 2 || argv[1][0] == '-')
		return command_usage(command);
	for (int i = 1; i < argc; i++) {
		if (make_tree(argv[i]) < 0)
			status = EXIT_FAILED;
	}
	return fflush(stdout) == EOF ? EXIT_FAILED : status;
}
