/* SPDX-License-Identifier: Apache-2.0 */
/* pin, unpin, rm: objects by name, a line for each that it was done to; and gc. */
#include <stdio.h>
#include "commands/commands.h"
#include "config/value.h"

static void print_name(const json_t *json)
{
	printf("%s\n", json_string_value(json_object_get(json, "name")));
}

static json_t *request_keep(const struct command *command, int n, char **arguments)
{
	return n == 0 ? NULL :
			json_pack("{s:s, s:o}", "op", command->name, "digests", command_digests(n, arguments));
}

int command_keep(const struct command *command, int argc, char **argv)
{
	return command_call(command, argc, argv, request_keep, print_name);
}

static void print_sums(const json_t *json)
{
	json_int_t removed = json_integer_value(json_object_get(json, "removed")),
		   stay = json_integer_value(json_object_get(json, "objects")),
		   forgotten = json_integer_value(json_object_get(json, "forgotten"));

	printf("%" JSON_INTEGER_FORMAT " object%s removed, %" JSON_INTEGER_FORMAT
	       " bytes; %" JSON_INTEGER_FORMAT " object%s, %" JSON_INTEGER_FORMAT " bytes\n",
	       removed, command_plural(removed),
	       json_integer_value(json_object_get(json, "freed")),
	       stay, stay == 1 ? " stays" : "s stay",
	       json_integer_value(json_object_get(json, "used")));
	if (forgotten)
		printf("%" JSON_INTEGER_FORMAT " record%s forgotten, of objects of which nothing was here\n",
		       forgotten, command_plural(forgotten));
}

static json_t *request_gc(const struct command *command, int n, char **arguments)
{
	uint64_t to;

	if (n == 0)
		return json_pack("{s:s}", "op", "gc");
	if (n > 1 || config_value_size(arguments[0], &to) < 0 || to > INT64_MAX)
		return NULL;
	return json_pack("{s:s, s:I}", "op", "gc", "to", (json_int_t)to);
}

int command_gc(const struct command *command, int argc, char **argv)
{
	return command_call(command, argc, argv, request_gc, print_sums);
}
