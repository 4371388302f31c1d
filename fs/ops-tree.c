/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories and the symlink `hash`.
 *
 * A directory shared by several identities would leak through the kernel's dentry cache, so the top
 * has only a symlink, whose READLINK is asked for every caller, and origin/<uid>/<origin dir> is looked up
 * each time (timeout 0). Below a view everything is the view's own.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "common/log.h"
#include "common/stats.h"
#include "fs/access.h"
#include "fs/ops.h"
#include "fs/probe.h"
#include "fs/refused.h"

#define NOBODY_DIR "none" /* no local name: policy_origin_parse() refuses it */

/* ---- LOOKUP ---- */

static void reply_fixed(fuse_req_t request, struct node node, double timeout)
{
	struct fuse_entry_param entry = {
		.ino = node_id(node),
		.generation = 1,
		.attr_timeout = timeout,
		.entry_timeout = timeout,
	};

	ops_fill_fixed(node, &entry.attr);
	fuse_reply_entry(request, &entry);
}

static void lookup_root(struct weightfs *fs, fuse_req_t request, const char *name)
{
	bool is_hash = !strcmp(name, "hash");

	if (is_hash && fs->single_view)
		reply_fixed(request, (struct node){ .kind = NODE_HASH, .view = fs->single_view },
			    fs_timeout(fs));
	else if (is_hash)
		reply_fixed(request, node_fixed(FIXED_HASH_LINK), fs_timeout(fs));
	else if (!strcmp(name, "origin") && !fs->single_view)
		reply_fixed(request, node_fixed(FIXED_ORIGINS), fs_timeout(fs));
	else
		fuse_reply_err(request, ENOENT);
}

/* origin/<uid>: there for that uid and root alone, if it is known who they are. */
static void lookup_user(struct weightfs *fs, fuse_req_t request, const char *name)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(request);
	char canonical[16];
	unsigned long uid;
	char *end;

	if (!strcmp(name, NOBODY_DIR)) {
		reply_fixed(request, node_fixed(FIXED_NOBODY), 0);
		return;
	}
	uid = strtoul(name, &end, 10);
	snprintf(canonical, sizeof(canonical), "%lu", uid);
	if (*end || strcmp(name, canonical) || uid >= (uid_t)-1) {
		fuse_reply_err(request, ENOENT);
		return;
	}
	if ((ctx->uid != uid && ctx->uid != 0) || ctx->pid == 0) {
		audit_refused_view(fs, request, (uid_t)uid, NULL);
		fuse_reply_err(request, ENOENT);
		return;
	}
	reply_fixed(request, (struct node){ .kind = NODE_USER, .object = uid }, 0);
}

/*
 * origin/<uid>/<dir>: the caller's own origin; a broker of that user, and root, finds any. Nothing of the store is looked
 * at before that is clear: whether a view has been used shows neither in the answer nor by its time.
 */
static void lookup_view(struct weightfs *fs, fuse_req_t request, uid_t uid, const char *name)
{
	char origin[POLICY_ORIGIN_SIZE];
	const struct view *view;
	struct policy *policy;
	bool found;
	int r;

	if (policy_origin_from_dir(name, origin) < 0) {
		fuse_reply_err(request, ENOENT);
		return;
	}
	policy = policy_slot_get(fs->policy);
	found = access_finds_view(policy, request, uid, origin);
	policy_unref(policy);
	if (!found)
		audit_refused_view(fs, request, uid, name);
	r = found ? view_of(fs->views, uid, origin, &view) : -ENOENT;
	/* -ENOSPC: this user has used up its views. */
	if (r < 0)
		fuse_reply_err(request, r == -ENOENT || r == -ENOSPC ? ENOENT : EIO);
	else
		reply_fixed(request, (struct node){ .kind = NODE_VIEW, .view = view->number }, 0);
}

void ops_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct node node = node_from_id(parent);

	if (strlen(name) > NAME_MAX)
		fuse_reply_err(request, ENAMETOOLONG);
	else if (node_is_fixed(node, FIXED_ROOT))
		lookup_root(fs, request, name);
	else if (node_is_fixed(node, FIXED_ORIGINS))
		lookup_user(fs, request, name);
	else if (node_is_fixed(node, FIXED_NOBODY) && !strcmp(name, "hash"))
		reply_fixed(request, node_fixed(FIXED_NOTHING), fs_timeout(fs));
	else if (node.kind == NODE_USER)
		lookup_view(fs, request, (uid_t)node.object, name);
	else if (node.kind == NODE_VIEW && !strcmp(name, "hash"))
		reply_fixed(request, (struct node){ .kind = NODE_HASH, .view = node.view },
			    fs_timeout(fs));
	else if (node.kind == NODE_HASH)
		ops_lookup_object(fs, request, node.view, name);
	else
		fuse_reply_err(request, ENOENT);
}

