/* SPDX-License-Identifier: Apache-2.0 */
/* `weightfs catalog list` and `weightfs catalog refresh`: the catalogs of the store. */
#include <stdio.h>
#include <time.h>
#include "commands/commands.h"
#include "fs/control/control.h"

static json_int_t number(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static const char *text(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

/* In UTC, as the catalog has it. */
static void print_expiry(const json_t *catalog)
{
	time_t expires = (time_t)number(catalog, "expires");
	char date[COMMAND_DATE_SIZE] = "?";
	struct tm tm;

	if (gmtime_r(&expires, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf(", %s %s", json_is_true(json_object_get(catalog, "expired")) ? "EXPIRED" : "expires", date);
}

void command_print_catalog(const json_t *catalog)
{
	const char *problem = text(catalog, "problem");
	char date[COMMAND_DATE_SIZE];

	printf("catalog      %s: ", text(catalog, "name"));
	if (json_is_true(json_object_get(catalog, "here"))) {
		printf("serial %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT " object%s, %" JSON_INTEGER_FORMAT
		       " name%s, key %s",
		       number(catalog, "serial"), number(catalog, "objects"),
		       command_plural(number(catalog, "objects")), number(catalog, "names"),
		       command_plural(number(catalog, "names")),
		       text(catalog, "key"));
		print_expiry(catalog);
	} else {
		printf("not here");
	}
	if (number(catalog, "asked") > 0) {
		command_date(number(catalog, "asked"), date);
		printf("; asked for %s", date);
	}
	printf("\n");
	if (problem)
		printf("  refused    %s\n", problem);
	if (number(catalog, "kept_back") > 0)
		printf("  kept back  serial %" JSON_INTEGER_FORMAT ", until the policy can be loaded\n",
		       number(catalog, "kept_back"));
}

void command_print_disagreements(const json_t *disagreements)
{
	const json_t *some = json_object_get(disagreements, "some"), *one;
	json_int_t count = number(disagreements, "count");
	size_t index;

	if (count == 0)
		return;
	printf("disagreement about %" JSON_INTEGER_FORMAT " objects, for which no catalog is believed:\n", count);
	json_array_foreach(some, index, one)
		printf("  %s  in %s, line %" JSON_INTEGER_FORMAT "\n", text(one, "digest"), text(one, "catalog"),
		       number(one, "line"));
	if (count > (json_int_t)json_array_size(some))
		printf("  and others\n");
}

static void print_listed(const json_t *line)
{
	const json_t *disagreements = json_object_get(line, "disagreements");

	if (disagreements)
		command_print_disagreements(disagreements);
	else
		command_print_catalog(line);
}

static void print_refreshed(const json_t *line)
{
	const char *problem = text(line, "problem");

	printf("%s: %s%s\n", text(line, "name"), problem ? "not refreshed: " : "up to date", problem ? problem : "");
}

/* With at most one NAME, if NAMED. An exit status. */
static int call(const struct command *command, int argc, char **argv, const char *operation, bool named,
		void (*print)(const json_t *line))
{
	struct command_printing printing = {.print = print};
	struct settings settings = {0};
	struct config config;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &printing.json);
	if (status != EXIT_DONE)
		return status;
	if (argc - optind > (named ? 1 : 0))
		status = command_usage(command);
	else if (control_call(&settings, &config,
			      json_pack("{s:s, s:s*}", "op", operation, "name", optind < argc ? argv[optind] : NULL), -1,
			      command_print_line, &printing) < 0)
		status = EXIT_FAILED;
	return command_end(&settings, &config, status);
}

int command_catalog_list(const struct command *command, int argc, char **argv)
{
	return call(command, argc, argv, "catalogs", false, print_listed);
}

int command_catalog_refresh(const struct command *command, int argc, char **argv)
{
	return call(command, argc, argv, "catalog-refresh", true, print_refreshed);
}
