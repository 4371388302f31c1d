/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States of a probe: asking (request_size → request_proof → check, again from the start without the source
 * that lied) → done. A found one leaves the table; one that was not is remembered until
 * `forget_ms`. Lookups may join while it is asking.
 */
#include "fs/probe.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>
#include "common/clock.h"
#include "common/log.h"
#include "fs/object.h"
#include "fs/ops.h"

#define PROBE_MS        5000  /* a LOOKUP waits that long */
#define ABSENT_MS       30000 /* every source said no */
#define UNREACHABLE_MS  3000  /* or none could say */
#define REMEMBERED_MAX  1024  /* before old answers are cleared away */
#define BIG_FRONT       ((uint64_t)1 << 20) /* of 16 GiB; only one such is in memory at a time */

struct lookup {
	struct parked parked;
	uint32_t view;
	struct lookup *next;
};

struct probe {
	struct weightfs *fs;
	struct digest_name name;
	struct lookup *lookups; /* protected by the table's lock, like the next three */
	bool asking;
	int error;
	int64_t forget_ms;
	char message[FETCH_MESSAGE_SIZE]; /* written while asking, by one thread at a time */

	/* While asking: the step's thread. */
	struct fetch_request request;
	struct work work;
	uint64_t size, excluded;
	unsigned int size_source, proof_source;
	void *proof;      /* the front (malloc) or the only chunk (pool) */
	int proof_error;
	bool big;              /* it is the one that has a big front on its way */
	struct probe *next_big; /* protected by the table's lock */
	UT_hash_handle hh; /* protected by the table's lock */
};

struct probes {
	pthread_mutex_t lock;
	struct probe *table;        /* protected by lock */
	bool fetching_big;          /* protected by lock: one probe has a big front on its way */
	struct probe *big, **last_big; /* protected by lock: those that wait for their turn */
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
	probes->last_big = &probes->big;
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
		/* One that still waited for its turn: its lookups were answered by the lot. */
		for (struct lookup *lookup = probe->lookups, *following; lookup; lookup = following) {
			following = lookup->next;
			parked_unref(&lookup->parked);
		}
		free(probe);
	}
	pthread_mutex_destroy(&probes->lock);
	free(probes);
}

/* ---- the answer ---- */

/* INFO is NULL unless ERROR is 0. */
static void answer_lookups(struct weightfs *fs, struct lookup *lookup, int error,
			   const struct store_info *info)
{
	while (lookup) {
		struct lookup *next = lookup->next;

		if (unpark(fs->parking, &lookup->parked)) {
			if (error < 0)
				fuse_reply_err(lookup->parked.request, -error);
			else
				ops_reply_object(fs, lookup->parked.request, lookup->view, info);
		}
		parked_unref(&lookup->parked);
		lookup = next;
	}
}

static void ask_size(struct probe *probe);

/* With the lock held. */
static bool somebody_waits(const struct probe *probe)
{
	for (const struct lookup *lookup = probe->lookups; lookup; lookup = lookup->next) {
		if (parked_waits(&lookup->parked))
			return true;
	}
	return false;
}

/* It is over, or, when it was given up and somebody came, begins again. */
static void conclude(struct probe *probe, int error, const struct store_info *info)
{
	struct weightfs *fs = probe->fs;
	struct lookup *lookups;

	pthread_mutex_lock(&fs->probes->lock);
	if (error == -ECANCELED && somebody_waits(probe) && !atomic_load(&fs->stopping)) {
		/* Who came after wanted() said that nobody was there. */
		pthread_mutex_unlock(&fs->probes->lock);
		ask_size(probe);
		return;
	}
	lookups = steal_pointer(probe->lookups);
	probe->asking = false;
	probe->error = error;
	probe->forget_ms = clock_ms() + (error == -ENOENT ? ABSENT_MS : UNREACHABLE_MS);
	/* Found, or given up before there was an answer: there is nothing to remember. */
	if (error == 0 || error == -ECANCELED) {
		HASH_DEL(fs->probes->table, probe);
		free(probe);
	}
	pthread_mutex_unlock(&fs->probes->lock);
	answer_lookups(fs, lookups, error == -ECANCELED ? -EINTR : error, info);
}

/* ---- asking ---- */

static void size_done(struct fetch_request *request, const struct fetch_result *result);
static void proof_chunk(struct fetch_request *request, uint64_t index, void *buffer, size_t len,
			unsigned int source);
static void proof_done(struct fetch_request *request, const struct fetch_result *result);

static bool wanted(struct fetch_request *request)
{
	struct probe *probe = container_of(request, struct probe, request);
	bool waits;

	pthread_mutex_lock(&probe->fs->probes->lock);
	waits = somebody_waits(probe);
	pthread_mutex_unlock(&probe->fs->probes->lock);
	return waits && !atomic_load(&probe->fs->stopping);
}

