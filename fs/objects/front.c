/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front of an attested object, which an open waits for: it is asked for, checked against the fs-verity digest, and if it is
 * wrong asked for again, without who lied. It ends when all sources have said that they have none, or said nothing for too long.
 */
#include <stdio.h>
#include "common/clock.h"
#include "common/log.h"
#include "fs/objects/whole.h"

#define FRONT_MS 30000 /* a tree that may never come is not worth more: all of the object can be had instead */

/* ---- what comes of it ---- */

/* In the background. */
static void keep(struct whole *whole, struct verify_tree *tree)
{
	struct object *object = whole->object;
	struct digest_pair digests = object_digests(object);
	struct store_info info;
	const void *front;
	size_t len;
	int r = 0;

	/* What cannot be kept is in memory as long as somebody has it open. */
	front = verify_tree_front(tree, &len);
	if (!object->view)
		r = store_create_pair(object->fs->store, &digests, store_object_size(object->store),
				      false, front, len, &info);
	if (r < 0)
		log_warning_errno(r, "object %llu: its front is not kept",
				  (unsigned long long)object->id);
	object_set_tree_of_whole(object, tree);
	whole_conclude(whole, 0);
}

/* In the background. */
static void fetch_all_of_it(struct work *work)
{
	struct whole *whole = container_of(work, struct whole, begin_work);
	int r = store_object_receive(whole->object->store);

	whole->emptied = true;
	if (r < 0)
		whole_conclude(whole, r);
	else if (whole_refuse_over_quota(whole))
		attempt_begin(whole, 0);
	else
		whole_conclude(whole, -ECANCELED);
}

/* Nobody has one: all of it is fetched. ERROR: -ECANCELED if it is not wanted any more. Any thread. */
static void fall_back(struct whole *whole, int error)
{
	char name[DIGEST_NAME_SIZE];

	if (!whole_is_wanted(whole)) {
		whole_conclude(whole, error);
		return;
	}
	object_name(whole->object, name);
	log_info("%s: no source has its tree; all of it is fetched%s%s", name,
		 whole->message[0] ? ": " : "", whole->message);
	whole->begin_work.run = fetch_all_of_it;
	workqueue_submit(whole->object->fs->background, &whole->begin_work);
}

/* ---- asking ---- */

struct front {
	struct whole *whole;
	struct work work;
	uint64_t excluded;
	int64_t until; /* clock_ms() */
	void *bytes;
	size_t len;
	unsigned int source;
};

static void done(struct fetch_request *request, const struct fetch_result *result);

static bool wanted(struct fetch_request *request)
{
	struct whole *whole = container_of(request, struct whole, request);

	return clock_ms() < whole->front->until && whole_goes_on(whole);
}

static const struct fetch_ops ops = { .wanted = wanted, .done = done };

static void ask(struct front *front)
{
	struct whole *whole = front->whole;
	struct object *object = whole->object;
	uint64_t size = verify_front_size(store_object_size(object->store));

	if (turns_begin(whole))
		front->excluded = 0;
	whole->request = (struct fetch_request){
		.kind = FETCH_FRONT,
		.ops = &ops,
		.digests = object_digests(object),
		.size = size,
		.excluded = front->excluded,
	};
	turns_address(whole, &whole->request);
	fetch_submit(object->fs->fetch, &whole->request);
}

static void end(struct front *front, struct verify_tree *tree, int error)
{
	struct whole *whole = front->whole;

	whole->front = NULL;
	free(front->bytes);
	free(front);
	if (tree)
		keep(whole, tree);
	else
		fall_back(whole, error);
}

/* In the background. */
static void check(struct work *work)
{
	struct front *front = container_of(work, struct front, work);
	struct object *object = front->whole->object;
	char name[DIGEST_NAME_SIZE], what[DIGEST_NAME_SIZE + 16];
	struct digest_pair digests = object_digests(object);
	struct verify_tree *tree;
	int r;

	r = verify_tree_new(store_object_size(object->store), &digests.fsverity, front->bytes, front->len,
			    &tree);
	if (r == 0) {
		end(front, tree, 0);
		return;
	}
	free(steal_pointer(front->bytes));
	if (r == -ENOMEM) {
		end(front, NULL, r);
		return;
	}
	object_name(object, name);
	snprintf(what, sizeof(what), "%s tree", name);
	fetch_blame(object->fs->fetch, front->source, what);
	front->excluded |= (uint64_t)1 << front->source;
	ask(front);
}

/* On the fetch thread. */
static void done(struct fetch_request *request, const struct fetch_result *result)
{
	struct whole *whole = container_of(request, struct whole, request);
	struct front *front = whole->front;

	if (result->error < 0) {
		if (result->message[0])
			snprintf(whole->message, sizeof(whole->message), "%s", result->message);
		if (clock_ms() < front->until && turns_again(whole, result->error)) {
			ask(front);
			return;
		}
		end(front, NULL, result->error);
		return;
	}
	front->source = result->source;
	front->len = result->front_len;
	front->bytes = malloc(front->len + 1);
	if (!front->bytes) {
		end(front, NULL, -ENOMEM);
		return;
	}
	/* Empty or short: then it is no tree of this object. */
	if (front->len)
		memcpy(front->bytes, result->front, front->len);
	workqueue_submit(whole->object->fs->background, &front->work);
}

void front_begin(struct whole *whole)
{
	uint64_t size = verify_front_size(store_object_size(whole->object->store));
	struct front *front = calloc(1, sizeof(*front));

	if (!front || size > FETCH_FRONT_MAX) {
		free(front);
		fall_back(whole, -ENOENT);
		return;
	}
	*front = (struct front){ .whole = whole, .work.run = check, .until = clock_ms() + FRONT_MS };
	whole->front = front;
	ask(front);
}
