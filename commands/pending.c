/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "commands/commands.h"
#include "fs/control/control.h"

struct showing {
	bool json;
	json_int_t last; /* the serial of the last one that was shown */
};

static json_int_t number(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static void print(const json_t *json)
{
	json_t *size = json_object_get(json, "size"), *name;
	char date[COMMAND_DATE_SIZE];
	size_t index;

	command_date(number(json, "last"), date);
	printf("%s %" JSON_INTEGER_FORMAT " %s %s", date, number(json, "uid"),
	       json_string_value(json_object_get(json, "origin")),
	       json_string_value(json_object_get(json, "digest")));
	if (json_is_integer(size))
		printf(" %" JSON_INTEGER_FORMAT " bytes", json_integer_value(size));
	printf(" asked for %" JSON_INTEGER_FORMAT " time%s", number(json, "count"), command_plural(number(json, "count")));
	json_array_foreach(json_object_get(json, "names"), index, name)
		printf("%s %s", index ? "," : ":", json_string_value(name));
	printf("\n");
}

static int line(void *arg, json_t *json)
{
	struct showing *showing = arg;

	showing->last = number(json, "serial");
	if (showing->json)
		command_print_json(json);
	else
		print(json);
	return fflush(stdout) == EOF ? -EPIPE : 0;
}

int command_pending(const struct command *command, int argc, char **argv)
{
	const char *uid = NULL;
	bool watch = false;
	const struct command_option options[] = {
		{ "uid", NULL, &uid }, { "watch", &watch, NULL }, { 0 }
	};
	json_t *request = json_pack("{s:s}", "op", "pending");
	struct settings settings = { 0 };
	struct showing showing = { 0 };
	struct config config;
	int status, r = 0;

	status = command_begin_with(command, argc, argv, &settings, &config, &showing.json, options);
	if (status != EXIT_DONE) {
		json_decref(request);
		return status;
	}
	if (optind < argc)
		status = command_usage(command);
	else if (command_put_uid(request, uid) < 0)
		status = EXIT_USAGE;
	if (watch)
		json_object_set_new(request, "wait", json_true());
	/* Watching is to ask again and again for what came later, until interrupted. */
	for (bool again = true; status == EXIT_DONE && r == 0 && again; again = watch) {
		json_object_set_new(request, "after", json_integer(showing.last));
		r = control_call(&settings, &config, json_incref(request), -1, line, &showing);
	}
	json_decref(request);
	return command_end(&settings, &config, r < 0 ? EXIT_FAILED : status);
}
