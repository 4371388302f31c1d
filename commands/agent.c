/* SPDX-License-Identifier: Apache-2.0 */
/* agent: who asks the user, by a program or on the terminal, about what becomes pending. */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "commands/commands.h"
#include "common/log.h"
#include "fs/control/control.h"

#define BUSY_NS 500000000 /* before it is tried again */

enum verdict {
	YES,
	NO,
	LATER,
	END, /* there is nobody who could answer */
};

struct agent {
	const char *prompt; /* for sh -c; NULL: the terminal */
	const char *span;   /* of --for */
	const char *uid;    /* of whom: a number */
	struct settings settings;
	struct config config;
	json_int_t last; /* the serial of the last one that was told */
	json_t *told;	 /* an array: what is to be asked about */
};

static const char *text(const json_t *json, const char *key)
{
	const char *value = json_string_value(json_object_get(json, key));

	return value ? value : "";
}

/* ---- asking the user ---- */

/* Names are a line each. */
static int export(const json_t *pending)
{
	json_t *size = json_object_get(pending, "size"), *name;
	_cleanup_free_ char *names = NULL;
	char number[32] = "";
	size_t index, len;
	FILE *out = open_memstream(&names, &len);

	if (!out)
		return -ENOMEM;
	json_array_foreach(json_object_get(pending, "names"), index, name)
		fprintf(out, "%s%s", index ? "\n" : "", json_string_value(name));
	if (fclose(out) == EOF)
		return -ENOMEM;
	if (json_is_integer(size))
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(size));
	if (setenv("WEIGHTFS_ORIGIN", text(pending, "origin"), 1) < 0 ||
	    setenv("WEIGHTFS_DIGEST", text(pending, "digest"), 1) < 0 ||
	    setenv("WEIGHTFS_SIZE", number, 1) < 0 || setenv("WEIGHTFS_NAMES", names, 1) < 0)
		return -errno;
	return 0;
}

static enum verdict ask_program(const char *prompt, const json_t *pending)
{
	const char *const arguments[] = { "sh", "-c", prompt, NULL };
	pid_t child;
	int status, r;

	r = export(pending);
	if (r == 0)
		r = -posix_spawn(&child, "/bin/sh", NULL, NULL, (char *const *)arguments, environ);
	if (r < 0) {
		log_error_errno(r, "%s cannot be run", prompt);
		return LATER;
	}
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return LATER;
	}
	if (!WIFEXITED(status))
		return LATER;
	/* As sh(1) says that there is no such program. */
	if (WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 127)
		log_warning("%s: cannot be run; it stays pending", prompt);
	return WEXITSTATUS(status) == 0 ? YES : WEXITSTATUS(status) == 1 ? NO : LATER;
}

static enum verdict ask_terminal(const json_t *pending, const char *span)
{
	const char *name = json_string_value(json_array_get(json_object_get(pending, "names"), 0));
	json_t *size = json_object_get(pending, "size");
	_cleanup_free_ char *answer = NULL;
	size_t capacity = 0;

	for (;;) {
		printf("%s wants to open %s%s%s", text(pending, "origin"), name ? name : "", name ? ", " : "",
		       text(pending, "digest"));
		if (json_is_integer(size))
			printf(" (%" JSON_INTEGER_FORMAT " bytes)", json_integer_value(size));
		printf(". Let it, %s%s? [y/n/later] ", span ? "for " : "until you revoke it", span ? span : "");
		if (fflush(stdout) == EOF || getline(&answer, &capacity, stdin) < 0) {
			printf("\n");
			log_error("nobody answers; it stays pending");
			return END;
		}
		answer[strcspn(answer, "\n")] = '\0';
		if (!strcmp(answer, "y") || !strcmp(answer, "yes"))
			return YES;
		if (!strcmp(answer, "n") || !strcmp(answer, "no"))
			return NO;
		if (!strcmp(answer, "l") || !strcmp(answer, "later"))
			return LATER;
		printf("y, n or later, please.\n");
	}
}

/* ---- the daemon ---- */

