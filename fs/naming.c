/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/naming.h"

#include <stdio.h>
#include <string.h>

#define REFERENCE "main" /* which is meant if no revision is named */

struct walk {
	const struct catalog_set *set;
	const struct catalog *catalog;
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
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s%s%s", walk->folder, *walk->folder ? "/" : "", place->name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
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
		reference = n ? strndup(rest + 1, n) : strdup(REFERENCE);
		if (!reference)
			return -ENOMEM;
		rest += *rest == '@' ? n + 1 : 0;
		revision = json_string_value(json_object_get(references, reference));
		if (revision)
			return asprintf(out, "%s@%s%s", model, revision, rest) < 0 ? -ENOMEM : 0;
	}
	return -ENOENT;
}

int naming_find(const struct catalog_set *set, uid_t uid, const char *name, struct named_list *out)
{
	_cleanup_free_ char *label = strndup(name, strcspn(name, "/")), *path = NULL, *resolved = NULL;
	const char *slash = strchr(name, '/');
	struct named_list list = { 0 };
	struct walk walk = { .set = set, .list = &list };
	int r;

	path = label ? strdup(slash ? slash + 1 : "") : NULL;
	if (!path)
		return -ENOMEM;
	walk.catalog = catalog_set_named(set, uid, label);
	if (!walk.catalog)
		return -ENOENT;
	while (*path && path[strlen(path) - 1] == '/')
		path[strlen(path) - 1] = '\0';
	r = find_path(&walk, path);
	if (r == -ENOENT && walk.catalog->refs)
		r = resolve_reference(walk.catalog->refs, path, &resolved);
	if (r == 0 && resolved)
		r = find_path(&walk, resolved);
	if (r == 0 && list.n == 0)
		r = -ENOENT;
	if (r < 0)
		named_list_clear(&list);
	else
		*out = list;
	return r;
}
