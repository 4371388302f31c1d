/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dropping cached pages, FUSE_NOTIFY_INVAL_INODE, waits for pages that are being read. So it is done on a background
 * thread, never on one that the reading may need, and only while the node is claimed: nobody has it
 * open then, so none of its pages waits for a reply, neither now nor at the end of the daemon, when replies stop.
 * An open that comes meanwhile waits for one piece.
 */
#include "fs/requests/opening.h"

#include "common/log.h"
#include "common/stats.h"
#include "fs/requests/handle.h"
#include "fs/requests/node.h"
#include "fs/requests/passthrough.h"
#include "fs/requests/wire.h"

#define PIECE ((uint64_t)256 << 20) /* some milliseconds */

struct dropping {
	struct work work;
	struct weightfs *fs;
	uint64_t node, size;
};

int opening_reply(fuse_req_t request, const struct fuse_file_info *fi)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct handle *handle = handle_get(fi->fh);
	struct store_object *store = handle->object->store;
	struct fuse_file_info reply = *fi;
	uint64_t node = handle->node;
	int32_t backing_id;
	int r;

	r = passthrough_open(fs->passthrough, node,
			     store_object_complete(store) ? store_object_fd(store) : -1,
			     &backing_id);
	if (r < 0) {
		fuse_reply_err(request, -r);
		return r;
	}
	stats_add(backing_id ? STAT_OPENS_THROUGH : STAT_OPENS_CACHED, 1);
	/* What was read once stays right for ever. */
	reply.keep_cache = backing_id == 0;
	r = wire_reply_open(request, &reply, backing_id);
	if (r < 0)
		passthrough_close(fs->passthrough, node); /* interrupted */
	return r;
}

/* ---- what nobody will read again ---- */

static void drop_pages(struct weightfs *fs, uint64_t node, uint64_t size)
{
	int r = 0;

	if (!atomic_load(&fs->serving))
		return; /* without a mount nobody reads; what the socket asks for may come before it */
	for (uint64_t offset = 0; offset < size && r == 0; offset += PIECE) {
		if (atomic_load(&fs->stopping) || !passthrough_claim_idle(fs->passthrough, node))
			return;
		r = fuse_lowlevel_notify_inval_inode(fs->session, node, (off_t)offset,
						     (off_t)PIECE);
		passthrough_unclaim(fs->passthrough, node);
	}
	/* -ENOENT: the kernel does not know the node (any more), which has nothing cached then. */
	if (r < 0 && r != -ENOENT)
		log_debug("node %llx keeps its pages: error %d", (unsigned long long)node, -r);
}

static void run_dropping(struct work *work)
{
	struct dropping *job = container_of(work, struct dropping, work);

	drop_pages(job->fs, job->node, job->size);
	free(job);
}

static void drop_pages_later(struct weightfs *fs, uint64_t node, uint64_t size)
{
	struct dropping *job = calloc(1, sizeof(*job));

	if (!job)
		return; /* the kernel takes them back when it needs them */
	job->work.run = run_dropping;
	job->fs = fs;
	job->node = node;
	job->size = size;
	workqueue_submit(fs->background, &job->work);
}

void opening_end(struct weightfs *fs, uint64_t fh)
{
	struct handle *handle = handle_get(fh);
	struct store_object *store = handle->object->store;
	uint64_t node = handle->node;

	/* Counted out first: whoever completes the object after this looks at what is open after that. */
	if (passthrough_close(fs->passthrough, node) && node_from_id(node).slot == 0 &&
	    store_object_complete(store))
		drop_pages_later(fs, node, store_object_size(store));
	handle_close(fh);
}

void opening_completed(struct object *object)
{
	struct weightfs *fs = object->fs;
	uint64_t size = store_object_size(object->store);
	struct node node = {.kind = NODE_OBJECT, .object = object->id};
	int64_t last_open;

	if (object->view) {
		node.view = object->view;
		drop_pages(fs, node_id(node), size);
		return;
	}
	while (store_next_user(fs->store, object->id, node.view, &node.view, &last_open) == 0)
		drop_pages(fs, node_id(node), size);
}
