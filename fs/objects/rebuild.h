/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After the store's database was lost: objects are believed again when their bytes verify.
 *
 * Before the store is used for anything else, by the daemon and by commands that run without one.
 */
#ifndef FS_OBJECTS_REBUILD_H
#define FS_OBJECTS_REBUILD_H

#include "store/store.h"

/*
 * Look at every object of STORE that is doubtful, with a line of progress in the log every few seconds. STOP (NULL:
 * nobody does) is asked in between. 0, also when the store takes no more for now: what was not looked at waits for the
 * next start. -ECANCELED: stopped; -ENOMEM.
 */
int must_check rebuild_if_due(struct store *store, bool (*stop)(void));

#endif
