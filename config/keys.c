/* SPDX-License-Identifier: Apache-2.0 */
/* The sections and keys of weightfs.conf, and what their values may be. */
#include "config/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "config/value.h"

/* ---- values ---- */

int config_set_int(struct config_parser *p, const struct config_key *key, const char *value,
		   void *field)
{
	int number, r = config_value_int(value, &number);

	if (r == 0 && (number < key->min || number > key->max))
		r = -ERANGE;
	if (r == 0)
		*(int *)field = number; /* or an unsigned int, where min is not below 0 */
	return r;
}

static int set_size(struct config_parser *p, const struct config_key *key, const char *value,
		    void *field)
{
	uint64_t size;
	int r = config_value_size(value, &size);

	if (r == 0 && (size < (uint64_t)key->min || size > (uint64_t)key->max))
		r = -ERANGE;
	if (r == 0)
		*(uint64_t *)field = size;
	return r;
}

/* MIN is of the bytes, MAX of the percents. */
static int set_amount(struct config_parser *p, const struct config_key *key, const char *value,
		      void *field)
{
	struct config_amount amount;
	int r = config_value_amount(value, &amount);

	if (r == 0 && amount.percent == 0 && amount.bytes < (uint64_t)key->min)
		r = -ERANGE;
	if (r == 0 && amount.percent > key->max)
		r = -ERANGE;
	if (r == 0)
		*(struct config_amount *)field = amount;
	return r;
}

int config_set_time(struct config_parser *p, const struct config_key *key, const char *value,
		    void *field)
{
	int64_t ms;
	int r = config_value_time(value, &ms);

	if (r == 0 && (ms < key->min || ms > key->max))
		r = -ERANGE;
	if (r == 0)
		*(int64_t *)field = ms;
	return r;
}

int config_set_bool(struct config_parser *p, const struct config_key *key, const char *value,
		    void *field)
{
	return config_value_bool(value, field);
}

/* A template is looked at when its section ends: whether http is allowed may be said below it. */
int config_set_text(struct config_parser *p, const struct config_key *key, const char *value,
		    void *field)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	*(const char **)field = copy;
	return 0;
}

int config_set_path(struct config_parser *p, const struct config_key *key, const char *value,
		    void *field)
{
	char *path;
	int n;

	/* A shell's work: here it would make a folder of that name. */
	if (*value == '~')
		return -EINVAL;
	n = *value == '/' ? asprintf(&path, "%s", value)
			  : asprintf(&path, "%s/%s", p->folder, value);
	if (n < 0)
		return -ENOMEM;
	*(const char **)field = path;
	return 0;
}

/* A path, or one of two words. */
static int set_audit_file(struct config_parser *p, const struct config_key *key, const char *value,
			  void *field)
{
	p->config.audit.none = strcmp(value, "none") == 0;
	if (p->config.audit.none || strcmp(value, "log") == 0)
		return 0;
	return config_set_path(p, key, value, field);
}

static int add_gateway(struct config_parser *p, const struct config_key *key, const char *value,
		       void *field)
{
	size_t n = p->config.ipfs.n_gateways;

	if (n == CONFIG_GATEWAYS_MAX) {
		config_fail(p, p->line, "[ipfs] one gateway too many: at most %d", CONFIG_GATEWAYS_MAX);
		return -EINVAL;
	}
	p->config.ipfs.gateways[n] = strdup(value);
	if (!p->config.ipfs.gateways[n])
		return -ENOMEM;
	p->config.ipfs.n_gateways++;
	return 0;
}

/* ---- sections ---- */

#define STORE(member)  offsetof(struct config, store.member)
#define FETCH(member)  offsetof(struct config, fetch.member)
#define AUDIT(member)  offsetof(struct config, audit.member)
#define IMPORT(member) offsetof(struct config, import.member)
#define IPFS(member)   offsetof(struct config, ipfs.member)
#define SOURCE(member) offsetof(struct fetch_source, member)

