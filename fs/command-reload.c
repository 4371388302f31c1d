/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "fs/commands.h"
#include "fs/control.h"

static int line(void *arg, json_t *json)
{
	const bool *as_json = arg;
	const char *policy = json_string_value(json_object_get(json, "policy"));

	if (*as_json)
		command_print_json(json);
	else
		printf("policy %s loaded\n", policy ? policy : "(built-in)");
	return 0;
}

int command_reload(const struct command *command, int argc, char **argv)
{
	return command_ask(command, argc, argv, line);
}
