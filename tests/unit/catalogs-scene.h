/* SPDX-License-Identifier: Apache-2.0 */
/* A store that has kept catalogs, and what stands in for those who fetch and import. */
#ifndef TESTS_UNIT_CATALOGS_SCENE_H
#define TESTS_UNIT_CATALOGS_SCENE_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include "catalogs/imports.h"
#include "catalogs/internal.h"
#include "common/io.h"
#include "fetch/document.h"
#include "tests/unit/catalog-testing.h"

#define A HEX("a", "aaaa")
#define B HEX("b", "bbbb")
#define C HEX("c", "cccc")
#define D HEX("d", "dddd")

#define ALICE 1001
#define BOB   1002

static const char *const everything[] = {""};
static char root[] = "/tmp/test-catalogs-XXXXXX";

/* ---- what stands in ---- */

struct fetch_group {
	char name[64];
	int references;
};

/* The places that were asked for last, as text: "GROUP URL TREE\n". */
static void *places_made;
static char places[2048];

int fetch_group_new(const struct fetch_group_options *options, struct fetch_group **out)
{
	*out = calloc(1, sizeof(**out));
	assert_non_null(*out);
	snprintf((*out)->name, sizeof((*out)->name), "%s%s%s", options->name, options->authorization ? "+" : "",
		 options->authorization ? options->authorization : "");
	(*out)->references = 1;
	return 0;
}

struct fetch_group *fetch_group_ref(struct fetch_group *group)
{
	group->references++;
	return group;
}

void fetch_group_unref(struct fetch_group *group)
{
	if (group && --group->references == 0)
		free(group);
}

int fetch_places_new(const struct fetch_place *list, size_t n, struct fetch_places **out)
{
	*places = '\0';
	for (size_t i = 0; i < n; i++)
		snprintf(places + strlen(places), sizeof(places) - strlen(places), "%s %s %s\n", list[i].group->name,
			 list[i].url ? list[i].url : "-", list[i].tree ? list[i].tree : "-");
	places_made = places;
	*out = places_made;
	return 0;
}

int fetch_url_resolve(const char *base, const char *reference, char **out)
{
	return asprintf(out, "%s%s", strstr(reference, "://") ? "" : base, reference) < 0 ? -ENOMEM : 0;
}

/* Alice imported one object, gated; everybody has another. */
static const char *imported_by_alice, *imported_by_bob, *imported_by_all;

int imports_owners(const char *path, uid_t **out, size_t *n)
{
	*out = calloc(3, sizeof(**out));
	*n = 0;
	if (imported_by_bob)
		(*out)[(*n)++] = BOB;
	if (imported_by_alice)
		(*out)[(*n)++] = ALICE;
	if (imported_by_all)
		(*out)[(*n)++] = CATALOG_EVERYBODY;
	return 0;
}

int imports_load(const char *path, uid_t owner, struct import **out, size_t *n)
{
	const char *text = owner == ALICE ? imported_by_alice : owner == BOB ? imported_by_bob : imported_by_all;

	*out = NULL;
	*n = text != NULL;
	if (!text)
		return 0;
	*out = calloc(1, sizeof(**out));
	(*out)->owner = owner;
	strcpy((*out)->name, "hf");
	return load_text(text, NULL, &(*out)->entries, NULL);
}

void imports_free(struct import *imports, size_t n)
{
	for (size_t i = 0; i < n; i++)
		verify_catalog_unref(imports[i].entries);
	free(imports);
}

bool import_is_gated(const struct import *import, const char *name)
{
	return strncmp(name, "gated/", 6) == 0;
}

const struct import_host *import_host_of(const struct import *import, const char *url)
{
	return NULL;
}

/* ---- a store that has kept catalogs ---- */

static struct config_catalog configured[3];
static struct config config = {.catalogs = configured, .import.enabled = true};
static struct verify_key key;

static inline void write_file(const char *name, const char *suffix, const char *text)
{
	char path[256];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s/catalogs", root);
	(void)mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/catalogs/%s%s", root, name, suffix);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, text, strlen(text)), 0);
}

static inline void keep_text(const char *name, const char *text)
{
	_cleanup_close_ int fd = file_of(text, strlen(text));
	_cleanup_free_ char *signature = signature_of(fd, "kept");
	char state[512];

	snprintf(state, sizeof(state), "{\"serial\":\"42\",\"hash\":\"%0128d\",\"asked\":1,\"changed\":1}", 0);
	write_file(name, "@42.jsonl", text);
	write_file(name, "@42.minisig", signature);
	write_file(name, ".state", state);
}

#define HEAD(name, expires) \
	"{\"weightfs-catalog\":1,\"name\":\"" name "\",\"serial\":42,\"expires\":\"" expires "\"}\n"
#define LATER "2099-01-01T00:00:00Z"
#define PAST  "2020-01-01T00:00:00Z"

static inline void configure(const char *name, int priority)
{
	static char urls[3][64];
	size_t i = config.n_catalogs++;

	snprintf(urls[i], sizeof(urls[i]), "https://%s.example/", name);
	configured[i] = (struct config_catalog){
		.name = name,
		.url = urls[i],
		.keys = {key},
		.n_keys = 1,
		.prefixes = (const char **)everything,
		.n_prefixes = 1,
		.priority = priority,
	};
}

static inline struct catalogs *load(void)
{
	struct catalogs *catalogs;

	assert_int_equal(catalogs_new(&config, root, &catalogs), 0);
	return catalogs;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline int begin(void **state)
{
	config.n_catalogs = 0;
	imported_by_alice = imported_by_bob = imported_by_all = NULL;
	key = key_of(KNOWN_KEY);
	strcpy(root + strlen(root) - 6, "XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static inline int end(void **state)
{
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