#define A_TIME	  "a time above 0 such as 30s or 250ms, at most 7d"

static const struct config_key store_keys[] = {
	{"path", config_set_path, STORE(path), 0, 0, CONFIG_A_PATH},
	{"size", set_amount, STORE(size), 1, 100,
	 "a size above 0 such as 200G, or a part of the filesystem from 1% to 100%"},
	{"keep-free", set_amount, STORE(keep_free), 0, 99,
	 "a size such as 10G, or a part of the filesystem from 0% to 99%"},
	{NULL},
};

enum fetch_key {
	KEY_CONNECTIONS,
	KEY_MEMORY,
};

static const struct config_key fetch_keys[] = {
	[KEY_CONNECTIONS] = {"connections", config_set_int, FETCH(connections), 1, CONFIG_CONNECTIONS_MAX,
			     "a whole number from 1 to 128"},
	[KEY_MEMORY] = {"memory", set_size, FETCH(memory), 0, (int64_t)1 << 40,
			"a size such as 64M, at most 1T"},
	{"read-deadline", config_set_time, FETCH(read_deadline_ms), 0, CONFIG_TIME_MAX_MS,
	 "0 (for ever) or a time such as 5m, at most 7d"},
	{"connect-timeout", config_set_time, FETCH(connect_timeout_ms), 1, CONFIG_TIME_MAX_MS, A_TIME},
	{"stall-timeout", config_set_time, FETCH(stall_timeout_ms), 1, CONFIG_TIME_MAX_MS, A_TIME},
	{"offline", config_set_bool, FETCH(offline), 0, 0, CONFIG_YES_OR_NO},
	{NULL},
};

static const struct config_key audit_keys[] = {
	{"file", set_audit_file, AUDIT(file), 0, 0, "a path without \"~\", log or none"},
	{"web-origins", config_set_bool, AUDIT(web_origins), 0, 0, CONFIG_YES_OR_NO},
	{"rate", config_set_int, AUDIT(rate), 1, 10000, "a whole number from 1 to 10000"},
	{NULL},
};

static const struct config_key import_keys[] = {
	{"enabled", config_set_bool, IMPORT(enabled), 0, 0, CONFIG_YES_OR_NO},
	{"allow-http", config_set_bool, IMPORT(allow_http), 0, 0, CONFIG_YES_OR_NO},
	{"allow-private", config_set_bool, IMPORT(allow_private), 0, 0, CONFIG_YES_OR_NO},
	{"ca-file", config_set_path, IMPORT(ca_file), 0, 0, CONFIG_A_PATH},
	{NULL},
};

enum ipfs_key {
	KEY_GATEWAY,
};

static const struct config_key ipfs_keys[] = {
	[KEY_GATEWAY] = {"gateway", add_gateway, 0, .repeatable = true},
	{"allow-http", config_set_bool, IPFS(allow_http), 0, 0, CONFIG_YES_OR_NO},
	{"allow-private", config_set_bool, IPFS(allow_private), 0, 0, CONFIG_YES_OR_NO},
	{"ca-file", config_set_path, IPFS(ca_file), 0, 0, CONFIG_A_PATH},
	{NULL},
};

enum source_key {
	KEY_URL,
	KEY_TREE,
};

static const struct config_key source_keys[] = {
	[KEY_URL] = {"url", config_set_text, SOURCE(url)},
	[KEY_TREE] = {"tree", config_set_text, SOURCE(tree)},
	{"ca-file", config_set_path, SOURCE(ca_file), 0, 0, CONFIG_A_PATH},
	{"header-file", config_set_path, SOURCE(header_file), 0, 0, CONFIG_A_PATH},
	{"priority", config_set_int, SOURCE(priority), -1000, 1000, CONFIG_A_PRIORITY},
	{"allow-http", config_set_bool, SOURCE(allow_http), 0, 0, CONFIG_YES_OR_NO},
	{"allow-private", config_set_bool, SOURCE(allow_private), 0, 0, CONFIG_YES_OR_NO},
	{"client-cert"},
	{"proxy"},
	{"sigv4"},
	{NULL},
};

