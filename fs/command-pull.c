/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "common/log.h"
#include "fs/commands.h"
#include "fs/control.h"

struct showing {
	bool json;
	char name[DIGEST_NAME_SIZE]; /* of whom progress is shown */
	struct progress progress;
};

static const char *text(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

/* PROGRESS begins anew with each object. */
static void show_progress(struct showing *showing, const json_t *json)
{
	if (strcmp(showing->name, text(json, "name")) != 0)
		progress_end(&showing->progress);
	snprintf(showing->name, sizeof(showing->name), "%s", text(json, "name"));
	showing->progress.what = showing->name;
	showing->progress.total = (uint64_t)json_integer_value(json_object_get(json, "of"));
	progress_show(&showing->progress,
		      (uint64_t)json_integer_value(json_object_get(json, "progress")));
}

static int line(void *arg, json_t *json)
{
	struct showing *showing = arg;
	const char *failed = text(json, "failed");
	bool is_progress = json_object_get(json, "progress");

	if (showing->json) {
		command_print_json(json);
	} else if (is_progress) {
		show_progress(showing, json);
		return 0;
	} else {
		progress_end(&showing->progress);
		if (failed)
			log_error("%s", failed);
		else
			printf("%s\n", text(json, "name"));
	}
	return fflush(stdout) == EOF ? -EPIPE : 0;
}

int command_pull(const struct command *command, int argc, char **argv)
{
	struct settings settings = { 0 };
	struct showing showing = { 0 };
	struct config config;
	bool pin = false;
	json_t *request;
	int status;

	status = command_begin_with(command, argc, argv, &settings, &config, &showing.json,
				    (const struct command_option[]){ { "pin", &pin, NULL }, { 0 } });
	if (status != EXIT_DONE)
		return status;
	request = json_pack("{s:s, s:b, s:o}", "op", "pull", "pin", pin, "digests",
			    command_digests(argc - optind, argv + optind));
	if (optind == argc) {
		json_decref(request);
		status = command_usage(command);
	} else if (control_call(&settings, &config, request, -1, line, &showing) < 0) {
		status = EXIT_FAILED;
	}
	progress_end(&showing.progress);
	config_free(&config);
	settings_free(&settings);
	return status;
}
