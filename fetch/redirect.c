/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redirects that led to the object, kept until they are refused: hubs answer with signed URLs and
 * limit how often one may ask, and a model is hundreds of requests.
 */
#include "fetch/internal.h"

#include <string.h>

/* No memory for the map: the entry is not kept, that is all. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct redirect {
	char *url, *target;
	UT_hash_handle hh;
};

static void drop(struct source *source, struct redirect *redirect)
{
	HASH_DEL(source->redirects, redirect);
	free(redirect->url);
	free(redirect->target);
	free(redirect);
}

static struct redirect *find(const struct source *source, const char *url)
{
	struct redirect *found;

	HASH_FIND_STR(source->redirects, url, found);
	return found;
}

const char *redirect_find(const struct source *source, const char *url)
{
	struct redirect *found = find(source, url);

	return found ? found->target : NULL;
}

void redirect_forget(struct source *source, const char *url)
{
	struct redirect *found = find(source, url);

	if (found)
		drop(source, found);
}

void redirect_keep(struct source *source, const char *url, const char *target)
{
	struct redirect *kept = find(source, url);

	if (kept && !strcmp(kept->target, target))
		return;
	if (kept)
		drop(source, kept);
	else if (HASH_COUNT(source->redirects) >= FETCH_REDIRECTS_KEPT)
		drop(source, source->redirects);
	kept = calloc(1, sizeof(*kept));
	if (!kept)
		return;
	kept->url = strdup(url);
	kept->target = strdup(target);
	if (kept->url && kept->target) {
		HASH_ADD_KEYPTR(hh, source->redirects, kept->url, strlen(kept->url), kept);
		if (kept->hh.tbl)
			return;
	}
	free(kept->url);
	free(kept->target);
	free(kept);
}

void redirect_forget_all(struct source *source)
{
	while (source->redirects)
		drop(source, source->redirects);
}
