/* SPDX-License-Identifier: Apache-2.0 */
/* [catalog NAME] of weightfs.conf. */
#include "config/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "verify/catalog.h"

#define REFRESH_DEFAULT_MS ((int64_t)60 * 60 * 1000)

/* What imports are called: folders below name/ that everybody has. */
static const char *const reserved[] = {"hf", "ollama", "oci", "ipfs", "metalink", "local"};

void config_catalog_release(struct config_catalog *catalog)
{
	for (size_t i = 0; i < catalog->n_prefixes; i++)
		free((void *)catalog->prefixes[i]);
	free(catalog->prefixes);
	free((void *)catalog->name);
	free((void *)catalog->url);
	free((void *)catalog->signature);
	free((void *)catalog->ca_file);
	free((void *)catalog->header_file);
}

/* ---- its keys ---- */

static int set_key(struct config_parser *p, const struct config_key *key, const char *value, void *field)
{
	struct config_catalog *catalog = p->target;
	struct verify_problem problem;
	struct verify_key parsed;

	if (verify_key_parse(value, strlen(value), &parsed, &problem) < 0) {
		config_fail(p, p->line, "[catalog %s] key = %.64s: %s", catalog->name, value, problem.text);
		return -EINVAL;
	}
	if (catalog->n_keys == CONFIG_KEYS_OF_CATALOG) {
		config_fail(p, p->line, "[catalog %s] one key too many: at most %d", catalog->name,
			    CONFIG_KEYS_OF_CATALOG);
		return -EINVAL;
	}
	catalog->keys[catalog->n_keys++] = parsed;
	return 0;
}

/* "Qwen/" for all that begins so; "*" alone for any name, which nobody writes by mistake. */
static int set_prefix(struct config_parser *p, const struct config_key *key, const char *value,
		      void *field)
{
	struct config_catalog *catalog = p->target;
	bool any = strcmp(value, "*") == 0;
	size_t len = strlen(value);
	const char *wrong;
	char *copy;

	if (len > 1 && value[len - 1] == '/')
		len--;
	wrong = any ? NULL : verify_name_refused(value, len);
	if (wrong || catalog->n_prefixes == CONFIG_PREFIXES_MAX) {
		config_fail(p, p->line, "[catalog %s] prefix = %.64s: %s", catalog->name, value,
			    wrong ? wrong : "one too many");
		return -EINVAL;
	}
	if (!catalog->prefixes)
		catalog->prefixes = calloc(CONFIG_PREFIXES_MAX, sizeof(*catalog->prefixes));
	copy = catalog->prefixes ? strdup(any ? "" : value) : NULL;
	if (!copy)
		return -ENOMEM;
	catalog->prefixes[catalog->n_prefixes++] = copy;
	return 0;
}

enum catalog_key {
	KEY_URL,
	KEY_SIGNATURE,
};

#define CATALOG(member) offsetof(struct config_catalog, member)

const struct config_key config_catalog_keys[] = {
	[KEY_URL] = {"url", config_set_text, CATALOG(url)},
	[KEY_SIGNATURE] = {"signature", config_set_text, CATALOG(signature)},
	{"key", set_key, 0, .repeatable = true},
	{"prefix", set_prefix, 0, .repeatable = true},
	{"refresh", config_set_time, CATALOG(refresh_ms), 0, CONFIG_TIME_MAX_MS,
	 "0 (when somebody asks) or a time such as 1h, at most 7d"},
	{"priority", config_set_int, CATALOG(priority), -1000, 1000, CONFIG_A_PRIORITY},
	{"ca-file", config_set_path, CATALOG(ca_file), 0, 0, CONFIG_A_PATH},
	{"header-file", config_set_path, CATALOG(header_file), 0, 0, CONFIG_A_PATH},
	{"allow-http", config_set_bool, CATALOG(allow_http), 0, 0, CONFIG_YES_OR_NO},
	{"allow-private", config_set_bool, CATALOG(allow_private), 0, 0, CONFIG_YES_OR_NO},
	{NULL},
};

