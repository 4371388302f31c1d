/* SPDX-License-Identifier: Apache-2.0 */
/* Gateways of IPFS, as sources of what catalogs name by "ipfs://" URLs. */
#include "catalogs/internal.h"

#include <string.h>
#include "catalogs/ipfs.h"

struct catalog_gateways {
	atomic_uint references;
	struct fetch_group *group;
	char *urls[CONFIG_GATEWAYS_MAX];
	size_t n;
};

int catalog_gateways_new(const struct config *config, struct catalog_gateways **out)
{
	const struct fetch_group_options options = {
		.name = "IPFS",
		.allow_http = config->ipfs.allow_http,
		.allow_private = config->ipfs.allow_private,
		.ca_file = config->ipfs.ca_file,
	};
	struct catalog_gateways *gateways = calloc(1, sizeof(*gateways));
	int r;

	if (!gateways)
		return -ENOMEM;
	atomic_init(&gateways->references, 1);
	r = fetch_group_new(&options, &gateways->group); /* logs */
	for (size_t i = 0; i < config->ipfs.n_gateways && r == 0; i++) {
		gateways->urls[i] = strdup(config->ipfs.gateways[i]);
		r = gateways->urls[i] ? 0 : -ENOMEM;
		gateways->n += r == 0;
	}
	if (r < 0)
		catalog_gateways_unref(gateways);
	else
		*out = gateways;
	return r;
}

struct catalog_gateways *catalog_gateways_ref(struct catalog_gateways *gateways)
{
	if (gateways)
		atomic_fetch_add_explicit(&gateways->references, 1, memory_order_relaxed);
	return gateways;
}

void catalog_gateways_unref(struct catalog_gateways *gateways)
{
	if (!gateways || atomic_fetch_sub_explicit(&gateways->references, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < gateways->n; i++)
		free(gateways->urls[i]);
	fetch_group_unref(gateways->group);
	free(gateways);
}

int catalog_gateways_add(const struct catalog_gateways *gateways, const char *url, bool tree,
			 uint32_t owner, struct catalog_places *places)
{
	char problem[REGISTRY_PROBLEM_SIZE];
	struct ipfs_name name;

	/* What cannot be understood is left out, as other URLs are. */
	if (!gateways || ipfs_name_parse(url + strlen("ipfs:"), &name, problem) < 0)
		return 0;
	for (size_t i = 0; i < gateways->n && places->n < places->limit; i++) {
		char *resolved = ipfs_gateway_url(gateways->urls[i], &name);

		if (!resolved)
			return -ENOMEM;
		places->urls[places->n_urls++] = resolved;
		places->places[places->n++] = (struct fetch_place){
			.group = gateways->group,
			.url = tree ? NULL : resolved,
			.tree = tree ? resolved : NULL,
			.owner = owner,
		};
	}
	return 0;
}
