/* SPDX-License-Identifier: Apache-2.0 */
/* What a path in name/ or hub/ stands for. */
#include <string.h>
#include "fs/names/folders.h"
#include "fs/operations/explaining.h"

/* As fs/names/visible.c does: by the digest that the policy lets it be looked up by, if there is one. */
static struct digest_name choose(const struct explaining *explaining, const struct digest_pair *digests)
{
	const struct digest_name names[] = { digest_pair_name(digests),
					     { DIGEST_FSVERITY, digests->fsverity } };

	for (size_t i = 0; digests->has_fsverity && i < ARRAY_SIZE(names); i++) {
		struct digest_pair pair = digest_pair_of(&names[i]);

		if (policy_decide(explaining->operation->policy, explaining->origin, &pair).verdict !=
		    POLICY_DENY)
			return names[i];
	}
	return names[0];
}

/* Its processes are told of what is denied to a web origin as much as its view shows. */
static bool is_hidden(const struct explaining *explaining, const struct digest_pair *digests)
{
	const struct operation *operation = explaining->operation;

	return !operation->privileged && policy_origin_is_web(explaining->origin) &&
	       operation_verdict(operation, explaining->origin, digests) == POLICY_DENY;
}

static int say_object(struct explaining *explaining, const struct catalog_set *set, const char *path,
		      const struct catalog *catalog, const struct verify_object *object)
{
	char text[DIGEST_NAME_SIZE];

	if (is_hidden(explaining, &object->digests)) {
		explaining->absent = "there is no such name";
		return 0;
	}
	explaining->has_name = true;
	explaining->name = choose(explaining, &object->digests);
	digest_name_format(&explaining->name, text);
	if (catalog_set_contradicts(set, catalog, object))
		explaining->absent = "catalogs contradict each other about it";
	return explain_say(explaining->operation, "name",
			   json_pack("{s:s, s:s, s:s}", "path", path, "catalog", catalog->name, "digest", text),
			   "%s is %s, says %s %s%s", path, text,
			   catalog->kind == CATALOG_SIGNED ? "catalog" : "the import", catalog->name,
			   explaining->absent ? ", and another says otherwise" : "");
}

static int find(struct explaining *explaining, const struct catalog_set *set, const char *path)
{
	const char *name = strrchr(path, '/');
	_cleanup_free_ char *parent = strndup(path, name ? (size_t)(name - path) : 0);
	const struct catalog *catalog;
	struct verify_place place;
	struct folders folders;
	int r;

	if (!parent)
		return -ENOMEM;
	r = folders_find(set, explaining->caller.uid, parent, &folders);
	if (r == 0) {
		/* Of what is no file there is nothing to explain but who looks. */
		r = folders.kind == FOLDERS_FILES ? folders_lookup(&folders, name + 1, &catalog, &place) : 0;
		if (r == 0 && folders.kind == FOLDERS_FILES && !place.folder)
			r = say_object(explaining, set, path, catalog, &place.object);
		folders_release(&folders);
	}
	if (r == -ENOENT) {
		explaining->absent = "there is no such name";
		r = 0;
	}
	return r;
}

int explain_name(struct explaining *explaining, const char *path)
{
	struct catalogs *catalogs = operation_catalogs(explaining->operation);
	struct catalog_set *set;
	int r;

	if (!catalogs)
		return operation_fail(explaining->operation, -ENOMEM, "the catalogs cannot be read");
	set = catalogs_get(catalogs);
	r = find(explaining, set, path);
	catalog_set_unref(set);
	return r;
}
