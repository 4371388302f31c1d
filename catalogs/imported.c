/* SPDX-License-Identifier: Apache-2.0 */
/* What users imported, as catalogs of theirs. */
#include "catalogs/internal.h"

#include <stdio.h>
#include <string.h>
#include "catalogs/imports.h"
#include "common/log.h"

void import_block_unref(struct import_block *block)
{
	if (!block || atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) != 1)
		return;
	imports_free(block->imports, block->n);
	free(block);
}

/* How what was imported may be asked for; HOST (NULL: any) for what is GATED, or is not. */
static int group_of(const struct config *config, const struct import *import, const struct import_host *host,
		    bool gated, struct fetch_group **out)
{
	char name[CATALOG_MESSAGE_SIZE];
	struct fetch_group_options options = {
		.name = name,
		.allow_http = config->import.allow_http,
		.allow_private = config->import.allow_private,
		.ca_file = config->import.ca_file,
		.authorization = gated ? host->authorization : NULL,
		.token_challenge = host && host->token_challenge,
	};

	snprintf(name, sizeof(name), "import %s", import->name);
	return fetch_group_new(&options, out);
}

static int groups_of(const struct config *config, const struct import *import, const struct import_host *host,
		     struct import_groups *out)
{
	int r = 0;

	if (host->token_challenge)
		r = group_of(config, import, host, false, &out->open);
	if (r == 0 && host->authorization)
		r = group_of(config, import, host, true, &out->gated);
	return r;
}

void import_groups_free(struct import_groups *groups, size_t n)
{
	for (size_t i = 0; groups && i < n; i++) {
		fetch_group_unref(groups[i].open);
		fetch_group_unref(groups[i].gated);
	}
	free(groups);
}

struct fetch_group *import_group_of(const struct catalog_part *part, const char *url, bool gated)
{
	const struct import_host *host = part->import && url ? import_host_of(part->import, url) : NULL;
	const struct import_groups *groups = host ? &part->hosts[host - part->import->hosts] : NULL;

	if (gated && groups && groups->gated)
		return groups->gated;
	return groups && groups->open ? groups->open : part->catalog.group;
}

static int part_new(const struct config *config, struct import_block *block, const struct import *import,
		    struct catalog_part **out)
{
	struct catalog_part *part = calloc(1, sizeof(*part));
	struct fetch_group *group = NULL;
	int r;

	if (!part)
		return -ENOMEM;
	atomic_init(&part->references, 1);
	part->name = strdup(import->name);
	part->hosts = calloc(import->n_hosts + 1, sizeof(*part->hosts));
	r = part->name && part->hosts ? group_of(config, import, NULL, false, &group) : -ENOMEM;
	for (size_t i = 0; r == 0 && i < import->n_hosts; i++)
		r = groups_of(config, import, &import->hosts[i], &part->hosts[i]);
	if (r < 0) {
		fetch_group_unref(group);
		import_groups_free(part->hosts, import->n_hosts);
		free(part->name);
		free(part);
		return r;
	}
	atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
	part->block = block;
	part->import = import;
	part->catalog = (struct catalog){
		.name = part->name,
		.kind = CATALOG_IMPORT,
		.owner = import->owner,
		.entries = import->entries,
		.group = group,
		.refs = import->refs,
	};
	*out = part;
	return 0;
}

void import_owner_release(struct import_owner *owner)
{
	for (size_t i = 0; i < owner->n; i++)
		catalog_part_unref(owner->parts[i]);
	free(owner->parts);
	*owner = (struct import_owner){0};
}

int import_owner_load(const struct config *config, const char *path, uid_t uid, struct import_owner *out)
{
	struct import_block *block = calloc(1, sizeof(*block));
	struct import_owner owner = {.uid = uid};
	int r = -ENOMEM;

	if (!block)
		return r;
	atomic_init(&block->references, 1);
	r = imports_load(path, uid, &block->imports, &block->n); /* logs */
	if (r == 0) {
		owner.parts = calloc(block->n + 1, sizeof(struct catalog_part *));
		r = owner.parts ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < block->n && r == 0; i++) {
		r = part_new(config, block, &block->imports[i], &owner.parts[owner.n]);
		owner.n += r == 0;
	}
	import_block_unref(block);
	if (r < 0)
		import_owner_release(&owner);
	else
		*out = owner;
	return r;
}

int import_owners_load(const struct config *config, const char *path, struct import_owner **out, size_t *n)
{
	_cleanup_free_ uid_t *uids = NULL;
	struct import_owner *owners;
	size_t n_uids = 0, kept = 0;
	int r;

	r = imports_owners(path, &uids, &n_uids); /* logs */
	if (r == -ENOMEM)
		return r;
	owners = calloc(n_uids + 1, sizeof(*owners));
	if (!owners)
		return -ENOMEM;
	for (size_t i = 0; i < n_uids; i++) {
		r = import_owner_load(config, path, uids[i], &owners[kept]);
		if (r == 0)
			kept++;
		else
			log_error_errno(r, "the imports of user %u cannot be loaded", uids[i]);
	}
	*out = owners;
	*n = kept;
	return 0;
}
