/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects that cannot be opened as they are. Of an attested one the front is missing: it is asked for (fs/objects/front.c), and the open
 * goes on. Of unattested objects only the SHA-256 is known, which no part of the file can be checked against. So
 * all of it is fetched, in parallel, hashed in order behind the fetch, and only then opened. The same is done with an
 * attested one whose front nobody has: it has to have both digests then. While it is, what is in the store of it was only
 * received; nobody has its tree, so nobody reads it (object_set_tree()), and it is forgotten if the fetch fails.
 *
 * Attempts. One fetches all chunks that are absent from any source that is not excluded. If the hash
 * comes out wrong and one source served everything, that one lied; if several did, each is tried
 * alone. Chunks that an earlier daemon received count, too; if they spoil the hash, nobody is blamed and
 * all is fetched anew. When no source is left, another one may know another size (fs/objects/sizing.c).
 */
#include <stdio.h>
#include "common/log.h"
#include "common/stats.h"
#include "fs/objects/whole.h"
#include "fs/origins/quota.h"
#include "fs/origins/view.h"
#include "fs/requests/handle.h"
#include "fs/requests/opening.h"

struct opening {
	struct parked parked;
	struct fuse_file_info fi;
	bool opened; /* the kernel knows the handle */
};

/* ---- those who wait ---- */

static void destroy_opening(struct parked *parked)
{
	struct opening *opening = container_of(parked, struct opening, parked);

	if (!opening->opened)
		handle_close(opening->fi.fh);
	free(opening);
}

/* It took a while: may it still be opened? */
static int decide_again(struct weightfs *fs, const struct opening *opening)
{
	const struct handle *handle = handle_get(opening->fi.fh);
	const struct view *view = view_get(fs->views, handle->view);
	struct digest_pair digests = object_digests(handle->object);
	struct policy_decision decision;

	if (!view)
		return -EIO;
	decision = view_decide(fs, view, &digests);
	return view_refusal(&decision);
}

static void answer_waiter(struct weightfs *fs, struct parked *waiter, int error)
{
	if (unpark(fs->parking, waiter)) {
		struct opening *opening = container_of(waiter, struct opening, parked);

		if (error == 0 && waiter->request)
			error = decide_again(fs, opening);

		/* Descriptors are short here, not where it is opened. */
		if (error < 0 || !waiter->request)
			parked_answer(waiter, error == -EMFILE ? -ENFILE : error);
		else
			opening->opened = opening_reply(waiter->request, &opening->fi) == 0;
	}
	parked_unref(waiter);
}

/* With the object's lock held. */
bool whole_waits(const struct whole *whole)
{
	for (const struct parked *waiter = whole->waiters; waiter; waiter = waiter->next) {
		if (parked_waits(waiter))
			return true;
	}
	return false;
}

bool whole_is_wanted(const struct whole *whole)
{
	bool wanted;

	pthread_mutex_lock(&whole->object->lock);
	wanted = whole_waits(whole);
	pthread_mutex_unlock(&whole->object->lock);
	return wanted && !atomic_load(&whole->object->fs->stopping);
}

bool whole_goes_on(const struct whole *whole)
{
	bool over;

	pthread_mutex_lock(&whole->object->lock);
	over = turns_over(whole);
	pthread_mutex_unlock(&whole->object->lock);
	return !over && whole_is_wanted(whole);
}

bool whole_is_attested(const struct whole *whole)
{
	return object_digests(whole->object).has_fsverity;
}

void whole_note_progress(struct whole *whole)
{
	struct object *object = whole->object;
	int64_t deadline = fs_deadline(object->fs);
	struct parked *list;

	/* Later ones are put in front, so what follows LIST stays as it is. */
	pthread_mutex_lock(&object->lock);
	list = whole->waiters;
	for (struct parked *waiter = list; waiter; waiter = waiter->next)
		parked_ref(waiter);
	pthread_mutex_unlock(&object->lock);
	while (list) {
		struct parked *next = list->next;

		park_until(object->fs->parking, list, deadline);
		parked_unref(list);
		list = next;
	}
}

static void begin(struct whole *whole)
{
	(void)turns_begin(whole);
	if (!whole_is_attested(whole))
		sizing_begin(whole);
	else if (whole->emptied)
		attempt_begin(whole, whole->lied);
	else
		front_begin(whole);
}

