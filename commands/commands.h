/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one table drives dispatch and help, one file a command.
 */
#ifndef COMMANDS_COMMANDS_H
#define COMMANDS_COMMANDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/digest.h"
#include "config/settings.h"

enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

struct command {
	const char *name;
	const char *arguments; /* for the usage line */
	const char *summary;
	/* ARGV[0] is the command's name. Returns an exit status. */
	int (*run)(const struct command *command, int argc, char **argv);
};

int command_mount(const struct command *command, int argc, char **argv);
int command_umount(const struct command *command, int argc, char **argv);
int command_adopt(const struct command *command, int argc, char **argv);
int command_add(const struct command *command, int argc, char **argv);
int command_ls(const struct command *command, int argc, char **argv);
int command_keep(const struct command *command, int argc, char **argv);
int command_gc(const struct command *command, int argc, char **argv);
int command_verify(const struct command *command, int argc, char **argv);
int command_tree(const struct command *command, int argc, char **argv);
int command_policy(const struct command *command, int argc, char **argv);
int command_explain(const struct command *command, int argc, char **argv);
int command_pull(const struct command *command, int argc, char **argv);
int command_imports(const struct command *command, int argc, char **argv);
int command_import(const struct command *command, int argc, char **argv);
int command_reload(const struct command *command, int argc, char **argv);
int command_metrics(const struct command *command, int argc, char **argv);
int command_pending(const struct command *command, int argc, char **argv);
int command_agent(const struct command *command, int argc, char **argv);
int command_answer(const struct command *command, int argc, char **argv);
int command_revoke(const struct command *command, int argc, char **argv);
int command_grants(const struct command *command, int argc, char **argv);
int command_publish(const struct command *command, int argc, char **argv);
int command_catalog(const struct command *command, int argc, char **argv);
int command_catalog_verify(const struct command *command, int argc, char **argv);
int command_catalog_show(const struct command *command, int argc, char **argv);
int command_catalog_list(const struct command *command, int argc, char **argv);
int command_catalog_refresh(const struct command *command, int argc, char **argv);
int command_catalog_diff(const struct command *command, int argc, char **argv);
int command_status(const struct command *command, int argc, char **argv);

/* "usage: weightfs NAME ARGUMENTS" on stderr; returns EXIT_USAGE. */
int command_usage(const struct command *command);

/* A long option of one command: a flag, or with a value. The last of an array has no name. */
struct command_option {
	const char *name;
	bool *flag;
	const char **value; /* NULL: it has none */
};
#define COMMAND_OPTIONS_MAX 4

/*
 * What a command on a store begins with: the options that each takes, --conf, --policy, --store, -o NAME=VALUE,…, and
 * --json where JSON is not NULL; then the configuration. Leaves the arguments at ARGV + optind. EXIT_DONE, or what to
 * exit with, said.
 */
int command_begin(const struct command *command, int argc, char **argv, struct settings *settings,
		  struct config *config, bool *json);
/* With OPTIONS of its own, COMMAND_OPTIONS_MAX at most. */
int command_begin_with(const struct command *command, int argc, char **argv,
		       struct settings *settings, struct config *config, bool *json,
		       const struct command_option *options);
/* What it ends with: both are freed. STATUS, or EXIT_FAILED when what was printed could not be written. */
int command_end(struct settings *settings, struct config *config, int status);

/*
 * All of a command without options of its own that asks one operation. REQUEST makes the request of the N ARGUMENTS; NULL: they
 * are not what the command takes. PRINT prints each line of the reply, unless JSON is wanted. Returns an exit status.
 */
int command_call(const struct command *command, int argc, char **argv,
		 json_t *(*request)(const struct command *command, int n, char **arguments),
		 void (*print)(const json_t *line));
/*
 * All of a command [--json] [MOUNTPOINT] that asks the operation of its name; PRINT prints each line of the reply, unless
 * JSON is wanted. Returns an exit status.
 */
int command_ask(const struct command *command, int argc, char **argv,
		void (*print)(const json_t *line));

/* A line of --json. */
void command_print_json(const json_t *json);
/* For control_call(), which gives it ARG, a struct command_printing: each line as JSON, if that is wanted, or by PRINT. */
struct command_printing {
	bool json;
	void (*print)(const json_t *line);
};
int command_print_line(void *arg, json_t *line);

/* Of `catalog list` and `status` (commands/catalogs.c). */
void command_print_catalog(const json_t *catalog);
void command_print_disagreements(const json_t *disagreements);

/* TEXT, a user's number for --uid (NULL: none), into REQUEST. 0, or -EINVAL, logged. */
int must_check command_put_uid(json_t *request, const char *text);
/* The same of the time of --for, which becomes seconds, one at least. */
int must_check command_put_for(json_t *request, const char *text);
/* "2026-11-25 07:15" in local time; "?" for what is no time. */
#define COMMAND_DATE_SIZE 32
void command_date(json_int_t seconds, char out[COMMAND_DATE_SIZE]);

/* What is behind a number of things. */
static inline const char *command_plural(json_int_t n)
{
	return n == 1 ? "" : "s";
}

/* "1.5 GiB"; returns OUT. */
#define COMMAND_SIZE_TEXT 32
const char *command_size(uint64_t bytes, char out[COMMAND_SIZE_TEXT]);

/* A path in name/ or hub/ of a mount: as seen from the view. ROOT, to be freed, is what it is below. NULL: it is none. */
const char *command_path_in_view(const char *path, char **root);
/* Print where NAME is, a reply's: "/models/name/NAME"; without a mount (MOUNTPOINT NULL), "name/NAME". */
void command_print_place(const char *mountpoint, const char *name);

/* The digest of the file PATH in a mount, by whatever name. -ENODATA. */
int must_check command_file_digest(const char *path, char out[DIGEST_NAME_SIZE]);
/* The names in ARGV as a JSON array, for a request; of a path in a mount the last part, or what it is a name of. */
json_t *command_digests(int argc, char **argv);

/* NAME[=VALUE],… to each setting; UNKNOWN is asked about the others. 0 or -errno, logged. */
int must_check command_mount_options(struct settings *settings, const char *list,
				     int (*unknown)(void *arg, const char *name, const char *value),
				     void *arg);

/* ---- progress on a terminal: stderr, at most ten times a second ---- */

struct progress {
	const char *what;
	uint64_t total; /* 0: not known */
	int64_t next_ms;
	bool shown;
};

void progress_show(struct progress *progress, uint64_t done);
void progress_end(struct progress *progress);

#endif
