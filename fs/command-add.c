/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "common/log.h"
#include "fs/commands.h"
#include "fs/control.h"

struct adding {
	const char *file;
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
	printf("%s  %s\n", digest, adding->file);
	return fflush(stdout) == EOF ? -errno : 0;
}

static int add(const struct settings *settings, const struct config *config, const char *file)
{
	bool is_stdin = !strcmp(file, "-");
	_cleanup_close_ int opened = is_stdin ? -1 : open(file, O_RDONLY | O_CLOEXEC);
	int fd = is_stdin ? STDIN_FILENO : opened;
	struct adding adding = { .file = file, .progress.what = file };
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return log_error_errno(-errno, "%s", file);
	if (S_ISREG(st.st_mode))
		adding.progress.total = (uint64_t)st.st_size;
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
	int status;

	status = command_begin(command, argc, argv, &settings, &config, NULL);
	if (status != EXIT_DONE)
		return status;
	if (optind == argc)
		status = command_usage(command);
	for (int i = optind; i < argc; i++) {
		if (add(&settings, &config, argv[i]) < 0)
			status = EXIT_FAILED;
	}
	config_free(&config);
	settings_free(&settings);
	return status;
}
