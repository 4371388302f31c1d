/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/names/entries.h"

#include <stdio.h>
#include <string.h>

/* ---- collecting ---- */

struct collecting {
	struct entries entries;
	size_t capacity;
	const char *after;
	/* Of the source that is gone through: */
	const struct catalog *catalog;
	size_t left;
	/* A source had more than was taken: nothing behind this is known of it. */
	bool cut;
	char last[NAME_MAX + 1];
};

static int add(struct collecting *c, const char *name, int kind, const struct verify_place *place)
{
	struct entry *entry;

	if (c->entries.n == c->capacity) {
		size_t larger = c->capacity ? 2 * c->capacity : 64;
		struct entry *array = realloc(c->entries.at, larger * sizeof(*array));

		if (!array)
			return -ENOMEM;
		c->entries.at = array;
		c->capacity = larger;
	}
	entry = &c->entries.at[c->entries.n++];
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->kind = kind;
	entry->order = c->entries.n;
	entry->catalog = c->catalog;
	if (place) {
		entry->object = place->object;
		entry->names = place->names;
	}
	return 0;
}

/* Where two sources have a name, the one before counts. */
static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r != 0 ? r : x->order < y->order ? -1 : 1;
}

/* Sorted, each once, and nothing that is too far behind. */
static void finish(struct collecting *c, struct entries *out)
{
	struct entry *at = c->entries.at;
	size_t n = 0;

	if (c->entries.n > 1)
		qsort(at, c->entries.n, sizeof(*at), by_name);
	for (size_t i = 0; i < c->entries.n; i++) {
		if (c->cut && strcmp(at[i].name, c->last) > 0)
			break;
		if (strcmp(at[i].name, c->after) <= 0 || (n > 0 && !strcmp(at[i].name, at[n - 1].name)))
			continue;
		if (i != n)
			at[n] = at[i];
		n++;
	}
	*out = (struct entries){ at, n, c->cut };
}

/* ---- folders of catalogs ---- */

static int add_place(void *arg, const struct verify_place *place)
{
	struct collecting *c = arg;
	int r;

	r = add(c, place->name, place->folder ? ENTRY_FOLDER : ENTRY_FILE, place);
	if (r < 0 || --c->left > 0)
		return r;
	if (!c->cut || strcmp(place->name, c->last) < 0)
		snprintf(c->last, sizeof(c->last), "%s", place->name);
	c->cut = true;
	return 1;
}

static int collect_files(struct collecting *c, const struct folders *folders, size_t many)
{
	int r = 0;

	for (size_t i = 0; i < folders->n && r >= 0; i++) {
		c->catalog = folders->at[i].catalog;
		c->left = many;
		r = verify_catalog_list(c->catalog->entries, folders->at[i].path,
					*c->after ? c->after : NULL, add_place, c);
	}
	return r == -ENOMEM ? r : 0;
}

/* ---- what is made up ---- */

static int collect_catalogs(struct collecting *c, const struct catalog_set *set, uid_t uid)
{
	int r = 0;

	for (size_t i = 0; i < catalog_set_count(set) && r == 0; i++) {
		const struct catalog *catalog = catalog_set_get(set, i);

		if (catalog_is_for(catalog, uid))
			r = add(c, catalog->name, ENTRY_FOLDER, NULL);
	}
	return r;
}

static int add_ref(void *arg, const char *ref, const struct hub_snapshot *snapshot)
{
	return add(arg, ref, ENTRY_REF, NULL);
}

static int collect_snapshots(struct collecting *c, const struct folders *folders)
{
	int r = 0;

	for (size_t i = 0; i < folders->snapshots.n && r == 0; i++)
		r = add(c, folders->snapshots.at[i].commit, ENTRY_FOLDER, NULL);
	return r;
}

static int collect_repo(struct collecting *c)
{
	int r = add(c, "refs", ENTRY_FOLDER, NULL);

	return r < 0 ? r : add(c, "snapshots", ENTRY_FOLDER, NULL);
}

/* ---- repositories: all of them, once ---- */

/*
 * Catalogs have them in another order ("a@x" behind "a-b@x"), so all are gone through and sorted. That is kept for whoever
 * goes on: of one user, until the catalogs change or another's are listed.
 */
