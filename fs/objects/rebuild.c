/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a doubtful object:
 *
 *	the whole file has the digest that it is named by     complete
 *	else, attested                                        what is in the file are hints: each chunk is verified
 *	                                                      before it is served, as after a power cut
 *	else                                                  gone: nothing can tell good bytes from others
 *
 * Each is settled in the store by itself, so a rebuild that is killed is gone on with by the next.
 */
#include "fs/objects/rebuild.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "verify/verify.h"

#define TELL_EVERY_MS 5000
#define FAILURES_MAX  16 /* then it is not the object's fault */

struct rebuild {
	struct store *store;
	bool (*stop)(void);
	struct store_doubts doubts;
	uint64_t done, current; /* bytes of the objects before, and of this one */
	uint64_t complete, partial, removed;
	unsigned int failures;
	int error; /* of the first */
	int64_t tell_at;
};

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

static int step(struct rebuild *rebuild)
{
	if (rebuild->stop && rebuild->stop())
		return -ECANCELED;
	if (clock_ms() < rebuild->tell_at)
		return 0;
	rebuild->tell_at = clock_ms() + TELL_EVERY_MS;
	log_info("%s: rebuilding: %.0f of %.0f MiB looked at", store_path(rebuild->store),
		 mib(rebuild->done + rebuild->current), mib(rebuild->doubts.bytes));
	return 0;
}

static int heard(void *arg, uint64_t bytes)
{
	struct rebuild *rebuild = arg;

	rebuild->current = bytes;
	return step(rebuild);
}

/* Bytes that the file takes; not more than it is long. */
static uint64_t allocated(int fd)
{
	struct stat st;
	uint64_t blocks;

	if (fstat(fd, &st) < 0)
		return 0;
	blocks = (uint64_t)st.st_blocks * 512;
	return blocks < (uint64_t)st.st_size ? blocks : (uint64_t)st.st_size;
}

