/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States of a probe: asking → done. While its inquiry asks the sources, lookups may join. A found one leaves the
 * table; one that was not is remembered until `forget_ms`.
 */
#include "fs/objects/probe.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <uthash.h>
#include "common/clock.h"
#include "common/log.h"
#include "fs/objects/inquiry.h"
#include "fs/objects/knowledge.h"
#include "fs/objects/parking.h"
#include "fs/objects/separate.h"
#include "fs/origins/quota.h"
#include "fs/requests/ops.h"

#define PROBE_MS        5000  /* a LOOKUP waits that long */
#define ABSENT_MS       30000 /* every source said no */
#define UNREACHABLE_MS  3000  /* or none could say */
#define REMEMBERED_MAX  1024  /* before old answers are cleared away, */
#define CLEAR_EVERY_MS  1000  /* at most so often */
#define REMEMBERED_ALL  16384 /* no more than these, however young */

struct lookup {
	struct parked parked;
	uint32_t view;
};

/* Without holes, as it is compared by its bytes. */
struct probe_key {
	uint32_t view; /* 0: for the store */
	struct digest_name name;
};
static_assert(sizeof(struct probe_key) == sizeof(uint32_t) + sizeof(struct digest_name), "no holes");

struct probe {
	struct probe_key key;
	struct inquiry inquiry;
	struct parked *askers; /* protected by the table's lock, like all of these */
	bool asking;
	int error;
	int64_t forget_ms;
	UT_hash_handle hh;
};

struct probes {
	pthread_mutex_t lock;
	struct probe *table; /* protected by lock: by name */
	int64_t cleared_ms;  /* protected by lock */
};

static void destroy_lookup(struct parked *parked)
{
	free(container_of(parked, struct lookup, parked));
}

int probes_new(struct probes **out)
{
	struct probes *probes = calloc(1, sizeof(*probes));

	if (!probes)
		return -ENOMEM;
	pthread_mutex_init(&probes->lock, NULL);
	*out = probes;
	return 0;
}

void probes_free(struct probes *probes)
{
	struct probe *probe, *next;

	if (!probes)
		return;
	HASH_ITER(hh, probes->table, probe, next) {
		HASH_DEL(probes->table, probe);
		/* One that still waited for its turn: its askers were answered by the lot. */
		for (struct parked *asker = probe->askers, *following; asker; asker = following) {
			following = asker->next;
			parked_unref(asker);
		}
		free(probe);
	}
	pthread_mutex_destroy(&probes->lock);
	free(probes);
}

/* ---- the answer ---- */

/* INFO is NULL unless ERROR is 0. */
static void answer_one(struct weightfs *fs, struct parked *asker, int error,
		       const struct store_info *info)
{
	if (error < 0 || !asker->request)
		parked_answer(asker, error);
	else
		ops_reply_object(fs, asker->request,
				 container_of(asker, struct lookup, parked)->view, info);
}

static void answer_all(struct weightfs *fs, struct parked *asker, int error,
		       const struct store_info *info)
{
	while (asker) {
		struct parked *next = asker->next;

		if (unpark(fs->parking, asker))
			answer_one(fs, asker, error, info);
		parked_unref(asker);
		asker = next;
	}
}

/* With the lock held. */
static bool somebody_waits(const struct probe *probe)
{
	for (const struct parked *asker = probe->askers; asker; asker = asker->next) {
		if (parked_waits(asker))
			return true;
	}
	return false;
}

/* It is over, or, when it was given up and somebody came, begins again. */
static void ended(struct inquiry *inquiry, int error, const struct store_info *info)
{
	struct probe *probe = container_of(inquiry, struct probe, inquiry);
	struct weightfs *fs = inquiry->fs;
	struct parked *askers;

	pthread_mutex_lock(&fs->probes->lock);
	if (error == -ECANCELED && somebody_waits(probe) && !atomic_load(&fs->stopping)) {
		/* Who came after wanted() said that nobody was there. */
		pthread_mutex_unlock(&fs->probes->lock);
		inquiry_begin(inquiry);
		return;
	}
	askers = steal_pointer(probe->askers);
	probe->asking = false;
	probe->error = error;
	probe->forget_ms = clock_ms() + (error == -ENOENT ? ABSENT_MS : UNREACHABLE_MS);
	/* Found, or given up before there was an answer: there is nothing to remember. */
	if (error == 0 || error == -ECANCELED || HASH_COUNT(fs->probes->table) > REMEMBERED_ALL) {
		HASH_DEL(fs->probes->table, probe);
		free(probe);
	}
	pthread_mutex_unlock(&fs->probes->lock);
	answer_all(fs, askers, error == -ECANCELED ? -EINTR : error, info);
}

static bool wanted(struct inquiry *inquiry)
{
	struct probe *probe = container_of(inquiry, struct probe, inquiry);
	struct probes *probes = inquiry->fs->probes;
	bool waits;

	pthread_mutex_lock(&probes->lock);
	waits = somebody_waits(probe);
	pthread_mutex_unlock(&probes->lock);
	return waits && !atomic_load(&inquiry->fs->stopping);
}

/* ---- what catalogs know: a record, or a separate object, is made of it ---- */

struct telling {
	struct work work;
	struct weightfs *fs;
	uint32_t view;
	struct digest_name name;
	struct knowledge known;
	struct parked *asker;
};

