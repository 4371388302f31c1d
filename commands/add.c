/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "commands/commands.h"
#include "common/io.h"
#include "common/log.h"
#include "fs/control/control.h"

#define SPOOL_SIZE ((size_t)1 << 20)

struct adding {
	const char *file;
	bool json;
	struct progress progress;
};

static int line(void *arg, json_t *json)
{
	struct adding *adding = arg;
	const char *digest = json_string_value(json_object_get(json, "digest"));

	if (!digest) {
		progress_show(&adding->progress, (uint64_t)json_integer_value(
							 json_object_get(json, "progress")));
		return 0;
	}
	progress_end(&adding->progress);
	json_object_set_new(json, "file", json_string(adding->file));
	if (adding->json)
		command_print_json(json);
	else
		printf("%s  %s\n", digest, adding->file);
	return fflush(stdout) == EOF ? -errno : 0;
}

/*
 * A daemon takes regular files only: a pipe, or a terminal, goes into a file without a name first.
 */
static int spool(int fd, int *out, struct progress *progress)
{
	_cleanup_close_ int to = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	_cleanup_free_ char *buffer = malloc(SPOOL_SIZE);
	uint64_t done = 0;
	ssize_t n;
	int r;

	if (to < 0 || !buffer)
		return to < 0 ? -errno : -ENOMEM;
	while ((n = io_read(fd, buffer, SPOOL_SIZE)) > 0) {
		r = io_write(to, buffer, (size_t)n);
		if (r < 0)
			return r;
		done += (uint64_t)n;
		progress_show(progress, done);
	}
	if (n < 0)
		return (int)n;
	if (lseek(to, 0, SEEK_SET) < 0)
		return -errno;
	*out = steal_fd(&to);
	return 0;
}

static int add(const struct settings *settings, struct config *config, const char *file,
	       bool json)
{
	bool is_stdin = !strcmp(file, "-");
	_cleanup_close_ int opened = is_stdin ? -1 : open(file, O_RDONLY | O_CLOEXEC), spooled = -1;
	int fd = is_stdin ? STDIN_FILENO : opened;
	struct adding adding = { .file = file, .json = json, .progress.what = file };
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return log_error_errno(-errno, "%s", file);
	if (S_ISREG(st.st_mode)) {
		adding.progress.total = (uint64_t)st.st_size;
	} else if (!S_ISDIR(st.st_mode) && store_holder(settings->store) > 0) {
		r = spool(fd, &spooled, &adding.progress);
		if (r < 0)
			return log_error_errno(r, "%s", file);
		fd = spooled;
	}
	r = control_call(settings, config, json_pack("{s:s}", "op", "add"), fd, line, &adding);
	progress_end(&adding.progress);
	if (r < 0)
		log_error("%s: not added", file);
	return r;
}

int command_add(const struct command *command, int argc, char **argv)
{
	struct settings settings = { 0 };
	struct config config;
	bool json = false;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &json);
	if (status != EXIT_DONE)
		return status;
	if (optind == argc)
		status = command_usage(command);
	for (int i = optind; i < argc; i++) {
		if (add(&settings, &config, argv[i], json) < 0)
			status = EXIT_FAILED;
	}
	return command_end(&settings, &config, status);
}