_Static_assert(ARRAY_SIZE(config_catalog_keys) <= CONFIG_KEYS_MAX, "key_lines has a place for each");

/* ---- the section ---- */

/* A header of a catalog says the same: it would not fit another name. */
static bool is_catalog_name(const char *name)
{
	return *name >= 'a' && *name <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(name);
}

static bool is_reserved(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
		if (strcmp(name, reserved[i]) == 0)
			return true;
	}
	return false;
}

/* False, and it is said. */
static bool may_open(struct config_parser *p, const char *name)
{
	const struct config *config = &p->config;

	if (!is_catalog_name(name))
		config_fail(p, p->line, "[catalog %s]: a catalog's name is a lowercase letter and a-z, 0-9, "
			    "\".\", \"_\", \"-\"", name);
	else if (is_reserved(name))
		config_fail(p, p->line, "[catalog %s]: the name is that of imports", name);
	else if (config->n_catalogs == CONFIG_CATALOGS_MAX)
		config_fail(p, p->line, "[catalog %s] is one too many: at most %d catalogs", name,
			    CONFIG_CATALOGS_MAX);
	for (size_t i = 0; i < config->n_catalogs; i++) {
		if (strcmp(config->catalogs[i].name, name) == 0)
			config_fail(p, p->line, "[catalog %s] again: the first is in line %u", name,
				    p->catalog_lines[i]);
	}
	return p->result == 0;
}

void config_catalog_open(struct config_parser *p, const char *name)
{
	struct config *config = &p->config;
	struct config_catalog *catalog;

	if (!may_open(p, name))
		return;
	if (!config->catalogs)
		config->catalogs = calloc(CONFIG_CATALOGS_MAX, sizeof(*config->catalogs));
	catalog = config->catalogs ? &config->catalogs[config->n_catalogs] : NULL;
	if (catalog)
		catalog->name = strdup(name);
	if (!catalog || !catalog->name) {
		config_fail_memory(p);
		return;
	}
	catalog->refresh_ms = REFRESH_DEFAULT_MS;
	p->catalog_lines[config->n_catalogs++] = p->line;
	p->target = catalog;
	p->target_name = catalog->name;
}

static void check_url(struct config_parser *p, enum catalog_key key, const char *url)
{
	const struct config_catalog *catalog = p->target;
	char message[FETCH_MESSAGE_SIZE] = "it is no template";

	if (strpbrk(url, "{}") || fetch_template_check(url, catalog->allow_http, message) < 0)
		config_fail(p, p->key_lines[key], "[catalog %s] %s: %s", catalog->name,
			    config_catalog_keys[key].name, message);
}

static void default_signature(struct config_parser *p, struct config_catalog *catalog)
{
	char *url;

	if (strpbrk(catalog->url, "?#"))
		config_fail(p, p->key_lines[KEY_URL], "[catalog %s] needs a signature: its url does not end "
			    "with a path", catalog->name);
	else if (asprintf(&url, "%s.minisig", catalog->url) < 0)
		config_fail_memory(p);
	else
		catalog->signature = url;
}

void config_catalog_finish(struct config_parser *p)
{
	struct config_catalog *catalog = p->target;

	if (!catalog->url)
		config_fail(p, p->header_line, "[catalog %s] has no url", catalog->name);
	else if (catalog->n_keys == 0)
		config_fail(p, p->header_line, "[catalog %s] has no key", catalog->name);
	else if (catalog->n_prefixes == 0)
		config_fail(p, p->header_line, "[catalog %s] has no prefix: which names may it have? "
			    "(\"*\": any)", catalog->name);
	if (p->result)
		return;
	check_url(p, KEY_URL, catalog->url);
	if (catalog->signature)
		check_url(p, KEY_SIGNATURE, catalog->signature);
	else
		default_signature(p, catalog);
}
