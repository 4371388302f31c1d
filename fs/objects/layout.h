/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tensors of an object in use: its header is parsed in the background, once, as soon as it is here.
 *
 * A header that is longer than what is here of it is fetched whole; the attempt is made again when that has
 * come. Whatever is wrong with a header is of no consequence to readers.
 */
#ifndef FS_OBJECTS_LAYOUT_H
#define FS_OBJECTS_LAYOUT_H

#include <stdatomic.h>
#include "common/workqueue.h"
#include "fs/objects/tensors.h"

struct object;

/* A part of struct object. */
struct layout {
	_Atomic(struct tensors *) tensors; /* set once, lives as long as the object */
	_Atomic uint64_t needed;	   /* bytes of the front for the next attempt */
	atomic_bool busy;		   /* `work` is submitted; it holds a reference */
	_Atomic uid_t uid;		   /* who read last: on whose behalf it is fetched */
	struct work work;
};

void layout_init(struct layout *layout);
void layout_clear(struct layout *layout);

/* NULL: none, or not yet. Lock-free. */
const struct tensors *layout_tensors(struct layout *layout);

/*
 * Something landed, or somebody reads: parse OBJECT's header if that has become possible. Any thread, without
 * a lock; cheap when there is nothing to do.
 */
void layout_consider(struct object *object);

#endif