static const struct fetch_ops size_ops = { .wanted = wanted, .done = size_done };
static const struct fetch_ops proof_ops = {
	.chunk = proof_chunk,
	.wanted = wanted,
	.done = proof_done,
};

static void ask(struct probe *probe, enum fetch_kind kind, uint64_t size,
		const struct fetch_ops *ops)
{
	probe->request = (struct fetch_request){
		.kind = kind,
		.ops = ops,
		.digests = digest_pair_of(&probe->name),
		.size = size,
		.count = kind == FETCH_CHUNKS ? 1 : 0,
		.excluded = probe->excluded,
	};
	fetch_submit(probe->fs->fetch, &probe->request);
}

static void ask_size(struct probe *probe)
{
	ask(probe, FETCH_SIZE, 0, &size_ops);
}

/* Whose answers did not fit together? Both are left out, and asked again if it was the same one. */
static void reject(struct probe *probe)
{
	char name[DIGEST_NAME_SIZE], what[DIGEST_NAME_SIZE + 32];

	digest_name_format(&probe->name, name);
	snprintf(what, sizeof(what), "%s size and tree", name);
	if (probe->size_source == probe->proof_source)
		fetch_blame(probe->fs->fetch, probe->size_source, what);
	probe->excluded |= (uint64_t)1 << probe->size_source | (uint64_t)1 << probe->proof_source;
	snprintf(probe->message, sizeof(probe->message), "size or tree do not fit the digest");
	ask_size(probe);
}

static int fetch_failure(struct probe *probe, const struct fetch_result *result)
{
	if (result->message[0])
		snprintf(probe->message, sizeof(probe->message), "%s", result->message);
	/* Those who lied did not say that there is nothing. */
	return result->error == -ENOENT && probe->excluded ? -EIO : result->error;
}

/* ---- keeping what was found: on a verifier ---- */

/* A small object came whole. */
static int keep_chunk(struct probe *probe, const struct store_info *info)
{
	struct object *object;
	int r;

	r = object_get(probe->fs, info->id, &object);
	if (r < 0)
		return r;
	/* No room for it, say: then it will be fetched again, which is no reason to fail here. */
	if (store_object_put(object->store, 0, probe->proof, (size_t)probe->size) == 0)
		finish_if_due(object);
	object_put(object);
	return 0;
}

/* -EBADMSG: the source lied. */
static int check_proof(struct probe *probe, struct verify_tree **tree)
{
	bool small = probe->size <= CHUNK_SIZE;
	size_t len = small ? 0 : (size_t)verify_front_size(probe->size);
	int r;

	r = verify_tree_new(probe->size, &probe->name.digest, small ? NULL : probe->proof, len,
			    tree);
	if (r == 0 && small && probe->size > 0) {
		r = verify_tree_check(*tree, 0, probe->proof, (size_t)probe->size);
		if (r < 0)
			verify_tree_free(steal_pointer(*tree));
	}
	return r;
}

static void ask_big(struct probe *probe)
{
	probe->big = true;
	ask(probe, FETCH_FRONT, verify_front_size(probe->size), &proof_ops);
}

/* A big front, in turn: what sources claim must not add up to all the memory there is. */
static void queue_big(struct probe *probe)
{
	struct probes *probes = probe->fs->probes;
	bool mine;

	pthread_mutex_lock(&probes->lock);
	mine = !probes->fetching_big;
	probes->fetching_big = true;
	if (!mine) {
		probe->next_big = NULL;
		*probes->last_big = probe;
		probes->last_big = &probe->next_big;
	}
	pthread_mutex_unlock(&probes->lock);
	if (mine)
		ask_big(probe);
}

static void pass_turn(struct probe *probe)
{
	struct probes *probes = probe->fs->probes;
	struct probe *next;

	if (!probe->big)
		return;
	probe->big = false;
	pthread_mutex_lock(&probes->lock);
	next = probes->big;
	if (next)
		probes->big = next->next_big;
	if (!probes->big)
		probes->last_big = &probes->big;
	probes->fetching_big = next;
	pthread_mutex_unlock(&probes->lock);
	if (next)
		ask_big(next);
}

static void drop_proof(struct probe *probe)
{
	if (probe->size <= CHUNK_SIZE)
		pool_put(probe->fs->pool, probe->proof);
	else
		free(probe->proof);
	probe->proof = NULL;
	pass_turn(probe);
}

static void keep(struct work *work)
{
	struct probe *probe = container_of(work, struct probe, work);
	bool attested = probe->name.kind == DIGEST_FSVERITY;
	struct verify_tree *tree = NULL;
	const void *front = NULL;
	struct store_info info;
	size_t len = 0;
	int r = probe->proof_error;

	if (r == 0 && attested)
		r = check_proof(probe, &tree);
	if (r == 0 && tree)
		front = verify_tree_front(tree, &len);
	if (r == 0)
		r = store_create(probe->fs->store, &probe->name, probe->size, front, len, &info);
	if (r == 0 && attested && probe->size <= CHUNK_SIZE && probe->size > 0)
		r = keep_chunk(probe, &info);
	verify_tree_free(tree);
	drop_proof(probe);
	if (r == -EBADMSG)
		reject(probe);
	else
		conclude(probe, r, &info);
}

