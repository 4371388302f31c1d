/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In which cgroup, and unit of systemd, is a process? One hierarchy names it:
 *
 *	1. version 2, if it is mounted at the root (ROOT/cgroup.controllers is there), as the only one;
 *	2. version 2 at ROOT/unified, for processes that are not at its top;
 *	3. name=systemd, at ROOT/systemd;
 *	4. of the controllers of version 1 the first that is mounted: pids, memory, cpu, cpuacct, cpuset, devices,
 *	   freezer, blkio;
 *	5. version 2 at ROOT/unified, where there is nothing else.
 *
 * But for 2 that is the machine's choice: a process that could add itself to another hierarchy would else leave its
 * cgroup so. In version 2 it cannot: whoever moves a process must be able to write to the top, too.
 *
 * A cgroup that root alone could make and fill, counts: its directory, those above it, and the files in them that take
 * processes are root's, and nobody else may write to them. Of others the part above, which is root's, counts.
 */
#ifndef FS_ORIGINS_CGROUP_H
#define FS_ORIGINS_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>
#include "common/cleanup.h"

#define CGROUP_PATH_SIZE 4096 /* the kernel shows no longer one */
#define CGROUP_UNIT_SIZE 256  /* systemd's UNIT_NAME_MAX */

/*
 * The cgroup of a process whose /proc/PID/cgroup is TEXT, as far as it is OWNER's (0, root): "/" at the top, "" if not
 * even that is. ROOT: /sys/fs/cgroup. -EXDEV: it is not below the top that we see; -ENOENT: it is gone; -ENXIO: no
 * hierarchy is there; -EBADMSG: odd content.
 */
int must_check cgroup_of(const char *root, uid_t owner, const char *text,
			 char out[CGROUP_PATH_SIZE]);

/* The unit whose cgroup PATH is or lies in: its first part that is not a slice. false: none. */
bool cgroup_unit(const char *path, char out[CGROUP_UNIT_SIZE]);

#endif
