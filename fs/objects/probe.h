/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests that the store does not have. What catalogs know of them becomes a record at once, nobody is asked, also offline. Of
 * what nobody here has heard of the sources are asked once, where the policy allows it, the LOOKUP is
 * parked meanwhile (5 s at most), and the answer is remembered: as a record in the store, or for a
 * while as "no".
 *
 * For an fs-verity digest the front is fetched as well (or the one chunk of a small object), so that the
 * size that the first stat(2) shows is already verified. For a SHA-256 it is what the source says.
 */
#ifndef FS_OBJECTS_PROBE_H
#define FS_OBJECTS_PROBE_H

#include "fs/fs.h"
#include "fs/objects/parking.h"

int must_check probes_new(struct probes **out);
void probes_free(struct probes *probes); /* NULL is allowed; nothing may be on its way */

/*
 * Answer the LOOKUP of NAME in view VIEW: now, or when the sources have spoken. SEPARATE: they are asked for that view alone,
 * whatever is known of NAME, and it gets an object of its own (fs/objects/separate.h).
 */
void probe_lookup(struct weightfs *fs, uint32_t view, bool separate, const struct digest_name *name,
		  fuse_req_t request);

/*
 * The same for ASKER, which is parked (fs/objects/parking.h), a reference to which is taken over: 0 when NAME is in the store,
 * -ENOENT if no source has it, else why that is not known. UID: whose catalogs are asked. VIEW, which is that user's: for that
 * one alone; 0: for the store.
 */
void probe_ask(struct weightfs *fs, uid_t uid, uint32_t view, const struct digest_name *name,
	       struct parked *asker);

/* Why NAME was not found, by those who ask for the store, to be freed; NULL: nothing is remembered. */
char *probe_last_error(struct weightfs *fs, const struct digest_name *name);

#endif
