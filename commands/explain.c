/* SPDX-License-Identifier: Apache-2.0 */
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "commands/commands.h"
#include "common/log.h"
#include "config/value.h"
#include "fs/control/control.h"

#define GROUPS_MAX 1024

struct explained {
	struct command_printing printing;
	bool opens; /* the last line said so */
};

static void print(const json_t *line)
{
	printf("%-10s %s\n", json_string_value(json_object_get(line, "topic")),
	       json_string_value(json_object_get(line, "text")));
}

static int take_line(void *arg, json_t *line)
{
	struct explained *explained = arg;

	explained->opens = json_is_true(json_object_get(line, "opens"));
	return command_print_line(&explained->printing, line);
}

/* ---- what is asked about ---- */

/* What a path ends with. */
static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_digest(const char *text)
{
	struct digest_name name;

	return digest_name_parse(text, &name) == 0;
}

/* The folder that PATH is in, with its slash; to be freed. */
static char *folder_of(const char *path)
{
	return strndup(path, (size_t)(last_part(path) - path));
}

/*
 * Means the daemon of PATH's mount; OUT is the digest, "" for a folder, and ORIGIN (to be freed) and UID whose view it is.
 * What is named by its digest is not touched: it may be denied, or asked for at the sources.
 */
static int follow_path(struct settings *settings, const char *path, char out[DIGEST_NAME_SIZE],
		       struct settings_view *view)
{
	_cleanup_free_ char *folder = folder_of(path), *real = NULL, *inside = NULL;
	struct stat st;

	out[0] = '\0';
	if (!folder)
		return -ENOMEM;
	if (!is_digest(last_part(path)) || !settings_is_on_mount(folder)) {
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			return asprintf(&inside, "%s/", path) < 0 ?
				       -ENOMEM :
				       settings_follow(settings, inside, view);
		/* It may be led to by links from elsewhere. */
		real = realpath(path, NULL);
		if (real)
			path = real;
	}
	if (is_digest(last_part(path)))
		snprintf(out, DIGEST_NAME_SIZE, "%s", last_part(path));
	else if (real && command_file_digest(path, out) < 0)
		return log_error_errno(-ENODATA, "%s: has no digest", path);
	return settings_follow(settings, path, view);
}

/* The same of what was given on the command line, which may be a path without a slash, or the digest alone. */
static int find_object(struct settings *settings, const char *argument, char out[DIGEST_NAME_SIZE],
		       struct settings_view *view)
{
	_cleanup_free_ char *path = NULL;

	if (strchr(argument, '/'))
		return follow_path(settings, argument, out, view);
	if (is_digest(argument) && !settings_is_on_mount(".")) {
		snprintf(out, DIGEST_NAME_SIZE, "%s", argument);
		return 0;
	}
	if (!is_digest(argument) && access(argument, F_OK) < 0)
		return log_error_errno(-errno, "%s: neither a digest nor a path", argument);
	return asprintf(&path, "./%s", argument) < 0 ? -ENOMEM :
						       follow_path(settings, path, out, view);
}

/* ---- on whose behalf ---- */

/* What the user database says of UID: a user without an entry has no other groups than the one of its number. */
static json_t *user_value(uid_t uid)
{
	const struct passwd *entry = getpwuid(uid);
	gid_t groups[GROUPS_MAX], gid = entry ? entry->pw_gid : (gid_t)uid;
	int n = GROUPS_MAX;
	json_t *list = json_array();

	if (!entry || getgrouplist(entry->pw_name, gid, groups, &n) < 0)
		n = 0;
	for (int i = 0; i < n; i++)
		json_array_append_new(list, json_integer(groups[i]));
	return json_pack("{s:I, s:I, s:o}", "uid", (json_int_t)uid, "gid", (json_int_t)gid, "groups",
			 list);
}

static int explain(struct settings *settings, struct config *config, const char *argument,
		   const char *origin, int64_t uid, struct explained *explained)
{
	char digest[DIGEST_NAME_SIZE];
	struct settings_view view = { .uid = -1 };
	json_t *request, *digests = json_array();
	_cleanup_free_ char *root = NULL;
	const char *path = command_path_in_view(argument, &root);
	int r;

	digest[0] = '\0';
	r = path ? settings_follow(settings, root, &view) : find_object(settings, argument, digest, &view);
	if (r < 0) {
		json_decref(digests);
		return r;
	}
	if (digest[0])
		json_array_append_new(digests, json_string(digest));
	if (uid < 0)
		uid = view.uid;
	request = uid >= 0 && uid != getuid() ? user_value((uid_t)uid) : json_object();
	json_object_set_new(request, "op", json_string("explain"));
	json_object_set_new(request, "digests", digests);
	if (path)
		json_object_set_new(request, "path", json_string(path));
	if (origin || view.origin)
		json_object_set_new(request, "origin", json_string(origin ? origin : view.origin));
	free(view.origin);
	return control_call(settings, config, request, -1, take_line, explained);
}

/* The values of the options, or EXIT_USAGE, said. */
static int check_options(const char *as, const char *user, char origin[POLICY_ORIGIN_SIZE], int64_t *uid)
{
	uint64_t number;

	if (as && policy_origin_parse(as, origin) < 0) {
		log_error("--as %s: not an origin", as);
		return EXIT_USAGE;
	}
	if (user && (config_value_size(user, &number) < 0 || number >= (uid_t)-1 ||
		     strspn(user, "0123456789") != strlen(user))) {
		log_error("--uid %s: not a user's number", user);
		return EXIT_USAGE;
	}
	*uid = user ? (int64_t)number : -1;
	return EXIT_DONE;
}

int command_explain(const struct command *command, int argc, char **argv)
{
	struct explained explained = { .printing.print = print };
	const char *as = NULL, *user = NULL;
	const struct command_option options[] = {
		{ "as", NULL, &as }, { "uid", NULL, &user }, { NULL }
	};
	char origin[POLICY_ORIGIN_SIZE];
	struct settings settings = { 0 };
	struct config config;
	int64_t uid = -1;
	int status;

	status = command_begin_with(command, argc, argv, &settings, &config, &explained.printing.json,
				    options);
	if (status != EXIT_DONE)
		return status;
	status = argc - optind == 1 ? check_options(as, user, origin, &uid) : command_usage(command);
	if (status == EXIT_DONE && (explain(&settings, &config, argv[optind], as ? origin : NULL, uid,
					    &explained) < 0 || !explained.opens))
		status = EXIT_FAILED;
	return command_end(&settings, &config, status);
}
