/* SPDX-License-Identifier: Apache-2.0 */
/* A set of catalogs of a test's own, for what is shown of one. */
#ifndef TESTS_UNIT_CATALOG_SET_STANDIN_H
#define TESTS_UNIT_CATALOG_SET_STANDIN_H

#include <stdio.h>
#include "fs/names/folders.h"
#include "tests/unit/catalog-testing.h"

struct catalog_set {
	struct catalog at[4];
	size_t n;
	uint64_t generation;
};

size_t catalog_set_count(const struct catalog_set *set)
{
	return set->n;
}

const struct catalog *catalog_set_get(const struct catalog_set *set, size_t i)
{
	return &set->at[i];
}

uint64_t catalog_set_generation(const struct catalog_set *set)
{
	return set->generation;
}

bool catalog_is_for(const struct catalog *catalog, uid_t uid)
{
	return catalog->owner == CATALOG_EVERYBODY || catalog->owner == uid;
}

#define USER 1000

static uint64_t generations;

#define OBJECT(n, names) "{\"sha256\":\"" HEX("a", n) "\",\"size\":1,\"urls\":[\"x\"],\"names\":[" names "]}\n"

/* LINES in it for OWNER, REFS as JSON (NULL: none). */
static inline void add_catalog(struct catalog_set *set, const char *name, uid_t owner, const char *lines, const char *refs)
{
	struct verify_catalog *entries;
	_cleanup_free_ char *text = NULL;

	assert_true(asprintf(&text, "%s%s", HEADER, lines) > 0);
	assert_int_equal(load_text(text, NULL, &entries, NULL), 0);
	set->at[set->n++] = (struct catalog){
		.name = name,
		.owner = owner,
		.entries = entries,
		.refs = refs ? json_loads(refs, 0, NULL) : NULL,
	};
	set->generation = ++generations;
}

static inline void release(struct catalog_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		verify_catalog_unref((struct verify_catalog *)set->at[i].entries);
		json_decref((json_t *)set->at[i].refs);
	}
	set->n = 0;
	hub_free();
}

#endif
