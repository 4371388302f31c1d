/* SPDX-License-Identifier: Apache-2.0 */
/* What a loaded catalog says about objects. */
#include "verify/catalog.h"

#include <string.h>
#include "verify/catalog-internal.h"

struct verify_catalog *verify_catalog_ref(struct verify_catalog *catalog)
{
	atomic_fetch_add_explicit(&catalog->refs, 1, memory_order_relaxed);
	return catalog;
}

void verify_catalog_unref(struct verify_catalog *catalog)
{
	if (!catalog || atomic_fetch_sub_explicit(&catalog->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(catalog->trusted_comment);
	free(catalog->entries);
	free(catalog->strings);
	free(catalog->names);
	free(catalog->by_sha256);
	free(catalog->by_fsverity);
	free(catalog);
}

const struct verify_catalog_info *verify_catalog_info(const struct verify_catalog *catalog)
{
	return &catalog->info;
}

void verify_catalog_object(const struct verify_catalog *catalog, size_t index,
			   struct verify_object *out)
{
	const struct catalog_entry *entry = &catalog->entries[index];

	*out = (struct verify_object){
		.index = index,
		.digests = {entry->has_sha256, entry->has_fsverity, entry->sha256, entry->fsverity},
		.size = entry->size,
		.n_names = entry->n_names,
		.n_urls = entry->n_urls,
		.has_tree = entry->has_tree,
	};
}

int verify_catalog_find(const struct verify_catalog *catalog, const struct digest_name *name,
			struct verify_object *out)
{
	bool sha256 = name->kind == DIGEST_SHA256;
	const uint32_t *index = sha256 ? catalog->by_sha256 : catalog->by_fsverity;
	size_t low = 0, high = sha256 ? catalog->n_sha256 : catalog->n_fsverity;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct catalog_entry *entry = &catalog->entries[index[middle]];
		int r = memcmp(name->digest.bytes,
			       sha256 ? entry->sha256.bytes : entry->fsverity.bytes, DIGEST_SIZE);

		if (r == 0) {
			verify_catalog_object(catalog, index[middle], out);
			return 0;
		}
		if (r < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return -ENOENT;
}

const char *verify_object_name(const struct verify_catalog *catalog,
			       const struct verify_object *object, unsigned int i)
{
	return catalog_string(catalog, &catalog->entries[object->index], i);
}

const char *verify_object_url(const struct verify_catalog *catalog,
			      const struct verify_object *object, unsigned int i,
			      char out[VERIFY_URL_MAX + 1])
{
	return catalog_url_unpack(catalog, &catalog->entries[object->index], i, out);
}

const char *verify_object_tree(const struct verify_catalog *catalog,
			       const struct verify_object *object, char out[VERIFY_URL_MAX + 1])
{
	return catalog_url_unpack(catalog, &catalog->entries[object->index], object->n_urls, out);
}

bool verify_objects_agree(const struct verify_object *a, const struct verify_object *b)
{
	const struct digest_pair *x = &a->digests, *y = &b->digests;
	bool sha256 = x->has_sha256 && y->has_sha256, fsverity = x->has_fsverity && y->has_fsverity;
	bool same_sha256 = sha256 && digest_equal(&x->sha256, &y->sha256);
	bool same_fsverity = fsverity && digest_equal(&x->fsverity, &y->fsverity);

	if (!same_sha256 && !same_fsverity)
		return true; /* two objects */
	return a->size == b->size && same_sha256 == sha256 && same_fsverity == fsverity;
}
