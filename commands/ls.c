/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "commands/commands.h"
#include "fs/control/control.h"

struct listing {
	bool json, begun;
};

static void print_table_line(struct listing *listing, json_t *json)
{
	json_t *origins = json_object_get(json, "origins"), *value;
	json_int_t size = json_integer_value(json_object_get(json, "size"));
	json_int_t present = json_integer_value(json_object_get(json, "present"));
	const char *last_open = json_string_value(json_object_get(json, "last_open"));
	size_t index;

	if (!listing->begun)
		printf("%-64s %14s %5s %-8s %-20s %s\n", "DIGEST", "SIZE", "HERE", "STATE",
		       "LAST OPEN", "PINNED, ORIGINS");
	listing->begun = true;
	printf("%-64s %14" JSON_INTEGER_FORMAT " %4d%% %-8s %-20s",
	       json_string_value(json_object_get(json, "name")), size,
	       size ? (int)(100 * (double)present / (double)size) : 100,
	       json_string_value(json_object_get(json, "state")), last_open ? last_open : "-");
	if (json_is_true(json_object_get(json, "pinned")))
		printf(" pinned%s", json_array_size(origins) ? "," : "");
	json_array_foreach(origins, index, value)
		printf("%s%s", index ? ", " : " ", json_string_value(value));
	printf("\n");
}

static int line(void *arg, json_t *json)
{
	struct listing *listing = arg;

	if (!listing->json) {
		print_table_line(listing, json);
		return 0;
	}
	command_print_json(json);
	return 0;
}

int command_ls(const struct command *command, int argc, char **argv)
{
	struct settings settings = { 0 };
	struct listing listing = { 0 };
	struct config config;
	json_t *request;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &listing.json);
	if (status != EXIT_DONE)
		return status;
	request = json_pack("{s:s, s:o}", "op", "ls", "digests",
			    command_digests(argc - optind, argv + optind));
	if (control_call(&settings, &config, request, -1, line, &listing) < 0)
		status = EXIT_FAILED;
	return command_end(&settings, &config, status);
}