void whole_conclude(struct whole *whole, int error)
{
	struct object *object = whole->object;
	struct parked *waiter = NULL;
	bool again = error == -ECANCELED && whole_is_wanted(whole);

	/* In the background, as no size is asked for. What was received must not be taken for what was checked. */
	if (error < 0 && !again && whole->emptied) {
		if (store_object_reset(object->store) < 0)
			log_debug("object %llu: keys stay on disk", (unsigned long long)object->id);
		whole->emptied = false;
	}
	pthread_mutex_lock(&object->lock);
	/* Somebody may have come after wanted() said that nobody was there. */
	again = error == -ECANCELED && whole_waits(whole) && !atomic_load(&object->fs->stopping);
	if (!again) {
		object->whole = NULL;
		waiter = whole->waiters;
	}
	pthread_mutex_unlock(&object->lock);
	if (again) {
		begin(whole);
		return;
	}
	if (error < 0 && error != -ECANCELED) {
		char name[DIGEST_NAME_SIZE];

		object_name(object, name);
		if (whole->message[0])
			object_set_error(object, whole->message);
		log_error_errno(error, "%s: cannot be fetched whole: %s", name,
				whole->message[0] ? whole->message :
				error == -ENOSPC  ? "it does not fit the store's size, or the disk" :
						    "no source is left");
	}
	while (waiter) {
		struct parked *next = waiter->next;

		answer_waiter(object->fs, waiter, error == -ECANCELED ? -EINTR : error);
		waiter = next;
	}
	verify_stream_free(whole->stream);
	fetch_places_unref(whole->places);
	free(whole);
	object_put(object);
}

/* ---- the verdict: on the background thread, it syncs ---- */

static int accept_result(struct whole *whole, struct verify_result *result)
{
	struct object *object = whole->object;
	struct digest_pair digests = verify_result_digests(result);
	const void *front;
	size_t len;
	int r;

	front = verify_tree_front(result->tree, &len);
	r = store_object_finish(object->store, &digests, front, len);
	if (r < 0)
		return r;
	r = store_object_set_sha256(object->store, &result->sha256);
	if (r < 0)
		return r;
	object_set_tree_of_whole(object, steal_pointer(result->tree));
	if (object->view)
		finish_if_due(object);
	else
		finish_drop_twin(object);
	return 0;
}

/* The bytes are wrong: who brought them? */
static void find_liar(struct whole *whole)
{
	struct weightfs *fs = whole->object->fs;
	uint64_t contributed = whole->contributed;
	char name[DIGEST_NAME_SIZE];

	object_name(whole->object, name);
	snprintf(whole->message, sizeof(whole->message), "the bytes received do not have this digest");
	if (whole->resumed) {
		log_warning("%s: what was received earlier does not verify; fetching it anew", name);
		whole->lied_grew = true; /* as good as: the next attempt is another one */
	} else if (contributed && !(contributed & (contributed - 1))) {
		fetch_blame(fs->fetch, (unsigned int)__builtin_ctzll(contributed), name);
		whole->lied |= contributed;
		whole->lied_grew = true;
	} else {
		whole->suspects |= contributed;
	}
}

static void next_attempt(struct whole *whole, int error)
{
	whole->alone = whole->suspects;
	if (whole->suspects) {
		uint64_t alone = whole->suspects & -whole->suspects;

		whole->suspects &= ~alone;
		attempt_begin(whole, ~alone);
	} else if (whole->lied_grew) {
		whole->lied_grew = false;
		attempt_begin(whole, whole->lied);
	} else if (turns_again(whole, error)) {
		begin(whole);
	} else if (!sizing_again(whole, error)) {
		whole_conclude(whole, error == -ENOENT ? -EIO : error);
	}
}

/* Are these the bytes? WRONG_WORD: by one digest they are, by the other not: then it is not a source that lies. */
static bool is_right(const struct digest_pair *digests, const struct verify_result *result,
		     bool *wrong_word)
{
	bool by_sha256 = digest_equal(&result->sha256, &digests->sha256);
	bool by_fsverity = digest_equal(verify_tree_fsverity(result->tree), &digests->fsverity);

	*wrong_word = digests->has_sha256 && digests->has_fsverity && by_sha256 != by_fsverity;
	return (!digests->has_sha256 || by_sha256) && (!digests->has_fsverity || by_fsverity);
}

