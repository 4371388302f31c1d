/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/objects/inquiry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "common/log.h"
#include "fs/objects/object.h"
#include "fs/objects/separate.h"
#include "fs/origins/quota.h"

#define BIG_FRONT ((uint64_t)1 << 20) /* of 16 GiB; only one such is in memory at a time */
#define TREE_MAX  (BIG_FRONT + VERIFY_DESCRIPTOR_SIZE)
#define HELD_MAX  ((size_t)8 << 20)

/* Bytes of bare trees that are kept while their objects' sizes are asked for. */
static atomic_size_t held;

static void tree_done(struct fetch_request *request, const struct fetch_result *result);
static void size_done(struct fetch_request *request, const struct fetch_result *result);
static void proof_chunk(struct fetch_request *request, uint64_t index, void *buffer, size_t len,
			unsigned int source);
static void proof_done(struct fetch_request *request, const struct fetch_result *result);

static bool wanted(struct fetch_request *request)
{
	struct inquiry *inquiry = container_of(request, struct inquiry, request);

	return inquiry->wanted(inquiry);
}

static const struct fetch_ops tree_ops = { .wanted = wanted, .done = tree_done };
static const struct fetch_ops size_ops = { .wanted = wanted, .done = size_done };
static const struct fetch_ops proof_ops = {
	.chunk = proof_chunk,
	.wanted = wanted,
	.done = proof_done,
};

static void ask(struct inquiry *inquiry, enum fetch_kind kind, uint64_t size,
		const struct fetch_ops *ops)
{
	inquiry->request = (struct fetch_request){
		.kind = kind,
		.ops = ops,
		.digests = digest_pair_of(&inquiry->name),
		.size = size,
		.count = kind == FETCH_CHUNKS ? 1 : 0,
		.excluded = inquiry->excluded,
		.party = inquiry->view,
		.demanded = true, /* a LOOKUP waits for it, and not for long */
	};
	fetch_submit(inquiry->fs->fetch, &inquiry->request);
}

static void ask_size(struct inquiry *inquiry)
{
	ask(inquiry, FETCH_SIZE, 0, &size_ops);
}

static void begin(struct inquiry *inquiry)
{
	inquiry->certified = false;
	if (inquiry->name.kind == DIGEST_FSVERITY)
		ask(inquiry, FETCH_FRONT, TREE_MAX, &tree_ops);
	else
		ask_size(inquiry);
}

/* Whose answers did not fit together? Both are left out, and asked again if it was the same one. */
static void reject(struct inquiry *inquiry)
{
	char name[DIGEST_NAME_SIZE], what[DIGEST_NAME_SIZE + 32];

	digest_name_format(&inquiry->name, name);
	snprintf(what, sizeof(what), "%s size and tree", name);
	if (inquiry->certified)
		inquiry->size_source = inquiry->proof_source;
	if (inquiry->size_source == inquiry->proof_source)
		fetch_blame(inquiry->fs->fetch, inquiry->size_source, what);
	inquiry->excluded |= (uint64_t)1 << inquiry->size_source | (uint64_t)1 << inquiry->proof_source;
	snprintf(inquiry->message, sizeof(inquiry->message), "size or tree do not fit the digest");
	begin(inquiry);
}

static int fetch_failure(struct inquiry *inquiry, const struct fetch_result *result)
{
	if (result->message[0])
		snprintf(inquiry->message, sizeof(inquiry->message), "%s", result->message);
	/* Those who lied did not say that there is nothing. */
	return result->error == -ENOENT && inquiry->excluded ? -EIO : result->error;
}

/* ---- keeping what was found: where waiting for the disk harms only other lookups ---- */

/* A small object came whole. No room for it, say: then it will be fetched again, which is no reason to fail here. */
static void keep_chunk(struct inquiry *inquiry, struct object *object)
{
	if (inquiry->chunk &&
	    store_object_put(object->store, 0, inquiry->chunk, (size_t)inquiry->size) == 0)
		finish_if_due(object);
}

static int keep_in_store(struct inquiry *inquiry, const struct verify_tree *tree,
			 struct store_info *info)
{
	struct object *object;
	const void *front = NULL;
	size_t len = 0;
	int r;