/* ---- READLINK ---- */

void ops_readlink(fuse_req_t request, fuse_ino_t ino)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct policy *policy = policy_slot_get(fs->policy);
	const char *origin = access_origin(policy, request);
	char dir[POLICY_ORIGIN_SIZE], target[POLICY_ORIGIN_SIZE + 64];

	if (origin && policy_origin_to_dir(origin, dir) == 0)
		snprintf(target, sizeof(target), "origin/%u/%s/hash", fuse_req_ctx(request)->uid,
			 dir);
	else
		snprintf(target, sizeof(target), "origin/" NOBODY_DIR "/hash");
	policy_unref(policy);
	fuse_reply_readlink(request, target);
}

/* ---- READDIR ---- */

bool ops_list(struct listing *listing, const char *name, const struct stat *st, off_t next)
{
	size_t needed = fuse_add_direntry(listing->request, listing->data + listing->used,
					  listing->size - listing->used, name, st, next);

	if (needed > listing->size - listing->used)
		return false;
	listing->used += needed;
	return true;
}

/* The few entries of a directory that is not a hash directory: NAME of NODE at position AT. */
static void add_fixed(struct listing *listing, off_t offset, off_t at, const char *name,
		      struct node node)
{
	struct stat st;

	if (offset >= at)
		return;
	ops_fill_fixed(node, &st);
	ops_list(listing, name, &st, at);
}

/* origin/ and origin/<uid>/: what is the caller's own. Root may look up more than it is shown. */
static void list_own(struct weightfs *fs, struct listing *listing, struct node node, off_t offset)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(listing->request);
	struct policy *policy = policy_slot_get(fs->policy);
	const char *origin = access_origin(policy, listing->request);
	char name[POLICY_ORIGIN_SIZE];
	const struct view *view;

	if (origin && node.kind == NODE_FIXED) {
		snprintf(name, sizeof(name), "%u", ctx->uid);
		add_fixed(listing, offset, 3, name,
			  (struct node){ .kind = NODE_USER, .object = ctx->uid });
	} else if (origin && node.object == ctx->uid && policy_origin_to_dir(origin, name) == 0 &&
		   view_of(fs->views, ctx->uid, origin, &view) == 0) {
		add_fixed(listing, offset, 3, name,
			  (struct node){ .kind = NODE_VIEW, .view = view->number });
	}
	policy_unref(policy);
}

void ops_readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
		 struct fuse_file_info *fi)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct node node = node_from_id(ino);
	struct listing listing = { .request = request, .size = size };
	_cleanup_free_ char *data = NULL;

	if (node.kind == NODE_HASH) {
		ops_list_objects(fs, request, node, size, offset);
		return;
	}
	listing.data = data = malloc(size);
	if (!data) {
		fuse_reply_err(request, ENOMEM);
		return;
	}
	add_fixed(&listing, offset, 1, ".", node);
	add_fixed(&listing, offset, 2, "..", node);
	if (node_is_fixed(node, FIXED_ROOT) && fs->single_view) {
		add_fixed(&listing, offset, 3, "hash",
			  (struct node){ .kind = NODE_HASH, .view = fs->single_view });
	} else if (node_is_fixed(node, FIXED_ROOT)) {
		add_fixed(&listing, offset, 3, "hash", node_fixed(FIXED_HASH_LINK));
		add_fixed(&listing, offset, 4, "origin", node_fixed(FIXED_ORIGINS));
	} else if (node_is_fixed(node, FIXED_NOBODY)) {
		add_fixed(&listing, offset, 3, "hash", node_fixed(FIXED_NOTHING));
	} else if (node_is_fixed(node, FIXED_ORIGINS) || node.kind == NODE_USER) {
		list_own(fs, &listing, node, offset);
	} else if (node.kind == NODE_VIEW) {
		add_fixed(&listing, offset, 3, "hash",
			  (struct node){ .kind = NODE_HASH, .view = node.view });
	}
	fuse_reply_buf(request, data, listing.used);
}
