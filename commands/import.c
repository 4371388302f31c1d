/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "commands/commands.h"
#include "commands/import/importing.h"
#include "common/log.h"
#include "fs/control/control.h"

static void print(const struct imported *imported, const char *spec, bool json)
{
	char size[COMMAND_SIZE_TEXT];
	json_t *line;

	if (!json) {
		command_print_place(imported->mountpoint, imported->name);
		printf("  %zu file%s, %s\n", imported->n_files,
		       imported->n_files == 1 ? "" : "s", command_size(imported->size, size));
		return;
	}
	line = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "spec", spec, "name", imported->name,
			 "files", (json_int_t)imported->n_files, "new",
			 (json_int_t)imported->n_new, "failed", (json_int_t)imported->n_failed, "size",
			 (json_int_t)imported->size);
	if (imported->mountpoint)
		json_object_set_new(line, "mountpoint", json_string(imported->mountpoint));
	command_print_json(line);
	json_decref(line);
}

static int import(const struct settings *settings, struct config *config, const char *spec,
		  bool everybody, bool json)
{
	struct imported imported = { 0 };
	int r;

	r = import_spec(settings, config, spec, everybody, &imported);
	if (r < 0)
		return r;
	print(&imported, spec, json);
	if (imported.n_failed > 0)
		r = -EIO;
	imported_clear(&imported);
	return fflush(stdout) == EOF ? -EPIPE : r;
}

int command_import(const struct command *command, int argc, char **argv)
{
	struct settings settings = { 0 };
	struct config config;
	bool json = false, everybody = false;
	int status;

	status = command_begin_with(
		command, argc, argv, &settings, &config, &json,
		(const struct command_option[]){ { "everybody", &everybody, NULL }, { 0 } });
	if (status != EXIT_DONE)
		return status;
	if (optind == argc)
		status = command_usage(command);
	for (int i = optind; i < argc; i++) {
		if (import(&settings, &config, argv[i], everybody, json) < 0)
			status = EXIT_FAILED;
	}
	return command_end(&settings, &config, status);
}
