/* SPDX-License-Identifier: Apache-2.0 */
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include "commands/commands.h"
#include "commands/import/importing.h"
#include "common/digest.h"
#include "common/log.h"
#include "fs/control/control.h"

struct pulling {
	struct settings *settings;
	struct config *config;
	bool json;
	char *name; /* of whom progress is shown; NULL: nobody yet */
	char *waiting; /* for what, as was said last */
	struct progress progress;
	bool by_name; /* something is: then there is a summary */
	size_t n, n_here, n_pinned;
	uint64_t size, fetched; /* bytes of what is complete now, those of them that had to be fetched */
	bool failed;
};

static const char *text(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static uint64_t number(const json_t *json, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(json, key));
}

/* ---- what is told ---- */

/* PROGRESS begins anew with each object. */
static void show_progress(struct pulling *pulling, const json_t *json)
{
	const char *waiting = text(json, "waiting");

	if (!pulling->name || strcmp(pulling->name, text(json, "name")) != 0) {
		progress_end(&pulling->progress);
		free(pulling->name);
		pulling->name = strdup(text(json, "name"));
	}
	pulling->progress.what = pulling->name;
	pulling->progress.total = number(json, "of");
	if (waiting && (!pulling->waiting || strcmp(pulling->waiting, waiting) != 0)) {
		progress_end(&pulling->progress);
		log_warning("waiting for %s", waiting);
		free(pulling->waiting);
		pulling->waiting = strdup(waiting);
	}
	if (pulling->name)
		progress_show(&pulling->progress, number(json, "progress"));
}

static void count(struct pulling *pulling, const json_t *json)
{
	pulling->n++;
	pulling->n_here += number(json, "fetched") == 0;
	pulling->n_pinned += json_is_true(json_object_get(json, "pinned"));
	pulling->size += number(json, "size");
	pulling->fetched += number(json, "fetched");
}

static void print(const json_t *json, const char *path)
{
	printf("%s%s", text(json, "name"), path ? "  " : "\n");
	if (!path)
		return;
	command_print_place(text(json, "mountpoint"), path);
	printf("\n");
}

static int line(void *arg, json_t *json)
{
	struct pulling *pulling = arg;
	const char *failed = text(json, "failed"), *path = text(json, "path");
	bool is_progress = json_object_get(json, "progress");

	if (!is_progress && !failed)
		count(pulling, json);
	if (pulling->json) {
		command_print_json(json);
	} else if (is_progress) {
		show_progress(pulling, json);
		return 0;
	} else {
		progress_end(&pulling->progress);
		if (failed)
			log_error("%s", failed);
		else
			print(json, path);
	}
	return fflush(stdout) == EOF ? -EPIPE : 0;
}

static void summarize(const struct pulling *pulling, bool imported)
{
	char size[COMMAND_SIZE_TEXT], fetched[COMMAND_SIZE_TEXT];

	if (pulling->json || !pulling->by_name || pulling->n == 0)
		return;
	log_info("%zu file%s, %s; %s fetched, %zu %s here already", pulling->n,
		 pulling->n == 1 ? "" : "s", command_size(pulling->size, size),
		 command_size(pulling->fetched, fetched), pulling->n_here,
		 pulling->n_here == 1 ? "was" : "were");
	if (imported && pulling->n_pinned == 0)
		log_info("not pinned: that is for root and the owner of the store; what is not used for "
			 "long may make room for others");
}

/* ---- what is asked for ---- */

/* Or a file in a mount, which has one. */
static bool is_digest(const char *argument)
{
	const char *slash = strrchr(argument, '/');
	char digest[DIGEST_NAME_SIZE];
	struct digest_name name;

	return digest_name_parse(slash ? slash + 1 : argument, &name) == 0 ||
	       (slash && command_file_digest(argument, digest) == 0);
}

static int add_import(struct pulling *pulling, const char *spec, json_t *imported)
{
	struct imported found = { 0 };
	int r;

	r = import_spec(pulling->settings, pulling->config, spec, false, &found);
	if (r < 0)
		return r;
	if (json_array_append_new(imported, json_string(found.name)) < 0)
		r = log_error_errno(-EINVAL, "%s", found.name);
	else if (found.n_failed > 0)
		r = -EIO;
	imported_clear(&found);
	return r;
}

/* All files below FOLDER by their digests; refs/ has none. */
static int add_folder(const char *folder, json_t *digests)
{
	char *roots[] = { (char *)folder, NULL };
	FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
	size_t before = json_array_size(digests);
	char digest[DIGEST_NAME_SIZE];
	FTSENT *entry;

	if (!tree)
		return log_error_errno(-errno, "%s", folder);
	while ((entry = fts_read(tree)))
		if (entry->fts_info == FTS_F && command_file_digest(entry->fts_path, digest) == 0)
			json_array_append_new(digests, json_string(digest));
	fts_close(tree);
	return json_array_size(digests) > before ? 0 : log_error_errno(-ENOENT, "%s", folder);
}

