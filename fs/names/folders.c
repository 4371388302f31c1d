/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/names/folders.h"

#include <stdio.h>
#include <string.h>

char *folders_join(const char *path, const char *name)
{
	char *joined;

	return asprintf(&joined, "%s%s%s", path, *path && *name ? "/" : "", name) < 0 ? NULL : joined;
}

void folders_release(struct folders *folders)
{
	for (size_t i = 0; i < folders->n; i++)
		free(folders->at[i].path);
	free(folders->at);
	free(folders->snapshots.at);
	*folders = (struct folders){ 0 };
}

/* The folder PATH/REST of CATALOG, if it has that. */
static int add(struct folders *folders, const struct catalog *catalog, const char *path,
	       const char *rest)
{
	struct folder *larger, added = { .catalog = catalog, .path = folders_join(path, rest) };
	struct verify_place place;

	if (!added.path)
		return -ENOMEM;
	if (strlen(added.path) > VERIFY_NAME_MAX ||
	    verify_catalog_lookup(catalog->entries, added.path, &place) < 0 || !place.folder) {
		free(added.path);
		return 0;
	}
	added.names = place.names;
	larger = realloc(folders->at, (folders->n + 1) * sizeof(*larger));
	if (!larger) {
		free(added.path);
		return -ENOMEM;
	}
	folders->at = larger;
	folders->at[folders->n++] = added;
	return 0;
}

/* The first component of PATH, NUL-terminated in OUT, and what follows behind its "/", "" if nothing does. -ENOENT: too long. */
static int split(const char *path, char out[NAME_MAX + 1], const char **rest)
{
	size_t len = strcspn(path, "/");

	if (len == 0 || len > NAME_MAX)
		return -ENOENT;
	memcpy(out, path, len);
	out[len] = '\0';
	*rest = path[len] ? path + len + 1 : path + len;
	return 0;
}

/* ---- name/ ---- */

static int find_named(const struct catalog_set *set, uid_t uid, const char *path, struct folders *out)
{
	char name[NAME_MAX + 1];
	int r;

	out->kind = FOLDERS_FILES;
	r = split(path, name, &path);
	/* What a user imported, and what root did for all, may have one name: their folders are one. */
	for (size_t i = 0; i < catalog_set_count(set) && r == 0; i++) {
		const struct catalog *catalog = catalog_set_get(set, i);

		if (catalog_is_for(catalog, uid) && !strcmp(catalog->name, name))
			r = add(out, catalog, "", path);
	}
	return r < 0 ? r : out->n > 0 ? 0 : -ENOENT;
}

/* ---- hub/ ---- */

static int add_snapshots(struct folders *out, const char *commit, const char *rest)
{
	int r = 0;

	for (size_t i = 0; i < out->snapshots.n && r == 0; i++) {
		const struct hub_snapshot *snapshot = &out->snapshots.at[i];

		if (!commit || !strcmp(snapshot->commit, commit))
			r = add(out, snapshot->catalog, snapshot->path, rest);
	}
	return r < 0 ? r : out->n > 0 ? 0 : -ENOENT;
}

static int find_in_hub(const struct catalog_set *set, uid_t uid, const char *path, struct folders *out)
{
	char name[NAME_MAX + 1], commit[NAME_MAX + 1];
	int r;

	r = split(path, name, &path);
	if (r < 0 || hub_repo_parse(name, &out->repo) < 0)
		return -ENOENT;
	out->kind = FOLDERS_REPO;
	if (*path) {
		r = split(path, name, &path);
		out->kind = r == 0 && !strcmp(name, "refs") ? FOLDERS_REFS : FOLDERS_SNAPSHOTS;
		if (r < 0 || (out->kind == FOLDERS_REFS && *path) ||
		    (out->kind == FOLDERS_SNAPSHOTS && strcmp(name, "snapshots") != 0))
			return -ENOENT;
	}
	if (*path) {
		out->kind = FOLDERS_FILES;
		r = split(path, commit, &path);
	}
	if (r == 0)
		r = hub_snapshots(set, uid, &out->repo, &out->snapshots);
	return r < 0 ? r : add_snapshots(out, out->kind == FOLDERS_FILES ? commit : NULL, path);
}

/* ---- both ---- */

int folders_find(const struct catalog_set *set, uid_t uid, const char *path, struct folders *out)
{
	struct folders found = { 0 };
	int r = 0;

	if (!strcmp(path, "name"))
		found.kind = FOLDERS_CATALOGS;
	else if (!strcmp(path, "hub"))
		found.kind = FOLDERS_REPOS;
	else if (!strncmp(path, "name/", 5))
		r = find_named(set, uid, path + 5, &found);
	else if (!strncmp(path, "hub/", 4))
		r = find_in_hub(set, uid, path + 4, &found);
	else
		r = -ENOENT;
	if (r < 0)
		folders_release(&found);
	else
		*out = found;
	return r;
}

int folders_lookup(const struct folders *folders, const char *name, const struct catalog **catalog,
		   struct verify_place *out)
{
	for (size_t i = 0; i < folders->n; i++) {
		const struct folder *folder = &folders->at[i];
		char path[VERIFY_NAME_MAX + 1];
		int len = snprintf(path, sizeof(path), "%s%s%s", folder->path,
				   *folder->path ? "/" : "", name);

		if (len >= (int)sizeof(path) ||
		    verify_catalog_lookup(folder->catalog->entries, path, out) < 0)
			continue;
		*catalog = folder->catalog;
		return 0;
	}
	return -ENOENT;
}