static int hash(struct rebuild *rebuild, struct store_object *object, struct verify_result *result)
{
	/* verify_fd() moves the offset. */
	_cleanup_close_ int fd = io_reopen(store_object_fd(object), O_RDONLY);
	int r;

	if (fd < 0)
		return fd;
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	r = verify_fd(fd, -1, heard, rebuild, result);
	/* All that is stored comes by; whose pages will be wanted is not known. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return r;
}

/* The whole file is right: what follows from it. */
static int settle(struct store_object *object, const struct verify_result *result)
{
	struct digest_pair digests = verify_result_digests(result);
	const void *front;
	size_t len;

	front = verify_tree_front(result->tree, &len);
	return store_object_settle(object, &digests, front, len);
}

/* 0: it is complete; -EBADMSG: it is not what its name says. */
static int try_whole(struct rebuild *rebuild, const struct store_info *info,
		     struct store_object *object)
{
	struct verify_result result;
	const struct digest *digest;
	int r;

	/* With more holes than bytes it has not been fetched whole. (A few may have come with a copy of the store.) */
	if (allocated(store_object_fd(object)) < info->size / 2)
		return -EBADMSG;
	r = hash(rebuild, object, &result);
	if (r < 0)
		return r == -EIO ? -EBADMSG : r; /* a bad sector is as good as other bytes */
	digest = info->name.kind == DIGEST_SHA256 ? &result.sha256
						  : verify_tree_fsverity(result.tree);
	r = digest_equal(digest, &info->name.digest) ? settle(object, &result) : -EBADMSG;
	verify_tree_free(result.tree);
	/* It contradicts what else is known of the object. */
	return r == -EINVAL ? -EBADMSG : r;
}

/* Content that was known by two names, each of which has a file: as when it is fetched (finish_drop_twin()). */
static void drop_twin(struct rebuild *rebuild, uint64_t id)
{
	struct store_info info;
	uint64_t twin;

	if (store_twin(rebuild->store, id, &twin) == 0 &&
	    store_get(rebuild->store, twin > id ? twin : id, &info) == 0 && !info.pinned &&
	    store_remove(rebuild->store, info.id) < 0)
		log_debug("object %" PRIu64 ": its twin stays", id);
}

static int discard(struct rebuild *rebuild, const struct store_info *info)
{
	char name[DIGEST_NAME_SIZE];

	digest_name_format(&info->name, name);
	log_warning("%s: %s: nothing can tell which bytes of its file are good; they are removed",
		    store_path(rebuild->store), name);
	rebuild->removed++;
	return store_discard(rebuild->store, info->id);
}

/* 0: it is complete, or, PARTIAL, hints are what there is; -EBADMSG: there is nothing. */
static int sort_out(struct rebuild *rebuild, const struct store_info *info,
		    struct store_object *object, bool *partial)
{
	/* Of one chunk nothing is good when the whole is not. */
	bool attested = info->digests.has_fsverity && info->size > CHUNK_SIZE;
	int r;

	if (store_object_fd(object) < 0)
		return -EBADMSG;
	r = try_whole(rebuild, info, object);
	if (r != -EBADMSG || !attested)
		return r;
	*partial = true;
	return store_object_suspect(object);
}

static int look_at(struct rebuild *rebuild, const struct store_info *info)
{
	struct store_object *object;
	bool partial = false;
	uint64_t bytes;
	int r;

	r = store_object_open(rebuild->store, info->id, &object);
	if (r < 0)
		return r;
	bytes = allocated(store_object_fd(object));
	r = sort_out(rebuild, info, object, &partial);
	store_object_close(object);
	if (r == -EBADMSG) {
		r = discard(rebuild, info);
	} else if (r == 0 && partial) {
		rebuild->partial++;
	} else if (r == 0) {
		rebuild->complete++;
		drop_twin(rebuild, info->id);
	}
	rebuild->done += bytes;
	rebuild->current = 0;
	return r;
}

/* A file that cannot be read, say: the others have to go on. 0, or R when that is of no use. */
static int pass_over(struct rebuild *rebuild, const struct store_info *info, int r)
{
	char name[DIGEST_NAME_SIZE];

	if (r == -ECANCELED || r == -ENOMEM || r == -ENOSPC || ++rebuild->failures > FAILURES_MAX)
		return r;
	digest_name_format(&info->name, name);
	log_warning_errno(r, "%s: %s cannot be looked at", store_path(rebuild->store), name);
	rebuild->error = rebuild->error ? rebuild->error : r;
	return 0;
}

static int look_at_all(struct rebuild *rebuild)
{
	struct store_info info = { .id = 0 };
	int r;

	while ((r = store_next(rebuild->store, info.id, &info)) == 0) {
		if (!info.doubtful)
			continue;
		r = step(rebuild);
		if (r == 0)
			r = look_at(rebuild, &info);
		if (r < 0)
			r = pass_over(rebuild, &info, r);
		if (r < 0)
			return r;
	}
	return r == -ENOENT ? rebuild->error : r;
}

int rebuild_if_due(struct store *store, bool (*stop)(void))
{
	struct rebuild rebuild = { .store = store, .stop = stop };
	int64_t begun = clock_ms();
	int r;

	store_doubts(store, &rebuild.doubts);
	if (rebuild.doubts.objects == 0)
		return 0;
	rebuild.tell_at = begun + TELL_EVERY_MS;
	r = look_at_all(&rebuild);
	log_info("%s: %s: %" PRIu64 " of %" PRIu64 " objects are complete, %" PRIu64
		 " are here in part, %" PRIu64 " were removed; %.0f MiB in %.1f s",
		 store_path(store), r == 0 ? "rebuilt" : "rebuilding was interrupted",
		 rebuild.complete, rebuild.doubts.objects, rebuild.partial, rebuild.removed,
		 mib(rebuild.done), (double)(clock_ms() - begun) / 1000);
	if (r == 0 || r == -ECANCELED || r == -ENOMEM)
		return r;
	log_warning_errno(r, "%s: what could not be looked at now waits for the next start",
			  store_path(store));
	return 0;
}
