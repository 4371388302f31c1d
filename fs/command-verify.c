/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "common/log.h"
#include "fs/commands.h"
#include "fs/control.h"

struct verifying {
	bool json;
	struct progress progress;
	unsigned int good, bad;
};

static uint64_t number(json_t *json, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(json, key));
}

static int line(void *arg, json_t *json)
{
	struct verifying *verifying = arg;
	const char *name = json_string_value(json_object_get(json, "name"));
	bool ok = json_is_true(json_object_get(json, "ok"));

	if (!name) {
		verifying->progress.what = "verify";
		verifying->progress.total = number(json, "of");
		progress_show(&verifying->progress, number(json, "progress"));
		return 0;
	}
	progress_end(&verifying->progress);
	if (verifying->json)
		command_print_json(json);
	if (!ok)
		log_error("%s: %s; it was taken out of the store", name,
			  json_string_value(json_object_get(json, "reason")));
	if (ok)
		verifying->good++;
	else
		verifying->bad++;
	return 0;
}

int command_verify(const struct command *command, int argc, char **argv)
{
	struct settings settings = { 0 };
	struct verifying verifying = { 0 };
	struct config config;
	json_t *request;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, &verifying.json);
	if (status != EXIT_DONE)
		return status;
	request = json_pack("{s:s, s:o}", "op", "verify", "digests",
			    command_digests(argc - optind, argv + optind));
	if (control_call(&settings, &config, request, -1, line, &verifying) < 0)
		status = EXIT_FAILED;
	progress_end(&verifying.progress);
	if (!verifying.json && (status == EXIT_DONE || verifying.good + verifying.bad > 0))
		printf("%u good, %u damaged\n", verifying.good, verifying.bad);
	config_free(&config);
	settings_free(&settings);
	return verifying.bad > 0 ? EXIT_FAILED : status;
}