static struct {
	uint64_t generation;
	uid_t uid;
	char **folders;
	size_t n;
} repos;

struct gathering {
	const struct catalog *catalog;
	char org[NAME_MAX + 1];
	size_t capacity;
	char last[NAME_MAX + 1];
};

void entries_free(void)
{
	for (size_t i = 0; i < repos.n; i++)
		free(repos.folders[i]);
	free(repos.folders);
	memset(&repos, 0, sizeof(repos));
}

static int add_repo(void *arg, const struct verify_place *place)
{
	struct gathering *g = arg;
	char folder[NAME_MAX + 1];
	const char *revision;
	struct hub_repo repo;

	if (!place->folder || !hub_repo_of(g->org, place->name, &repo, &revision))
		return 0;
	hub_repo_folder(&repo, folder);
	/* Revisions follow each other. */
	if (!strcmp(folder, g->last))
		return 0;
	if (repos.n == g->capacity) {
		size_t larger = g->capacity ? 2 * g->capacity : 64;
		char **array = realloc(repos.folders, larger * sizeof(*array));

		if (!array)
			return -ENOMEM;
		repos.folders = array;
		g->capacity = larger;
	}
	repos.folders[repos.n] = strdup(folder);
	if (!repos.folders[repos.n])
		return -ENOMEM;
	repos.n++;
	memcpy(g->last, folder, sizeof(folder));
	return 0;
}

static int add_org(void *arg, const struct verify_place *place)
{
	struct gathering *g = arg;
	int r;

	if (!place->folder)
		return 0;
	snprintf(g->org, sizeof(g->org), "%s", place->name);
	r = verify_catalog_list(g->catalog->entries, place->name, NULL, add_repo, g);
	return r == -ENOMEM ? r : 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int gather_repos(const struct catalog_set *set, uid_t uid)
{
	uint64_t generation = catalog_set_generation(set);
	struct gathering g = { 0 };
	int r = 0;

	if (repos.generation == generation && repos.uid == uid)
		return 0;
	entries_free();
	for (size_t i = 0; i < catalog_set_count(set) && r == 0; i++) {
		g.catalog = catalog_set_get(set, i);
		if (catalog_is_for(g.catalog, uid))
			r = verify_catalog_list(g.catalog->entries, "", NULL, add_org, &g);
	}
	if (r < 0) {
		entries_free();
		return r;
	}
	if (repos.n > 0)
		qsort(repos.folders, repos.n, sizeof(*repos.folders), by_text);
	repos.generation = generation;
	repos.uid = uid;
	return 0;
}

static int collect_repos(struct collecting *c, const struct catalog_set *set, uid_t uid, size_t many)
{
	size_t low = 0, high;
	int r = gather_repos(set, uid);

	high = repos.n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(repos.folders[middle], c->after) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i < repos.n && i - low < many && r == 0; i++)
		r = add(c, repos.folders[i], ENTRY_FOLDER, NULL);
	c->cut = r == 0 && repos.n - low > many;
	if (c->cut)
		snprintf(c->last, sizeof(c->last), "%s", repos.folders[low + many - 1]);
	return r;
}

/* ---- all of it ---- */

int entries_of(const struct catalog_set *set, uid_t uid, const struct folders *folders,
	       const char *after, size_t many, struct entries *out)
{
	struct collecting c = { .after = after };
	int r = 0;

	switch (folders->kind) {
	case FOLDERS_CATALOGS:
		r = collect_catalogs(&c, set, uid);
		break;
	case FOLDERS_REPOS:
		r = collect_repos(&c, set, uid, many);
		break;
	case FOLDERS_REPO:
		r = collect_repo(&c);
		break;
	case FOLDERS_REFS:
		r = hub_each_ref(&folders->repo, &folders->snapshots, add_ref, &c);
		break;
	case FOLDERS_SNAPSHOTS:
		r = collect_snapshots(&c, folders);
		break;
	case FOLDERS_FILES:
		r = collect_files(&c, folders, many);
		break;
	}
	if (r < 0)
		free(c.entries.at);
	else
		finish(&c, out);
	return r;
}
