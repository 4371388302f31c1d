/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set: what all catalogs together say of an object.
 *
 * Signed ones come first: what they say is not contradicted by what a user claims to have imported, which is left out
 * where it does not fit. Of two of the same kind that do not agree neither is believed.
 */
#include "catalogs/internal.h"

#include <string.h>
#include <time.h>
#include "catalogs/imports.h"
#include "catalogs/ipfs.h"
#include "common/log.h"
#include "fetch/document.h"

struct catalog_set {
	atomic_uint references;
	uint64_t generation;
	struct catalog_gateways *gateways; /* NULL: none */
	size_t n;
	struct catalog_part *parts[]; /* as they are gone through */
};

/* ---- parts ---- */

int catalog_part_new(const struct config_catalog *config, struct verify_catalog *entries,
		     struct fetch_group *group, struct catalog_part **out)
{
	struct catalog_part *part = calloc(1, sizeof(*part));

	if (part) {
		part->name = strdup(config->name);
		part->base = strdup(config->url);
	}
	if (!part || !part->name || !part->base) {
		if (part) {
			free(part->name);
			free(part->base);
		}
		free(part);
		return -ENOMEM;
	}
	atomic_init(&part->references, 1);
	part->catalog = (struct catalog){
		.name = part->name,
		.kind = CATALOG_SIGNED,
		.owner = CATALOG_EVERYBODY,
		.priority = config->priority,
		.entries = entries,
		.group = fetch_group_ref(group),
		.base = part->base,
	};
	*out = part;
	return 0;
}

struct catalog_part *catalog_part_ref(struct catalog_part *part)
{
	atomic_fetch_add_explicit(&part->references, 1, memory_order_relaxed);
	return part;
}

void catalog_part_unref(struct catalog_part *part)
{
	if (!part || atomic_fetch_sub_explicit(&part->references, 1, memory_order_acq_rel) != 1)
		return;
	import_groups_free(part->hosts, part->import ? part->import->n_hosts : 0);
	if (part->block)
		import_block_unref(part->block); /* its entries are in there */
	else
		verify_catalog_unref((struct verify_catalog *)part->catalog.entries);
	fetch_group_unref(part->catalog.group);
	free(part->name);
	free(part->base);
	free(part);
}

/* ---- sets ---- */

/* Is A to be gone through before B? Those of the same priority stay in their order. */
static bool comes_before(const struct catalog_part *a, const struct catalog_part *b)
{
	if (a->catalog.kind != b->catalog.kind)
		return a->catalog.kind == CATALOG_SIGNED;
	return a->catalog.priority > b->catalog.priority;
}

int catalog_set_new(uint64_t generation, struct catalog_gateways *gateways,
		    struct catalog_part *const *parts, size_t n, struct catalog_set **out)
{
	struct catalog_set *set = calloc(1, sizeof(*set) + n * sizeof(struct catalog_part *));

	if (!set)
		return -ENOMEM;
	atomic_init(&set->references, 1);
	set->generation = generation;
	set->gateways = catalog_gateways_ref(gateways);
	for (size_t i = 0; i < n; i++) {
		size_t at = set->n;

		if (!parts[i])
			continue;
		for (; at > 0 && comes_before(parts[i], set->parts[at - 1]); at--)
			set->parts[at] = set->parts[at - 1];
		set->parts[at] = catalog_part_ref(parts[i]);
		set->n++;
	}
	*out = set;
	return 0;
}

struct catalog_set *catalog_set_ref(struct catalog_set *set)
{
	atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
	return set;
}

void catalog_set_unref(struct catalog_set *set)
{
	if (!set || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < set->n; i++)
		catalog_part_unref(set->parts[i]);
	catalog_gateways_unref(set->gateways);
	free(set);
}

uint64_t catalog_set_generation(const struct catalog_set *set)
{
	return set->generation;
}

size_t catalog_set_count(const struct catalog_set *set)
{
	return set->n;
}

const struct catalog *catalog_set_get(const struct catalog_set *set, size_t i)
{
	return &set->parts[i]->catalog;
}

