/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"
#include "fs/handle.h"
#include "fs/ops.h"
#include "fs/reading.h"

/* May it be opened at all, as things are? */
static int may_open(const struct weightfs *fs, const struct ops_object *object)
{
	if (object->info.complete)
		return 0;
	/* `cached` is for what is here; to its origins nothing else exists. */
	if (object->decision.cached)
		return -ENOENT;
	/* Of an unattested object the whole is needed, and there is no way to get it. */
	if (fs->offline && !object->info.digests.has_fsverity)
		return -ENODATA;
	return 0;
}

static int open_handle(struct weightfs *fs, uint64_t id, struct object **object, uint64_t *fh)
{
	int r;

	r = object_get(fs, id, object);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r == -EMFILE || r == -ENFILE ? -ENFILE : -EIO;
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

	r = node.kind == NODE_OBJECT ? ops_find_object(fs, node, &found) : -ENOENT;
	if (r == 0)
		r = may_open(fs, &found);
	if (r == 0)
		r = open_handle(fs, node.object, &object, &fi->fh);
	if (r < 0) {
		fuse_reply_err(request, -r);
		return;
	}
	r = store_touch(fs->store, node.object, node.view);
	if (r < 0)
		log_warning_errno(r, "the time of an open cannot be recorded");
	/* What was read once stays right for ever. */
	fi->keep_cache = 1;
	if (!store_object_complete(object->store) && !atomic_load(&object->tree)) {
		whole_open(object, request, fi);
		return;
	}
	finish_if_due(object);
	if (fuse_reply_open(request, fi) < 0)
		handle_close(fi->fh); /* interrupted: no RELEASE will come */
}

void ops_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
	      struct fuse_file_info *fi)
{
	struct handle *handle = handle_get(fi->fh);
	struct object *object = handle->object;
	uint64_t end = store_object_size(object->store);

	if ((uint64_t)offset >= end || size == 0) {
		fuse_reply_buf(request, NULL, 0);
		return;
	}
	if (size > end - (uint64_t)offset)
		size = (size_t)(end - (uint64_t)offset);
	if (store_object_complete(object->store))
		reading_reply_stored(object, request, (uint64_t)offset, size);
	else
		pipeline_read(object, &handle->readahead, request, (uint64_t)offset, size);
}

void ops_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
	handle_close(fi->fh);
	fuse_reply_err(request, 0);
}
