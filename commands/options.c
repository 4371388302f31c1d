/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include "commands/commands.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/utf8.h"

int command_mount_options(struct settings *settings, const char *list,
			  int (*unknown)(void *arg, const char *name, const char *value), void *arg)
{
	_cleanup_free_ char *copy = strdup(list);
	char *rest = copy, *word;

	if (!copy)
		return -ENOMEM;
	while ((word = strsep(&rest, ","))) {
		char *value = strchr(word, '=');
		int r;

		if (!*word)
			continue;
		if (value)
			*value++ = '\0';
		r = settings_set(settings, word, value);
		if (r == -ENOENT && unknown)
			r = unknown(arg, word, value);
		if (r == -ENOENT)
			log_error("unknown option: %s", word);
		if (r < 0)
			return r;
	}
	return 0;
}

#define OWN 256 /* behind every letter: the command's own options */

static const struct option common_options[] = {
	{ "conf", required_argument, NULL, 'c' },
	{ "policy", required_argument, NULL, 'p' },
	{ "store", required_argument, NULL, 's' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
};

static void note_own(const struct command_option *option)
{
	if (option->value)
		*option->value = optarg;
	else
		*option->flag = true;
}

static int parse(const struct command *command, int argc, char **argv, struct settings *settings,
		 bool *json, const struct command_option *own)
{
	struct option long_options[ARRAY_SIZE(common_options) + COMMAND_OPTIONS_MAX + 1] = { 0 };
	size_t n = ARRAY_SIZE(common_options);
	int option, r = 0;

	memcpy(long_options, common_options, sizeof(common_options));
	for (size_t i = 0; own && own[i].name; i++)
		long_options[n++] = (struct option){
			own[i].name, own[i].value ? required_argument : no_argument, NULL,
			OWN + (int)i
		};

	optind = 1;
	while (r == 0 && (option = getopt_long(argc, argv, "o:h", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			r = settings_set(settings, "conf", optarg);
			break;
		case 'p':
			r = settings_set(settings, "policy", optarg);
			break;
		case 's':
			r = settings_set(settings, "store", optarg);
			break;
		case 'o':
			r = command_mount_options(settings, optarg, NULL, NULL);
			break;
		case 'j':
			if (!json)
				return command_usage(command);
			*json = true;
			break;
		default:
			if (option < OWN)
				return command_usage(command);
			note_own(&own[option - OWN]);
		}
	}
	return r == 0 ? EXIT_DONE : r == -ENOMEM ? EXIT_FAILED : EXIT_USAGE;
}

int command_begin_with(const struct command *command, int argc, char **argv,
		       struct settings *settings, struct config *config, bool *json,
		       const struct command_option *options)
{
	int status;

	status = parse(command, argc, argv, settings, json, options);
	if (status == EXIT_DONE && (settings_use_default_conf(settings) < 0 ||
				    settings_resolve(settings, config) < 0))
		status = EXIT_FAILED;
	if (status != EXIT_DONE)
		settings_free(settings);
	return status;
}

int command_begin(const struct command *command, int argc, char **argv, struct settings *settings,
		  struct config *config, bool *json)
{
	return command_begin_with(command, argc, argv, settings, config, json, NULL);
}

int command_end(struct settings *settings, struct config *config, int status)
{
	config_free(config);
	settings_free(settings);
	return fflush(stdout) == EOF || ferror(stdout) ? EXIT_FAILED : status;
}

void command_print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_COMPACT);
	printf("\n");
}

int command_print_line(void *arg, json_t *line)
{
	const struct command_printing *printing = arg;

	if (printing->json)
		command_print_json(line);
	else
		printing->print(line);
	return 0;
}

int command_file_digest(const char *path, char out[DIGEST_NAME_SIZE])
{
	static const char *const attributes[] = { "user.weightfs.digest", "user.weightfs.fsverity" };
	static const char *const kinds[] = { "", "fsverity-" };
	struct digest_name name;

	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		char hex[DIGEST_HEX_SIZE] = "";

		if (getxattr(path, attributes[i], hex, sizeof(hex) - 1) <= 0)
			continue;
		snprintf(out, DIGEST_NAME_SIZE, "%s%s", kinds[i], hex);
		if (digest_name_parse(out, &name) == 0)
			return 0;
	}
	return -ENODATA;
}

const char *command_size(uint64_t bytes, char out[COMMAND_SIZE_TEXT])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double size = (double)bytes;
	size_t unit = 0;

	while (size >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		size /= 1024;
		unit++;
	}
	snprintf(out, COMMAND_SIZE_TEXT, "%.*f %s", unit ? 1 : 0, size, units[unit]);
	return out;
}

json_t *command_digests(int argc, char **argv)
{
	json_t *digests = json_array();

	for (int i = 0; i < argc; i++) {
		const char *slash = strrchr(argv[i], '/'), *text = slash ? slash + 1 : argv[i];
		char digest[DIGEST_NAME_SIZE];
		struct digest_name name;

		/* In name/ and hub/ it is no part of the path. */
		if (slash && digest_name_parse(text, &name) < 0)
			text = command_file_digest(argv[i], digest) == 0 ? digest : argv[i];
		json_array_append_new(digests, json_string(text));
	}
	return digests;
}

/* ---- progress ---- */

#define WIDTH       30
#define INTERVAL_MS 100
#define WHAT_MAX    1024

void progress_show(struct progress *progress, uint64_t done)
{
	int64_t now = clock_ms();
	char bar[WIDTH + 1], what[WHAT_MAX];
	size_t filled;

	if (!isatty(STDERR_FILENO) || now < progress->next_ms)
		return;
	progress->next_ms = now + INTERVAL_MS;
	progress->shown = true;
	snprintf(what, sizeof(what), "%s", progress->what);
	utf8_make_printable(what);
	if (progress->total == 0) {
		fprintf(stderr, "\r%s: %llu MiB\033[K", what,
			(unsigned long long)(done >> 20));
		return;
	}
	if (done > progress->total)
		done = progress->total;
	filled = (size_t)(done * WIDTH / progress->total);
	memset(bar, '#', filled);
	memset(bar + filled, '.', WIDTH - filled);
	bar[WIDTH] = '\0';
	fprintf(stderr, "\r[%s] %3llu%% %s\033[K", bar,
		(unsigned long long)(done * 100 / progress->total), what);
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		fprintf(stderr, "\r\033[K");
	*progress = (struct progress){ 0 };
}