bool catalog_is_for(const struct catalog *catalog, uid_t uid)
{
	return catalog->owner == CATALOG_EVERYBODY || catalog->owner == uid;
}

const struct catalog *catalog_set_named(const struct catalog_set *set, uid_t uid, const char *name)
{
	const struct catalog *everybodys = NULL;

	for (size_t i = 0; i < set->n; i++) {
		const struct catalog *catalog = &set->parts[i]->catalog;

		if (strcmp(catalog->name, name) != 0 || !catalog_is_for(catalog, uid))
			continue;
		if (catalog->kind == CATALOG_SIGNED || catalog->owner == uid)
			return catalog;
		everybodys = catalog;
	}
	return everybodys;
}

bool catalog_has_expired(const struct catalog *catalog)
{
	return catalog->kind == CATALOG_SIGNED &&
	       time(NULL) >= verify_catalog_info(catalog->entries)->expires;
}

/* ---- what they say of an object ---- */

/* What was gathered of one. */
struct gathered {
	/* Of all catalogs, what makes a contradiction: its digests are those that were asked for, until one is found. */
	struct verify_object all;
	struct digest_pair live; /* of those that have not expired */
	bool found, found_live, found_open, tree, tree_live;
	/* Where it is from, and by which digests: there is no need to find it there. */
	const struct catalog *own;
	struct digest_pair own_digests;
};

static void add_digests(struct digest_pair *to, const struct digest_pair *from)
{
	if (from->has_sha256) {
		to->has_sha256 = true;
		to->sha256 = from->sha256;
	}
	if (from->has_fsverity) {
		to->has_fsverity = true;
		to->fsverity = from->fsverity;
	}
}

/* Of an import: can none of its names be had without a credential? */
static bool is_gated(const struct catalog_part *part, const struct verify_object *object, bool all)
{
	unsigned int n = 0;

	if (!part->import)
		return false;
	for (unsigned int i = 0; i < object->n_names; i++)
		n += import_is_gated(part->import, verify_object_name(part->catalog.entries, object, i));
	return all ? n > 0 && n == object->n_names : n > 0;
}

static int add(struct gathered *g, const struct catalog_part *part, const struct verify_object *object)
{
	if (!g->found)
		g->all.size = object->size;
	if (!verify_objects_agree(&g->all, object))
		return -EBADMSG;
	g->found = true;
	add_digests(&g->all.digests, &object->digests);
	g->tree |= object->has_tree;
	g->found_open |= !is_gated(part, object, true);
	if (!catalog_has_expired(&part->catalog)) {
		g->found_live = true;
		add_digests(&g->live, &object->digests);
		g->tree_live |= object->has_tree;
	}
	return 0;
}

/* But for EXCEPT (NULL: none). */
static int gather_by(const struct catalog_set *set, uid_t uid, enum catalog_kind kind,
		     const struct catalog *except, const struct digest_name *name, struct gathered *g)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct catalog_part *part = set->parts[i];
		struct verify_object object;
		int r = 0;

		if (part->catalog.kind == kind && &part->catalog != except && catalog_is_for(&part->catalog, uid) &&
		    verify_catalog_find(part->catalog.entries, name, &object) == 0)
			r = add(g, part, &object);
		if (r < 0)
			return r;
	}
	return 0;
}

/* By the digests that G has, and by the other one if that is learned on the way. */
static int gather(const struct catalog_set *set, uid_t uid, enum catalog_kind kind, struct gathered *g)
{
	bool by_sha256 = false, by_fsverity = false;
	const struct catalog *except = NULL;
	int r = 0;

	while (r == 0) {
		const struct digest_pair *digests = &g->all.digests;
		struct digest_name name;

		if (digests->has_sha256 && !by_sha256) {
			name = (struct digest_name){DIGEST_SHA256, digests->sha256};
			by_sha256 = true;
			except = g->own_digests.has_sha256 ? g->own : NULL;
		} else if (digests->has_fsverity && !by_fsverity) {
			name = (struct digest_name){DIGEST_FSVERITY, digests->fsverity};
			by_fsverity = true;
			except = g->own_digests.has_fsverity ? g->own : NULL;
		} else {
			break;
		}
		r = gather_by(set, uid, kind, except, &name, g);
	}
	return r;
}

