/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include "common/stats.h"
#include "fs/requests/handle.h"
#include "fs/requests/opening.h"
#include "fs/requests/ops.h"
#include "fs/requests/passthrough.h"
#include "fs/origins/quota.h"
#include "fs/objects/reading.h"
#include "fs/objects/separate.h"
#include "fs/origins/refused.h"

/* May it be opened at all, as things are? */
static int may_open(const struct weightfs *fs, const struct ops_object *object)
{
	if (object->info.complete)
		return 0;
	/* `cached` is for what is here; to its origins nothing else exists. */
	if (object->decision.cached)
		return -ENOENT;
	/* Of one whose chunks cannot be checked more is needed, and there is no way to get it. */
	if (fs->offline && (!object->info.digests.has_fsverity || object->info.lacks_front))
		return -ENODATA;
	return 0;
}

/*
 * Can it be read as it is? Else its front has to come first, or all of it: that must not be read while it comes
 * without one.
 */
static bool is_readable(struct object *object)
{
	const struct verify_tree *tree;

	return store_object_complete(object->store) || object_tree(object, &tree) == 0;
}

static int open_handle(struct weightfs *fs, uint64_t id, struct object **object, uint64_t *fh)
{
	int r;

	r = object_get(fs, id, object);
	if (r < 0)
		return r == -ENOENT			? -ESTALE :
		       r == -EMFILE || r == -ENFILE	? -ENFILE :
		       r == -ENODATA			? -ENODATA :
							  -EIO;
	r = handle_open(*object, fh);
	if (r < 0)
		object_put(*object);
	return r;
}

void ops_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct node node = node_from_id(ino);
	struct ops_object found;
	struct object *object;
	int r;

	if (node.kind == NODE_REF) {
		ops_open_ref(fs, request, node, fi);
		return;
	}
	r = node.kind == NODE_OBJECT ? ops_find_object(fs, node, &found) : -ENOENT;
	if (node.kind == NODE_OBJECT && (r == -ENOENT || r == -EACCES))
		audit_refused(fs, request, found.view, &found.info.digests, &found.decision, "open");
	if (r == 0)
		r = may_open(fs, &found);
	if (r == 0)
		r = open_handle(fs, found.info.id, &object, &fi->fh);
	if (r < 0) {
		fuse_reply_err(request, -r);
		return;
	}
	handle_get(fi->fh)->node = ino;
	r = quota_open(&found, handle_get(fi->fh));
	if (r < 0) {
		handle_close(fi->fh);
		fuse_reply_err(request, -r);
		return;
	}
	if (!is_readable(object)) {
		whole_open(object, request, fi);
		return;
	}
	finish_if_due(object);
	if (store_object_complete(object->store))
		stats_add(STAT_OPENS_COMPLETE, 1);
	if (opening_reply(request, fi) < 0)
		handle_close(fi->fh);
}

/*
 * Without passthrough the bytes are in the page cache twice after the reply, once here and once in the mount's own:
 * give up the former, chunk by chunk. (Smaller pieces cost more than they bring.)
 */
static void drop_stored(struct object *object, uint64_t offset, size_t size)
{
	uint64_t begin = offset / CHUNK_SIZE * CHUNK_SIZE, end = offset + size;

	if (end != store_object_size(object->store))
		end = end / CHUNK_SIZE * CHUNK_SIZE;
	if (end > begin)
		posix_fadvise(store_object_fd(object->store), (off_t)begin, (off_t)(end - begin),
			      POSIX_FADV_DONTNEED);
}

/* Handles that are passed through come here, too: readahead(2) and posix_fadvise(WILLNEED). */
static void read_complete(const struct handle *handle, fuse_req_t request, uint64_t offset, size_t size)
{
	struct object *object = handle->object;
	uid_t uid = handle->uid;

	object_ref(object); /* once replied, the handle may be gone */
	/* A complete object lacks nothing, but some of it may have to be verified again. */
	if (reading_try(object, request, offset, size) == -EAGAIN)
		pipeline_wait(object, uid, request, offset, size, NULL, 0);
	else if (!passthrough_active(object->fs->passthrough))
		drop_stored(object, offset, size);
	object_put(object);
}

/*
 * What to fetch ahead because of this read. Before the request can be answered: then the handle may be
 * closed at any time.
 */
static size_t plan_ahead(struct handle *handle, uint64_t offset, size_t length,
			 struct chunk_run runs[PREFETCH_RUNS_MAX])
{
	struct object *object = handle->object;
	uint64_t most = pipeline_ahead_max(object);
	struct prefetch_read read = {
		.offset = offset,
		.length = length,
		.size = store_object_size(object->store),
		.max = most,
		/* A full window is refilled by whole requests: many small ones leave the wire idle in between. */
		.step = fetch_run_chunks(object->fs->fetch, most),
		.tensors = layout_tensors(&object->layout),
	};
	size_t n = 0;

	atomic_store(&object->layout.uid, handle->uid);
	layout_consider(object);
	pthread_mutex_lock(&object->lock);
	if (!handle->prefetch)
		handle->prefetch = calloc(1, sizeof(*handle->prefetch));
	if (handle->prefetch)
		n = prefetch_advance(handle->prefetch, &read, runs);
	pthread_mutex_unlock(&object->lock);
	return n;
}

static void read_partial(struct handle *handle, fuse_req_t request, uint64_t offset, size_t length)
{
	struct chunk_run runs[PREFETCH_RUNS_MAX];
	size_t n = plan_ahead(handle, offset, length, runs);

	pipeline_read(handle->object, handle->uid, request, offset, length, runs, n);
}

void ops_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
	      struct fuse_file_info *fi)
{
	struct handle *handle;
	struct object *object;
	uint64_t end;

	if (fi->fh & OPS_REF_HANDLE) {
		ops_read_ref(request, fi->fh, size, offset);
		return;
	}
	handle = handle_get(fi->fh);
	object = handle->object;
	end = store_object_size(object->store);
	if ((uint64_t)offset >= end || size == 0) {
		fuse_reply_buf(request, NULL, 0);
		return;
	}
	if (size > end - (uint64_t)offset)
		size = (size_t)(end - (uint64_t)offset);
	if (store_object_complete(object->store))
		read_complete(handle, request, (uint64_t)offset, size);
	else
		read_partial(handle, request, (uint64_t)offset, size);
}

void ops_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct weightfs *fs = fuse_req_userdata(request);
	uint32_t view;

	if (fi->fh & OPS_REF_HANDLE) {
		fuse_reply_err(request, 0);
		return;
	}
	view = handle_get(fi->fh)->object->view;
	opening_end(fs, fi->fh);
	fuse_reply_err(request, 0);
	if (view)
		separates_trim(fs, view);
}
