/* SPDX-License-Identifier: Apache-2.0 */
/* Where all catalogs together say that an object is, for one user or several who want it at once. */
#include <string.h>
#include "catalogs/internal.h"
#include "catalogs/ipfs.h"
#include "fetch/document.h"

static void places_release(struct catalog_places *g)
{
	for (size_t i = 0; i < g->n_urls; i++)
		free(g->urls[i]);
}

/* One that is not to be understood is left out: it was signed so. -ENOMEM. */
static int resolve(struct catalog_places *g, const struct catalog *catalog, const char *url,
		   const char **out)
{
	char *resolved = NULL;
	int r;

	*out = NULL;
	/* Without a base only an absolute one can be understood. */
	r = fetch_url_resolve(catalog->base ? catalog->base : url, url, &resolved);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	*out = g->urls[g->n_urls++] = resolved;
	return 0;
}

/* TREE: it is where the tree is. */
static int add_url(struct catalog_places *g, const struct catalog *catalog, const char *url, bool tree,
		   struct fetch_place *place)
{
	if (ipfs_is_url(url))
		return catalog_gateways_add(g->gateways, url, tree, place->owner, g);
	return resolve(g, catalog, url, tree ? &place->tree : &place->url);
}

/* Its tree goes with the first URL. */
static int add_places(struct catalog_places *g, const struct catalog_part *part,
		      const struct verify_object *object, bool open)
{
	const struct catalog *catalog = &part->catalog;
	unsigned int n = object->n_urls > 0 ? object->n_urls : object->has_tree;
	bool gated = !open && catalog_part_is_gated(part, object, false);
	char url[VERIFY_URL_MAX + 1];
	int r = 0;

	if (open && catalog_part_is_gated(part, object, true))
		return 0;
	for (unsigned int i = 0; i < n && r == 0 && g->n < g->limit; i++) {
		struct fetch_place place = {.owner = catalog_place_owner(catalog->owner)};

		if (i < object->n_urls)
			r = add_url(g, catalog, verify_object_url(catalog->entries, object, i, url),
				    false, &place);
		if (r == 0 && i == 0 && object->has_tree)
			r = add_url(g, catalog, verify_object_tree(catalog->entries, object, url), true,
				    &place);
		place.group = import_group_of(part, place.url ? place.url : place.tree, gated);
		if (r == 0 && (place.url || place.tree) && g->n < g->limit)
			g->places[g->n++] = place;
	}
	return r;
}

/* By either digest, once. */
static int places_of(struct catalog_places *g, const struct catalog_part *part,
		     const struct verify_object *wanted, bool open)
{
	const struct digest_pair *digests = &wanted->digests;
	struct digest_name names[] = {{DIGEST_SHA256, digests->sha256}, {DIGEST_FSVERITY, digests->fsverity}};
	bool has[] = {digests->has_sha256, digests->has_fsverity};
	struct verify_object object;
	size_t before = SIZE_MAX;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++) {
		if (!has[i] || verify_catalog_find(part->catalog.entries, &names[i], &object) < 0 ||
		    object.index == before || !verify_objects_agree(wanted, &object))
			continue;
		before = object.index;
		r = add_places(g, part, &object, open);
	}
	return r;
}

/* Of what is there for UID what belongs to OWNER. */
static int add_owned(struct catalog_places *g, const struct catalog_set *set, uid_t uid, uid_t owner,
		     const struct digest_pair *digests, bool open)
{
	struct catalog_gathered gathered = {.all.digests = *digests};
	int r;

	r = catalog_set_gather(set, uid, CATALOG_SIGNED, &gathered);
	if (r == 0 && !gathered.found)
		r = catalog_set_gather(set, uid, CATALOG_IMPORT, &gathered);
	if (r < 0)
		return 0; /* contradicted: none is believed */
	for (size_t i = 0; i < set->n && gathered.found && r == 0; i++) {
		if (set->parts[i]->catalog.owner == owner)
			r = places_of(g, set->parts[i], &gathered.all, open);
	}
	return r;
}

static int find_places(const struct catalog_set *set, const uid_t *uids, size_t n,
		       const struct digest_pair *digests, bool open, struct fetch_places **out)
{
	struct catalog_places places = {.gateways = set->gateways, .limit = FETCH_PLACES_MAX};
	size_t common;
	int r = 0;

	*out = NULL;
	/* What all are told of. One who has imported nothing is told nothing else. */
	r = add_owned(&places, set, n == 1 ? uids[0] : CATALOG_EVERYBODY, CATALOG_EVERYBODY, digests, open);
	common = places.n;
	for (size_t i = 0; i < n && r == 0; i++) {
		places.limit = common + (FETCH_PLACES_MAX - common) * (i + 1) / n;
		if (uids[i] != CATALOG_EVERYBODY)
			r = add_owned(&places, set, uids[i], uids[i], digests, open);
	}
	if (r == 0 && places.n > 0)
		r = fetch_places_new(places.places, places.n, out);
	places_release(&places);
	return r;
}

bool catalog_set_has_own(const struct catalog_set *set, uid_t uid, const struct digest_pair *digests)
{
	struct digest_name name = digest_pair_name(digests);
	struct verify_object object;

	for (size_t i = 0; i < set->n; i++) {
		const struct catalog *catalog = &set->parts[i]->catalog;

		if (catalog->owner == uid && uid != CATALOG_EVERYBODY &&
		    verify_catalog_find(catalog->entries, &name, &object) == 0)
			return true;
	}
	return false;
}

int catalog_set_places(const struct catalog_set *set, uid_t uid, const struct digest_pair *digests,
		       struct fetch_places **out)
{
	return find_places(set, &uid, 1, digests, false, out);
}

int catalog_set_open_places(const struct catalog_set *set, const uid_t *uids, size_t n,
			    const struct digest_pair *digests, struct fetch_places **out)
{
	return find_places(set, uids, n, digests, true, out);
}