bool catalog_set_contradicts(const struct catalog_set *set, const struct catalog *catalog,
			     const struct verify_object *object)
{
	struct gathered g = {.all = *object, .found = true, .own = catalog, .own_digests = object->digests};

	if (gather(set, catalog->owner, CATALOG_SIGNED, &g) < 0)
		return true;
	return catalog->kind == CATALOG_IMPORT && gather(set, catalog->owner, CATALOG_IMPORT, &g) < 0;
}

int catalog_set_find(const struct catalog_set *set, uid_t uid, const struct digest_name *name,
		     struct known *out)
{
	struct gathered g = {.all.digests = digest_pair_of(name)};
	bool is_signed;
	int r;

	r = gather(set, uid, CATALOG_SIGNED, &g);
	is_signed = g.found;
	if (r == 0 && !is_signed)
		r = gather(set, uid, CATALOG_IMPORT, &g);
	if (r < 0)
		return r;
	if (!g.found)
		return -ENOENT;
	*out = (struct known){
		.digests = digest_pair_of(name),
		.size = g.all.size,
		.has_tree = g.found_live ? g.tree_live : g.tree,
		.expired = !g.found_live,
		.gated = !g.found_open,
	};
	if (is_signed)
		add_digests(&out->digests, g.found_live ? &g.live : &g.all.digests);
	return 0;
}

/* ---- places ---- */

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

/* What a user says of hosts counts for nobody else. */
static uint32_t owner_of(const struct catalog *catalog)
{
	return catalog->owner == CATALOG_EVERYBODY ? 0 : catalog->owner + 1;
}

/* Its tree goes with the first URL. */
static int add_places(struct catalog_places *g, const struct catalog_part *part,
		      const struct verify_object *object, bool open)
{
	const struct catalog *catalog = &part->catalog;
	unsigned int n = object->n_urls > 0 ? object->n_urls : object->has_tree;
	bool gated = !open && is_gated(part, object, false);
	char url[VERIFY_URL_MAX + 1];
	int r = 0;

	if (open && is_gated(part, object, true))
		return 0;
	for (unsigned int i = 0; i < n && r == 0 && g->n < FETCH_PLACES_MAX; i++) {
		struct fetch_place place = {.owner = owner_of(catalog)};

		if (i < object->n_urls)
			r = add_url(g, catalog, verify_object_url(catalog->entries, object, i, url),
				    false, &place);
		if (r == 0 && i == 0 && object->has_tree)
			r = add_url(g, catalog, verify_object_tree(catalog->entries, object, url), true,
				    &place);
		place.group = import_group_of(part, place.url ? place.url : place.tree, gated);
		if (r == 0 && (place.url || place.tree) && g->n < FETCH_PLACES_MAX)
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

static int find_places(const struct catalog_set *set, uid_t uid, const struct digest_pair *digests,
		       bool open, struct fetch_places **out)
{
	struct catalog_places places = {.gateways = set->gateways};
	struct gathered g = {.all.digests = *digests};
	int r;

	*out = NULL;
	r = gather(set, uid, CATALOG_SIGNED, &g);
	if (r == 0 && !g.found)
		r = gather(set, uid, CATALOG_IMPORT, &g);
	if (r < 0)
		return 0; /* contradicted: none is believed */
	for (size_t i = 0; i < set->n && g.found && r == 0; i++) {
		if (catalog_is_for(&set->parts[i]->catalog, uid))
			r = places_of(&places, set->parts[i], &g.all, open);
	}
	if (r == 0 && places.n > 0)
		r = fetch_places_new(places.places, places.n, out);
	places_release(&places);
	return r;
}

int catalog_set_places(const struct catalog_set *set, uid_t uid, const struct digest_pair *digests,
		       struct fetch_places **out)
{
	return find_places(set, uid, digests, false, out);
}

int catalog_set_open_places(const struct catalog_set *set, uid_t uid, const struct digest_pair *digests,
			    struct fetch_places **out)
{
	return find_places(set, uid, digests, true, out);
}
