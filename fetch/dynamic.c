/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources that places make: one for each (owner, group, scheme, host and port), in the numbers behind the configured ones.
 *
 * A number stands for one source as long as anybody has a lease of it but the source itself: that is, as long as the
 * places are held that were asked there. So neither a job, nor a bit in `excluded`, nor a fetch_blame() can
 * mean another than it did. When all numbers are given away, the one without such a lease that was not used for
 * longest is given to the new one, and what was known of the old one is forgotten. An owner has few numbers, and
 * all owners together half of them: however many hosts a user names, what is said to all can be fetched.
 *
 * All of this is the fetch thread's; fetch->lock is held where others may look.
 */
#include "fetch/internal.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>

static int find(const struct fetch *fetch, const struct place *place, const char *origin)
{
	for (unsigned int i = 0; i < fetch->n_sources; i++) {
		const struct source *source = &fetch->sources[i];

		if (source->origin && source->owner == place->owner && !strcmp(source->origin, origin) &&
		    group_same(source->group, place->group))
			return (int)i;
	}
	return -ENOENT;
}

static bool is_free(const struct source *source)
{
	return source->origin && source->active == 0 && atomic_load(&source->lease->refs) == 1;
}

enum whose { ANYBODYS, OWNERS, THIS_OWNERS };

static bool is_among(const struct source *source, enum whose whose, uint32_t owner)
{
	return source->origin && (whose == ANYBODYS || (whose == OWNERS && source->owner) ||
				  (whose == THIS_OWNERS && source->owner == owner));
}

static unsigned int count(const struct fetch *fetch, enum whose whose, uint32_t owner)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < fetch->n_sources; i++)
		n += is_among(&fetch->sources[i], whose, owner);
	return n;
}

/* Of whom may OWNER take the number of one that is free? */
static enum whose whose_turn(const struct fetch *fetch, uint32_t owner)
{
	if (owner && count(fetch, THIS_OWNERS, owner) >= FETCH_OWNER_NUMBERS)
		return THIS_OWNERS;
	return owner && count(fetch, OWNERS, owner) >= FETCH_OWNERS_NUMBERS ? OWNERS : ANYBODYS;
}

/* A number for one more of OWNER's, or -EBUSY. */
static int number_for_another(const struct fetch *fetch, uint32_t owner)
{
	enum whose whose = whose_turn(fetch, owner);
	int oldest = -EBUSY;

	if (whose == ANYBODYS && fetch->n_sources < FETCH_SOURCES_MAX)
		return (int)fetch->n_sources;
	for (unsigned int i = 0; i < fetch->n_sources; i++) {
		const struct source *source = &fetch->sources[i];

		if (is_among(source, whose, owner) && is_free(source) &&
		    (oldest < 0 || source->used < fetch->sources[oldest].used))
			oldest = (int)i;
	}
	return oldest;
}

static int make(struct fetch *fetch, const struct place *place, const char *origin)
{
	int number = number_for_another(fetch, place->owner);
	struct source fresh = {0}, old = {0};
	int r;

	if (number < 0)
		return number;
	fresh.owner = place->owner;
	r = source_init_dynamic(&fresh, place->group, origin, (unsigned int)number, fetch->n_transfers);
	if (r < 0) {
		source_destroy(&fresh);
		return r;
	}
	token_abandon(fetch, number);
	pthread_mutex_lock(&fetch->lock);
	if ((unsigned int)number < fetch->n_sources)
		old = fetch->sources[number];
	else
		fetch->n_sources++;
	fetch->sources[number] = fresh;
	pthread_mutex_unlock(&fetch->lock);
	source_destroy(&old);
	return number;
}

int dynamic_source(struct fetch *fetch, const struct place *place, struct target *target,
		   char message[FETCH_MESSAGE_SIZE])
{
	const struct fetch_group *group = place->group;
	_cleanup_free_ char *origin = NULL;
	struct lease *lease = target->lease;
	const char *reason;
	int number;

	if (lease && lease->source < fetch->n_sources &&
	    fetch->sources[lease->source].lease == lease) {
		fetch->sources[lease->source].used = fetch->sequence;
		return (int)lease->source;
	}
	reason = url_refused(target->url, group->terms.allow_http);
	if (reason) {
		snprintf(message, FETCH_MESSAGE_SIZE, "%s: %s", group->name, reason);
		return -EINVAL;
	}
	origin = url_origin(target->url);
	number = origin ? find(fetch, place, origin) : -ENOMEM;
	if (number == -ENOENT)
		number = make(fetch, place, origin);
	if (number == -EBUSY)
		snprintf(message, FETCH_MESSAGE_SIZE, "%s: more than %d hosts at once", group->name,
			 place->owner ? FETCH_OWNER_NUMBERS : FETCH_SOURCES_MAX);
	else if (number < 0)
		snprintf(message, FETCH_MESSAGE_SIZE, "no memory");
	if (number < 0)
		return number;
	lease_unref(target->lease);
	target->lease = lease_ref(fetch->sources[number].lease);
	fetch->sources[number].used = fetch->sequence;
	return number;
}
