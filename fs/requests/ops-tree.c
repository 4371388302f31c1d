/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories that are always there, and the symlinks `hash`, `name` and `hub`.
 *
 * A directory shared by several identities would leak through the kernel's dentry cache, so the top
 * has only symlinks, whose READLINK is asked for every caller, and origin/<uid>/<origin dir> is looked up
 * each time (timeout 0). Below a view everything is the view's own.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "common/log.h"
#include "common/stats.h"
#include "fs/names/interned.h"
#include "fs/objects/probe.h"
#include "fs/origins/access.h"
#include "fs/origins/refused.h"
#include "fs/requests/ops.h"

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

/* What a view has in it, and the root of a mount. */
static const struct {
	const char *name;
	struct node node; /* in a view, but for its number */
	enum node_fixed link, nothing; /* at the root; in the view of nobody */
} roots[] = {
	{ "hash", { .kind = NODE_HASH }, FIXED_HASH_LINK, FIXED_NO_HASH },
	{ "name", { .kind = NODE_FOLDER, .object = INTERNED_NAME }, FIXED_NAME_LINK, FIXED_NO_NAME },
	{ "hub", { .kind = NODE_FOLDER, .object = INTERNED_HUB }, FIXED_HUB_LINK, FIXED_NO_HUB },
};

/* The I-th of them below PARENT. */
static struct node root_in(const struct weightfs *fs, struct node parent, size_t i)
{
	struct node node = roots[i].node;

	node.view = parent.kind == NODE_VIEW ? parent.view : fs->single_view;
	if (node_is_fixed(parent, FIXED_NOBODY))
		return node_fixed(roots[i].nothing);
	return node.view ? node : node_fixed(roots[i].link);
}

/* NAME in PARENT: the root, a view, or that of nobody. */
static void lookup_root(struct weightfs *fs, fuse_req_t request, struct node parent, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		if (!strcmp(name, roots[i].name)) {
			reply_fixed(request, root_in(fs, parent, i), fs_timeout(fs));
			return;
		}
	}
	if (!strcmp(name, "origin") && node_is_fixed(parent, FIXED_ROOT) && !fs->single_view)
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
	else if (node_is_fixed(node, FIXED_ROOT) || node_is_fixed(node, FIXED_NOBODY) ||
		 node.kind == NODE_VIEW)
		lookup_root(fs, request, node, name);
	else if (node_is_fixed(node, FIXED_ORIGINS))
		lookup_user(fs, request, name);
	else if (node.kind == NODE_USER)
		lookup_view(fs, request, (uid_t)node.object, name);
	else if (node.kind == NODE_HASH)
		ops_lookup_object(fs, request, node.view, name);
	else if (node.kind == NODE_FOLDER)
		ops_lookup_name(fs, request, node, name);
	else
		fuse_reply_err(request, ENOENT);
}

/* ---- READLINK ---- */

void ops_readlink(fuse_req_t request, fuse_ino_t ino)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct node node = node_from_id(ino);
	struct policy *policy = policy_slot_get(fs->policy);
	const char *origin = access_origin(policy, request), *root = roots[0].name;
	char dir[POLICY_ORIGIN_SIZE], target[POLICY_ORIGIN_SIZE + 64];

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		if (node_is_fixed(node, roots[i].link))
			root = roots[i].name;
	}
	if (origin && policy_origin_to_dir(origin, dir) == 0)
		snprintf(target, sizeof(target), "origin/%u/%s/%s", fuse_req_ctx(request)->uid,
			 dir, root);
	else
		snprintf(target, sizeof(target), "origin/" NOBODY_DIR "/%s", root);
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

/* The few entries of a directory that is always there: NAME of NODE at position AT. */
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

static void list_roots(struct weightfs *fs, struct listing *listing, struct node node, off_t offset)
{
	off_t at = 3;

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
		add_fixed(listing, offset, at++, roots[i].name, root_in(fs, node, i));
	if (node_is_fixed(node, FIXED_ROOT) && !fs->single_view)
		add_fixed(listing, offset, at, "origin", node_fixed(FIXED_ORIGINS));
}

void ops_readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
		 struct fuse_file_info *fi)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct node node = node_from_id(ino);
	struct listing listing = { .request = request, .size = size };
	_cleanup_free_ char *data = NULL;

	if (node.kind == NODE_HASH || node.kind == NODE_FOLDER) {
		ops_list_later(fs, request, node, size, offset);
		return;
	}
	listing.data = data = malloc(size);
	if (!data) {
		fuse_reply_err(request, ENOMEM);
		return;
	}
	add_fixed(&listing, offset, 1, ".", node);
	add_fixed(&listing, offset, 2, "..", node);
	if (node_is_fixed(node, FIXED_ROOT) || node_is_fixed(node, FIXED_NOBODY) || node.kind == NODE_VIEW)
		list_roots(fs, &listing, node, offset);
	else if (node_is_fixed(node, FIXED_ORIGINS) || node.kind == NODE_USER)
		list_own(fs, &listing, node, offset);
	fuse_reply_buf(request, data, listing.used);
}
