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
#include "common/log.h"

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
bool catalog_part_is_gated(const struct catalog_part *part, const struct verify_object *object, bool all)
{
	unsigned int n = 0;

	if (!part->import)
		return false;
	for (unsigned int i = 0; i < object->n_names; i++)
		n += import_is_gated(part->import, verify_object_name(part->catalog.entries, object, i));
	return all ? n > 0 && n == object->n_names : n > 0;
}

static int add(struct catalog_gathered *g, const struct catalog_part *part, const struct verify_object *object)
{
	if (!g->found)
		g->all.size = object->size;
	if (!verify_objects_agree(&g->all, object))
		return -EBADMSG;
	g->found = true;
	add_digests(&g->all.digests, &object->digests);
	g->tree |= object->has_tree;
	g->found_open |= !catalog_part_is_gated(part, object, true);
	if (!catalog_has_expired(&part->catalog)) {
		g->found_live = true;
		add_digests(&g->live, &object->digests);
		g->tree_live |= object->has_tree;
	}
	return 0;
}

/* But for EXCEPT (NULL: none). */
static int gather_by(const struct catalog_set *set, uid_t uid, enum catalog_kind kind,
		     const struct catalog *except, const struct digest_name *name, struct catalog_gathered *g)
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
int catalog_set_gather(const struct catalog_set *set, uid_t uid, enum catalog_kind kind, struct catalog_gathered *g)
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
	struct catalog_gathered g = {.all = *object, .found = true, .own = catalog, .own_digests = object->digests};

	if (catalog_set_gather(set, catalog->owner, CATALOG_SIGNED, &g) < 0)
		return true;
	return catalog->kind == CATALOG_IMPORT && catalog_set_gather(set, catalog->owner, CATALOG_IMPORT, &g) < 0;
}

int catalog_set_find(const struct catalog_set *set, uid_t uid, const struct digest_name *name,
		     struct known *out)
{
	struct catalog_gathered g = {.all.digests = digest_pair_of(name)};
	bool is_signed;
	int r;

	r = catalog_set_gather(set, uid, CATALOG_SIGNED, &g);
	is_signed = g.found;
	if (r == 0 && !is_signed)
		r = catalog_set_gather(set, uid, CATALOG_IMPORT, &g);
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
		.imported = !is_signed,
	};
	if (is_signed)
		add_digests(&out->digests, g.found_live ? &g.live : &g.all.digests);
	return 0;
}
