/* SPDX-License-Identifier: Apache-2.0 */
/* What became of a catalog: its header, its names, and what is said of its objects. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include "commands/catalog-file.h"
#include "commands/commands.h"

struct diff {
	const struct verify_catalog *old, *new;
	bool json;
	size_t n_wrong; /* what must not be */
};

static const char *digest_of(const struct verify_object *object, char out[DIGEST_NAME_SIZE])
{
	struct digest_name name = digest_pair_name(&object->digests);

	digest_name_format(&name, out);
	return out;
}

/* MARK is what stands in the first column; NAME, OLD and NEW may be NULL. */
static void print(const struct diff *diff, char mark, const char *change, const char *name,
		  const struct verify_object *old, const struct verify_object *new)
{
	char before[DIGEST_NAME_SIZE], after[DIGEST_NAME_SIZE];
	json_t *json;

	if (diff->json) {
		json = json_pack("{s:s, s:s?, s:s?, s:s?}", "change", change, "name", name,
				 "old", old ? digest_of(old, before) : NULL,
				 "new", new ? digest_of(new, after) : NULL);
		command_print_json(json);
		json_decref(json);
		return;
	}
	printf("%c %s", mark, change);
	if (name)
		printf(" %s", name);
	if (old)
		printf(" %s", digest_of(old, before));
	if (old && new && name)
		printf(" ->");
	if (new && (name || !old))
		printf(" %s", digest_of(new, after));
	printf("\n");
}

static int old_name(void *arg, const char *name, const struct verify_object *object)
{
	struct verify_place place;
	struct diff *diff = arg;

	if (verify_catalog_lookup(diff->new, name, &place) < 0 || place.folder) {
		print(diff, '-', "removed", name, object, NULL);
	} else if (!catalog_same_object(object, &place.object)) {
		diff->n_wrong++;
		print(diff, '!', "rebound", name, object, &place.object);
	}
	return 0;
}

static int new_name(void *arg, const char *name, const struct verify_object *object)
{
	struct verify_place place;
	struct diff *diff = arg;

	if (verify_catalog_lookup(diff->old, name, &place) < 0 || place.folder)
		print(diff, '+', "added", name, NULL, object);
	return 0;
}

/* The object of CATALOG that has a digest of OBJECT's. */
static bool find(const struct verify_catalog *catalog, const struct verify_object *object,
		 struct verify_object *out)
{
	const struct digest_name names[] = { { DIGEST_SHA256, object->digests.sha256 },
					     { DIGEST_FSVERITY, object->digests.fsverity } };
	const bool has[] = { object->digests.has_sha256, object->digests.has_fsverity };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (has[i] && verify_catalog_find(catalog, &names[i], out) == 0)
			return true;
	return false;
}

static bool same_places(const struct diff *diff, const struct verify_object *old,
			const struct verify_object *new)
{
	char a[VERIFY_URL_MAX + 1], b[VERIFY_URL_MAX + 1];

	if (old->n_urls != new->n_urls || old->has_tree != new->has_tree)
		return false;
	for (unsigned int i = 0; i < old->n_urls; i++)
		if (strcmp(verify_object_url(diff->old, old, i, a),
			   verify_object_url(diff->new, new, i, b)) != 0)
			return false;
	return !old->has_tree || !strcmp(verify_object_tree(diff->old, old, a),
					 verify_object_tree(diff->new, new, b));
}

static void old_object(struct diff *diff, const struct verify_object *old)
{
	struct verify_object new;

	if (!find(diff->new, old, &new)) {
		print(diff, '-', "removed", NULL, old, NULL);
	} else if (!verify_objects_agree(old, &new)) {
		diff->n_wrong++;
		print(diff, '!', "contradicts", NULL, old, &new);
	} else if (!same_places(diff, old, &new)) {
		print(diff, '~', "moved", NULL, old, &new);
	}
}

static void objects(struct diff *diff)
{
	struct verify_object object, other;

	for (size_t i = 0; i < verify_catalog_info(diff->old)->n_objects; i++) {
		verify_catalog_object(diff->old, i, &object);
		old_object(diff, &object);
	}
	for (size_t i = 0; i < verify_catalog_info(diff->new)->n_objects; i++) {
		verify_catalog_object(diff->new, i, &object);
		if (!find(diff->old, &object, &other))
			print(diff, '+', "added", NULL, NULL, &object);
	}
}

static void print_serials(const struct verify_catalog_info *old,
			  const struct verify_catalog_info *new)
{
	json_t *json = json_pack("{s:s, s:I, s:I}", "change", "serial", "old",
				 (json_int_t)old->serial, "new", (json_int_t)new->serial);

	command_print_json(json);
	json_decref(json);
}

/* The one thing of the header that must not be. */
static void header(struct diff *diff)
{
	const struct verify_catalog_info *old = verify_catalog_info(diff->old),
					 *new = verify_catalog_info(diff->new);
	bool same = !memcmp(old->hash, new->hash, sizeof(old->hash));
	bool wrong = new->serial < old->serial || (new->serial == old->serial && !same);

	if (same)
		return;
	if (wrong)
		diff->n_wrong++;
	if (diff->json)
		print_serials(old, new);
	else
		printf("%c serial %llu -> %llu\n", wrong ? '!' : ' ', (unsigned long long)old->serial,
		       (unsigned long long)new->serial);
}

size_t catalog_diff(const struct verify_catalog *old, const struct verify_catalog *new, bool json)
{
	struct diff diff = { .old = old, .new = new, .json = json };

	header(&diff);
	/* These return what the callbacks do, and "*" is a pattern. */
	if (verify_catalog_match(old, "*", old_name, &diff) < 0 ||
	    verify_catalog_match(new, "*", new_name, &diff) < 0)
		diff.n_wrong++;
	objects(&diff);
	return diff.n_wrong;
}
