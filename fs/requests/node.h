/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Node ids are values, never pointers: what a node is can be read from its number, so FORGET has
 * nothing to do and no stale number can reach freed memory.
 *
 *	63 … 61  60 … 41     40 … 1    0
 *	kind     view or 0   object    slot
 *
 * FUSE_ROOT_ID (1) is NODE_FIXED with number 1. View and object ids come from the store, which gives none out twice.
 * An object has two nodes in a view, slots: 0 while it is partial, 1 when it is complete, because the
 * kernel does not mix cached and passthrough opens on one inode. Both serve any state.
 *
 * What the kernel gets is this number enciphered: name_to_handle_at(2) shows it to everybody, and the numbers of views
 * and objects would tell how many others there are. Only the root's is as it is.
 */
#ifndef FS_REQUESTS_NODE_H
#define FS_REQUESTS_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include "common/cleanup.h"

enum node_kind {
	NODE_FIXED,  /* one of the numbers below */
	NODE_USER,   /* origin/<uid>: object holds the uid */
	NODE_VIEW,   /* origin/<uid>/<origin dir> */
	NODE_HASH,   /* …/hash */
	NODE_OBJECT, /* …/hash/<digest>, and what leads there in name/ and hub/ */
	NODE_FOLDER, /* …/name, …/hub, and folders in them: object is the number of its path (fs/names/interned.h) */
	NODE_REF,    /* …/hub/…/refs/<ref>: the same */
	NODE_KINDS,
};

enum node_fixed {
	FIXED_ROOT = 1,
	FIXED_HASH_LINK, /* hash, where every caller has a view of its own */
	FIXED_NAME_LINK, /* name, the same, … */
	FIXED_HUB_LINK,	 /* … and hub */
	FIXED_ORIGINS,	 /* origin */
	FIXED_NOBODY,	 /* origin/none: the view of callers without an origin */
	FIXED_NO_HASH,	 /* origin/none/hash: always empty, … */
	FIXED_NO_NAME,	 /* … as its name … */
	FIXED_NO_HUB,	 /* … and its hub */
	FIXED_END,
};

struct node {
	enum node_kind kind;
	uint32_t view;
	uint64_t object;
	unsigned int slot;
};

#define NODE_VIEW_MAX   ((1U << 20) - 1)
#define NODE_OBJECT_MAX (((uint64_t)1 << 40) - 1)

/* A key of this process's own: before the mount, once. 0 or -errno. Until then the key is zero. */
int must_check node_make_key(void);
/* NODE's id, and back. Any thread. */
uint64_t node_id(struct node node);
struct node node_from_id(uint64_t id);

static inline uint64_t node_pack(struct node node)
{
	if (node.kind == NODE_FIXED)
		return node.object;
	return (uint64_t)node.kind << 61 | (uint64_t)node.view << 41 | node.object << 1 | node.slot;
}

static inline struct node node_unpack(uint64_t number)
{
	struct node node = { .kind = (enum node_kind)(number >> 61) };

	if (node.kind == NODE_FIXED) {
		node.object = number;
		return node;
	}
	node.view = (uint32_t)(number >> 41) & NODE_VIEW_MAX;
	node.object = (number >> 1) & NODE_OBJECT_MAX;
	node.slot = (unsigned int)(number & 1);
	return node;
}

static inline struct node node_fixed(enum node_fixed which)
{
	return (struct node){ .kind = NODE_FIXED, .object = which };
}

static inline bool node_is_fixed(struct node node, enum node_fixed which)
{
	return node.kind == NODE_FIXED && node.object == which;
}

#endif
