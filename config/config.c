/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/io.h"
#include "config/parse.h"

void config_defaults(struct config *out)
{
	*out = (struct config){
		.store.keep_free.percent = 5,
		.fetch.connections = 16,
		.fetch.memory = 64 << 20,
		.fetch.read_deadline_ms = 5 * 60 * 1000,
		.fetch.connect_timeout_ms = 10 * 1000,
		.fetch.stall_timeout_ms = 30 * 1000,
		.audit.rate = 10,
		.import.enabled = true,
	};
}

void config_free(struct config *config)
{
	for (size_t i = 0; i < config->n_sources; i++) {
		struct fetch_source *source = &config->sources[i];

		free((void *)source->name);
		free((void *)source->url);
		free((void *)source->tree);
		free((void *)source->ca_file);
		free((void *)source->header_file);
	}
	free(config->sources);
	for (size_t i = 0; i < config->n_catalogs; i++)
		config_catalog_release(&config->catalogs[i]);
	free(config->catalogs);
	for (size_t i = 0; i < config->ipfs.n_gateways; i++)
		free((void *)config->ipfs.gateways[i]);
	free((void *)config->ipfs.ca_file);
	free((void *)config->import.ca_file);
	free((void *)config->store.path);
	free((void *)config->audit.file);
	config_defaults(config);
}

int config_load(const char *file, struct config *out, struct config_error *error)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = io_read_file(file, CONFIG_FILE_MAX, &text, &len);

	if (r < 0) {
		*error = (struct config_error){0};
		snprintf(error->file, sizeof(error->file), "%s", file);
		errno = -r;
		snprintf(error->message, sizeof(error->message), "cannot be read: %m");
		return r;
	}
	return config_parse(file, text, len, out, error);
}

void config_error_format(const struct config_error *error, char *out, size_t size)
{
	if (error->line)
		snprintf(out, size, "%s:%u: %s", error->file, error->line, error->message);
	else
		snprintf(out, size, "%s: %s", error->file, error->message);
}

int config_default_store(uid_t uid, char **out)
{
	/* The XDG base directory specification: a relative path in the variable is to be ignored.
	 */
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char *path;
	int n;

	if (uid == 0)
		n = asprintf(&path, "/var/cache/weightfs");
	else if (cache && *cache == '/')
		n = asprintf(&path, "%s/weightfs", cache);
	else if (home && *home == '/')
		n = asprintf(&path, "%s/.cache/weightfs", home);
	else
		return -ENOENT;
	if (n < 0)
		return -ENOMEM;
	*out = path;
	return 0;
}
