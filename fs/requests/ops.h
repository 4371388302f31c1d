/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE operations. Node ids are values (fs/requests/node.h); a request either is answered here, at once, from
 * memory or the store, or is parked (fs/objects/parking.h).
 *
 * The policy decides before the store is looked at, in LOOKUP by the name alone and once more when more
 * digests are known; OPEN, GETATTR, READDIR and GETXATTR decide afresh. Denied is ENOENT everywhere, and EACCES what
 * the policy asks for until somebody granted it.
 */
#ifndef FS_REQUESTS_OPS_H
#define FS_REQUESTS_OPS_H

#include <sys/stat.h>
#include "fs/fs.h"
#include "fs/origins/view.h"
#include "fs/requests/node.h"

extern const struct fuse_lowlevel_ops ops_table;

/* ---- shared between the files of operations ---- */

/* An object as a node of a view: what every operation on it begins with. */
struct ops_object {
	const struct view *view;
	struct store_info info;
	struct policy_decision decision;
};

/*
 * 0; -ENOENT: denied; -ESTALE: it left the store, or is not the view's any more, and the kernel, which has its name cached, shall look it up
 * again (it does so by itself); -EIO.
 */
int must_check ops_find_object(struct weightfs *fs, struct node node, struct ops_object *out);

/*
 * Does VIEW have the object already, so that it learns nothing from finding it? A web origin, and what is gated, has what it
 * fetched itself, any other what it opened.
 */
bool ops_has(struct weightfs *fs, const struct view *view, const struct store_info *info);

/* How long the kernel may keep what DECISION allows: no longer than a grant holds. */
double ops_timeout(const struct weightfs *fs, const struct policy_decision *decision);

/* Attributes of what is no object: a directory, symlink or ref. */
void ops_fill_fixed(struct node node, struct stat *st);
void ops_fill_object(const struct store_info *info, struct stat *st);

/* Answer a LOOKUP in view number VIEW with the object, if the policy lets it be seen. */
void ops_reply_object(struct weightfs *fs, fuse_req_t request, uint32_t view,
		      const struct store_info *info);

/* A READDIR that is being answered. */
struct listing {
	fuse_req_t request;
	char *data;
	size_t size, used;
};
/* NEXT is where the listing goes on after this entry. False: it is full. */
bool ops_list(struct listing *listing, const char *name, const struct stat *st, off_t next);

/* ---- ops-hash.c: a view's hash/ ---- */
/* Answer a LOOKUP of NAME in view number VIEW. */
void ops_lookup_object(struct weightfs *fs, fuse_req_t request, uint32_t view, const char *name);
/* The same for the object that NAME is a digest of, wherever in VIEW it was found. */
void ops_lookup_digest(struct weightfs *fs, fuse_req_t request, const struct view *view,
		       const struct digest_name *name);
/* What VIEW, which does not share it, has itself under NAME. 0, -ENOENT or -EIO. */
int must_check ops_find_apart(struct weightfs *fs, const struct view *view,
			      const struct digest_name *name, struct store_info *out);

/* ---- ops-list.c ---- */
/* Answer a READDIR of NODE, some hash/ or a folder of names, on another thread: SIZE bytes at most, from OFFSET on. */
void ops_list_later(struct weightfs *fs, fuse_req_t request, struct node node, size_t size,
		    off_t offset);
/* Does a listing show VIEW what is here by NAME? */
bool ops_lists_stored(struct weightfs *fs, const struct view *view, const struct digest_name *name);

/* ---- ops-names.c: name/ and hub/ of a view ---- */
/* Answer a LOOKUP of NAME in NODE, a folder. */
void ops_lookup_name(struct weightfs *fs, fuse_req_t request, struct node node, const char *name);
/* Refs, which are no objects: what their `fh` has set. */
#define OPS_REF_HANDLE ((uint64_t)1 << 63)
void ops_open_ref(struct weightfs *fs, fuse_req_t request, struct node node,
		  struct fuse_file_info *fi);
void ops_read_ref(fuse_req_t request, uint64_t fh, size_t size, off_t offset);

/* ---- ops-folders.c ---- */
/* Add what VIEW sees in NODE, a folder, from OFFSET on, which is behind "." and "..". On fs->listings. */
void ops_list_names(struct weightfs *fs, const struct view *view, struct node node,
		    struct listing *listing, off_t offset);

/* ---- ops-tree.c: directories and links ---- */
void ops_lookup(fuse_req_t request, fuse_ino_t parent, const char *name);
void ops_readlink(fuse_req_t request, fuse_ino_t ino);
void ops_readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
		 struct fuse_file_info *fi);

/* ---- ops-file.c: objects ---- */
void ops_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
	      struct fuse_file_info *fi);
void ops_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi);

/* ---- ops-meta.c: what else is known of a node ---- */
void ops_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_access(fuse_req_t request, fuse_ino_t ino, int mask);
void ops_getxattr(fuse_req_t request, fuse_ino_t ino, const char *name, size_t size);
void ops_listxattr(fuse_req_t request, fuse_ino_t ino, size_t size);
void ops_ioctl(fuse_req_t request, fuse_ino_t ino, unsigned int command, void *arg,
	       struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_size,
	       size_t out_size);
void ops_statfs(fuse_req_t request, fuse_ino_t ino);

#endif
