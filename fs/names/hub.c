/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/names/hub.h"

#include <stdio.h>
#include <string.h>

#define FOLDER_PREFIX "models--"

/* ---- ids of repositories ---- */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* What the libraries take for ORG or NAME (LEN bytes). */
static bool is_part(const char *text, size_t len)
{
	if (len == 0 || len > HUB_PART_MAX || !is_word(text[0]) || !is_word(text[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_word(text[i]) && text[i] != '-' && text[i] != '.')
			return false;
		/* "--" is what separates, and ".." nothing but trouble. */
		if (i > 0 && !is_word(text[i]) && text[i] == text[i - 1])
			return false;
	}
	return true;
}

static bool set_repo(struct hub_repo *repo, const char *org, size_t org_len, const char *name, size_t len)
{
	if (!is_part(org, org_len) || !is_part(name, len) ||
	    (len > 4 && !memcmp(name + len - 4, ".git", 4)))
		return false;
	*repo = (struct hub_repo){ 0 };
	memcpy(repo->org, org, org_len);
	memcpy(repo->name, name, len);
	return true;
}

bool hub_repo_of(const char *org, const char *component, struct hub_repo *out, const char **revision)
{
	size_t len = strcspn(component, "@");

	/* "NAME@" means nothing. */
	if (component[len] == '@' && component[len + 1] == '\0')
		return false;
	if (!set_repo(out, org, strlen(org), component, len))
		return false;
	*revision = component[len] ? component + len + 1 : NULL;
	return true;
}

void hub_repo_folder(const struct hub_repo *repo, char out[NAME_MAX + 1])
{
	snprintf(out, NAME_MAX + 1, FOLDER_PREFIX "%s--%s", repo->org, repo->name);
}

int hub_repo_parse(const char *folder, struct hub_repo *out)
{
	const char *org = folder + strlen(FOLDER_PREFIX), *separator;

	if (strncmp(folder, FOLDER_PREFIX, strlen(FOLDER_PREFIX)) != 0)
		return -EINVAL;
	separator = strstr(org, "--");
	if (!separator ||
	    !set_repo(out, org, (size_t)(separator - org), separator + 2, strlen(separator + 2)))
		return -EINVAL;
	return 0;
}

/* ---- snapshots ---- */

static bool is_commit(const char *text)
{
	return strlen(text) == HUB_COMMIT_SIZE - 1 &&
	       strspn(text, "0123456789abcdef") == HUB_COMMIT_SIZE - 1;
}

struct gathering {
	const struct catalog_set *set;
	const struct catalog *catalog;
	const struct hub_repo *repo;
	struct hub_snapshots found;
	size_t capacity;
	size_t left; /* of CATALOG */
};

/* The folder COMPONENT of the repository's, with REVISION (NULL: none). */
static int add(struct gathering *g, const char *component, const char *revision, const struct verify_span *names)
{
	struct hub_snapshot *at = g->found.at;
	size_t prefix = strlen(g->repo->org) + 1;
	int r;

	if (g->found.n == g->capacity) {
		size_t larger = g->capacity ? 2 * g->capacity : 4;

		at = realloc(at, larger * sizeof(*at));
		if (!at)
			return -ENOMEM;
		g->found.at = at;
		g->capacity = larger;
	}
	at += g->found.n;
	*at = (struct hub_snapshot){ .catalog = g->catalog, .names = *names };
	snprintf(at->path, sizeof(at->path), "%s/%s", g->repo->org, component);
	if (revision && is_commit(revision))
		memcpy(at->commit, revision, HUB_COMMIT_SIZE);
	else if ((r = hub_commit_of(g->set, g->catalog, at->path, names, at->commit)) < 0)
		return r == -ENOMEM ? r : 0; /* too large */
	/* By its place: the array may move. */
	at->revision = revision ? (const char *)(prefix + (size_t)(revision - component)) : NULL;
	g->found.n++;
	return 0;
}

static int add_versioned(void *arg, const struct verify_place *place)
{
	struct gathering *g = arg;
	size_t len = strlen(g->repo->name);

	if (strncmp(place->name, g->repo->name, len) != 0 || place->name[len] != '@')
		return 1; /* behind all of them */
	if (g->left-- == 0)
		return 1;
	return place->folder ? add(g, place->name, place->name + len + 1, &place->names) : 0;
}

static int gather(struct gathering *g)
{
	const struct verify_catalog *entries = g->catalog->entries;
	char path[2 * HUB_PART_MAX + 2], behind[HUB_PART_MAX + 2];
	struct verify_place place;
	int r = 0;

	g->left = HUB_REVISIONS_MAX;
	snprintf(path, sizeof(path), "%s/%s", g->repo->org, g->repo->name);
	if (verify_catalog_lookup(entries, path, &place) == 0 && place.folder)
		r = add(g, g->repo->name, NULL, &place.names);
	snprintf(behind, sizeof(behind), "%s@", g->repo->name);
	if (r == 0)
		r = verify_catalog_list(entries, g->repo->org, behind, add_versioned, g);
	return r == -ENOMEM ? r : 0; /* no such folder, or the last one */
}

int hub_snapshots(const struct catalog_set *set, uid_t uid, const struct hub_repo *repo,
		  struct hub_snapshots *out)
{
	struct gathering g = { .set = set, .repo = repo };
	int r = 0;

	for (size_t i = 0; i < catalog_set_count(set) && r == 0; i++) {
		g.catalog = catalog_set_get(set, i);
		if (catalog_is_for(g.catalog, uid))
			r = gather(&g);
	}
	if (r < 0) {
		free(g.found.at);
		return r;
	}
	for (size_t i = 0; i < g.found.n; i++) {
		struct hub_snapshot *at = &g.found.at[i];

		if (at->revision)
			at->revision = at->path + (size_t)at->revision;
	}
	*out = g.found;
	return 0;
}

/* ---- refs ---- */

/* One that is a file's name. */
static bool is_ref(const char *text)
{
	return !strchr(text, '/') && !verify_name_refused(text, strlen(text));
}

/* The snapshots of one catalog: N from FIRST on. */
struct revisions {
	const json_t *refs; /* what the import wrote down for the repository; NULL: nothing */
	const struct hub_snapshot *first;
	size_t n;
};

static const struct hub_snapshot *with_revision(const struct revisions *of, const char *revision)
{
	for (size_t i = 0; i < of->n; i++) {
		const char *has = of->first[i].revision;

		if (has == revision || (has && revision && !strcmp(has, revision)))
			return &of->first[i];
	}
	return NULL;
}

static const struct hub_snapshot *main_of(const struct revisions *of)
{
	const char *said = json_string_value(json_object_get(of->refs, "main"));
	const struct hub_snapshot *main = said ? with_revision(of, said) : NULL;

	if (!main)
		main = with_revision(of, NULL);
	return main || of->n != 1 ? main : of->first;
}

static int each_of(const struct revisions *of,
		   int (*found)(void *arg, const char *ref, const struct hub_snapshot *snapshot), void *arg)
{
	const struct hub_snapshot *main = main_of(of);
	void *at = json_object_iter((json_t *)of->refs);
	int r = main ? found(arg, "main", main) : 0;

	for (; at && r == 0; at = json_object_iter_next((json_t *)of->refs, at)) {
		const char *ref = json_object_iter_key(at);
		const char *said = json_string_value(json_object_iter_value(at));
		const struct hub_snapshot *snapshot = said ? with_revision(of, said) : NULL;

		if (snapshot && strcmp(ref, "main") != 0 && is_ref(ref))
			r = found(arg, ref, snapshot);
	}
	for (size_t i = 0; i < of->n && r == 0; i++) {
		const struct hub_snapshot *snapshot = &of->first[i];

		if (snapshot->revision && !is_commit(snapshot->revision) && is_ref(snapshot->revision))
			r = found(arg, snapshot->revision, snapshot);
	}
	return r;
}

int hub_each_ref(const struct hub_repo *repo, const struct hub_snapshots *snapshots,
		 int (*found)(void *arg, const char *ref, const struct hub_snapshot *snapshot), void *arg)
{
	char id[2 * HUB_PART_MAX + 2];
	size_t begin = 0;
	int r = 0;

	snprintf(id, sizeof(id), "%s/%s", repo->org, repo->name);
	while (begin < snapshots->n && r == 0) {
		const struct catalog *catalog = snapshots->at[begin].catalog;
		struct revisions of = { json_object_get(catalog->refs, id), &snapshots->at[begin], 0 };

		while (begin + of.n < snapshots->n && snapshots->at[begin + of.n].catalog == catalog)
			of.n++;
		r = each_of(&of, found, arg);
		begin += of.n;
	}
	return r;
}

struct looking {
	const char *ref;
	const struct hub_snapshot *found;
};

static int is_wanted(void *arg, const char *ref, const struct hub_snapshot *snapshot)
{
	struct looking *looking = arg;

	if (strcmp(ref, looking->ref) != 0)
		return 0;
	looking->found = snapshot;
	return 1;
}

const struct hub_snapshot *hub_ref(const struct hub_repo *repo, const struct hub_snapshots *snapshots,
				   const char *ref)
{
	struct looking looking = { ref, NULL };

	hub_each_ref(repo, snapshots, is_wanted, &looking);
	return looking.found;
}
