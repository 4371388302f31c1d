/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `weightfs mount`, and mount.weightfs for mount(8) and fstab.
 *
 * Without -f the daemon is a child in a session of its own. It keeps the caller's stderr until the mount
 * answers, so every reason to fail is said there; then it says so through a pipe, and the parent
 * returns. A child that ends before has failed.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "commands/commands.h"
#include "common/log.h"
#include "fs/daemon.h"
#include "fs/origins/access.h"
#include "fs/session.h"

struct mount_options {
	struct settings settings;
	bool foreground, fake;
	bool allow_other;
	char kernel[256]; /* options handed on to the kernel */
};

/* ---- options ---- */

/* What mount(8) and fstab(5) may pass and what has no meaning here. */
static const char *const ignored[] = {
	"ro",	  "rw",	     "defaults", "auto",    "noauto",	  "user",	"nouser",
	"users",  "owner",   "group",	 "_netdev", "nofail",	  "nosuid",	"nodev",
	"async",  "atime",   "noatime",	 "relatime", "norelatime", "diratime",	"nodiratime",
	"exec",	  "sync",    "loud",	 "silent",  "strictatime",   "lazytime",	"nolazytime",
};

static int mount_option(void *arg, const char *name, const char *value)
{
	struct mount_options *options = arg;

	if (!strncmp(name, "x-", 2) || !strncmp(name, "X-", 2) || !strcmp(name, "comment"))
		return 0;
	/* user=NAME is what mount(8) makes of `user`. */
	if (value)
		return strcmp(name, "user") ? -ENOENT : 0;
	if (!strcmp(name, "allow_other")) {
		options->allow_other = true;
		return 0;
	}
	if (!strcmp(name, "noexec")) {
		snprintf(options->kernel, sizeof(options->kernel), "noexec");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
		if (!strcmp(name, ignored[i]))
			return 0;
	}
	return -ENOENT;
}

/* As mount(8) calls it: SOURCE DIR [-sfnv] [-N ns] [-o options] [-t type.subtype]. */
static int parse(const struct command *command, int argc, char **argv,
		 struct mount_options *options)
{
	bool helper = !strcmp(command->name, "mount.weightfs");
	int option;

	optind = 1;
	while ((option = getopt(argc, argv, helper ? "sfnvN:o:t:" : "fo:h")) != -1) {
		switch (option) {
		case 'o':
			if (command_mount_options(&options->settings, optarg, mount_option,
						  options) < 0)
				return EXIT_USAGE;
			break;
		case 'f':
			if (helper)
				options->fake = true;
			else
				options->foreground = true;
			break;
		case 's':
		case 'n':
		case 'v':
		case 't':
			break;
		default:
			return command_usage(command);
		}
	}
	if (argc - optind != 2)
		return command_usage(command);
	if (strcmp(argv[optind], "none") != 0 && !options->settings.conf &&
	    settings_set(&options->settings, "conf", argv[optind]) < 0)
		return EXIT_FAILED;
	if (options->allow_other || getuid() == 0)
		snprintf(options->kernel + strlen(options->kernel),
			 sizeof(options->kernel) - strlen(options->kernel), "%sallow_other",
			 options->kernel[0] ? "," : "");
	return EXIT_DONE;
}

/* ---- the daemon ---- */

/* The mount answers: let go of the caller. ARG: the pipe to it, or -1 in the foreground. */
static void ready(void *arg)
{
	int *pipe_fd = arg;
	int null;

	if (*pipe_fd < 0)
		return;
	log_to_syslog();
	if (chdir("/") < 0)
		log_warning_errno(-errno, "/");
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		close(null);
	}
	if (write(*pipe_fd, "", 1) < 0)
		log_warning_errno(-errno, "nobody waits for the mount");
	close(steal_fd(pipe_fd));
}

static int serve(struct mount_options *options, struct config *config, struct policy_slot *policy,
		 const char *source, const char *mountpoint, int pipe_fd)
{
	struct session_options session = {
		.source = source,
		.mountpoint = mountpoint,
		.options = options->kernel,
		.ready = ready,
		.arg = &pipe_fd,
	};
	struct weightfs fs;
	int r;

	session_block_signals();
	r = daemon_start(&fs, &options->settings, config, policy);
	if (r == 0)
		r = session_mount(&fs, &session);
	if (r == 0) {
		log_info("%s is mounted on %s: store %s, policy %s, %zu source%s, %zu catalog%s", source,
			 mountpoint, options->settings.store,
			 options->settings.policy ? options->settings.policy : "built-in",
			 fs.config.n_sources, fs.config.n_sources == 1 ? "" : "s", fs.config.n_catalogs,
			 fs.config.n_catalogs == 1 ? "" : "s");
		r = session_run(&fs);
		log_info("%s is unmounted", mountpoint);
	}
	daemon_stop(&fs);
	/* Asked to end while it was starting: so it did. */
	return r < 0 && r != -ECANCELED ? EXIT_FAILED : EXIT_DONE;
}

/* In the parent: did the child get ready? */
static int await(pid_t child, int pipe_fd)
{
	char byte;

	if (read(pipe_fd, &byte, 1) == 1)
		return EXIT_DONE;
	log_debug("daemon %d ended before the mount answered", (int)child);
	return EXIT_FAILED;
}

static int daemonize(struct mount_options *options, struct config *config,
		     struct policy_slot *policy, const char *source, const char *mountpoint)
{
	int pipes[2], status;
	pid_t child;

	if (pipe2(pipes, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		log_error_errno(-errno, "the daemon cannot be started");
		policy_slot_free(policy);
		config_free(config);
		return EXIT_FAILED;
	}
	if (child == 0) {
		close(pipes[0]);
		setsid();
		return serve(options, config, policy, source, mountpoint, pipes[1]);
	}
	close(pipes[1]);
	status = await(child, pipes[0]);
	close(pipes[0]);
	policy_slot_free(policy);
	config_free(config);
	return status;
}

int command_mount(const struct command *command, int argc, char **argv)
{
	struct mount_options options = { 0 };
	struct policy_slot *policy;
	struct config config;
	int status;

	status = parse(command, argc, argv, &options);
	if (status != EXIT_DONE || options.fake) {
		settings_free(&options.settings);
		return status;
	}
	/* Both are read before anything else is done: a daemon does not start with a bad one. */
	status = EXIT_FAILED;
	if (settings_resolve(&options.settings, &config) == 0) {
		if (policy_slot_new(options.settings.policy, &policy) < 0)
			config_free(&config);
		else if (options.foreground)
			status = serve(&options, &config, policy, argv[optind], argv[optind + 1],
				       -1);
		else
			status = daemonize(&options, &config, policy, argv[optind],
					   argv[optind + 1]);
	}
	settings_free(&options.settings);
	return status;
}
