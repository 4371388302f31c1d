/* SPDX-License-Identifier: Apache-2.0 */
/* grant, deny, revoke, grants: what a user answers to rules that ask. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "commands/commands.h"
#include "common/log.h"
#include "config/value.h"
#include "fs/control/control.h"

int command_put_uid(json_t *request, const char *text)
{
	unsigned long uid;
	char *end;

	if (!text)
		return 0;
	errno = 0;
	uid = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || uid >= (uid_t)-1)
		return log_error_errno(-EINVAL, "--uid %s: not the number of a user", text);
	return json_object_set_new(request, "uid", json_integer((json_int_t)uid)) < 0 ? -ENOMEM : 0;
}

int command_put_for(json_t *request, const char *text)
{
	int64_t ms;

	if (!text)
		return 0;
	if (config_value_time(text, &ms) < 0 || ms < 1000)
		return log_error_errno(-EINVAL, "--for %s: not a time of a second or more, like 12h or 30d", text);
	return json_object_set_new(request, "for", json_integer((json_int_t)(ms / 1000))) < 0 ? -ENOMEM : 0;
}

void command_date(json_int_t seconds, char out[COMMAND_DATE_SIZE])
{
	time_t time = (time_t)seconds;
	struct tm local;

	if (!localtime_r(&time, &local) || !strftime(out, COMMAND_DATE_SIZE, "%Y-%m-%d %H:%M", &local))
		strcpy(out, "?");
}

static const char *text(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static void print(const json_t *json)
{
	const char *about = text(json, "digest") ? text(json, "digest") : text(json, "set");
	json_t *until = json_object_get(json, "until"), *revoked = json_object_get(json, "revoked");
	char date[COMMAND_DATE_SIZE];

	printf("%-6s %u %s %s", text(json, "answer"),
	       (unsigned int)json_integer_value(json_object_get(json, "uid")), text(json, "origin"),
	       about ? about : "any");
	if (json_is_integer(until)) {
		command_date(json_integer_value(until), date);
		printf(" until %s", date);
	}
	if (revoked)
		printf(" (%" JSON_INTEGER_FORMAT ")", json_integer_value(revoked));
	printf("\n");
}

static int line(void *arg, json_t *json)
{
	const bool *as_json = arg;

	if (*as_json)
		command_print_json(json);
	else
		print(json);
	return 0;
}

/* All of one of these commands, with MIN to MAX arguments. */
static int run(const struct command *command, int argc, char **argv, int min, int max)
{
	const char *uid = NULL, *span = NULL;
	const struct command_option options[] = {
		{ "uid", NULL, &uid },
		{ strcmp(command->name, "grant") ? NULL : "for", NULL, &span },
		{ 0 },
	};
	json_t *request = json_pack("{s:s}", "op", command->name);
	struct settings settings = { 0 };
	struct config config;
	bool as_json = false;
	int status;

	status = command_begin_with(command, argc, argv, &settings, &config, &as_json, options);
	if (status != EXIT_DONE) {
		json_decref(request);
		return status;
	}
	if (argc - optind < min || argc - optind > max)
		status = command_usage(command);
	else if (command_put_uid(request, uid) < 0 || command_put_for(request, span) < 0)
		status = EXIT_USAGE;
	if (status == EXIT_DONE && max > 0)
		json_object_set_new(request, "origin", json_string(argv[optind]));
	if (status == EXIT_DONE && argc - optind > 1)
		json_object_set_new(request, "about", json_string(argv[optind + 1]));
	if (status == EXIT_DONE &&
	    control_call(&settings, &config, json_incref(request), -1, line, &as_json) < 0)
		status = EXIT_FAILED;
	json_decref(request);
	return command_end(&settings, &config, status);
}

int command_answer(const struct command *command, int argc, char **argv)
{
	return run(command, argc, argv, 2, 2);
}

int command_revoke(const struct command *command, int argc, char **argv)
{
	return run(command, argc, argv, 1, 2);
}

int command_grants(const struct command *command, int argc, char **argv)
{
	return run(command, argc, argv, 0, 0);
}