/* A path in name/ or hub/ of a mount. */
static int add_path(struct pulling *pulling, const char *argument, const char *path, json_t *request)
{
	pulling->by_name = true;
	if (strncmp(path, "name/", strlen("name/")) != 0)
		return add_folder(argument, json_object_get(request, "digests"));
	return json_array_append_new(json_object_get(request, "names"), json_string(path + strlen("name/")));
}

/* The daemon of the mount that ARGUMENT is in is asked, whatever the options say. */
static int follow(struct pulling *pulling, const char *argument)
{
	const char *slash = strrchr(argument, '/');
	_cleanup_free_ char *folder = strndup(argument, slash ? (size_t)(slash - argument) + 1 : 0),
			    *before = strdup(pulling->settings->socket);
	bool again = pulling->settings->daemon_only;
	struct settings_view view;
	int r;

	if (!folder || !before)
		return -ENOMEM;
	if (!slash || !settings_is_on_mount(folder))
		return 0;
	r = settings_follow(pulling->settings, folder, &view);
	if (r < 0)
		return r;
	free(view.origin);
	if (again && strcmp(before, pulling->settings->socket) != 0)
		return log_error_errno(-EXDEV, "%s: this is another mount", argument);
	return 0;
}

/* What ARGUMENT means goes into REQUEST. What cannot be had does not keep the others from coming. */
static void add(struct pulling *pulling, const char *argument, json_t *request)
{
	_cleanup_free_ char *root = NULL;
	const char *rest, *path = command_path_in_view(argument, &root);
	int r;

	/* Names may be without their revision; "hub/…" in the top of a mount may be one, too. */
	if (path && (!strncmp(path, "name/", strlen("name/")) || access(argument, F_OK) == 0)) {
		r = add_path(pulling, argument, path, request);
	} else if (is_digest(argument)) {
		char *copy[] = { (char *)argument };
		json_t *one = command_digests(1, copy);

		r = json_array_extend(json_object_get(request, "digests"), one);
		json_decref(one);
	} else if (import_source_of(argument, &rest)) {
		pulling->by_name = true;
		r = add_import(pulling, argument, json_object_get(request, "imported"));
	} else if (strchr(argument, '/')) {
		pulling->by_name = true;
		r = json_array_append_new(json_object_get(request, "names"), json_string(argument));
	} else {
		log_error("not a digest: %s, nor a name (CATALOG/…), a path in a mount, or something to import (hf:ORG/REPO)", argument);
		r = -EINVAL;
	}
	if (r < 0)
		pulling->failed = true;
}

static size_t count_of(const json_t *request, const char *key)
{
	return json_array_size(json_object_get(request, key));
}

static void pull(struct pulling *pulling, bool pin, int argc, char **argv)
{
	json_t *request = json_pack("{s:s, s:b, s:[], s:[], s:[]}", "op", "pull", "pin", pin, "digests",
				    "names", "imported");
	bool imported;

	for (int i = 0; i < argc; i++)
		if (follow(pulling, argv[i]) < 0) {
			pulling->failed = true;
			json_decref(request);
			return;
		}
	for (int i = 0; i < argc; i++)
		add(pulling, argv[i], request);
	imported = count_of(request, "imported") > 0;
	if (count_of(request, "digests") + count_of(request, "names") == 0 && !imported) {
		json_decref(request);
		return;
	}
	if (control_call(pulling->settings, pulling->config, request, -1, line, pulling) < 0)
		pulling->failed = true;
	progress_end(&pulling->progress);
	summarize(pulling, imported);
}

int command_pull(const struct command *command, int argc, char **argv)
{
	struct settings settings = { 0 };
	struct config config;
	struct pulling pulling = { .settings = &settings, .config = &config };
	bool pin = false;
	int status;

	status = command_begin_with(command, argc, argv, &settings, &config, &pulling.json,
				    (const struct command_option[]){ { "pin", &pin, NULL }, { 0 } });
	if (status != EXIT_DONE)
		return status;
	if (optind == argc) {
		status = command_usage(command);
	} else {
		pull(&pulling, pin, argc - optind, argv + optind);
		status = pulling.failed ? EXIT_FAILED : EXIT_DONE;
	}
	free(pulling.name);
	free(pulling.waiting);
	return command_end(&settings, &config, status);
}
