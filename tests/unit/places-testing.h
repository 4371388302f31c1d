/* SPDX-License-Identifier: Apache-2.0 */
/* Places for the tests of fetch/, and a request for the whole object that has some. */
#ifndef TESTS_UNIT_PLACES_TESTING_H
#define TESTS_UNIT_PLACES_TESTING_H

#include "tests/unit/fetch-harness.h"

static inline struct fetch_group *make_group(const char *name, int priority,
					     const char *authorization)
{
	struct fetch_group_options options = {
		.name = name,
		.priority = priority,
		.allow_http = true,
		.allow_private = true,
		.authorization = authorization,
	};
	struct fetch_group *group;

	assert_int_equal(fetch_group_new(&options, &group), 0);
	return group;
}

/* PATH below BASE, of GROUP, which is given away, as OWNER says. */
static inline struct fetch_places *make_owned_places(struct fetch_group *group, uint32_t owner,
						     const char *base, const char *path)
{
	char url[512], tree[512];
	struct fetch_place place = {.group = group, .url = url, .tree = tree, .owner = owner};
	const char *query = path + strcspn(path, "?");
	struct fetch_places *places;

	snprintf(url, sizeof(url), "%s/%s", base, path);
	snprintf(tree, sizeof(tree), "%s/%.*s.tree%s", base, (int)(query - path), path, query);
	assert_int_equal(fetch_places_new(&place, 1, &places), 0);
	fetch_group_unref(group);
	return places;
}

static inline struct fetch_places *make_places(struct fetch_group *group, const char *base,
					       const char *path)
{
	return make_owned_places(group, 0, base, path);
}

/* All of the object; the error. */
static inline int get(struct bed *bed, struct fetch_places *places, struct sink *sink)
{
	sink_init(sink, bed, FETCH_CHUNKS);
	sink->request.places = places;
	sink_run(sink);
	if (sink->result.error == 0)
		sink_assert_good(sink);
	sink_destroy(sink);
	return sink->result.error;
}

#endif
