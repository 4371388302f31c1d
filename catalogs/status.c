/* SPDX-License-Identifier: Apache-2.0 */
/* How catalogs are, for people. */
#include "catalogs/internal.h"

#include "common/log.h"

#define DISAGREEMENTS_SHOWN 20

/* ---- disagreements ---- */

static void log_disagreements(size_t n, const json_t *some)
{
	const json_t *first = json_array_get(some, 0);

	log_warning("catalogs disagree about %zu objects, for which none of them is believed: %s (catalog %s, line %" JSON_INTEGER_FORMAT
		    ")", n, json_string_value(json_object_get(first, "digest")),
		    json_string_value(json_object_get(first, "catalog")),
		    json_integer_value(json_object_get(first, "line")));
}

void catalogs_compare(struct catalogs *catalogs)
{
	json_t *some = json_array();
	struct catalog_set *set;
	uint64_t changes;
	bool news;
	size_t n;

	pthread_mutex_lock(&catalogs->lock);
	changes = catalogs->changes;
	set = catalogs->compared == changes ? NULL : catalog_set_ref(catalogs->set);
	pthread_mutex_unlock(&catalogs->lock);
	if (!set || !some) {
		catalog_set_unref(set);
		json_decref(some);
		return;
	}
	n = catalog_set_disagreements(set, &catalogs->stop, DISAGREEMENTS_SHOWN, some);
	catalog_set_unref(set);
	pthread_mutex_lock(&catalogs->lock);
	news = n > 0 && n != catalogs->n_disagreements;
	json_decref(catalogs->disagreements);
	catalogs->disagreements = some;
	catalogs->n_disagreements = n;
	catalogs->compared = changes;
	if (news)
		log_disagreements(n, some);
	pthread_mutex_unlock(&catalogs->lock);
}

json_t *catalogs_disagreements(struct catalogs *catalogs)
{
	json_t *value;

	if (!catalogs->followed)
		catalogs_compare(catalogs); /* nobody else does */
	pthread_mutex_lock(&catalogs->lock);
	value = json_pack("{s:I, s:o}", "count", (json_int_t)catalogs->n_disagreements, "some",
			  json_deep_copy(catalogs->disagreements));
	pthread_mutex_unlock(&catalogs->lock);
	return value;
}

/* ---- each ---- */

static void add_loaded(json_t *value, const struct catalog *catalog)
{
	const struct verify_catalog_info *info = verify_catalog_info(catalog->entries);
	char key[VERIFY_KEY_ID_SIZE];
	json_t *more;

	verify_key_id(&info->key, key);
	more = json_pack("{s:I, s:I, s:b, s:I, s:I, s:s, s:s}", "serial", (json_int_t)info->serial, "expires",
			 (json_int_t)info->expires, "expired", catalog_has_expired(catalog), "objects",
			 (json_int_t)info->n_objects, "names", (json_int_t)info->n_names, "key", key,
			 "trusted_comment", info->trusted_comment);
	json_object_update(value, more);
	json_decref(more);
}

/* With the lock held. */
static json_t *status_of(const struct configured *configured)
{
	const struct config_catalog *config = configured->config;
	const struct catalog_state *state = &configured->state;
	json_t *value = json_pack("{s:s, s:s, s:i, s:b, s:I, s:I, s:b, s:s?, s:I}", "name", config->name, "url",
				  config->url, "priority", config->priority, "here", configured->part != NULL,
				  "asked", (json_int_t)state->asked, "changed", (json_int_t)state->changed,
				  "refreshing", configured->refreshing, "problem",
				  configured->error[0] ? configured->error : NULL, "failures",
				  (json_int_t)configured->failed);

	if (value && configured->offer)
		json_object_set_new(value, "kept_back",
				    json_integer((json_int_t)verify_catalog_info(configured->coming->catalog.entries)->serial));
	if (value && configured->part)
		add_loaded(value, &configured->part->catalog);
	return value;
}

json_t *catalogs_status(struct catalogs *catalogs)
{
	json_t *list = json_array();

	pthread_mutex_lock(&catalogs->lock);
	for (size_t i = 0; i < catalogs->config->n_catalogs; i++)
		json_array_append_new(list, status_of(&catalogs->configured[i]));
	pthread_mutex_unlock(&catalogs->lock);
	return list;
}
