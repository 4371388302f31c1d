/* SPDX-License-Identifier: Apache-2.0 */
/* `weightfs catalog list` and `weightfs catalog refresh`: the catalogs of the store. */
#include <stdio.h>
#include <time.h>
#include "commands/commands.h"

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

static json_t *request_list(const struct command *command, int n, char **arguments)
{
	return n > 0 ? NULL : json_pack("{s:s}", "op", "catalogs");
}

static json_t *request_refresh(const struct command *command, int n, char **arguments)
{
	return n > 1 ? NULL : json_pack("{s:s, s:s*}", "op", "catalog-refresh", "name", n > 0 ? arguments[0] : NULL);
}

int command_catalog_list(const struct command *command, int argc, char **argv)
{
	return command_call(command, argc, argv, request_list, print_listed);
}

int command_catalog_refresh(const struct command *command, int argc, char **argv)
{
	return command_call(command, argc, argv, request_refresh, print_refreshed);
}
