/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an open costs its view, and what follows when that is more than the view's quota.
 *
 * The answer depends on what the view itself has open and used before, on its quota, and on the size and the name of
 * the object; not on what is stored, so it tells nothing of others. An object that does not fit is served verified, and
 * kept only if somebody else who has it open may keep it. One that was first known by its SHA-256 can only be had
 * whole: it does not open.
 */
#ifndef FS_ORIGINS_QUOTA_H
#define FS_ORIGINS_QUOTA_H

#include "fs/requests/handle.h"
#include "fs/requests/ops.h"

/*
 * HANDLE was opened as FOUND says. 0; -EDQUOT: it is to be closed again. What follows on the disk, and what is to go,
 * is done in the background. Any thread.
 */
int must_check quota_open(const struct ops_object *found, struct handle *handle);
/* The object has another size now: does it still fit? 0 or -EDQUOT. Writes to the disk: on a background thread. */
int must_check quota_recheck(struct handle *handle);
/* Somebody other than an open file has OBJECT fetched to be kept, and not any more. */
void quota_keep_begin(struct object *object);
void quota_keep_end(struct object *object);
/* What is to leave the store by now is removed in the background. Any thread that may take a lock. */
void quota_sweep(struct weightfs *fs);
/* Gives back what quota_open() took, if it was called. By handle_close(). */
void quota_close(struct handle *handle);

#endif
