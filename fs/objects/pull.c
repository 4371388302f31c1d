/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/objects/pull.h"

#include <utlist.h>
#include "common/clock.h"
#include "fs/objects/kept.h"
#include "fs/objects/probe.h"
#include "fs/objects/waiting.h"
#include "fs/origins/quota.h"

#define TICK_MS 100   /* between two looks at who waits */
#define FIND_MS 30000 /* sources are given more time than by a LOOKUP, but no more than by a READ */

/* ---- waiting as a request does ---- */

/* Until WAITING is answered. OBJECT may be NULL. */
static int wait_for_answer(struct waiting *waiting, struct object *object,
			   const struct pull_watch *watch)
{
	int r;

	while ((r = waiting_outcome(waiting, TICK_MS)) == -EAGAIN) {
		struct store_info info = { 0 };

		if (object)
			store_object_info(object->store, &info);
		r = watch->progress(watch->arg, info.present, info.size);
		if (r != 0)
			break;
	}
	waiting_free(waiting);
	return r;
}

int pull_find(struct weightfs *fs, uid_t uid, uint32_t view, const struct digest_name *name,
	      const struct pull_watch *watch)
{
	int64_t deadline = clock_ms() + FIND_MS, of_read = fs_deadline(fs);
	struct store_info info;
	struct waiting *waiting;
	int r = -ENOENT;

	if (!view)
		r = store_lookup(fs->store, name, &info);
	if (r != -ENOENT)
		return r;
	r = waiting_new(fs, of_read && of_read < deadline ? of_read : deadline, &waiting);
	if (r < 0)
		return r;
	probe_ask(fs, uid, view, name, parked_ref(waiting_parked(waiting)));
	return wait_for_answer(waiting, NULL, watch);
}

static int pull_whole(struct object *object, uid_t uid, const struct pull_watch *watch)
{
	struct waiting *waiting;
	int r;

	if (object->fs->offline)
		return -ENODATA;
	r = waiting_new(object->fs, fs_deadline(object->fs), &waiting);
	if (r < 0)
		return r;
	whole_fetch(object, uid, parked_ref(waiting_parked(waiting)));
	return wait_for_answer(waiting, object, watch);
}

/* ---- chunk by chunk ---- */

struct chunks {
	struct object *object;
	uid_t uid;
	uint64_t count;
	uint64_t from; /* all before it are here */
	uint64_t asked; /* up to there they were asked for */
};

/*
 * Ask for what follows, as far as memory goes: a run at a time, or all that is missing of it once more when nothing came for
 * a while (a chunk may have been found damaged meanwhile).
 */
static int advance(struct chunks *chunks, bool again)
{
	struct object *object = chunks->object;
	uint64_t most = pipeline_ahead_max(object), until;

	while (chunks->from < chunks->count &&
	       store_object_presence(object->store, chunks->from) == STORE_PRESENT)
		chunks->from++;
	if (chunks->from == chunks->count) {
		if (!store_object_full(object->store))
			chunks->from = 0;
		finish_if_due(object);
		return 0;
	}
	if (most == 0)
		most = 1;
	until = chunks->from + most < chunks->count ? chunks->from + most : chunks->count;
	if (!again && until < chunks->count &&
	    until < chunks->asked + fetch_run_chunks(object->fs->fetch, most))
		return 0;
	if (!again && chunks->asked == chunks->count)
		return 0;
	chunks->asked = until;
	return pipeline_pull(object, chunks->uid, (struct chunk_run){ chunks->from, until - chunks->from });
}

/* 1: there is news; 0: none in the time of a tick; -errno: a chunk cannot be had. */
static int wait_for_news(struct object *object, struct puller *puller)
{
	struct timespec until = waiting_until(TICK_MS);
	int r = 0;

	pthread_mutex_lock(&object->lock);
	while (!puller->news && r == 0)
		r = pthread_cond_timedwait(&puller->changed, &object->lock, &until);
	r = puller->error < 0 ? puller->error : puller->news;
	puller->news = false;
	pthread_mutex_unlock(&object->lock);
	return r;
}

/* A member of the object's pullers. */
static int pull_all_chunks(struct object *object, uid_t uid, struct puller *puller,
			   const struct pull_watch *watch)
{
	struct chunks chunks = { object, uid, chunk_count(store_object_size(object->store)), 0, 0 };
	int64_t deadline = fs_deadline(object->fs);
	int news = 0;

	while (!store_object_complete(object->store)) {
		struct store_info info;
		int r = advance(&chunks, news == 0);

		if (r == 0)
			r = news = wait_for_news(object, puller);
		if (r < 0)
			return r;
		store_object_info(object->store, &info);
		r = watch->progress(watch->arg, info.present, info.size);
		if (r != 0)
			return r;
		if (news)
			deadline = fs_deadline(object->fs);
		else if (deadline && clock_ms() > deadline)
			return -ETIMEDOUT;
	}
	return 0;
}

static int pull_chunks(struct object *object, uid_t uid, const struct pull_watch *watch)
{
	struct puller puller = { 0 };
	int r;

	/* It is of no use uncached. */
	r = store_object_reserve(object->store);
	if (r < 0)
		return r;
	waiting_init_condition(&puller.changed);
	pthread_mutex_lock(&object->lock);
	DL_APPEND(object->pullers, &puller);
	pthread_mutex_unlock(&object->lock);
	quota_keep_begin(object);
	/* What is in memory because there was no room when it came would never get to the store. */
	kept_drop(object->fs->kept, object);
	r = pull_all_chunks(object, uid, &puller, watch);
	quota_keep_end(object);
	pthread_mutex_lock(&object->lock);
	DL_DELETE(object->pullers, &puller);
	pthread_mutex_unlock(&object->lock);
	pthread_cond_destroy(&puller.changed);
	return r;
}

int pull_object(struct object *object, uid_t uid, const struct pull_watch *watch)
{
	const struct verify_tree *tree;
	int r;

	if (store_object_complete(object->store))
		return 0;
	/* Its front comes first, if it is all that is missing; else all of it. */
	if (object_tree(object, &tree) < 0) {
		r = pull_whole(object, uid, watch);
		if (r < 0 || store_object_complete(object->store))
			return r;
	}
	r = object_tree(object, &tree);
	return r < 0 ? -EIO : pull_chunks(object, uid, watch);
}
