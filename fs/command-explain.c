/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "fs/commands.h"
#include "fs/control.h"

static int line(void *arg, json_t *json)
{
	printf("%-10s %s\n", json_string_value(json_object_get(json, "topic")),
	       json_string_value(json_object_get(json, "text")));
	return 0;
}

int command_explain(const struct command *command, int argc, char **argv)
{
	struct settings settings = { 0 };
	struct config config;
	json_t *request;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, NULL);
	if (status != EXIT_DONE)
		return status;
	if (argc - optind == 1) {
		request = json_pack("{s:s, s:o}", "op", "explain", "digests",
				    command_digests(1, argv + optind));
		if (control_call(&settings, &config, request, -1, line, NULL) < 0)
			status = EXIT_FAILED;
	} else {
		status = command_usage(command);
	}
	config_free(&config);
	settings_free(&settings);
	return status;
}
