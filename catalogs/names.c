/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of the policy that are names of catalogs. Only configured ones count: what users import is nothing to the policy. */
#include "catalogs/internal.h"

#include <string.h>
#include "common/log.h"

const struct policy_names *catalogs_policy_names(struct catalogs *catalogs)
{
	return &catalogs->names;
}

struct finding {
	int (*found)(void *arg, const struct digest_name *name);
	void *arg;
};

static int find_both(void *arg, const char *name, const struct verify_object *object)
{
	const struct finding *finding = arg;
	const struct digest_pair *digests = &object->digests;
	int r = 0;

	if (digests->has_sha256)
		r = finding->found(finding->arg, &(struct digest_name){DIGEST_SHA256, digests->sha256});
	if (r == 0 && digests->has_fsverity)
		r = finding->found(finding->arg, &(struct digest_name){DIGEST_FSVERITY, digests->fsverity});
	return r;
}

/* -ENOENT: it is not configured. */
static int find_configured(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_catalogs; i++) {
		if (strcmp(config->catalogs[i].name, name) == 0)
			return (int)i;
	}
	return -ENOENT;
}

int catalog_names_each(void *arg, const char *catalog, const char *pattern,
		       int (*found)(void *found_arg, const struct digest_name *name), void *found_arg)
{
	struct catalogs *catalogs = arg;
	struct finding finding = {found, found_arg};
	struct catalog_part *part;
	int r;

	r = find_configured(catalogs->config, catalog);
	if (r < 0)
		return r;
	/* What is offered: it comes into use when the policy that is made of it is in force. */
	pthread_mutex_lock(&catalogs->lock);
	part = catalogs_newest(&catalogs->configured[r]);
	pthread_mutex_unlock(&catalogs->lock);
	/* Configured, and not here: nobody knows what it will say. */
	r = part ? verify_catalog_match(part->catalog.entries, pattern, find_both, &finding) : -EAGAIN;
	catalog_part_unref(part);
	return r;
}

/* ---- for who needs them perhaps ---- */

struct catalogs *catalogs_later_get(struct catalogs_later *later)
{
	if (!later->catalogs && catalogs_new(later->config, later->path, &later->catalogs) < 0)
		return NULL;
	return later->catalogs;
}

/* Without a configured one of that name nothing has to be loaded. */
static int each_later(void *arg, const char *catalog, const char *pattern,
		      int (*found)(void *found_arg, const struct digest_name *name), void *found_arg)
{
	struct catalogs_later *later = arg;
	int r = find_configured(later->config, catalog);

	if (r < 0)
		return r;
	if (!catalogs_later_get(later))
		return -ENOMEM;
	return catalog_names_each(later->catalogs, catalog, pattern, found, found_arg);
}

void catalogs_later_init(struct catalogs_later *later, const struct config *config, const char *path)
{
	*later = (struct catalogs_later){
		.config = config,
		.path = path,
		.names = {each_later, later},
	};
}

void catalogs_later_release(struct catalogs_later *later)
{
	catalogs_free(later->catalogs);
	later->catalogs = NULL;
}