_Static_assert(ARRAY_SIZE(store_keys) <= CONFIG_KEYS_MAX &&
		       ARRAY_SIZE(fetch_keys) <= CONFIG_KEYS_MAX &&
		       ARRAY_SIZE(source_keys) <= CONFIG_KEYS_MAX,
	       "key_lines has a place for each key");

static void finish_fetch(struct config_parser *p)
{
	uint64_t needed = p->config.fetch.connections * CHUNK_SIZE;
	unsigned int line = p->key_lines[KEY_MEMORY];

	if (p->config.fetch.memory >= needed)
		return;
	config_fail(p, line ? line : p->key_lines[KEY_CONNECTIONS],
		    "[fetch] memory is too small: %u connections need %u x 512K = %" PRIu64 "K",
		    p->config.fetch.connections, p->config.fetch.connections, needed >> 10);
}

static void finish_ipfs(struct config_parser *p)
{
	char message[FETCH_MESSAGE_SIZE];

	for (size_t i = 0; i < p->config.ipfs.n_gateways; i++) {
		const char *gateway = p->config.ipfs.gateways[i];

		if (strpbrk(gateway, "{}?#"))
			config_fail(p, p->key_lines[KEY_GATEWAY],
				    "[ipfs] gateway = %.200s: it is a URL that /ipfs/CID can be put behind",
				    gateway);
		else if (fetch_template_check(gateway, p->config.ipfs.allow_http, message) < 0)
			config_fail(p, p->key_lines[KEY_GATEWAY], "[ipfs] gateway = %.200s: %s", gateway,
				    message);
	}
}

static void check_template(struct config_parser *p, enum source_key key, const char *template)
{
	const struct fetch_source *source = p->target;
	char message[FETCH_MESSAGE_SIZE];

	if (template && fetch_template_check(template, source->allow_http, message) < 0)
		config_fail(p, p->key_lines[key], "[source %s] %s: %s", source->name,
			    source_keys[key].name, message);
}

static void finish_source(struct config_parser *p)
{
	const struct fetch_source *source = p->target;

	if (!source->url)
		config_fail(p, p->header_line, "[source %s] has no url", source->name);
	check_template(p, KEY_URL, source->url);
	check_template(p, KEY_TREE, source->tree);
}

static void open_source(struct config_parser *p, const char *name)
{
	struct config *config = &p->config;
	struct fetch_source *source;

	for (size_t i = 0; i < config->n_sources; i++) {
		if (strcmp(config->sources[i].name, name) == 0) {
			config_fail(p, p->line, "[source %s] again: the first is in line %u", name,
				    p->source_lines[i]);
			return;
		}
	}
	if (config->n_sources == FETCH_SOURCES_MAX) {
		config_fail(p, p->line, "[source %s] is one too many: at most %d sources", name,
			    FETCH_SOURCES_MAX);
		return;
	}
	if (!config->sources)
		config->sources = calloc(FETCH_SOURCES_MAX, sizeof(*config->sources));
	if (!config->sources) {
		config_fail_memory(p);
		return;
	}
	source = &config->sources[config->n_sources];
	source->name = strdup(name);
	if (!source->name) {
		config_fail_memory(p);
		return;
	}
	p->source_lines[config->n_sources++] = p->line;
	p->target = source;
	p->target_name = source->name;
}

const struct config_section config_sections[CONFIG_SECTIONS] = {
	{"store", store_keys},
	{"fetch", fetch_keys, finish_fetch},
	{"source", source_keys, finish_source, open_source},
	{"audit", audit_keys},
	{"catalog", config_catalog_keys, config_catalog_finish, config_catalog_open},
	{"import", import_keys},
	{"ipfs", ipfs_keys, finish_ipfs},
	{"control"},
};