/* ---- on the fetch thread ---- */

static void size_done(struct fetch_request *request, const struct fetch_result *result)
{
	struct probe *probe = container_of(request, struct probe, request);
	uint64_t front;

	if (result->error < 0) {
		conclude(probe, fetch_failure(probe, result), NULL);
		return;
	}
	probe->size = result->size;
	probe->size_source = probe->proof_source = result->source;
	probe->proof_error = 0;
	front = verify_front_size(result->size);
	if (probe->name.kind == DIGEST_SHA256 || result->size == 0)
		workqueue_submit(probe->fs->verifiers, &probe->work);
	else if (result->size <= CHUNK_SIZE)
		ask(probe, FETCH_CHUNKS, result->size, &proof_ops);
	else if (front > BIG_FRONT && front <= FETCH_FRONT_MAX)
		queue_big(probe);
	else if (front <= FETCH_FRONT_MAX)
		ask(probe, FETCH_FRONT, front, &proof_ops);
	else
		reject(probe);
}

static void proof_chunk(struct fetch_request *request, uint64_t index, void *buffer, size_t len,
			unsigned int source)
{
	struct probe *probe = container_of(request, struct probe, request);

	probe->proof = buffer;
	probe->proof_source = source;
}

static void proof_done(struct fetch_request *request, const struct fetch_result *result)
{
	struct probe *probe = container_of(request, struct probe, request);

	if (result->error < 0) {
		drop_proof(probe);
		/* A size that no source has bytes for was a lie: is there another one? */
		if (result->error == -EIO && probe->size <= CHUNK_SIZE)
			reject(probe);
		else
			conclude(probe, fetch_failure(probe, result), NULL);
		return;
	}
	if (request->kind == FETCH_FRONT) {
		probe->proof_source = result->source;
		probe->proof = malloc((size_t)request->size);
		if (probe->proof)
			memcpy(probe->proof, result->front, (size_t)request->size);
		else
			probe->proof_error = -ENOMEM;
	}
	workqueue_submit(probe->fs->verifiers, &probe->work);
}

/* ---- on a FUSE thread ---- */

/* With the lock held: what is too old goes. */
static void clear_away(struct probes *probes, int64_t now)
{
	struct probe *probe, *next;

	if (HASH_COUNT(probes->table) < REMEMBERED_MAX)
		return;
	HASH_ITER(hh, probes->table, probe, next) {
		if (probe->asking || probe->forget_ms > now)
			continue;
		HASH_DEL(probes->table, probe);
		free(probe);
	}
}

/*
 * With the lock held: the probe that LOOKUP has joined, or NULL when the answer is remembered, or there is no memory (ERROR).
 * BEGUN: it is new, and the caller's to start.
 */
static struct probe *join(struct weightfs *fs, const struct digest_name *name,
			  struct lookup *lookup, bool *begun, int *error)
{
	struct probes *probes = fs->probes;
	int64_t now = clock_ms();
	struct probe *probe;

	HASH_FIND(hh, probes->table, name, sizeof(*name), probe);
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
		probe->fs = fs;
		probe->name = *name;
		probe->work.run = keep;
		HASH_ADD(hh, probes->table, name, sizeof(probe->name), probe);
	}
	if (*begun) {
		probe->asking = true;
		probe->excluded = 0;
		probe->message[0] = '\0';
	}
	lookup->next = probe->lookups;
	probe->lookups = lookup;
	return probe;
}

void probe_lookup(struct weightfs *fs, uint32_t view, const struct digest_name *name,
		  fuse_req_t request)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	struct probe *probe;
	bool begun = false;
	int error = 0;

	if (!lookup) {
		fuse_reply_err(request, ENOMEM);
		return;
	}
	parked_init(&lookup->parked, request, PARKED_WAIT, destroy_lookup);
	lookup->view = view;
	park(fs->parking, &lookup->parked, clock_ms() + PROBE_MS);

	pthread_mutex_lock(&fs->probes->lock);
	probe = join(fs, name, lookup, &begun, &error);
	pthread_mutex_unlock(&fs->probes->lock);
	if (!probe)
		answer_lookups(fs, lookup, error, NULL);
	else if (begun)
		ask_size(probe);
}

char *probe_last_error(struct weightfs *fs, const struct digest_name *name)
{
	struct probe *probe;
	char *copy = NULL;

	pthread_mutex_lock(&fs->probes->lock);
	HASH_FIND(hh, fs->probes->table, name, sizeof(*name), probe);
	if (probe && !probe->asking)
		copy = strdup(probe->message);
	pthread_mutex_unlock(&fs->probes->lock);
	return copy;
}
