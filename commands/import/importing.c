/* SPDX-License-Identifier: Apache-2.0 */
#include "commands/import/importing.h"

#include <stdio.h>
#include <string.h>
#include "commands/commands.h"
#include "common/log.h"
#include "fs/control/control.h"

void imported_clear(struct imported *imported)
{
	free(imported->name);
	free(imported->mountpoint);
	*imported = (struct imported){ 0 };
}

static int take_line(void *arg, json_t *line)
{
	const char *mountpoint = json_string_value(json_object_get(line, "mountpoint"));
	struct imported *imported = arg;

	if (mountpoint && !imported->mountpoint)
		imported->mountpoint = strdup(mountpoint);
	imported->n_new = (size_t)json_integer_value(json_object_get(line, "new"));
	return 0;
}

static json_t *request_of(const struct import_source *source, const struct import_found *found,
			  bool everybody)
{
	return json_pack("{s:s, s:s, s:O?, s:b, s:s?, s:b, s:b}", "op", "import", "name",
			 source->catalog, "refs", found->refs, "gated", found->gated,
			 "authorization", found->authorization, "token_challenge",
			 found->token_challenge, "everybody", everybody);
}

static int give(struct import_talk *talk, const struct settings *settings, struct config *config,
		const struct import_source *source, const struct import_found *found, bool everybody,
		struct imported *out)
{
	char problem[REGISTRY_PROBLEM_SIZE];
	_cleanup_close_ int fd = -1;
	int r;

	r = import_write(found, source->catalog, &fd, problem);
	if (r < 0)
		return import_fail(talk, r, "%s", problem);
	r = control_call(settings, config, request_of(source, found, everybody), fd, take_line, out);
	return r < 0 ? import_fail(talk, r, "not imported") : 0;
}

static bool is_selected(const struct import_found *found, const char *path)
{
	size_t len = found->selected ? strlen(found->selected) : 0;

	return len == 0 || (!strncmp(path, found->selected, len) && (!path[len] || path[len] == '/'));
}

static int describe(const struct import_source *source, const struct import_found *found,
		    struct imported *out)
{
	bool part = found->selected;

	for (size_t i = 0; i < found->files.n; i++) {
		if (!is_selected(found, found->files.files[i].path))
			continue;
		out->n_files++;
		out->size += found->files.files[i].size;
	}
	out->n_failed = found->n_failed;
	if (asprintf(&out->name, "%s/%s%s%s", source->catalog,
		     found->folder ? found->folder : found->files.files[0].path, part ? "/" : "",
		     part ? found->selected : "") < 0) {
		out->name = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* Where a source says no more of it: which there are. */
static int unknown(const char *spec)
{
	_cleanup_free_ char *root = NULL;

	if (command_path_in_view(spec, &root)) {
		log_error("%s: is in a mount already, and there by this name; weightfs pull fetches it", spec);
		return -EEXIST;
	}
	log_error("%s: nothing that can be imported; it can be", spec);
	for (size_t i = 0; import_source_at(i); i++)
		log_error("  %s", import_source_at(i)->form);
	return -EINVAL;
}

/* The configuration's are for what the daemon fetches as well; else as OpenSSL's own tools take it from the environment. */
static const char *authorities(const struct config *config)
{
	const char *file = getenv("SSL_CERT_FILE");

	return config->import.ca_file ? config->import.ca_file : file && *file ? file : NULL;
}

int import_spec(const struct settings *settings, struct config *config, const char *spec,
		bool everybody, struct imported *out)
{
	struct import_talk talk = {
		.spec = spec,
		.settings = settings,
		.config = config,
		.ca_file = authorities(config),
		.allow_private = config->import.allow_private,
	};
	struct import_found found = { 0 };
	struct imported imported = { 0 };
	const char *rest;
	const struct import_source *source = import_source_of(spec, &rest);
	int r;

	if (!source)
		return unknown(spec);
	if (!config->import.enabled)
		return import_fail(&talk, -EPERM, "the configuration allows no imports");
	if (config->fetch.offline || settings->offline)
		return import_fail(&talk, -ENODATA, "the configuration says offline");
	r = source->find(&talk, rest, &found);
	progress_end(&talk.progress);
	if (r == 0)
		r = give(&talk, settings, config, source, &found, everybody, &imported);
	if (r == 0)
		r = describe(source, &found, &imported);
	import_found_clear(&found);
	if (r < 0)
		imported_clear(&imported);
	else
		*out = imported;
	return r;
}
