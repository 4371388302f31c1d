/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics of the daemon in Prometheus' text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/): for a text file collector, or a web server.
 */
#include <stdio.h>
#include "commands/commands.h"

static const char *text(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

/* TEXT with what has a meaning in the format escaped: in QUOTES the quotation mark, too. */
static void print_escaped(const char *value, bool quotes)
{
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", stdout);
		else if (*value == '\\' || (*value == '"' && quotes))
			printf("\\%c", *value);
		else
			putchar(*value);
	}
}

static void print_labels(json_t *labels)
{
	const char *separator = "{", *name;
	json_t *value;

	json_object_foreach(labels, name, value) {
		printf("%s%s=\"", separator, name);
		print_escaped(json_string_value(value), true);
		putchar('"');
		separator = ",";
	}
	if (json_object_size(labels) > 0)
		putchar('}');
}

static void print_metric(const json_t *json)
{
	const char *name = text(json, "name");
	json_t *sample;
	size_t index;

	printf("# HELP %s ", name);
	print_escaped(text(json, "help"), false);
	printf("\n# TYPE %s %s\n", name, text(json, "type"));
	json_array_foreach(json_object_get(json, "samples"), index, sample) {
		const json_t *value = json_object_get(sample, "value");

		fputs(name, stdout);
		print_labels(json_object_get(sample, "labels"));
		if (json_is_integer(value))
			printf(" %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
		else
			printf(" %.9g\n", json_number_value(value));
	}
}

int command_metrics(const struct command *command, int argc, char **argv)
{
	return command_ask(command, argc, argv, print_metric);
}
