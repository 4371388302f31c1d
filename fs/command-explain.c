/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "fs/commands.h"
#include "fs/control.h"

static void print(const json_t *line)
{
	printf("%-10s %s\n", json_string_value(json_object_get(line, "topic")),
	       json_string_value(json_object_get(line, "text")));
}

/* A path is explained by the daemon of its mount, as what its view sees. */
static int explain(struct settings *settings, struct config *config, char **argument,
		   struct command_printing *printing)
{
	_cleanup_free_ char *origin = NULL;
	int r;

	if (strchr(*argument, '/')) {
		r = settings_follow(settings, *argument, &origin);
		if (r < 0)
			return r;
	}
	return control_call(settings, config,
			    json_pack("{s:s, s:o, s:s*}", "op", "explain", "digests",
				      command_digests(1, argument), "origin", origin),
			    -1, command_print_line, printing);
}

int command_explain(const struct command *command, int argc, char **argv)
{
	struct command_printing printing = { .print = print };
	struct settings settings = { 0 };
	struct config config;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &printing.json);
	if (status != EXIT_DONE)
		return status;
	if (argc - optind != 1)
		status = command_usage(command);
	else if (explain(&settings, &config, argv + optind, &printing) < 0)
		status = EXIT_FAILED;
	config_free(&config);
	settings_free(&settings);
	return status;
}
