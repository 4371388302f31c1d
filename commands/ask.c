/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that ask one operation; of these status, reload and metrics say no more than which daemon is meant. */
#include <stdio.h>
#include "commands/commands.h"
#include "fs/control/control.h"

/* Of the daemon that has the store; with a FOLDER, of the one whose mount that is in. */
static int ask(struct settings *settings, struct config *config, const char *operation,
	       const char *folder, struct command_printing *printing)
{
	struct settings_view view = { 0 };
	_cleanup_free_ char *path = NULL;
	int r = 0;

	if (folder && asprintf(&path, "%s/", folder) < 0)
		return -ENOMEM;
	if (folder)
		r = settings_follow(settings, path, &view);
	free(view.origin);
	return r < 0 ? r : control_call(settings, config, json_pack("{s:s}", "op", operation), -1,
					command_print_line, printing);
}

int command_call(const struct command *command, int argc, char **argv,
		 json_t *(*request)(const struct command *command, int n, char **arguments),
		 void (*print)(const json_t *line))
{
	struct command_printing printing = {.print = print};
	struct settings settings = {0};
	struct config config;
	json_t *made;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &printing.json);
	if (status != EXIT_DONE)
		return status;
	made = request(command, argc - optind, argv + optind);
	if (!made)
		status = command_usage(command);
	else if (control_call(&settings, &config, made, -1, command_print_line, &printing) < 0)
		status = EXIT_FAILED;
	return command_end(&settings, &config, status);
}

int command_ask(const struct command *command, int argc, char **argv,
		void (*print)(const json_t *line))
{
	struct command_printing printing = {.print = print};
	struct settings settings = {0};
	struct config config;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &printing.json);
	if (status != EXIT_DONE)
		return status;
	if (argc - optind > 1)
		status = command_usage(command);
	else if (ask(&settings, &config, command->name, argv[optind], &printing) < 0)
		status = EXIT_FAILED;
	return command_end(&settings, &config, status);
}
