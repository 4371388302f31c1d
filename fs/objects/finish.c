/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From "every chunk is here" to "complete": one sync of the data, one synced record. Then the audit: the
 * SHA-256 of an object that was known by its fs-verity digest only, so that it is found under both.
 */
#include <fcntl.h>
#include "common/io.h"
#include "common/log.h"
#include "fs/objects/object.h"
#include "fs/objects/scrub.h"
#include "fs/objects/separate.h"
#include "fs/requests/opening.h"
#include "fs/requests/passthrough.h"
#include "fs/session.h"

struct finishing {
	struct work work;
	struct object *object;
};

static int stop_when_asked(void *arg, uint64_t done)
{
	struct weightfs *fs = arg;

	return atomic_load(&fs->stopping) ? -ECANCELED : 0;
}

/* -ENODATA: something of it is missing now. */
static int scrub(struct object *object, const struct verify_tree *tree, bool hints_only)
{
	const struct scrub run = {
		.object = object->store,
		.tree = tree,
		.hints_only = hints_only,
		.progress = stop_when_asked,
		.arg = object->fs,
	};
	uint64_t wrong;
	int r = scrub_run(&run, &wrong);

	return r == 0 && wrong > 0 ? -ENODATA : r;
}

/* What was loaded with the object is verified first. */
static int make_complete(struct object *object, const struct digest_pair *digests)
{
	const struct verify_tree *tree;
	const void *front;
	size_t len;
	int r;

	r = object_tree(object, &tree);
	/* Who opens it sees to its tree. */
	if (r == -ENODATA || r == -EBUSY)
		return -ECANCELED;
	if (r == 0)
		r = scrub(object, tree, true);
	if (r < 0)
		return r;
	front = verify_tree_front(tree, &len);
	return store_object_finish(object->store, digests, front, len);
}

/* It is not what was verified: what is wrong goes, all of it if its chunks cannot be told apart. */
static int withdraw(struct object *object, const char *name)
{
	const struct verify_tree *tree;
	int r;

	r = object_tree(object, &tree);
	if (r == 0)
		r = scrub(object, tree, false);
	/* 0: a reader was faster, and what it dropped may even have come again. */
	if (r == 0 || r == -ENODATA || r == -ECANCELED)
		return log_error_errno(-EBADMSG, "%s: its stored bytes have changed; what is wrong "
						 "is fetched again", name);
	if (store_remove(object->fs->store, object->id) < 0)
		log_debug("%s: stays in the store", name);
	session_forget_names(object->fs);
	return log_error_errno(-EBADMSG, "%s: its stored bytes have changed; it was taken out of "
					 "the store", name);
}

/* Its bytes are those of the fs-verity digest; but not, as a catalog said, of this SHA-256. */
static int disown(struct object *object, const struct digest_pair *digests, const char *name)
{
	knowledge_disprove(object->fs, digests);
	if (object->view)
		separate_drop(object);
	else if (store_remove(object->fs->store, object->id) < 0)
		log_debug("%s: stays in the store", name);
	session_forget_names(object->fs);
	return log_error_errno(-EBADMSG, "%s: its bytes do not have this SHA-256; it was taken out of the store",
			       name);
}

/* Read the whole file once more. Its chunks were verified: another tree means the disk lies. */
static int audit(struct object *object, const struct digest_pair *digests, const char *name)
{
	/* verify_fd() moves the offset. */
	_cleanup_close_ int fd = io_reopen(store_object_fd(object->store), O_RDONLY);
	struct verify_result result;
	bool same;
	int r;

	if (fd < 0)
		return fd;
	r = verify_fd(fd, -1, stop_when_asked, object->fs, &result);
	/* The pages that this brought are for those who read past us; copies are made from the disk. */
	if (!passthrough_active(object->fs->passthrough))
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (r < 0)
		return r;
	same = digest_equal(verify_tree_fsverity(result.tree), &digests->fsverity);
	verify_tree_free(result.tree);
	if (!same)
		return withdraw(object, name);
	if (digests->has_sha256 && !digest_equal(&result.sha256, &digests->sha256))
		return disown(object, digests, name);
	return store_object_set_sha256(object->store, &result.sha256);
}

/* Is its SHA-256 unknown, or only somebody's word? */
static bool needs_audit(struct object *object)
{
	struct store_info info;

	store_object_info(object->store, &info);
	return !info.digests.has_sha256 || info.told;
}

/* Who pinned the one means the bytes. */
static int hand_on_pin(struct store *store, uint64_t from, uint64_t to)
{
	struct store_object *heir;
	struct store_info info;
	int r;

	r = store_get(store, from, &info);
	if (r < 0 || !info.pinned)
		return r;
	r = store_object_open(store, to, &heir);
	if (r < 0)
		return r;
	r = store_object_pin(heir, true);
	store_object_close(heir);
	return r;
}

void finish_drop_twin(struct object *object)
{
	struct store *store = object->fs->store;
	uint64_t twin, younger, older;

	if (store_twin(store, object->id, &twin) < 0)
		return;
	younger = twin > object->id ? twin : object->id;
	older = twin > object->id ? object->id : twin;
	/* Both may come to this at once; the second finds that there is nothing left to do. */
	if (hand_on_pin(store, younger, older) < 0 || store_remove(store, younger) < 0)
		log_debug("object %llu: its twin stays", (unsigned long long)object->id);
}

static void run(struct work *work)
{
	struct finishing *job = container_of(work, struct finishing, work);
	struct object *object = job->object;
	struct digest_pair digests = object_digests(object);
	char name[DIGEST_NAME_SIZE];
	int r = 0;

	object_name(object, name);
	if (!store_object_complete(object->store)) {
		r = make_complete(object, &digests);
		if (r < 0 && r != -ENODATA && r != -ECANCELED)
			log_error_errno(r, "%s: cannot be made complete", name);
		else if (r == 0)
			opening_completed(object);
		/* Of what is missing now it comes again. */
		object_news(object, r == -ENODATA ? 0 : r);
	}
	if (r == 0 && needs_audit(object) && store_object_size(object->store) > 0) {
		r = audit(object, &digests, name);
		if (r < 0 && r != -ECANCELED && r != -EBADMSG)
			log_error_errno(r, "%s: audit", name);
	}
	if (r == 0 && object->view)
		separate_publish(object);
	else if (r == 0)
		finish_drop_twin(object);
	pthread_mutex_lock(&object->lock);
	object->finishing = false;
	pthread_mutex_unlock(&object->lock);
	atomic_fetch_sub(&object->fs->finishing, 1);
	/* What was found to be missing may have come while this one still ran. */
	if (r == -ENODATA)
		finish_if_due(object);
	object_put(object);
	free(job);
}

static bool due(struct object *object)
{
	if (store_object_complete(object->store))
		return needs_audit(object) || separate_is_due(object);
	return store_object_recorded(object->store) && object_digests(object).has_fsverity;
}

void finish_if_due(struct object *object)
{
	struct finishing *job;
	bool taken;

	if (!due(object))
		return;
	job = calloc(1, sizeof(*job));
	if (!job)
		return; /* the next open tries again */
	pthread_mutex_lock(&object->lock);
	taken = !object->finishing;
	object->finishing = true;
	pthread_mutex_unlock(&object->lock);
	if (!taken) {
		free(job);
		return;
	}
	atomic_fetch_add(&object->fs->finishing, 1);
	job->work.run = run;
	job->object = object_ref(object);
	workqueue_submit(object->fs->background, &job->work);
}
