/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "commands/commands.h"

static json_int_t number(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static const char *text(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static void print_size(json_int_t bytes)
{
	char size[COMMAND_SIZE_TEXT];

	printf("%s", command_size((uint64_t)bytes, size));
}

static void print_source(const json_t *source)
{
	const char *last_error = text(source, "last_error");

	printf("source       %s: %" JSON_INTEGER_FORMAT " requests, ", text(source, "name"),
	       number(source, "requests"));
	print_size(number(source, "bytes"));
	if (number(source, "rate") > 0) {
		printf(" at ");
		print_size(number(source, "rate"));
		printf("/s");
	}
	printf(", %" JSON_INTEGER_FORMAT " errors, %" JSON_INTEGER_FORMAT " lies",
	       number(source, "errors"), number(source, "lies"));
	if (number(source, "alone") > 0)
		printf(", and left alone for %" JSON_INTEGER_FORMAT " s more", number(source, "alone"));
	printf("%s%s\n", last_error ? "; last: " : "", last_error ? last_error : "");
}

/* "3 days", "17 minutes": one number says enough. */
static void print_time(json_int_t seconds)
{
	static const struct {
		json_int_t seconds;
		const char *name;
	} units[] = { { 86400, "days" }, { 3600, "hours" }, { 60, "minutes" }, { 1, "seconds" } };
	size_t unit = 0;

	while (unit + 1 < ARRAY_SIZE(units) && seconds < 2 * units[unit].seconds)
		unit++;
	printf("%" JSON_INTEGER_FORMAT " %s", seconds / units[unit].seconds, units[unit].name);
}

/* "87 % of opens, 40 % of bytes read": what there were none of is left out. */
static void print_hits(const json_t *hits)
{
	const json_t *opens = json_object_get(hits, "opens"), *bytes = json_object_get(hits, "bytes");

	if (!json_is_real(opens) && !json_is_real(bytes))
		return;
	printf("hit rate     ");
	if (json_is_real(opens))
		printf("%.0f %% of opens%s", 100 * json_real_value(opens),
		       json_is_real(bytes) ? ", " : "");
	if (json_is_real(bytes))
		printf("%.0f %% of bytes read through the daemon", 100 * json_real_value(bytes));
	printf("\n");
}

static void print_store(const json_t *store)
{
	printf("store        %s: ", text(store, "path"));
	print_size(number(store, "used"));
	printf(" of ");
	print_size(number(store, "limit"));
	printf(" in %" JSON_INTEGER_FORMAT " object%s, %" JSON_INTEGER_FORMAT " complete",
	       number(store, "objects"), command_plural(number(store, "objects")), number(store, "complete"));
	if (number(store, "pinned") > 0) {
		printf(", ");
		print_size(number(store, "pinned"));
		printf(" pinned");
	}
	if (number(store, "evicted") > 0)
		printf(", %" JSON_INTEGER_FORMAT " made room", number(store, "evicted"));
	printf("\n");
}

/* What root and the owner are told, too. */
static void print_more(const json_t *json)
{
	const json_t *open = json_object_get(json, "open"), *source;
	const json_t *flying = json_object_get(json, "in_flight");
	const json_t *memory = json_object_get(json, "memory");
	size_t index;

	printf("open         %" JSON_INTEGER_FORMAT " passed through, "
	       "%" JSON_INTEGER_FORMAT " cached\n",
	       number(open, "passthrough"), number(open, "cached"));
	print_hits(json_object_get(json, "hits"));
	printf("in flight    %" JSON_INTEGER_FORMAT " chunks; %" JSON_INTEGER_FORMAT
	       " requests wait\n",
	       number(flying, "chunks"), number(flying, "requests"));
	printf("memory       ");
	print_size(number(memory, "resident"));
	printf("; buffers ");
	print_size(number(memory, "buffers"));
	printf(" of ");
	print_size(number(memory, "buffers_limit"));
	printf("\n");
	json_array_foreach(json_object_get(json, "sources"), index, source) print_source(source);
	json_array_foreach(json_object_get(json, "catalogs"), index, source) command_print_catalog(source);
	command_print_disagreements(json_object_get(json, "disagreements"));
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
	printf(" in %" JSON_INTEGER_FORMAT " object%s\n", number(view, "objects"), command_plural(number(view, "objects")));
}

static void print_policy(const json_t *policy)
{
	const char *file = text(policy, "file"), *failed = text(policy, "failed");
	const json_t *warning;
	size_t index;

	printf("policy       %s\n", file ? file : "built-in");
	if (failed)
		printf("  not loaded %s; the old one stays in force\n", failed);
	json_array_foreach(json_object_get(policy, "warnings"), index, warning)
		printf("  warning    %s\n", json_string_value(warning));
}

static void print(const json_t *json)
{
	const json_t *passthrough = json_object_get(json, "passthrough");
	const json_t *store = json_object_get(json, "store");
	const json_t *view;
	const char *mountpoint = text(json, "mountpoint");
	const char *reason = text(passthrough, "reason");
	size_t index;

	printf("daemon       weightfs %s, process %" JSON_INTEGER_FORMAT ", up for ",
	       text(json, "version"), number(json, "pid"));
	print_time(number(json, "uptime"));
	printf("%s\n", json_is_true(json_object_get(json, "offline")) ? ", offline" : "");
	printf("mounted on   %s\n", mountpoint ? mountpoint : "-");
	if (store)
		print_store(store);
	if (json_is_object(json_object_get(json, "policy")))
		print_policy(json_object_get(json, "policy"));
	json_array_foreach(json_object_get(json, "views"), index, view) print_view(view);
	printf("passthrough  %s%s\n", reason ? "off: " : "on", reason ? reason : "");
	if (store)
		print_more(json);
}

int command_status(const struct command *command, int argc, char **argv)
{
	return command_ask(command, argc, argv, print);
}