	if (tree)
		front = verify_tree_front(tree, &len);
	r = store_create(inquiry->fs->store, &inquiry->name, inquiry->size, front, len, info);
	quota_sweep(inquiry->fs);
	if (r < 0 || !inquiry->chunk)
		return r;
	r = object_get(inquiry->fs, info->id, &object);
	if (r < 0)
		return r;
	keep_chunk(inquiry, object);
	object_put(object);
	return 0;
}

/* Takes over TREE in success. */
static int keep_separate(struct inquiry *inquiry, struct verify_tree *tree, struct store_info *info)
{
	struct knowledge known = {
		.digests = digest_pair_of(&inquiry->name),
		.size = inquiry->size,
	};
	struct object *object;
	int r;

	r = separate_begin(inquiry->fs, inquiry->view, &inquiry->name, &known, tree, &object);
	if (r < 0)
		return r;
	keep_chunk(inquiry, object);
	store_object_info(object->store, info);
	object_put(object);
	return 0;
}

/* -EBADMSG: the source lied. */
static int check_proof(struct inquiry *inquiry, struct verify_tree **tree)
{
	bool small = inquiry->size <= CHUNK_SIZE;
	size_t len = small ? 0 : (size_t)verify_front_size(inquiry->size);
	int r;

	r = verify_tree_new(inquiry->size, &inquiry->name.digest, small ? NULL : inquiry->tree, len,
			    tree);
	if (r == 0 && small && inquiry->size > 0) {
		r = verify_tree_check(*tree, 0, inquiry->chunk, (size_t)inquiry->size);
		if (r < 0)
			verify_tree_free(steal_pointer(*tree));
	}
	return r;
}

static void ask_big(struct inquiry *inquiry)
{
	inquiry->has_turn = true;
	ask(inquiry, FETCH_FRONT, verify_front_size(inquiry->size), &proof_ops);
}

/*
 * Big fronts come in turn: what sources claim must not add up to all the memory there is. The queue is the
 * process's, like the memory.
 */
static struct {
	pthread_mutex_t lock;
	bool taken;              /* protected by lock */
	struct inquiry *waiting; /* protected by lock: in order */
} turn = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void take_turn(struct inquiry *inquiry)
{
	struct inquiry **link = &turn.waiting;
	bool mine;

	inquiry->next = NULL;
	pthread_mutex_lock(&turn.lock);
	mine = !turn.taken;
	turn.taken = true;
	while (!mine && *link)
		link = &(*link)->next;
	if (!mine)
		*link = inquiry;
	pthread_mutex_unlock(&turn.lock);
	if (mine)
		ask_big(inquiry);
}

static void pass_turn(struct inquiry *inquiry)
{
	struct inquiry *next;

	if (!inquiry->has_turn)
		return;
	inquiry->has_turn = false;
	pthread_mutex_lock(&turn.lock);
	next = turn.waiting;
	if (next)
		turn.waiting = next->next;
	turn.taken = next;
	pthread_mutex_unlock(&turn.lock);
	if (next)
		ask_big(next);
}

/* False: there is no memory, or, with a BOUND to what inquiries hold together, no more of it. */
static bool take_tree(struct inquiry *inquiry, const struct fetch_result *result, bool bound)
{
	inquiry->proof_source = result->source;
	if (result->front_len == 0)
		return true;
	if (bound && atomic_fetch_add(&held, result->front_len) + result->front_len > HELD_MAX) {
		atomic_fetch_sub(&held, result->front_len);
		return false;
	}
	inquiry->held = bound ? result->front_len : 0;
	inquiry->tree = malloc(result->front_len);
	if (!inquiry->tree)
		return false;
	memcpy(inquiry->tree, result->front, result->front_len);
	inquiry->tree_len = result->front_len;
	return true;
}

static void drop_tree(struct inquiry *inquiry)
{
	atomic_fetch_sub(&held, inquiry->held);
	inquiry->held = 0;
	free(steal_pointer(inquiry->tree));
	inquiry->tree_len = 0;
}

static void drop_proof(struct inquiry *inquiry)
{
	drop_tree(inquiry);
	pool_put(inquiry->fs->pool, steal_pointer(inquiry->chunk));
	pass_turn(inquiry);
}

