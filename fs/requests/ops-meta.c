/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include "fs/control/control.h"
#include "fs/names/interned.h"
#include "fs/origins/access.h"
#include "fs/requests/ops.h"

/* ---- GETATTR, ACCESS ---- */

void ops_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct node node = node_from_id(ino);
	struct ops_object object;
	struct stat st;
	int r;

	if (node.kind != NODE_OBJECT) {
		bool constant = node.kind != NODE_USER && node.kind != NODE_VIEW;

		/* An id of another process's, or no id at all. */
		if ((node.kind == NODE_FOLDER || node.kind == NODE_REF) && !interned_path(node.object)) {
			fuse_reply_err(request, ESTALE);
			return;
		}
		ops_fill_fixed(node, &st);
		fuse_reply_attr(request, &st, constant ? fs_timeout(fs) : 0);
		return;
	}
	r = ops_find_object(fs, node, &object);
	if (r < 0) {
		fuse_reply_err(request, -r);
		return;
	}
	ops_fill_object(&object.info, &st);
	fuse_reply_attr(request, &st, object.info.complete ? ops_timeout(fs, &object.decision) : 0);
}

void ops_access(fuse_req_t request, fuse_ino_t ino, int mask)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct node node = node_from_id(ino);
	struct ops_object object;
	int r = node.kind == NODE_OBJECT ? ops_find_object(fs, node, &object) : 0;

	if (r == 0 && mask & W_OK)
		r = -EROFS;
	else if (r == 0 && mask & X_OK && (node.kind == NODE_OBJECT || node.kind == NODE_REF))
		r = -EACCES;
	fuse_reply_err(request, -r);
}

/* ---- extended attributes ---- */

static int say_digest(const struct store_info *info, char *out, size_t size)
{
	if (!info->digests.has_sha256)
		return -ENODATA;
	digest_to_hex(&info->digests.sha256, out);
	return DIGEST_HEX_SIZE - 1;
}

static int say_fsverity(const struct store_info *info, char *out, size_t size)
{
	if (!info->digests.has_fsverity)
		return -ENODATA;
	digest_to_hex(&info->digests.fsverity, out);
	return DIGEST_HEX_SIZE - 1;
}

static int say_state(const struct store_info *info, char *out, size_t size)
{
	return snprintf(out, size, "%s",
			info->complete    ? "complete" :
			info->present > 0 ? "partial" :
					    "known");
}

static int say_present(const struct store_info *info, char *out, size_t size)
{
	return snprintf(out, size, "%llu", (unsigned long long)info->present);
}

static const struct attribute {
	const char *name;
	int (*say)(const struct store_info *info, char *out, size_t size); /* length, or -ENODATA */
	bool private; /* tells of others' doings: not for web origins */
} attributes[] = {
	{ "user.weightfs.digest", say_digest },
	{ "user.weightfs.fsverity", say_fsverity },
	{ "user.weightfs.state", say_state, true },
	{ "user.weightfs.present", say_present, true },
};

static bool is_visible(const struct attribute *attribute, const struct view *view)
{
	return !attribute->private || !view->web;
}

/* The view that NODE is in; NULL: nobody's in particular. */
static const struct view *view_of_node(struct weightfs *fs, struct node node)
{
	uint32_t number = fs->single_view ? fs->single_view : node.view;

	return number ? view_get(fs->views, number) : NULL;
}

/*
 * Of a directory: where its daemon listens, and whose view it is; what `explain PATH` has to know. They are
 * not listed, being no property of a model, and a web origin is told nothing.
 */
static int say_of_directory(struct weightfs *fs, fuse_req_t request, struct node node,
			    const char *name, char *out, size_t size)
{
	const struct view *view = view_of_node(fs, node);
	uid_t uid = fuse_req_ctx(request)->uid;
	int len = -ENODATA;

	/* Its user's other processes cannot be told from it. */
	if (view && view->web && uid != 0)
		return -ENODATA;
	if (!strcmp(name, "user.weightfs.control"))
		len = snprintf(out, size, "%s", control_path(fs->control));
	else if (!strcmp(name, "user.weightfs.origin") && view)
		len = snprintf(out, size, "%s", view->origin);
	else if (!strcmp(name, "user.weightfs.uid") && view)
		len = snprintf(out, size, "%u", view->uid);
	return len < (int)size ? len : -ENODATA;
}

static void reply_sized(fuse_req_t request, const char *data, size_t len, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(request, len);
	else if (size < len)
		fuse_reply_err(request, ERANGE);
	else
		fuse_reply_buf(request, data, len);
}

