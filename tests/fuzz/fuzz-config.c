/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as weightfs.conf: refused with words, or taken and within all bounds. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include "config/config.h"

#define require(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(int r, const struct config_error *error, size_t size)
{
	require(r == -EINVAL);
	require(error->message[0] != '\0');
	require(error->line >= 1 && error->line <= size + 1);
}

static void check_config(const struct config *config)
{
	require(config->fetch.connections >= 1);
	require(config->fetch.connections <= CONFIG_CONNECTIONS_MAX);
	require(config->fetch.memory >= config->fetch.connections * CHUNK_SIZE);
	require(config->fetch.read_deadline_ms >= 0);
	require(config->fetch.connect_timeout_ms > 0);
	require(config->fetch.stall_timeout_ms > 0);
	require(!config->store.path || *config->store.path == '/');
	require(config->store.size.percent <= 100 && config->store.keep_free.percent <= 99);
	require(config->store.size.bytes <= INT64_MAX &&
		config->store.keep_free.bytes <= INT64_MAX);
	require(config->n_sources <= FETCH_SOURCES_MAX);
	for (size_t i = 0; i < config->n_sources; i++) {
		const struct fetch_source *source = &config->sources[i];
		char message[FETCH_MESSAGE_SIZE];

		require(source->name && *source->name);
		require(fetch_template_check(source->url, source->allow_http, message) == 0);
		require(!source->ca_file || *source->ca_file == '/');
		require(!source->header_file || *source->header_file == '/');
		for (size_t j = 0; j < i; j++)
			require(strcmp(source->name, config->sources[j].name) != 0);
	}
	require(config->n_catalogs <= CONFIG_CATALOGS_MAX);
	for (size_t i = 0; i < config->n_catalogs; i++) {
		const struct config_catalog *catalog = &config->catalogs[i];
		char message[FETCH_MESSAGE_SIZE];

		require(catalog->name[0] >= 'a' && catalog->name[0] <= 'z' && strcmp(catalog->name, "hf") != 0);
		require(catalog->n_keys >= 1 && catalog->n_keys <= CONFIG_KEYS_OF_CATALOG);
		require(catalog->n_prefixes >= 1 && catalog->n_prefixes <= CONFIG_PREFIXES_MAX);
		require(fetch_template_check(catalog->url, catalog->allow_http, message) == 0 && catalog->signature);
		for (size_t j = 0; j < i; j++)
			require(strcmp(catalog->name, config->catalogs[j].name) != 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error error;
	struct config config;
	int r = config_parse("/f/c", (const char *)data, size, &config, &error);

	if (r < 0) {
		check_refusal(r, &error, size);
		return 0;
	}
	check_config(&config);
	config_free(&config);
	return 0;
}