/* On the background thread: nothing is on its way any more. */
static void end_attempt(struct work *work)
{
	struct whole *whole = container_of(work, struct whole, end_work);
	struct object *object = whole->object;
	struct verify_result result;
	int error = whole->error;

	if (store_object_complete(object->store)) {
		whole_conclude(whole, 0);
		return;
	}
	if (error == 0)
		error = verify_stream_finish(whole->stream, &result);
	if (error == 0) {
		struct digest_pair digests = object_digests(object);

		bool wrong_word;
		bool right = is_right(&digests, &result, &wrong_word);

		stats_add(right ? STAT_CHUNKS_GOOD : STAT_CHUNKS_WRONG,
			  (int64_t)chunk_count(result.size));
		if (right) {
			error = accept_result(whole, &result);
			verify_tree_free(result.tree);
			whole_conclude(whole, error);
			return;
		}
		verify_tree_free(result.tree);
		if (wrong_word) {
			knowledge_disprove(object->fs, &digests);
			snprintf(whole->message, sizeof(whole->message),
				 "what a catalog says of it does not fit the bytes");
			whole_conclude(whole, -EIO);
			return;
		}
		find_liar(whole);
		error = whole->emptied ? store_object_receive(object->store) :
					 store_object_reset(object->store);
		if (error == 0)
			error = -EIO;
	}
	next_attempt(whole, error);
}

/* Who pulls it opens nothing, and is charged nothing. */
static bool over_quota(struct parked *waiter)
{
	struct opening *opening = container_of(waiter, struct opening, parked);

	const struct handle *handle = waiter->request ? handle_get(opening->fi.fh) : NULL;

	/* Uncached it could be read chunk by chunk only. */
	if (handle && handle->share == HANDLE_PASSES)
		return true;
	return handle && quota_recheck(handle_get(opening->fi.fh)) < 0;
}

bool whole_refuse_over_quota(struct whole *whole)
{
	struct object *object = whole->object;
	struct parked *list, *kept = NULL, **last = &kept;
	bool waits;

	pthread_mutex_lock(&object->lock);
	list = steal_pointer(whole->waiters);
	pthread_mutex_unlock(&object->lock);
	while (list) {
		struct parked *waiter = list;

		list = waiter->next;
		waiter->next = NULL;
		if (over_quota(waiter)) {
			answer_waiter(object->fs, waiter, -EDQUOT);
			continue;
		}
		*last = waiter;
		last = &waiter->next;
	}
	pthread_mutex_lock(&object->lock);
	*last = whole->waiters; /* who came meanwhile */
	whole->waiters = kept;
	waits = whole->waiters;
	pthread_mutex_unlock(&object->lock);
	return waits;
}

void whole_fetch(struct object *object, uid_t uid, struct parked *waiter)
{
	struct whole *made = calloc(1, sizeof(*made)), *made_one = NULL;
	int error = made ? 0 : -ENOMEM;

	waiter->next = NULL;
	waiter->uid = object_importer(object, uid);
	pthread_mutex_lock(&object->lock);
	/* With its tree it is read chunk by chunk. */
	if (made && !object->whole && !store_object_complete(object->store) &&
	    !atomic_load(&object->tree)) {
		made_one = object->whole = steal_pointer(made);
		made_one->object = object_ref(object);
		made_one->end_work.run = end_attempt;
	}
	if (object->whole) {
		turns_join(object->whole, waiter);
		waiter->next = object->whole->waiters;
		object->whole->waiters = waiter;
		waiter = NULL;
	}
	pthread_mutex_unlock(&object->lock);
	free(made);
	if (made_one)
		begin(made_one);
	if (waiter)
		answer_waiter(object->fs, waiter, error); /* it became complete a moment ago */
}

void whole_open(struct object *object, fuse_req_t request, const struct fuse_file_info *fi)
{
	struct opening *opening = calloc(1, sizeof(*opening));
	struct weightfs *fs = object->fs;

	if (!opening) {
		handle_close(fi->fh);
		fuse_reply_err(request, ENOMEM);
		return;
	}
	parked_init(&opening->parked, request, PARKED_WAIT, destroy_opening);
	opening->fi = *fi;
	park(fs->parking, &opening->parked, fs_deadline(fs));
	whole_fetch(object, handle_get(fi->fh)->uid, &opening->parked);
}