static void keep(struct work *work)
{
	struct inquiry *inquiry = container_of(work, struct inquiry, work);
	struct verify_tree *tree = NULL;
	struct store_info info;
	int r = inquiry->proof_error;

	if (r == 0 && inquiry->name.kind == DIGEST_FSVERITY)
		r = check_proof(inquiry, &tree);
	if (r == 0 && inquiry->view) {
		r = keep_separate(inquiry, tree, &info);
		if (r == 0)
			tree = NULL;
	} else if (r == 0) {
		r = keep_in_store(inquiry, tree, &info);
	}
	verify_tree_free(tree);
	drop_proof(inquiry);
	if (r == -EBADMSG)
		reject(inquiry);
	else
		inquiry->ended(inquiry, r, &info);
}

/* ---- on the fetch thread ---- */

/* The size is known: is there all that proves it? */
static void prove(struct inquiry *inquiry)
{
	uint64_t front = verify_front_size(inquiry->size);
	bool here = inquiry->tree_len >= front;

	inquiry->proof_error = 0;
	if (!here || front == 0)
		drop_tree(inquiry);
	if (inquiry->name.kind == DIGEST_SHA256 || inquiry->size == 0)
		workqueue_submit(inquiry->fs->records, &inquiry->work);
	else if (inquiry->size <= CHUNK_SIZE)
		ask(inquiry, FETCH_CHUNKS, inquiry->size, &proof_ops);
	else if (here)
		workqueue_submit(inquiry->fs->records, &inquiry->work);
	else if (front > BIG_FRONT && front <= FETCH_FRONT_MAX)
		take_turn(inquiry);
	else if (front <= FETCH_FRONT_MAX)
		ask(inquiry, FETCH_FRONT, front, &proof_ops);
	else
		reject(inquiry);
}

/* Does it end with the descriptor? */
static bool certify(struct inquiry *inquiry, const struct fetch_result *result)
{
	const uint8_t *bytes = result->front;

	return result->front_len >= VERIFY_DESCRIPTOR_SIZE &&
	       verify_descriptor_check(bytes + result->front_len - VERIFY_DESCRIPTOR_SIZE,
				       &inquiry->name.digest, &inquiry->size) == 0;
}

static void tree_done(struct fetch_request *request, const struct fetch_result *result)
{
	struct inquiry *inquiry = container_of(request, struct inquiry, request);

	if (result->error < 0 && result->error != -ENOENT && result->error != -EIO) {
		inquiry->ended(inquiry, fetch_failure(inquiry, result), NULL);
		return;
	}
	/* Without a tree file it may be a small object yet. */
	if (result->error == 0) {
		inquiry->certified = certify(inquiry, result);
		(void)take_tree(inquiry, result, !inquiry->certified);
	}
	if (inquiry->certified)
		prove(inquiry);
	else
		ask_size(inquiry);
}

static void size_done(struct fetch_request *request, const struct fetch_result *result)
{
	struct inquiry *inquiry = container_of(request, struct inquiry, request);

	if (result->error < 0) {
		drop_tree(inquiry);
		inquiry->ended(inquiry, fetch_failure(inquiry, result), NULL);
		return;
	}
	inquiry->size = result->size;
	inquiry->size_source = result->source;
	if (!inquiry->tree)
		inquiry->proof_source = result->source;
	prove(inquiry);
}

static void proof_chunk(struct fetch_request *request, uint64_t index, void *buffer, size_t len,
			unsigned int source)
{
	struct inquiry *inquiry = container_of(request, struct inquiry, request);

	inquiry->chunk = buffer;
	inquiry->proof_source = source;
}

static void proof_done(struct fetch_request *request, const struct fetch_result *result)
{
	struct inquiry *inquiry = container_of(request, struct inquiry, request);

	if (result->error < 0) {
		drop_proof(inquiry);
		/* A size that no source has bytes for was a lie: is there another one? */
		if (result->error == -EIO && inquiry->size <= CHUNK_SIZE && !inquiry->certified)
			reject(inquiry);
		else
			inquiry->ended(inquiry, fetch_failure(inquiry, result), NULL);
		return;
	}
	if (request->kind == FETCH_FRONT && !take_tree(inquiry, result, false))
		inquiry->proof_error = -ENOMEM;
	else if (request->kind == FETCH_FRONT && result->front_len < request->size)
		inquiry->proof_error = -EBADMSG;
	workqueue_submit(inquiry->fs->records, &inquiry->work);
}

void inquiry_begin(struct inquiry *inquiry)
{
	inquiry->work.run = keep;
	inquiry->excluded = 0;
	inquiry->message[0] = '\0';
	begin(inquiry);
}
