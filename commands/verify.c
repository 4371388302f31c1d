/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "commands/commands.h"
#include "common/log.h"
#include "config/value.h"
#include "fs/control/control.h"

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
		log_error("%s: %s", name, json_string_value(json_object_get(json, "reason")));
	if (ok)
		verifying->good++;
	else
		verifying->bad++;
	return 0;
}

/* Takes over REQUEST. */
static int call(const struct settings *settings, struct config *config, json_t *request,
		struct verifying *verifying)
{
	int status = EXIT_DONE;

	if (control_call(settings, config, request, -1, line, verifying) < 0)
		status = EXIT_FAILED;
	progress_end(&verifying->progress);
	if (!verifying->json && (status == EXIT_DONE || verifying->good + verifying->bad > 0))
		printf("%u good, %u damaged\n", verifying->good, verifying->bad);
	return verifying->bad > 0 ? EXIT_FAILED : status;
}

int command_verify(const struct command *command, int argc, char **argv)
{
	const char *rate = NULL;
	bool all = false;
	const struct command_option options[] = {
		{ "all", &all, NULL }, { "rate", NULL, &rate }, { 0 } };
	struct settings settings = { 0 };
	struct verifying verifying = { 0 };
	struct config config;
	uint64_t limit = 0;
	int status;

	status = command_begin_with(command, argc, argv, &settings, &config, &verifying.json,
				    options);
	if (status != EXIT_DONE)
		return status;
	if ((all && optind < argc) ||
	    (rate && (config_value_size(rate, &limit) < 0 || limit < 1 || limit > INT64_MAX)))
		status = command_usage(command);
	else
		status = call(&settings, &config,
			      json_pack("{s:s, s:o, s:I}", "op", "verify", "digests",
					command_digests(argc - optind, argv + optind), "rate",
					(json_int_t)limit),
			      &verifying);
	return command_end(&settings, &config, status);
}