static int keep_apart(const struct telling *telling, struct store_info *info)
{
	struct object *object;
	int r;

	r = separate_begin(telling->fs, telling->view, &telling->name, &telling->known, NULL, &object);
	if (r < 0)
		return r;
	store_object_info(object->store, info);
	object_put(object);
	return 0;
}

static int keep_in_store(const struct telling *telling, struct store_info *info)
{
	const struct knowledge *known = &telling->known;
	struct weightfs *fs = telling->fs;
	int r;

	if (known->claimed)
		return store_create_claimed(fs->store, &known->digests, known->size, known->gated, info);
	r = store_create_pair(fs->store, &known->digests, known->size, known->gated, NULL, 0, info);
	if (r != -EINVAL)
		return r;
	r = store_lookup(fs->store, &telling->name, info);
	/* What is here was hashed, if it is not what another catalog said. */
	if (r == 0 && !info->told)
		knowledge_disprove(fs, &known->digests);
	return r;
}

/* Where waiting for the disk harms only other look-ups. */
static void tell(struct work *work)
{
	struct telling *telling = container_of(work, struct telling, work);
	struct parked *asker = telling->asker;
	struct store_info info;
	int r;

	r = telling->view ? keep_apart(telling, &info) : keep_in_store(telling, &info);
	answer_all(telling->fs, asker, r, &info);
	quota_sweep(telling->fs);
	free(telling);
}

static void tell_later(struct weightfs *fs, uint32_t view, const struct digest_name *name,
		       const struct knowledge *known, struct parked *asker)
{
	struct telling *telling = calloc(1, sizeof(*telling));

	if (!telling) {
		answer_all(fs, asker, -ENOMEM, NULL);
		return;
	}
	*telling = (struct telling){ { tell }, fs, view, *name, *known, asker };
	workqueue_submit(fs->records, &telling->work);
}

/* ---- on a FUSE thread ---- */

/* With the lock held: what is too old goes. */
static void clear_away(struct probes *probes, int64_t now)
{
	struct probe *probe, *next;

	if (HASH_COUNT(probes->table) < REMEMBERED_MAX || now < probes->cleared_ms + CLEAR_EVERY_MS)
		return;
	probes->cleared_ms = now;
	HASH_ITER(hh, probes->table, probe, next) {
		if (probe->asking || probe->forget_ms > now)
			continue;
		HASH_DEL(probes->table, probe);
		free(probe);
	}
}

/*
 * With the lock held: the probe that ASKER has joined, or NULL when the answer is remembered, or there is no memory (ERROR).
 * BEGUN: it is new, and the caller's to start.
 */
static struct probe *join(struct weightfs *fs, const struct probe_key *key,
			  struct parked *asker, bool *begun, int *error)
{
	struct probes *probes = fs->probes;
	int64_t now = clock_ms();
	struct probe *probe;

	HASH_FIND(hh, probes->table, key, sizeof(*key), probe);
	if (probe && !probe->asking && probe->forget_ms > now) {
		*error = probe->error;
		return NULL;
	}
	*begun = !probe || !probe->asking;
	if (!probe) {
		clear_away(probes, now);
		probe = calloc(1, sizeof(*probe));
		if (!probe) {
			*error = -ENOMEM;
			return NULL;
		}
		probe->key = *key;
		probe->inquiry.fs = fs;
		probe->inquiry.name = key->name;
		probe->inquiry.view = key->view;
		probe->inquiry.wanted = wanted;
		probe->inquiry.ended = ended;
		HASH_ADD(hh, probes->table, key, sizeof(*key), probe);
	}
	if (*begun)
		probe->asking = true;
	asker->next = probe->askers;
	probe->askers = asker;
	return probe;
}

void probe_ask(struct weightfs *fs, uid_t uid, uint32_t view, const struct digest_name *name,
	       struct parked *asker)
{
	struct probe_key key = { view, *name };
	struct knowledge known;
	struct probe *probe;
	bool begun = false;
	int error = 0;

	asker->next = NULL;
	if (knowledge_find(fs, uid, name, &known) == 0) {
		tell_later(fs, view, name, &known, asker);
		return;
	}
	if (fs->offline) {
		answer_all(fs, asker, -ENOENT, NULL);
		return;
	}
	pthread_mutex_lock(&fs->probes->lock);
	probe = join(fs, &key, asker, &begun, &error);
	pthread_mutex_unlock(&fs->probes->lock);
	if (!probe)
		answer_all(fs, asker, error, NULL);
	else if (begun)
		inquiry_begin(&probe->inquiry);
}

void probe_lookup(struct weightfs *fs, uint32_t view, bool separate, const struct digest_name *name,
		  fuse_req_t request)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	const struct view *of = view_get(fs->views, view);

	if (!lookup || !of) {
		free(lookup);
		fuse_reply_err(request, ENOMEM);
		return;
	}
	parked_init(&lookup->parked, request, PARKED_WAIT, destroy_lookup);
	lookup->view = view;
	park(fs->parking, &lookup->parked, clock_ms() + PROBE_MS);
	probe_ask(fs, of->uid, separate ? view : 0, name, &lookup->parked);
}

char *probe_last_error(struct weightfs *fs, const struct digest_name *name)
{
	struct probe_key key = { 0, *name };
	struct probe *probe;
	char *copy = NULL;

	pthread_mutex_lock(&fs->probes->lock);
	HASH_FIND(hh, fs->probes->table, &key, sizeof(key), probe);
	if (probe && !probe->asking)
		copy = strdup(probe->inquiry.message);
	pthread_mutex_unlock(&fs->probes->lock);
	return copy;
}
