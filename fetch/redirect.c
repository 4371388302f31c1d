/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redirects that led to the object, kept until they are refused: hubs answer with signed URLs and
 * limit how often one may ask, and a model is hundreds of requests.
 */
#include "fetch/internal.h"

#include <string.h>
#include <utlist.h>

struct redirect {
	uint32_t party;
	char *url, *target;
	struct redirect *prev, *next;
};

static void destroy(struct redirect *redirect)
{
	free(redirect->url);
	free(redirect->target);
	free(redirect);
}

static void drop(struct source *source, struct redirect *redirect)
{
	DL_DELETE(source->redirects, redirect);
	source->n_redirects--;
	destroy(redirect);
}

static struct redirect *find(const struct source *source, uint32_t party, const char *url)
{
	struct redirect *found;

	DL_FOREACH (source->redirects, found)
		if (found->party == party && !strcmp(found->url, url))
			return found;
	return NULL;
}

const char *redirect_find(const struct source *source, uint32_t party, const char *url)
{
	struct redirect *found = find(source, party, url);

	return found ? found->target : NULL;
}

void redirect_forget(struct source *source, uint32_t party, const char *url)
{
	struct redirect *found = find(source, party, url);

	if (found)
		drop(source, found);
}

void redirect_keep(struct source *source, uint32_t party, const char *url, const char *target)
{
	struct redirect *kept = find(source, party, url);

	if (kept && !strcmp(kept->target, target))
		return;
	if (kept)
		drop(source, kept);
	else if (source->n_redirects >= FETCH_REDIRECTS_KEPT)
		drop(source, source->redirects);
	kept = calloc(1, sizeof(*kept));
	if (!kept)
		return; /* it is asked for again next time, that is all */
	kept->party = party;
	kept->url = strdup(url);
	kept->target = strdup(target);
	if (!kept->url || !kept->target) {
		destroy(kept);
		return;
	}
	DL_APPEND(source->redirects, kept);
	source->n_redirects++;
}

void redirect_forget_all(struct source *source)
{
	while (source->redirects)
		drop(source, source->redirects);
}
