/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry: which catalogs there are now. A set is made anew whenever a part of it is another one; whoever holds the one
 * before goes on with that.
 *
 * A configured one that comes is first offered: the policy is made with it, and only when that policy is in force it is
 * accepted into the set. So a name is never there before the line that denies it.
 */
#include "catalogs/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "catalogs/imports.h"
#include "common/log.h"

/* ---- the set ---- */

int catalogs_renew(struct catalogs *catalogs)
{
	size_t n = catalogs->config->n_catalogs, i = 0;
	_cleanup_free_ struct catalog_part **parts = NULL;
	struct catalog_set *set;
	int r;

	for (size_t j = 0; j < catalogs->n_owners; j++)
		n += catalogs->owners[j].n;
	parts = calloc(n + 1, sizeof(struct catalog_part *));
	if (!parts)
		return -ENOMEM;
	for (; i < catalogs->config->n_catalogs; i++)
		parts[i] = catalogs->configured[i].part;
	for (size_t j = 0; j < catalogs->n_owners; j++) {
		for (size_t k = 0; k < catalogs->owners[j].n; k++)
			parts[i++] = catalogs->owners[j].parts[k];
	}
	r = catalog_set_new(catalogs->generation + 1, catalogs->gateways, parts, n, &set);
	if (r < 0)
		return r;
	catalogs->generation++;
	catalog_set_unref(catalogs->set);
	catalogs->set = set;
	return 0;
}

/* One group for all that comes of it, so that what was learned of its servers stays. */
int catalogs_part(struct configured *configured, struct verify_catalog *entries, struct catalog_part **out)
{
	const struct config_catalog *config = configured->config;
	char name[CATALOG_MESSAGE_SIZE];
	struct fetch_group_options options = {
		.name = name,
		.priority = config->priority,
		.allow_http = config->allow_http,
		.allow_private = config->allow_private,
		.ca_file = config->ca_file,
	};
	int r = 0;

	snprintf(name, sizeof(name), "catalog %s", config->name);
	if (!configured->group)
		r = fetch_group_new(&options, &configured->group); /* logs */
	if (r == 0)
		r = catalog_part_new(config, entries, configured->group, out);
	if (r < 0)
		verify_catalog_unref(entries);
	return r;
}

void catalogs_offer(struct catalogs *catalogs, struct configured *configured, struct catalog_part *part)
{
	struct catalog_part *before;

	pthread_mutex_lock(&catalogs->lock);
	before = configured->coming;
	configured->coming = part;
	configured->offer = ++catalogs->offers;
	pthread_mutex_unlock(&catalogs->lock);
	catalog_part_unref(before); /* not with the lock held: a large one takes a while */
}

struct catalog_part *catalogs_newest(const struct configured *configured)
{
	struct catalog_part *part = configured->offer ? configured->coming : configured->part;

	return part ? catalog_part_ref(part) : NULL;
}

uint64_t catalogs_offered(struct catalogs *catalogs)
{
	uint64_t offered;

	pthread_mutex_lock(&catalogs->lock);
	offered = catalogs->offers;
	pthread_mutex_unlock(&catalogs->lock);
	return offered;
}

/* Each that was offered by then changes places with what is in use; how many. With the lock held. */
static size_t swap_offered(struct catalogs *catalogs, uint64_t offered)
{
	size_t n = 0;

	for (size_t i = 0; i < catalogs->config->n_catalogs; i++) {
		struct configured *configured = &catalogs->configured[i];
		struct catalog_part *before = configured->part;

		if (!configured->offer || configured->offer > offered)
			continue;
		configured->part = configured->coming;
		configured->coming = before;
		n++;
	}
	return n;
}

/* They are in the set now. With the lock held, and the set before referenced, so that nothing large is freed. */
static void settle(struct catalogs *catalogs, uint64_t offered)
{
	for (size_t i = 0; i < catalogs->config->n_catalogs; i++) {
		struct configured *configured = &catalogs->configured[i];

		if (!configured->offer || configured->offer > offered)
			continue;
		catalog_part_unref(configured->coming);
		configured->coming = NULL;
		configured->offer = 0;
		configured->warned = false;
		log_info("catalog %s: serial %" PRIu64 " is in use", configured->config->name,
			 verify_catalog_info(configured->part->catalog.entries)->serial);
	}
	catalogs->changes++;
	pthread_cond_broadcast(&catalogs->woken);
}

void catalogs_accept(struct catalogs *catalogs, uint64_t offered)
{
	struct catalog_set *before;
	int r = 0;

	pthread_mutex_lock(&catalogs->lock);
	before = catalog_set_ref(catalogs->set);
	if (swap_offered(catalogs, offered) > 0) {
		r = catalogs_renew(catalogs);
		if (r < 0)
			(void)swap_offered(catalogs, offered);
		else
			settle(catalogs, offered);
	}
	pthread_mutex_unlock(&catalogs->lock);
	catalog_set_unref(before); /* not with the lock held: a large one takes a while */
	if (r < 0)
		log_error_errno(r, "catalogs that came are not in use yet");
}

void catalogs_changed(struct catalogs *catalogs, bool configured)
{
	if (catalogs->changed)
		catalogs->changed(catalogs->arg, configured);
	else if (configured)
		catalogs_accept(catalogs, UINT64_MAX);
}

struct catalog_set *catalogs_get(struct catalogs *catalogs)
{
	struct catalog_set *set;

	pthread_mutex_lock(&catalogs->lock);
	set = catalog_set_ref(catalogs->set);
	pthread_mutex_unlock(&catalogs->lock);
	return set;
}

