/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include "commands/commands.h"

static const struct command commands[] = {
	{ "mount", "[-f] [-o OPTION,...] SOURCE MOUNTPOINT",
	  "mount; SOURCE is a configuration file, or none", command_mount },
	{ "umount", "MOUNTPOINT", "unmount", command_umount },
	{ "add", "[--json] FILE...", "put files (- is stdin) into the store, print their digests",
	  command_add },
	{ "ls", "[--json] [DIGEST...]", "list what the store knows", command_ls },
	{ "status", "[--json] [MOUNTPOINT]", "how the daemon is", command_status },
	{ "pull", "[--json] [--pin] DIGEST|PATH|NAME|SPEC...",
	  "fetch ahead of use; of a SPEC (hf:ORG/REPO) import it first", command_pull },
	{ "import", "[--json] [--everybody] SPEC...", "have a model's files by their names", command_import },
	{ "imports", "[--json] [--everybody] [--remove NAME[/FOLDER]]", "list what was imported, or forget it",
	  command_imports },
	{ "adopt", "[--json] [--everybody] [--move] PATH...", "bring in models that other programs keep on the disk", command_adopt },
	{ "pin", "[--json] DIGEST...", "keep objects whatever room is wanted", command_keep },
	{ "unpin", "[--json] DIGEST...", "and not any more", command_keep },
	{ "rm", "[--json] DIGEST...", "take objects out of the store", command_keep },
	{ "gc", "[--json] [SIZE]", "take out what was opened longest ago, down to SIZE",
	  command_gc },
	{ "verify", "[--json] [--rate SIZE] [--all | DIGEST...]",
	  "read the stored bytes again and check them",
	  command_verify },
	{ "tree", "FILE...", "write FILE.vtree, print both digests", command_tree },
	{ "publish", "DIR -o OUT --key FILE [--name CATALOG] [--revision REVISION] [--keep] [--url BASE] [OPTION...]",
	  "make objects, trees and a signed catalog of a folder of models", command_publish },
	{ "catalog", "list | refresh [NAME] | verify FILE | show FILE | diff OLD NEW", "look at catalogs", command_catalog },
	{ "policy", "check FILE | print FILE | test FILE ORIGIN DIGEST", "check a policy, ask it",
	  command_policy },
	{ "pending", "[--json] [--watch] [--uid UID]", "what is asked for, and nobody has answered",
	  command_pending },
	{ "grant", "[--json] [--uid UID] [--for TIME] ORIGIN DIGEST|SET", "let an origin open it",
	  command_answer },
	{ "deny", "[--json] [--uid UID] ORIGIN DIGEST|SET", "refuse it without being asked again",
	  command_answer },
	{ "revoke", "[--json] [--uid UID] ORIGIN [DIGEST|SET]", "take such answers back", command_revoke },
	{ "grants", "[--json] [--uid UID]", "list them", command_grants },
	{ "agent", "[--prompt CMD] [--for TIME] [--uid UID]", "ask about what is pending, as it comes",
	  command_agent },
	{ "explain", "[--json] [--as ORIGIN] [--uid N] PATH|DIGEST",
	  "why does it open, or not?", command_explain },
	{ "reload", "[--json] [MOUNTPOINT]", "let the daemon read its policy again", command_reload },
	{ "metrics", "[--json] [MOUNTPOINT]", "what the daemon counts, for Prometheus", command_metrics },
};

static const struct command mount_helper = {
	"mount.weightfs", "SOURCE MOUNTPOINT [-fnsv] [-o OPTION,...]", "", command_mount
};

#define ARGUMENTS_WIDTH 42

static void help(FILE *out)
{
	fprintf(out, "usage: weightfs COMMAND [OPTION...] [ARGUMENT...]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		bool fits = strlen(commands[i].arguments) <= ARGUMENTS_WIDTH;

		fprintf(out, "  %-8s %-*s%s%*s %s\n", commands[i].name, fits ? ARGUMENTS_WIDTH : 0,
			commands[i].arguments, fits ? "" : "\n", fits ? 0 : ARGUMENTS_WIDTH + 11, "",
			commands[i].summary);
	}
	fprintf(out, "\nCommands on a store take --conf FILE, --policy FILE and --store DIR. "
		     "See weightfs(1).\n");
}

static void print_usage(FILE *out, const struct command *command)
{
	const char *program = command == &mount_helper ? "" : "weightfs ";

	fprintf(out, "usage: %s%s %s\n", program, command->name, command->arguments);
}

int command_usage(const struct command *command)
{
	print_usage(stderr, command);
	return EXIT_USAGE;
}

static bool asks_for_help(const char *argument)
{
	return !strcmp(argument, "--help") || !strcmp(argument, "-h") || !strcmp(argument, "help");
}

static int run(const struct command *command, int argc, char **argv)
{
	if ((argc == 2 && asks_for_help(argv[1])) || (argc > 2 && !strcmp(argv[argc - 1], "--help"))) {
		print_usage(stdout, command);
		return EXIT_DONE;
	}
	return command->run(command, argc, argv);
}

int main(int argc, char **argv)
{
	const char *program = strrchr(argv[0], '/');

	program = program ? program + 1 : argv[0];
	/* mount(8) runs mount.TYPE. */
	if (!strcmp(program, "mount.weightfs"))
		return run(&mount_helper, argc, argv);
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("weightfs %s\n", PACKAGE_VERSION);
		return EXIT_DONE;
	}
	if (asks_for_help(argv[1])) {
		help(stdout);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		char called[64];

		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		/* What getopt_long(3) puts in front of its messages. */
		snprintf(called, sizeof(called), "weightfs %s", argv[1]);
		argv[1] = called;
		return run(&commands[i], argc - 1, argv + 1);
	}
	fprintf(stderr, "weightfs: unknown command: %s (weightfs --help lists them)\n", argv[1]);
	return EXIT_USAGE;
}
