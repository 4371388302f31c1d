/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From "every chunk is here" to "complete": one sync of the data, one synced record. Then the audit: the
 * SHA-256 of an object that was known by its fs-verity digest only, so that it is found under both.
 */
#include <fcntl.h>
#include <stdio.h>
#include "common/log.h"
#include "fs/object.h"
#include "fs/opening.h"
#include "fs/passthrough.h"
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

static int make_complete(struct object *object, const struct digest_pair *digests)
{
	const struct verify_tree *tree = atomic_load(&object->tree);
	const void *front;
	size_t len;

	front = verify_tree_front(tree, &len);
	return store_object_finish(object->store, digests, front, len);
}

/* Read the whole file once more. Its chunks were verified: another tree means the disk lies. */
static int audit(struct object *object, const struct digest_pair *digests, const char *name)
{
	char path[64];
	_cleanup_close_ int fd = -1;
	struct verify_result result;
	bool same;
	int r;

	/* A descriptor of its own: verify_fd() moves the offset. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", store_object_fd(object->store));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = verify_fd(fd, -1, stop_when_asked, object->fs, &result);
	/* The pages that this brought are for those who read past us; copies are made from the disk. */
	if (!passthrough_active(object->fs->passthrough))
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (r < 0)
		return r;
	same = digest_equal(verify_tree_fsverity(result.tree), &digests->fsverity);
	verify_tree_free(result.tree);
	if (!same) {
		if (store_remove(object->fs->store, object->id) < 0)
			log_debug("%s: stays in the store", name);
		session_forget_names(object->fs);
		return log_error_errno(-EBADMSG, "%s: its stored bytes have changed; it was taken "
						 "out of the store", name);
	}
	return store_object_set_sha256(object->store, &result.sha256);
}

void finish_drop_twin(struct object *object)
{
	struct store *store = object->fs->store;
	uint64_t twin;

	if (store_twin(store, object->id, &twin) < 0)
		return;
	/* Both may come to this at once; the second finds that there is nothing left to do. */
	if (store_remove(store, twin > object->id ? twin : object->id) < 0)
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
		if (r < 0)
			log_error_errno(r, "%s: cannot be made complete", name);
		else
			opening_completed(object);
		object_news(object, r);
	}
	if (r == 0 && !digests.has_sha256 && store_object_size(object->store) > 0) {
		r = audit(object, &digests, name);
		if (r < 0 && r != -ECANCELED && r != -EBADMSG)
			log_error_errno(r, "%s: audit", name);
	}
	if (r == 0)
		finish_drop_twin(object);
	pthread_mutex_lock(&object->lock);
	object->finishing = false;
	pthread_mutex_unlock(&object->lock);
	object_put(object);
	free(job);
}

static bool due(struct object *object)
{
	if (store_object_complete(object->store))
		return !object_digests(object).has_sha256;
	return atomic_load(&object->tree) && store_object_full(object->store);
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
	job->work.run = run;
	job->object = object_ref(object);
	workqueue_submit(object->fs->background, &job->work);
}