void ops_getxattr(fuse_req_t request, fuse_ino_t ino, const char *name, size_t size)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct node node = node_from_id(ino);
	struct ops_object object;
	char value[PATH_MAX];
	int len = -ENODATA;
	int r = node.kind == NODE_OBJECT ? ops_find_object(fs, node, &object) : 0;

	if (r < 0) {
		fuse_reply_err(request, -r);
		return;
	}
	for (size_t i = 0; node.kind == NODE_OBJECT && i < ARRAY_SIZE(attributes); i++) {
		if (!strcmp(name, attributes[i].name) && is_visible(&attributes[i], object.view))
			len = attributes[i].say(&object.info, value, sizeof(value));
	}
	if (node.kind != NODE_OBJECT)
		len = say_of_directory(fs, request, node, name, value, sizeof(value));
	if (len < 0)
		fuse_reply_err(request, -len);
	else
		reply_sized(request, value, (size_t)len, size);
}

void ops_listxattr(fuse_req_t request, fuse_ino_t ino, size_t size)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct node node = node_from_id(ino);
	struct ops_object object;
	char names[256], value[128];
	size_t used = 0;
	int r = node.kind == NODE_OBJECT ? ops_find_object(fs, node, &object) : 0;

	if (r < 0) {
		fuse_reply_err(request, -r);
		return;
	}
	for (size_t i = 0; node.kind == NODE_OBJECT && i < ARRAY_SIZE(attributes); i++) {
		size_t len = strlen(attributes[i].name) + 1;

		if (!is_visible(&attributes[i], object.view) ||
		    attributes[i].say(&object.info, value, sizeof(value)) < 0)
			continue;
		memcpy(names + used, attributes[i].name, len);
		used += len;
	}
	reply_sized(request, names, used, size);
}

/* ---- FS_IOC_MEASURE_VERITY: what `fsverity measure` asks ---- */

static void measure(fuse_req_t request, const struct store_info *info, size_t out_size)
{
	struct {
		struct fsverity_digest header;
		struct digest digest;
	} answer = {
		.header.digest_algorithm = FS_VERITY_HASH_ALG_SHA256,
		.header.digest_size = DIGEST_SIZE,
		.digest = info->digests.fsverity,
	};

	if (!info->digests.has_fsverity)
		fuse_reply_err(request, ENODATA);
	else if (out_size < sizeof(answer))
		fuse_reply_err(request, EOVERFLOW);
	else
		fuse_reply_ioctl(request, 0, &answer, sizeof(answer));
}

void ops_ioctl(fuse_req_t request, fuse_ino_t ino, unsigned int command, void *arg,
	       struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_size,
	       size_t out_size)
{
	struct weightfs *fs = fuse_req_userdata(request);
	struct node node = node_from_id(ino);
	struct ops_object object;
	int r = -ENOTTY;

	if (node.kind == NODE_OBJECT && command == (unsigned int)FS_IOC_MEASURE_VERITY)
		r = ops_find_object(fs, node, &object);
	if (r < 0)
		fuse_reply_err(request, -r);
	else
		measure(request, &object.info, out_size);
}

/* ---- STATFS ---- */

/*
 * May ORIGIN be told what is stored by whomever? A web origin may not; nor may one to which an object in no set is denied:
 * to it the store is as good as empty.
 */
static bool sees_store(const struct policy *policy, const char *origin)
{
	static const struct digest_pair in_no_set = { .has_sha256 = true, .has_fsverity = true };

	return !policy_origin_is_web(origin) &&
	       policy_decide(policy, origin, &in_no_set).verdict == POLICY_ALLOW;
}

/* What UID's ORIGIN is told. VIEW is its view, or NULL: it is looked for where it matters. */
static struct store_usage visible_usage(struct weightfs *fs, const struct policy *policy,
					const struct view *view, uid_t uid, const char *origin)
{
	uint64_t quota = policy_quota(policy, origin);
	struct store_usage usage = { 0 };
	struct store_account account;

	/* Without one, and where the store's own does not show, an empty store of no size. */
	if (!quota && sees_store(policy, origin)) {
		store_usage(fs->store, &usage);
		/* What is not there for all does not show. */
		usage.used -= usage.gated;
		usage.objects -= usage.gated_objects;
	}
	if (!quota || (!view && view_of(fs->views, uid, origin, &view) < 0))
		return usage;
	account = store_account(fs->store, view->number);
	return (struct store_usage){ account.used, quota, account.objects };
}

/* At the top of a mount that is nobody's view in particular, the view is the caller's. */
void ops_statfs(fuse_req_t request, fuse_ino_t ino)
{
	struct weightfs *fs = fuse_req_userdata(request);
	const struct view *view = view_of_node(fs, node_from_id(ino));
	struct policy *policy = policy_slot_get(fs->policy);
	const char *origin = view ? view->origin : access_origin(policy, request);
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = NAME_MAX };
	struct store_usage usage = { 0 };

	if (origin)
		usage = visible_usage(fs, policy, view, fuse_req_ctx(request)->uid, origin);
	st.f_blocks = (usage.limit + 4095) / 4096;
	st.f_bfree = usage.limit > usage.used ? (usage.limit - usage.used) / 4096 : 0;
	st.f_bavail = st.f_bfree;
	st.f_files = usage.objects;
	policy_unref(policy);
	fuse_reply_statfs(request, &st);
}
