/* SPDX-License-Identifier: Apache-2.0 */
/* What was imported: listed, and taken back. */
#include <stdio.h>
#include <string.h>
#include "common/log.h"
#include "fs/commands.h"
#include "fs/control.h"
#include "fs/import-sources.h"
#include "fs/importing.h"

static const char *text(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static void print(const json_t *line)
{
	json_int_t files = json_integer_value(json_object_get(line, "files"));
	char size[COMMAND_SIZE_TEXT];

	printf("name/%s/%s  %" JSON_INTEGER_FORMAT " file%s, %s%s%s\n", text(line, "name"),
	       text(line, "folder"), files, files == 1 ? "" : "s",
	       command_size((uint64_t)json_integer_value(json_object_get(line, "size")), size),
	       json_is_true(json_object_get(line, "gated")) ? ", with a credential" : "",
	       json_is_true(json_object_get(line, "everybody")) ? ", for everybody" : "");
}

int command_imports(const struct command *command, int argc, char **argv)
{
	struct settings settings = { 0 };
	struct command_printing printing = { .print = print };
	struct config config;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &printing.json);
	if (status != EXIT_DONE)
		return status;
	if (optind < argc)
		status = command_usage(command);
	else if (control_call(&settings, &config, json_pack("{s:s}", "op", "imports"), -1,
			      command_print_line, &printing) < 0)
		status = EXIT_FAILED;
	config_free(&config);
	settings_free(&settings);
	return status;
}

/* ---- taking back ---- */

struct matching {
	const char *name; /* "hf/Qwen/Qwen3-0.6B", "hf/Qwen/Qwen3-0.6B@<revision>" */
	bool everybody;
	json_t *found; /* of what is imported, the lines about it */
};

/* Is it a folder of what NAME says: it, one below it, or a revision of it? */
static int match(void *arg, json_t *line)
{
	struct matching *matching = arg;
	_cleanup_free_ char *folder = NULL;
	size_t len = strlen(matching->name);

	if (asprintf(&folder, "%s/%s", text(line, "name"), text(line, "folder")) < 0) {
		folder = NULL;
		return -ENOMEM;
	}
	if (json_is_true(json_object_get(line, "everybody")) == matching->everybody &&
	    !strncmp(folder, matching->name, len) && (!folder[len] || strchr("/@", folder[len])))
		return json_array_append(matching->found, line);
	return 0;
}

static int ignore_line(void *arg, json_t *line)
{
	return 0;
}

static int remove_folder(const struct settings *settings, struct config *config, const json_t *line,
			 bool everybody)
{
	const char *folder = text(line, "folder");
	int r;

	r = control_call(settings, config,
			 json_pack("{s:s, s:s, s:s%, s:b}", "op", "import-remove", "name",
				   text(line, "name"), "folder", folder,
				   folder[0] ? strlen(folder) - 1 : 0, "everybody", everybody),
			 -1, ignore_line, NULL);
	if (r == 0)
		print(line);
	return r;
}

int import_remove(const struct settings *settings, struct config *config, const char *argument,
		  bool everybody)
{
	const char *rest = argument;
	const struct import_source *source = import_source_of(argument, &rest);
	_cleanup_free_ char *name = NULL;
	struct matching matching = { .everybody = everybody, .found = json_array() };
	json_t *line;
	size_t index;
	int r;

	if (asprintf(&name, "%s%s%s", source ? source->catalog : "", source ? "/" : "", rest) < 0) {
		name = NULL;
		json_decref(matching.found);
		return -ENOMEM;
	}
	while (*name && name[strlen(name) - 1] == '/')
		name[strlen(name) - 1] = '\0';
	matching.name = name;
	r = control_call(settings, config, json_pack("{s:s}", "op", "imports"), -1, match, &matching);
	if (r == 0 && json_array_size(matching.found) == 0) {
		log_error("%s: nothing was imported by that name", argument);
		r = -ENOENT;
	}
	json_array_foreach(matching.found, index, line) {
		if (r == 0)
			r = remove_folder(settings, config, line, everybody);
	}
	json_decref(matching.found);
	return r;
}
