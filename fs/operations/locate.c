/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which object a catalog means by an "ipfs://" URL. All entries are gone through: it is asked once for an import. Others than
 * root and the owner are told of what the policy would give them.
 */
#include <string.h>
#include "catalogs/catalogs.h"
#include "catalogs/ipfs.h"
#include "fs/operations/operations.h"

struct locating {
	struct operation *operation;
	const struct catalog_set *set;
	struct ipfs_name name;
	const char *origin; /* of who is not privileged; NULL: none */
};

static bool may_know(const struct locating *locating, const struct digest_pair *digests)
{
	const struct operation *operation = locating->operation;

	return operation->privileged ||
	       (locating->origin && operation_verdict(operation, locating->origin, digests) == POLICY_ALLOW);
}

static bool has_url(const struct locating *locating, const struct catalog *catalog,
		    const struct verify_object *object)
{
	char url[VERIFY_URL_MAX + 1], problem[REGISTRY_PROBLEM_SIZE];
	struct ipfs_name name;

	for (unsigned int i = 0; i < object->n_urls; i++) {
		verify_object_url(catalog->entries, object, i, url);
		if (ipfs_is_url(url) && ipfs_name_parse(url + strlen("ipfs:"), &name, problem) == 0 &&
		    ipfs_name_equal(&name, &locating->name))
			return true;
	}
	return false;
}

/* 1: it was told. */
static int look_through(const struct locating *locating, const struct catalog *catalog)
{
	size_t n = verify_catalog_info(catalog->entries)->n_objects;

	for (size_t i = 0; i < n; i++) {
		char hex[DIGEST_HEX_SIZE] = "";
		struct verify_object object;
		int r;

		verify_catalog_object(catalog->entries, i, &object);
		if (!has_url(locating, catalog, &object) || !may_know(locating, &object.digests) ||
		    catalog_set_contradicts(locating->set, catalog, &object))
			continue;
		if (object.digests.has_sha256)
			digest_to_hex(&object.digests.sha256, hex);
		r = locating->operation->emit(locating->operation,
					      json_pack("{s:s, s:s, s:I}", "catalog", catalog->name,
							"sha256", hex, "size",
							(json_int_t)object.size));
		return r == 0 ? 1 : r;
	}
	return 0;
}

static int look(struct locating *locating, const char *url)
{
	int r = 0;

	/* What users imported was found like this. */
	for (size_t i = 0; i < catalog_set_count(locating->set) && r == 0; i++) {
		const struct catalog *catalog = catalog_set_get(locating->set, i);

		if (catalog->kind == CATALOG_SIGNED && !catalog_has_expired(catalog))
			r = look_through(locating, catalog);
	}
	if (r != 0)
		return r < 0 ? r : 0;
	return operation_fail(locating->operation, -ENOENT,
			      "%s: no catalog has it: which bytes are meant, only a catalog can say (its CID is "
			      "that of a UnixFS node)", url);
}

int operation_locate(struct operation *operation)
{
	const char *url = json_string_value(json_object_get(operation->request, "url"));
	struct locating locating = { .operation = operation };
	struct catalogs *catalogs;
	char problem[REGISTRY_PROBLEM_SIZE];
	struct catalog_set *set;
	int r;

	if (!url || !ipfs_is_url(url))
		return operation_fail(operation, -EINVAL, "locate: no ipfs:// URL");
	if (ipfs_name_parse(url + strlen("ipfs:"), &locating.name, problem) < 0)
		return operation_fail(operation, -EINVAL, "%s", problem);
	catalogs = operation_catalogs(operation);
	if (!catalogs)
		return -ENOMEM;
	if (!operation->privileged)
		locating.origin = policy_origin_of(operation->policy, &operation->caller, NULL);
	if (locating.origin && policy_origin_is_web(locating.origin))
		locating.origin = NULL;
	set = catalogs_get(catalogs);
	locating.set = set;
	r = look(&locating, url);
	catalog_set_unref(set);
	return r;
}
