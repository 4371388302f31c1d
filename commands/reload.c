/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "commands/commands.h"

static void print(const json_t *json)
{
	const char *policy = json_string_value(json_object_get(json, "policy"));
	const json_t *warning;
	size_t index;

	printf("policy %s loaded\n", policy ? policy : "(built-in)");
	json_array_foreach(json_object_get(json, "warnings"), index, warning)
		printf("warning: %s\n", json_string_value(warning));
}

int command_reload(const struct command *command, int argc, char **argv)
{
	return command_ask(command, argc, argv, print);
}
