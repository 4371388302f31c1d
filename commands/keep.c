/* SPDX-License-Identifier: Apache-2.0 */
/* pin, unpin, rm: objects by name, a line for each that it was done to; and gc. */
#include <stdio.h>
#include <string.h>
#include "commands/commands.h"
#include "common/log.h"
#include "config/value.h"
#include "fs/control/control.h"

/* Takes over REQUEST. */
static int call(const struct settings *settings, struct config *config, json_t *request,
		struct command_printing *printing)
{
	int r = control_call(settings, config, request, -1, command_print_line, printing);

	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

static void print_name(const json_t *json)
{
	printf("%s\n", json_string_value(json_object_get(json, "name")));
}

int command_keep(const struct command *command, int argc, char **argv)
{
	struct command_printing printing = {.print = print_name};
	struct settings settings = {0};
	struct config config;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &printing.json);
	if (status != EXIT_DONE)
		return status;
	if (optind == argc)
		status = command_usage(command);
	else
		status = call(&settings, &config,
			      json_pack("{s:s, s:o}", "op", command->name, "digests",
					command_digests(argc - optind, argv + optind)),
			      &printing);
	return command_end(&settings, &config, status);
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

int command_gc(const struct command *command, int argc, char **argv)
{
	json_t *request = json_pack("{s:s}", "op", "gc");
	struct command_printing printing = {.print = print_sums};
	struct settings settings = {0};
	struct config config;
	uint64_t to;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &printing.json);
	if (status != EXIT_DONE) {
		json_decref(request);
		return status;
	}
	if (argc - optind == 1 && config_value_size(argv[optind], &to) == 0 && to <= INT64_MAX)
		json_object_set_new(request, "to", json_integer((json_int_t)to));
	else if (optind < argc)
		status = command_usage(command);
	if (status == EXIT_DONE)
		status = call(&settings, &config, json_incref(request), &printing);
	json_decref(request);
	return command_end(&settings, &config, status);
}
