/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an open of an object begins and ends: its node's mode, its reply, and what is left in the mount's own cache
 * when nobody will read it from there again.
 */
#ifndef FS_REQUESTS_OPENING_H
#define FS_REQUESTS_OPENING_H

#include "fs/objects/object.h"

/*
 * Answer an OPEN with the handle FI->fh, as its node is read: passed through if the object is complete and nobody has
 * the node open otherwise. REQUEST is answered in any case. 0: RELEASE will come, and may have come already, so the
 * handle is not to be touched; -errno: it will not, and the handle is the caller's to close. Any thread.
 */
int must_check opening_reply(fuse_req_t request, const struct fuse_file_info *fi);

/* RELEASE of FH: gives back all that belongs to the open, FH too. On a FUSE thread. */
void opening_end(struct weightfs *fs, uint64_t fh);

/*
 * OBJECT became complete. LOOKUP names slot 1 of it from now on; what slot 0 of each view has in the mount's cache is
 * dropped, at once where nobody has it open, else by the last opening_end(). On a background thread.
 */
void opening_completed(struct object *object);

#endif
