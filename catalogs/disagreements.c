/* SPDX-License-Identifier: Apache-2.0 */
/* What the signed catalogs of a set say against each other. */
#include "catalogs/internal.h"

static void describe(const struct catalog *catalog, const struct verify_object *object, json_t *lines)
{
	struct digest_name name = digest_pair_name(&object->digests);
	char text[DIGEST_NAME_SIZE];

	digest_name_format(&name, text);
	json_array_append_new(lines, json_pack("{s:s, s:s, s:I}", "digest", text, "catalog", catalog->name, "line",
					       (json_int_t)object->index + 2));
}

size_t catalog_set_disagreements(const struct catalog_set *set, const atomic_bool *stop, size_t max,
				 json_t *lines)
{
	size_t n = 0, signed_ones = 0;

	while (signed_ones < catalog_set_count(set) && catalog_set_get(set, signed_ones)->kind == CATALOG_SIGNED)
		signed_ones++;
	for (size_t i = 0; i < signed_ones && signed_ones > 1; i++) {
		const struct catalog *catalog = catalog_set_get(set, i);
		size_t objects = verify_catalog_info(catalog->entries)->n_objects;

		for (size_t j = 0; j < objects && !atomic_load_explicit(stop, memory_order_relaxed); j++) {
			struct verify_object object;

			verify_catalog_object(catalog->entries, j, &object);
			if (!catalog_set_contradicts(set, catalog, &object))
				continue;
			if (n++ < max)
				describe(catalog, &object, lines);
		}
	}
	return n;
}
