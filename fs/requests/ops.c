/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/requests/ops.h"

#include <string.h>
#include "fs/names/hub.h"
#include "fs/names/interned.h"
#include "fs/objects/object.h"
#include "fs/objects/separate.h"
#include "fs/origins/budget.h"
#include "fs/origins/refused.h"
#include "fs/requests/passthrough.h"
#include "fs/session.h"

/* Constants of an object: nothing about it changes, so nothing tells when it was fetched, or by whom. */
#define OBJECT_MODE (S_IFREG | 0444)
#define BLOCK_SIZE  4096

double fs_timeout(const struct weightfs *fs)
{
	/* A reload makes the kernel drop all names at once, or it is noticed within a second. */
	return atomic_load(&fs->epochs) ? 3600 : 1;
}

double ops_timeout(const struct weightfs *fs, const struct policy_decision *decision)
{
	double timeout = fs_timeout(fs), held = (double)decision->wait_ms / 1000;

	return held > 0 && held < timeout ? held : timeout;
}

static int find(struct weightfs *fs, uint64_t id, struct store_info *out)
{
	uint64_t heir;
	int r;

	r = store_get(fs->store, id, out);
	/* It left the store, or was never there, but who has it open goes on. */
	if (r == -ENOENT)
		r = object_info_in_use(fs, id, out);
	if (r != -ENOENT)
		return r;
	heir = separate_heir(fs, id);
	return heir ? store_get(fs->store, heir, out) : -ENOENT;
}

int ops_find_object(struct weightfs *fs, struct node node, struct ops_object *out)
{
	int r;

	out->view = view_get(fs->views, node.view);
	r = out->view ? find(fs, node.object, &out->info) : -ENOENT;
	if (r < 0)
		return r == -ENOENT ? -ESTALE : -EIO;
	out->decision = view_decide(fs, out->view, &out->info.digests);
	r = view_refusal(&out->decision);
	if (r == 0 && budget_is_spent(fs, out->view) && !ops_has(fs, out->view, &out->info))
		r = -ENOENT;
	/*
	 * What it was before may have been released, or is not shared any more. What others do with it must not show, unless
	 * the view has it open all the time.
	 */
	if (r == 0 && view_is_apart(out->view, &out->decision, out->info.gated) && !ops_has(fs, out->view, &out->info) &&
	    !passthrough_is_open(fs->passthrough, node_id(node)))
		r = -ESTALE;
	return r;
}

bool ops_has(struct weightfs *fs, const struct view *view, const struct store_info *info)
{
	if (info->separate)
		return true;
	return view->web || info->gated ? view_owns(fs, view, info) :
					  store_uses_object(fs->store, view->number, info->id);
}

void ops_fill_fixed(struct node node, struct stat *st)
{
	bool is_link = node.kind == NODE_FIXED && node.object >= FIXED_HASH_LINK &&
		       node.object <= FIXED_HUB_LINK;
	const char *path = NULL;

	if (node.kind == NODE_FOLDER || node.kind == NODE_REF)
		path = interned_path(node.object);
	*st = (struct stat){
		.st_ino = path ? interned_inode(path) : node_id(node),
		.st_mode = is_link		  ? S_IFLNK | 0777 :
			   node.kind == NODE_REF ? S_IFREG | 0444 :
						    S_IFDIR | 0555,
		.st_nlink = is_link || node.kind == NODE_REF ? 1 : 2,
		.st_blksize = BLOCK_SIZE,
	};
	if (node.kind == NODE_REF) {
		st->st_size = HUB_COMMIT_SIZE - 1;
		st->st_blocks = 1;
	}
}

void ops_fill_object(const struct store_info *info, struct stat *st)
{
	uint64_t ino;

	memcpy(&ino, info->name.digest.bytes, sizeof(ino));
	*st = (struct stat){
		.st_ino = ino,
		.st_mode = OBJECT_MODE,
		.st_nlink = 1,
		.st_size = (off_t)info->size,
		.st_blksize = (blksize_t)CHUNK_SIZE,
		.st_blocks = (blkcnt_t)((info->size + 511) / 512),
	};
}

void ops_reply_object(struct weightfs *fs, fuse_req_t request, uint32_t view,
		      const struct store_info *info)
{
	const struct view *of = view_get(fs->views, view);
	struct policy_decision decision = { 0 };
	struct fuse_entry_param entry = {
		.ino = node_id((struct node){
			.kind = NODE_OBJECT,
			.view = view,
			.object = info->id,
			.slot = info->complete,
		}),
		.generation = 1,
	};
	int r;

	if (of)
		decision = view_decide(fs, of, &info->digests);
	r = view_refusal(&decision);
	if (r < 0 && of)
		audit_refused(fs, request, of, &info->digests, &decision, "lookup");
	if (r == 0 && decision.cached && !info->complete)
		r = -ENOENT;
	if (r < 0) {
		fuse_reply_err(request, -r);
		return;
	}
	/*
	 * No timeout on a partial one: the next open shall land on the complete node. A separate one becomes another; with a
	 * budget names are to be asked for.
	 */
	if (info->complete && !info->separate && !budget_is_kept(fs, of))
		entry.entry_timeout = entry.attr_timeout = ops_timeout(fs, &decision);
	ops_fill_object(info, &entry.attr);
	fuse_reply_entry(request, &entry);
}

static void ops_forget(fuse_req_t request, fuse_ino_t ino, uint64_t nlookup)
{
	fuse_reply_none(request);
}

static void ops_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
	fuse_reply_none(request);
}

const struct fuse_lowlevel_ops ops_table = {
	.init = session_init,
	.lookup = ops_lookup,
	.forget = ops_forget,
	.forget_multi = ops_forget_multi,
	.getattr = ops_getattr,
	.access = ops_access,
	.readlink = ops_readlink,
	.readdir = ops_readdir,
	.open = ops_open,
	.read = ops_read,
	.release = ops_release,
	.getxattr = ops_getxattr,
	.listxattr = ops_listxattr,
	.ioctl = ops_ioctl,
	.statfs = ops_statfs,
};
