/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/names/naming.h"

#include <stdio.h>
#include <string.h>
#include "fs/names/folders.h"

/* Which is meant if no revision is named: of Hugging Face, and of registries. */
static const char *const defaults[] = { "main", "latest" };

struct walk {
	const struct catalog_set *set;
	const struct catalog *catalog;
	const struct catalog *before; /* what is there by this one is not looked for in CATALOG; NULL: none */
	const char *folder; /* that is being looked through */
	struct named_list *list;
};

void named_list_clear(struct named_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->files[i].name);
	free(list->files);
	*list = (struct named_list){ 0 };
}

static int add(struct walk *walk, const char *path, const struct verify_object *object)
{
	struct named_list *list = walk->list;
	struct named named = { .digest = digest_pair_name(&object->digests) };
	struct verify_place place;

	if (walk->before && verify_catalog_lookup(walk->before->entries, path, &place) == 0)
		return 0;
	if (catalog_set_contradicts(walk->set, walk->catalog, object))
		return 0;
	if (list->n == list->capacity) {
		size_t capacity = list->capacity ? 2 * list->capacity : 16;
		struct named *grown = reallocarray(list->files, capacity, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->files = grown;
		list->capacity = capacity;
	}
	if (asprintf(&named.name, "%s/%s", walk->catalog->name, path) < 0)
		return -ENOMEM;
	list->files[list->n++] = named;
	return 0;
}

static int found(void *arg, const struct verify_place *place)
{
	struct walk *walk = arg, below = *walk;
	_cleanup_free_ char *path = folders_join(walk->folder, place->name);

	if (!path)
		return -ENOMEM;
	below.folder = path;
	return place->folder ? verify_catalog_list(walk->catalog->entries, path, NULL, found, &below) :
			       add(walk, path, &place->object);
}

static int find_path(struct walk *walk, const char *path)
{
	struct verify_place place;
	int r;

	r = verify_catalog_lookup(walk->catalog->entries, path, &place);
	if (r < 0)
		return r;
	if (!place.folder)
		return add(walk, path, &place.object);
	walk->folder = path;
	return verify_catalog_list(walk->catalog->entries, path, NULL, found, walk);
}

/* What REFERENCES say of REFERENCE; of none (""), of the first default that they know. */
static const char *revision_of(const json_t *references, const char *reference)
{
	const char *revision = NULL;

	if (*reference)
		return json_string_value(json_object_get(references, reference));
	for (size_t i = 0; i < ARRAY_SIZE(defaults) && !revision; i++)
		revision = json_string_value(json_object_get(references, defaults[i]));
	return revision;
}

/*
 * PATH is "MODEL[@REFERENCE][/REST]" for a model that REFS has: OUT is "MODEL@<revision>[/REST]", to be freed. -ENOENT.
 */
static int resolve_reference(const json_t *refs, const char *path, char **out)
{
	const char *model;
	json_t *references;

	json_object_foreach((json_t *)refs, model, references) {
		size_t len = strlen(model), n;
		const char *rest = path + len;
		_cleanup_free_ char *reference = NULL;
		const char *revision;

		if (strncmp(path, model, len) != 0 || (*rest && *rest != '@' && *rest != '/'))
			continue;
		n = *rest == '@' ? strcspn(rest + 1, "/") : 0;
		reference = strndup(*rest == '@' ? rest + 1 : "", n);
		if (!reference)
			return -ENOMEM;
		rest += *rest == '@' ? n + 1 : 0;
		revision = revision_of(references, reference);
		if (revision)
			return asprintf(out, "%s@%s%s", model, revision, rest) < 0 ? -ENOMEM : 0;
	}
	return -ENOENT;
}

/* As name/ shows them: what is the user's own, and what is there for everybody by the same name. N: how many that are. */
static size_t catalogs_called(const struct catalog_set *set, uid_t uid, const char *label,
			      const struct catalog *out[2])
{
	out[0] = catalog_set_named(set, uid, label);
	out[1] = catalog_set_named(set, CATALOG_NOBODY, label);
	return !out[0] ? 0 : !out[1] || out[0] == out[1] ? 1 : 2;
}

static int find_in(struct walk *walk, const struct catalog *const *catalogs, size_t n, const char *path)
{
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		int r;

		walk->catalog = catalogs[i];
		walk->before = i > 0 ? catalogs[0] : NULL;
		r = find_path(walk, path);
		if (r < 0 && r != -ENOENT)
			return r;
		found |= r == 0;
	}
	return found && walk->list->n > 0 ? 0 : -ENOENT;
}

int naming_find(const struct catalog_set *set, uid_t uid, const char *name, struct named_list *out)
{
	_cleanup_free_ char *label = strndup(name, strcspn(name, "/")), *path = NULL, *resolved = NULL;
	const struct catalog *catalogs[2];
	const char *slash = strchr(name, '/');
	struct named_list list = { 0 };
	struct walk walk = { .set = set, .list = &list };
	size_t n;
	int r;

	path = label ? strdup(slash ? slash + 1 : "") : NULL;
	if (!path)
		return -ENOMEM;
	while (*path && path[strlen(path) - 1] == '/')
		path[strlen(path) - 1] = '\0';
	n = catalogs_called(set, uid, label, catalogs);
	r = find_in(&walk, catalogs, n, path);
	for (size_t i = 0; i < n && r == -ENOENT && !resolved; i++)
		if (catalogs[i]->refs && resolve_reference(catalogs[i]->refs, path, &resolved) == -ENOMEM)
			r = -ENOMEM;
	if (r == -ENOENT && resolved)
		r = find_in(&walk, catalogs, n, resolved);
	if (r < 0)
		named_list_clear(&list);
	else
		*out = list;
	return r;
}
