/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "commands/commands.h"
#include "fs/control/control.h"

static void print(const json_t *line)
{
	const char *folder = json_string_value(json_object_get(line, "folder"));
	json_t *removed = json_object_get(line, "removed");
	size_t len = folder ? strlen(folder) : 0;
	long long files = json_integer_value(json_object_get(line, "files")), gone = json_integer_value(removed);
	char size[COMMAND_SIZE_TEXT];

	if (removed) {
		printf("%lld object%s no name there any more\n", gone, gone == 1 ? " has" : "s have");
		return;
	}
	/* The slash behind it tells a folder from a file, which is for programs. */
	len -= len > 0 && folder[len - 1] == '/';
	command_print_place(json_string_value(json_object_get(line, "mountpoint")),
			    json_string_value(json_object_get(line, "name")));
	printf("%s%.*s  %lld file%s, %s%s%s\n", len > 0 ? "/" : "", (int)len, folder, files, command_plural(files),
	       command_size((uint64_t)json_integer_value(json_object_get(line, "size")), size),
	       json_is_true(json_object_get(line, "gated")) ? ", gated" : "",
	       json_is_true(json_object_get(line, "everybody")) ? ", for everybody" : "");
}

/* "hf", or "hf/Qwen/Qwen3-0.6B@<revision>"; "name/" may be in front of it, also that of a mount, a "/" behind. */
static json_t *remove_request(const char *text, bool everybody)
{
	_cleanup_free_ char *root = NULL;
	const char *folder, *path = command_path_in_view(text, &root);
	json_t *request;
	size_t len;

	text = path ? path : text;
	if (!strncmp(text, "name/", strlen("name/")))
		text += strlen("name/");
	len = strcspn(text, "/");
	folder = text[len] && text[len + 1] ? text + len + 1 : NULL;
	request = json_pack("{s:s, s:s%, s:b}", "op", "import-remove", "name", text, len, "everybody", everybody);
	if (folder)
		json_object_set_new(request, "folder", json_stringn(folder, strlen(folder) - (folder[strlen(folder) - 1] == '/')));
	return request;
}

int command_imports(const struct command *command, int argc, char **argv)
{
	struct command_printing printing = { .print = print };
	struct settings settings = { 0 };
	const char *removed = NULL;
	struct config config;
	bool everybody = false;
	json_t *request;
	int status;

	status = command_begin_with(command, argc, argv, &settings, &config, &printing.json,
				    (const struct command_option[]){ { "everybody", &everybody, NULL },
								     { "remove", NULL, &removed },
								     { 0 } });
	if (status != EXIT_DONE)
		return status;
	request = removed ? remove_request(removed, everybody) : json_pack("{s:s}", "op", "imports");
	if (optind < argc)
		status = command_usage(command);
	else if (control_call(&settings, &config, json_incref(request), -1, command_print_line, &printing) < 0)
		status = EXIT_FAILED;
	json_decref(request);
	return command_end(&settings, &config, status);
}
