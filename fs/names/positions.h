/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a listing goes on (telldir(3)): a number for a name in a folder, from a digest of it, so that it means the same name
 * whatever comes and goes beside it. What was told lately is remembered; of the rest, the number is found again by whoever
 * lists, as long as the name is there. Any thread.
 */
#ifndef FS_NAMES_POSITIONS_H
#define FS_NAMES_POSITIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/cleanup.h"

#define POSITIONS_FIRST 4 /* none is below that */

/* That of NAME in FOLDER (fs/names/interned.h). */
off_t position_of(uint64_t folder, const char *name);
/* Remember that. */
void position_told(off_t position, const char *name);
/* The name that was told for POSITION, at most NAME_MAX bytes; false: it is not remembered. */
bool must_check position_name(off_t position, char *out);
/* The daemon ends. */
void positions_free(void);

#endif
