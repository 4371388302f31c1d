/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "fs/commands.h"
#include "fs/control.h"

static json_int_t number(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static const char *text(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

/* "1.5 GiB" */
static void print_size(json_int_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double size = (double)bytes;
	size_t unit = 0;

	while (size >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		size /= 1024;
		unit++;
	}
	printf("%.*f %s", unit ? 1 : 0, size, units[unit]);
}

static void print_source(const json_t *source)
{
	const char *last_error = text(source, "last_error");

	printf("source       %s: %" JSON_INTEGER_FORMAT " requests, ", text(source, "name"),
	       number(source, "requests"));
	print_size(number(source, "bytes"));
	printf(", %" JSON_INTEGER_FORMAT " errors, %" JSON_INTEGER_FORMAT " lies",
	       number(source, "errors"), number(source, "lies"));
	printf("%s%s\n", last_error ? "; last: " : "", last_error ? last_error : "");
}

static void print_view(const json_t *view)
{
	printf("view         %s (uid %" JSON_INTEGER_FORMAT "): ", text(view, "origin"),
	       number(view, "uid"));
	print_size(number(view, "used"));
	if (json_is_integer(json_object_get(view, "quota"))) {
		printf(" of ");
		print_size(number(view, "quota"));
	}
	printf(" in %" JSON_INTEGER_FORMAT " objects\n", number(view, "objects"));
}

static void print(const json_t *json)
{
	const json_t *passthrough = json_object_get(json, "passthrough");
	const json_t *store = json_object_get(json, "store");
	const json_t *open = json_object_get(json, "open"), *source, *view;
	const char *mountpoint = text(json, "mountpoint");
	const char *reason = text(passthrough, "reason");
	size_t index;

	printf("daemon       weightfs %s, process %" JSON_INTEGER_FORMAT "\n",
	       text(json, "version"), number(json, "pid"));
	printf("mounted on   %s\n", mountpoint ? mountpoint : "-");
	if (store) {
		printf("store        %s: ", text(store, "path"));
		print_size(number(store, "used"));
		printf(" of ");
		print_size(number(store, "limit"));
		printf(" in %" JSON_INTEGER_FORMAT " objects\n", number(store, "objects"));
	}
	json_array_foreach(json_object_get(json, "views"), index, view) print_view(view);
	printf("passthrough  %s%s\n", reason ? "off: " : "on", reason ? reason : "");
	if (open)
		printf("open         %" JSON_INTEGER_FORMAT " passed through, "
		       "%" JSON_INTEGER_FORMAT " cached\n",
		       number(open, "passthrough"), number(open, "cached"));
	json_array_foreach(json_object_get(json, "sources"), index, source) print_source(source);
}

static int line(void *arg, json_t *json)
{
	const bool *as_json = arg;

	if (*as_json)
		command_print_json(json);
	else
		print(json);
	return 0;
}

/* Of the daemon that has the store; with a FOLDER, of the one whose mount that is in. */
static int ask(struct settings *settings, const struct config *config, const char *folder,
	       bool *as_json)
{
	_cleanup_free_ char *path = NULL, *origin = NULL;
	int r = 0;

	if (folder && asprintf(&path, "%s/", folder) < 0)
		return -ENOMEM;
	if (folder)
		r = settings_follow(settings, path, &origin);
	return r < 0 ? r : control_call(settings, config, json_pack("{s:s}", "op", "status"), -1,
					line, as_json);
}

int command_status(const struct command *command, int argc, char **argv)
{
	struct settings settings = {0};
	struct config config;
	bool as_json = false;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &as_json);
	if (status != EXIT_DONE)
		return status;
	if (argc - optind > 1)
		status = command_usage(command);
	else if (ask(&settings, &config, argv[optind], &as_json) < 0)
		status = EXIT_FAILED;
	config_free(&config);
	settings_free(&settings);
	return fflush(stdout) == EOF ? EXIT_FAILED : status;
}
