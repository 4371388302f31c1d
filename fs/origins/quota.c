/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/quota.h"

#include <inttypes.h>
#include "common/log.h"
#include "fs/objects/flight.h"
#include "fs/objects/kept.h"

/* What was said already, by object and view: once is enough, and a few collisions do no harm. */
#define SAID 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	uint64_t object;
	uint32_t view;
} said[SAID]; /* protected by lock */

static bool say_once(uint64_t object, uint32_t view)
{
	size_t at = (object * 31 + view) % SAID;
	bool first;

	pthread_mutex_lock(&lock);
	first = said[at].object != object || said[at].view != view;
	said[at].object = object;
	said[at].view = view;
	pthread_mutex_unlock(&lock);
	return first;
}

static void say_too_large(const struct ops_object *found, bool opens)
{
	char name[DIGEST_NAME_SIZE];

	if (!say_once(found->info.id, found->view->number))
		return;
	digest_name_format(&found->info.name, name);
	log_warning("%s: its %" PRIu64 " bytes do not fit the quota of %s (uid %u), %" PRIu64
		    " bytes; %s",
		    name, found->info.size, view_label(found->view), found->view->uid,
		    found->decision.quota,
		    opens ? "it is served uncached" : "it can only be had whole, and does not open");
}

/*
 * Chunks that came for those who may not keep them, and wait to be dealt with, are stored for the first who may. Those
 * that are in memory only would answer readers without ever getting to the store: they go, and are fetched again.
 */
void quota_keep_begin(struct object *object)
{
	bool first;

	pthread_mutex_lock(&object->lock);
	first = object->passing > 0 && object->keeping == 0;
	object->keeping++;
	for (struct flight *flight = first ? object->unwritten : NULL; flight; flight = flight->next)
		flight->passing = false;
	pthread_mutex_unlock(&object->lock);
	if (first)
		kept_drop(object->fs->kept, object);
}

void quota_keep_end(struct object *object)
{
	pthread_mutex_lock(&object->lock);
	object->keeping--;
	pthread_mutex_unlock(&object->lock);
}

static void pass(struct object *object, int change)
{
	pthread_mutex_lock(&object->lock);
	object->passing += (unsigned int)change;
	pthread_mutex_unlock(&object->lock);
}

static void share_begin(struct handle *handle, bool keeps)
{
	handle->share = keeps ? HANDLE_KEEPS : HANDLE_PASSES;
	if (keeps)
		quota_keep_begin(handle->object);
	else
		pass(handle->object, 1);
}

static void share_end(struct handle *handle)
{
	if (handle->share == HANDLE_KEEPS)
		quota_keep_end(handle->object);
	else
		pass(handle->object, -1);
}

/* When so many wait to be recorded, the disk is not to be had for now, and may do without. */
#define UNRECORDED_MAX 4096

struct recording {
	struct work work;
	struct weightfs *fs;
	struct store_uses uses;
};

struct sweeping {
	struct work work;
	struct weightfs *fs;
};

/* A few at a time: there may be many, and others wait for the thread. */
static void sweep(struct work *work)
{
	struct sweeping *job = container_of(work, struct sweeping, work);
	struct weightfs *fs = job->fs;

	atomic_store(&fs->sweep_waits, false);
	if (store_sweep(fs->store, 16) && !atomic_load(&fs->stopping) && !atomic_exchange(&fs->sweep_waits, true))
		workqueue_submit(fs->background, &job->work);
	else
		free(job);
}

void quota_sweep(struct weightfs *fs)
{
	struct sweeping *job;

	/* Those who come while one waits for its turn need none of their own. */
	if (!store_sweep(fs->store, 0) || atomic_exchange(&fs->sweep_waits, true))
		return;
	job = calloc(1, sizeof(*job));
	if (!job) {
		atomic_store(&fs->sweep_waits, false);
		return; /* the next one does it, too */
	}
	job->work.run = sweep;
	job->fs = fs;
	workqueue_submit(fs->background, &job->work);
}

static void record(struct work *work)
{
	struct recording *job = container_of(work, struct recording, work);
	struct weightfs *fs = job->fs;
	int r;

	r = store_record_uses(fs->store, &job->uses);
	if (r < 0)
		log_debug("who uses an object cannot be recorded: error %d", -r);
	atomic_fetch_sub(&fs->unrecorded, 1);
	free(job);
	quota_sweep(fs);
}

/* An open does not wait for the disk. */
static void record_later(struct weightfs *fs, struct store_uses *uses)
{
	struct recording *job;

	job = uses->n && atomic_load(&fs->unrecorded) < UNRECORDED_MAX ? calloc(1, sizeof(*job)) : NULL;
	if (!job) {
		store_uses_free(uses);
		return;
	}
	atomic_fetch_add(&fs->unrecorded, 1);
	*job = (struct recording){.work = {.run = record}, .fs = fs, .uses = *uses};
	workqueue_submit(fs->records, &job->work);
}

/* 0, -EDQUOT or -ENOENT; DUE is to be recorded. */
static int use(struct handle *handle, struct store_uses *due)
{
	int r;

	r = store_object_use(handle->object->store, handle->view, handle->quota, due);
	handle->charged = r == 0;
	return r;
}

int quota_open(const struct ops_object *found, struct handle *handle)
{
	/* What a view fetched itself can be checked chunk by chunk since then, whatever others called it first. */
	bool opens = found->info.name.kind == DIGEST_FSVERITY ||
		     (view_is_apart(found->view, &found->decision, found->info.gated) && !found->info.separate);
	struct store_uses due;
	int r;

	handle->view = found->view->number;
	handle->uid = found->view->uid;
	handle->quota = found->decision.quota;
	r = use(handle, &due);
	record_later(handle->object->fs, &due);
	if (r == -EDQUOT)
		say_too_large(found, opens);
	/* -ENOENT: it left the store, and who had it open opens it once more. */
	else if (r < 0 && r != -ENOENT)
		log_warning_errno(r, "who uses an object is not known");
	if (r == -EDQUOT && !opens)
		return r;
	/* What cannot be charged is not kept for whoever has to pay. */
	share_begin(handle, r == 0 || handle->quota == 0);
	return 0;
}

int quota_recheck(struct handle *handle)
{
	struct store_uses due;
	int r;

	if (handle->quota == 0 || !handle->charged)
		return 0;
	/* Anew, so that the view does not stay charged for what it does not get. */
	store_object_unuse(handle->object->store, handle->view);
	r = use(handle, &due);
	if (store_record_uses(handle->object->fs->store, &due) < 0)
		log_debug("who uses an object cannot be recorded");
	return r == -EDQUOT ? r : 0;
}

void quota_close(struct handle *handle)
{
	if (handle->share != HANDLE_UNCOUNTED)
		share_end(handle);
	if (handle->charged)
		store_object_unuse(handle->object->store, handle->view);
}