int catalogs_import_changed(struct catalogs *catalogs, uid_t uid)
{
	struct import_owner loaded, before = {.uid = uid};
	struct import_owner *grown;
	struct catalog_set *set;
	bool overtaken = false;
	uint64_t load;
	size_t i;
	int r;

	pthread_mutex_lock(&catalogs->lock);
	load = ++catalogs->loads;
	pthread_mutex_unlock(&catalogs->lock);
	if (!catalogs->config->import.enabled)
		return 0;
	r = import_owner_load(catalogs->config, catalogs->path, uid, &loaded);
	if (r < 0)
		return log_error_errno(r, "the imports of user %u cannot be loaded", uid);
	loaded.load = load;
	pthread_mutex_lock(&catalogs->lock);
	set = catalog_set_ref(catalogs->set);
	for (i = 0; i < catalogs->n_owners && catalogs->owners[i].uid != uid; i++)
		;
	if (i == catalogs->n_owners) {
		grown = reallocarray(catalogs->owners, i + 1, sizeof(*grown));
		if (grown) {
			catalogs->owners = grown;
			grown[catalogs->n_owners++] = before;
		}
		r = grown ? 0 : -ENOMEM;
	}
	if (r == 0)
		overtaken = catalogs->owners[i].load > load;
	if (r == 0 && !overtaken) {
		before = catalogs->owners[i];
		catalogs->owners[i] = loaded;
		r = catalogs_renew(catalogs);
		if (r < 0)
			catalogs->owners[i] = before;
	}
	pthread_mutex_unlock(&catalogs->lock);
	catalog_set_unref(set);
	import_owner_release(r < 0 || overtaken ? &loaded : &before);
	if (r == 0 && !overtaken)
		catalogs_changed(catalogs, false);
	return r;
}

/* ---- at the start ---- */

static void load_kept(struct catalogs *catalogs, int dir, struct configured *configured)
{
	const struct config_catalog *config = configured->config;
	struct verify_problem problem = {0};
	struct verify_catalog *entries;
	struct catalog_part *part;
	int r;

	catalog_state_read(dir, config->name, &configured->state);
	r = catalog_kept_load(dir, config, &configured->state, &catalogs->stop, &entries, &problem);
	if (r == 0)
		r = catalogs_part(configured, entries, &part);
	if (r == -ENOENT)
		return;
	if (r == 0) {
		configured->part = part;
		return;
	}
	snprintf(configured->error, sizeof(configured->error), "what is kept of it cannot be used: %s",
		 problem.text[0] ? problem.text : strerror(-r));
	log_warning("catalog %s: %s", config->name, configured->error);
}

static int begin(struct catalogs *catalogs)
{
	const struct config *config = catalogs->config;
	int dir;

	catalogs->disagreements = json_array();
	catalogs->configured = calloc(config->n_catalogs + 1, sizeof(*catalogs->configured));
	if (!catalogs->configured || !catalogs->disagreements)
		return -ENOMEM;
	dir = config->n_catalogs > 0 ? catalog_kept_open(catalogs->path, false) : -ENOENT;
	if (dir < 0 && dir != -ENOENT)
		log_warning_errno(dir, "%s/catalogs", catalogs->path);
	for (size_t i = 0; i < config->n_catalogs; i++) {
		catalogs->configured[i].config = &config->catalogs[i];
		if (dir >= 0)
			load_kept(catalogs, dir, &catalogs->configured[i]);
	}
	cleanup_close(&dir);
	if (config->import.enabled &&
	    import_owners_load(config, catalogs->path, &catalogs->owners, &catalogs->n_owners) < 0)
		return -ENOMEM;
	catalogs->changes = 1;
	return catalogs_renew(catalogs);
}

int catalogs_new(const struct config *config, const char *path, struct catalogs **out)
{
	struct catalogs *catalogs = calloc(1, sizeof(*catalogs));
	pthread_condattr_t attributes;
	int r = -ENOMEM;

	if (!catalogs)
		return r;
	pthread_mutex_init(&catalogs->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&catalogs->woken, &attributes);
	pthread_condattr_destroy(&attributes);
	catalogs->config = config;
	catalogs->names = (struct policy_names){catalog_names_each, catalogs};
	catalogs->path = strdup(path);
	if (catalogs->path && config->ipfs.n_gateways > 0) {
		r = catalog_gateways_new(config, &catalogs->gateways);
		if (r < 0 && r != -ENOMEM)
			log_error_errno(r, "[ipfs]: what only IPFS has cannot be fetched");
	}
	if (catalogs->path)
		r = begin(catalogs);
	if (r < 0) {
		catalogs_free(catalogs);
		return r;
	}
	*out = catalogs;
	return 0;
}

void catalogs_free(struct catalogs *catalogs)
{
	if (!catalogs)
		return;
	for (size_t i = 0; catalogs->configured && i < catalogs->config->n_catalogs; i++) {
		catalog_part_unref(catalogs->configured[i].part);
		catalog_part_unref(catalogs->configured[i].coming);
		fetch_group_unref(catalogs->configured[i].group);
		catalog_state_release(&catalogs->configured[i].state);
	}
	for (size_t i = 0; i < catalogs->n_owners; i++)
		import_owner_release(&catalogs->owners[i]);
	free(catalogs->owners);
	free(catalogs->configured);
	catalog_set_unref(catalogs->set);
	catalog_gateways_unref(catalogs->gateways);
	json_decref(catalogs->disagreements);
	pthread_cond_destroy(&catalogs->woken);
	pthread_mutex_destroy(&catalogs->lock);
	free(catalogs->path);
	free(catalogs);
}
