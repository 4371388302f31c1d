/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing the parts of the daemon up in order, and down in reverse. */
#ifndef FS_DAEMON_H
#define FS_DAEMON_H

#include "config/settings.h"
#include "fs/fs.h"

/*
 * Everything but the mount, from SETTINGS: the store, fetch, the workers. Takes over CONFIG and POLICY in any
 * case. 0 or -errno, logged; then daemon_stop() still has to be called.
 */
int must_check daemon_start(struct weightfs *fs, const struct settings *settings,
			    struct config *config, struct policy_slot *policy);
/* Every waiter is answered, every thread ended. */
void daemon_stop(struct weightfs *fs);

#endif
