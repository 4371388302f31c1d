/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching an object as a whole ahead of its use, for a thread that can wait. Who gives up leaves what has come, and
 * what others wait for; the next one goes on there.
 */
#ifndef FS_OBJECTS_PULL_H
#define FS_OBJECTS_PULL_H

#include "fs/objects/object.h"

/* Who waits: asked a few times a second, with bytes that are here and that there are (0: not known yet). Not 0: give up. */
struct pull_watch {
	int (*progress)(void *arg, uint64_t present, uint64_t size);
	void *arg;
};

/*
 * See to it that the store has a record of NAME, or view VIEW of UID's (if it is not 0) an object of its own, as a LOOKUP does. 0; -ENOENT: no source has it; -ETIMEDOUT; else why it
 * could not be found out, or what WATCH said.
 */
int must_check pull_find(struct weightfs *fs, uid_t uid, uint32_t view, const struct digest_name *name,
			 const struct pull_watch *watch);
/*
 * Until OBJECT is complete and recorded, on behalf of UID. -ENOSPC: there is no room for it; -ENODATA: offline; -EIO: no source has bytes
 * that verify; -ETIMEDOUT: nothing came for as long as a read would have waited; else what WATCH said.
 */
int must_check pull_object(struct object *object, uid_t uid, const struct pull_watch *watch);

#endif
