/* SPDX-License-Identifier: Apache-2.0 */
/* Groups, and the places of objects: what callers hold, apart from any struct fetch. */
#include "fetch/internal.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>

/* NAME is whose CA_FILE it is, in messages. */
static int group_new(const char *name, int priority, bool allow_http, bool allow_private,
		     const char *ca_file, struct fetch_group **out)
{
	struct fetch_group *group = calloc(1, sizeof(*group));
	const char *reason;

	if (!group)
		return -ENOMEM;
	atomic_init(&group->refs, 1);
	group->priority = priority;
	group->terms.allow_http = allow_http;
	group->terms.allow_private = allow_private;
	group->name = strdup(name);
	if (!group->name) {
		fetch_group_unref(group);
		return -ENOMEM;
	}
	/* Read now: later the process may see less of the filesystem. */
	reason = ca_file ? terms_read_ca(&group->terms, ca_file) : NULL;
	if (reason) {
		log_error("%s: %s: %s", name, ca_file, reason);
		fetch_group_unref(group);
		return -EINVAL;
	}
	*out = group;
	return 0;
}

int group_of_source(const struct fetch_source *from, struct fetch_group **out)
{
	struct fetch_group *group;
	int r = group_new(from->name, from->priority, from->allow_http, from->allow_private,
			  from->ca_file, &group);

	if (r == 0 && from->header_file) {
		r = headers_read(from->header_file, &group->terms.headers);
		if (r < 0)
			fetch_group_unref(group);
	}
	if (r == 0)
		*out = group;
	return r;
}

static int set_authorization(struct fetch_group *group, const char *value)
{
	_cleanup_free_ char *line = NULL;
	const char *reason;

	if (asprintf(&line, "Authorization: %s", value) < 0)
		return -ENOMEM;
	reason = headers_add(&group->terms.headers, line);
	if (!reason)
		return 0;
	log_error("%s: the credential cannot be sent: %s", group->name, reason);
	return -EINVAL;
}

int fetch_group_new(const struct fetch_group_options *options, struct fetch_group **out)
{
	struct fetch_group *group;
	int r = group_new(options->name, options->priority, options->allow_http,
			  options->allow_private, options->ca_file, &group);

	if (r < 0)
		return r;
	group->token_challenge = options->token_challenge;
	if (options->authorization)
		r = set_authorization(group, options->authorization);
	if (r < 0) {
		fetch_group_unref(group);
		return r;
	}
	*out = group;
	return 0;
}

struct fetch_group *fetch_group_ref(struct fetch_group *group)
{
	atomic_fetch_add_explicit(&group->refs, 1, memory_order_relaxed);
	return group;
}

void fetch_group_unref(struct fetch_group *group)
{
	if (!group || atomic_fetch_sub(&group->refs, 1) != 1)
		return;
	terms_destroy(&group->terms);
	free(group->name);
	free(group);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_headers(const struct curl_slist *a, const struct curl_slist *b)
{
	while (a && b && !strcmp(a->data, b->data)) {
		a = a->next;
		b = b->next;
	}
	return !a && !b;
}

bool group_same(const struct fetch_group *a, const struct fetch_group *b)
{
	const struct terms *x = &a->terms, *y = &b->terms;

	return a == b || (!strcmp(a->name, b->name) && a->priority == b->priority &&
			  a->token_challenge == b->token_challenge &&
			  x->allow_http == y->allow_http && x->allow_private == y->allow_private &&
			  same_text(x->ca, y->ca) && same_headers(x->headers, y->headers));
}

struct lease *lease_ref(struct lease *lease)
{
	atomic_fetch_add_explicit(&lease->refs, 1, memory_order_relaxed);
	return lease;
}

void lease_unref(struct lease *lease)
{
	if (lease && atomic_fetch_sub(&lease->refs, 1) == 1)
		free(lease);
}

/* ---- places ---- */

static int copy(const struct fetch_place *from, struct place *to)
{
	to->group = fetch_group_ref(from->group);
	to->owner = from->owner;
	to->object.url = from->url ? strdup(from->url) : NULL;
	to->tree.url = from->tree ? strdup(from->tree) : NULL;
	return (from->url && !to->object.url) || (from->tree && !to->tree.url) ? -ENOMEM : 0;
}

static void drop(struct target *target)
{
	lease_unref(target->lease);
	free(target->url);
}

int fetch_places_new(const struct fetch_place *places, size_t n, struct fetch_places **out)
{
	struct fetch_places *copies;

	if (n > FETCH_PLACES_MAX)
		return -E2BIG;
	copies = calloc(1, sizeof(*copies) + n * sizeof(copies->list[0]));
	if (!copies)
		return -ENOMEM;
	atomic_init(&copies->refs, 1);
	while (copies->n < n) {
		size_t i = copies->n++;

		if (copy(&places[i], &copies->list[i])) {
			fetch_places_unref(copies);
			return -ENOMEM;
		}
	}
	*out = copies;
	return 0;
}

struct fetch_places *fetch_places_ref(struct fetch_places *places)
{
	if (places)
		atomic_fetch_add_explicit(&places->refs, 1, memory_order_relaxed);
	return places;
}

void fetch_places_unref(struct fetch_places *places)
{
	if (!places || atomic_fetch_sub(&places->refs, 1) != 1)
		return;
	for (size_t i = 0; i < places->n; i++) {
		fetch_group_unref(places->list[i].group);
		drop(&places->list[i].object);
		drop(&places->list[i].tree);
	}
	free(places);
}
