/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "fs/commands.h"
#include "fs/control.h"

static int line(void *arg, json_t *json)
{
	const bool *as_json = arg;

	if (*as_json) {
		command_print_json(json);
		return 0;
	}
	printf("%-10s %s\n", json_string_value(json_object_get(json, "topic")),
	       json_string_value(json_object_get(json, "text")));
	return 0;
}

/* A path is explained by the daemon of its mount, as what its view sees. */
static int explain(struct settings *settings, struct config *config, char **argument,
		   bool *as_json)
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
			    -1, line, as_json);
}

int command_explain(const struct command *command, int argc, char **argv)
{
	struct settings settings = { 0 };
	struct config config;
	bool as_json = false;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &as_json);
	if (status != EXIT_DONE)
		return status;
	if (argc - optind != 1)
		status = command_usage(command);
	else if (explain(&settings, &config, argv + optind, &as_json) < 0)
		status = EXIT_FAILED;
	config_free(&config);
	settings_free(&settings);
	return status;
}