/* Takes over REQUEST, which lacks only whose views it is about. */
static int call(struct agent *agent, json_t *request, int (*line)(void *arg, json_t *line), void *arg)
{
	int r = command_put_uid(request, agent->uid);

	if (r < 0) {
		json_decref(request);
		return r;
	}
	return control_call(&agent->settings, &agent->config, request, -1, line, arg);
}

static int take_pending(void *arg, json_t *line)
{
	struct agent *agent = arg;

	agent->last = json_integer_value(json_object_get(line, "serial"));
	return json_array_append(agent->told, line);
}

struct looking {
	json_int_t serial;
	bool found;
};

static int look(void *arg, json_t *line)
{
	struct looking *looking = arg;

	looking->found |= json_integer_value(json_object_get(line, "serial")) == looking->serial;
	return 0;
}

/* Somebody else may have answered while the user was asked about another one. */
static bool is_still_pending(struct agent *agent, const json_t *pending)
{
	struct looking looking = { json_integer_value(json_object_get(pending, "serial")), false };
	int r = call(agent, json_pack("{s:s, s:I}", "op", "pending", "after", looking.serial - 1), look,
		     &looking);

	return r == 0 && looking.found;
}

static int ignore(void *arg, json_t *line)
{
	return 0;
}

/* An answer that cannot be given is logged; it stays pending. */
static void answer(struct agent *agent, const json_t *pending, enum verdict verdict)
{
	json_t *request;

	if (verdict != YES && verdict != NO)
		return;
	request = json_pack("{s:s, s:s, s:s}", "op", verdict == YES ? "grant" : "deny", "origin",
			    text(pending, "origin"), "about", text(pending, "digest"));
	if (verdict == YES && command_put_for(request, agent->span) < 0) {
		json_decref(request);
		return;
	}
	if (call(agent, request, ignore, NULL) == 0)
		log_info("%s %s %s", verdict == YES ? "granted:" : "denied:", text(pending, "origin"),
			 text(pending, "digest"));
}

/* 1: there is nobody to ask any more. */
static int ask_about_all(struct agent *agent)
{
	json_t *pending;
	size_t index;

	json_array_foreach(agent->told, index, pending) {
		enum verdict verdict;

		if (!is_still_pending(agent, pending))
			continue;
		verdict = agent->prompt ? ask_program(agent->prompt, pending) :
					  ask_terminal(pending, agent->span);
		if (verdict == END)
			return 1;
		answer(agent, pending, verdict);
	}
	json_array_clear(agent->told);
	return 0;
}

static int serve(struct agent *agent)
{
	int r = 0;

	if (!agent->prompt && isatty(STDIN_FILENO))
		printf("Waiting for what is asked for; an interrupt ends this.\n");
	while (r == 0) {
		r = call(agent, json_pack("{s:s, s:b, s:I}", "op", "pending", "wait", 1, "after", agent->last),
			 take_pending, agent);
		if (r == -EBUSY) {
			nanosleep(&(struct timespec){ .tv_nsec = BUSY_NS }, NULL);
			r = 0;
		}
		if (r == 0)
			r = ask_about_all(agent);
	}
	return r;
}

int command_agent(const struct command *command, int argc, char **argv)
{
	struct agent agent = { .told = json_array() };
	const struct command_option options[] = {
		{ "prompt", NULL, &agent.prompt },
		{ "for", NULL, &agent.span },
		{ "uid", NULL, &agent.uid },
		{ 0 },
	};
	char own[16];
	json_t *trial;
	int status;

	snprintf(own, sizeof(own), "%u", getuid());
	agent.uid = own;
	status = command_begin_with(command, argc, argv, &agent.settings, &agent.config, NULL, options);
	if (status != EXIT_DONE) {
		json_decref(agent.told);
		return status;
	}
	trial = json_object();
	if (optind < argc)
		status = command_usage(command);
	else if (command_put_uid(trial, agent.uid) < 0 || command_put_for(trial, agent.span) < 0)
		status = EXIT_USAGE;
	else if (serve(&agent) != 0)
		status = EXIT_FAILED;
	json_decref(trial);
	json_decref(agent.told);
	return command_end(&agent.settings, &agent.config, status);
}
