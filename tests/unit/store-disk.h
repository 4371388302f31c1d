/* SPDX-License-Identifier: Apache-2.0 */
/* A small disk of its own for each test; state is NULL where none can be mounted. */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include "store-util.h"

#include <sys/mount.h>
#include <unistd.h>

#define DISK ((uint64_t)48 << 20)

static inline int mount_disk(void **state)
{
	char options[40];

	*state = make_directory();
	snprintf(options, sizeof(options), "size=%llu", (unsigned long long)DISK);
	if (mount("tmpfs", *state, "tmpfs", 0, options) == 0)
		return 0;
	rmdir(*state);
	free(*state);
	*state = NULL;
	return 0;
}

static inline int unmount_disk(void **state)
{
	if (!*state)
		return 0;
	umount2(*state, MNT_DETACH);
	rmdir(*state);
	free(*state);
	return 0;
}

static inline struct store *open_on_disk(const char *disk, uint64_t size, uint64_t keep_free)
{
	char path[200];
	struct store_options options = {path, size, keep_free, BOOT_A};
	struct store *store = NULL;

	snprintf(path, sizeof(path), "%s/store", disk);
	assert_int_equal(store_open(&options, &store), 0);
	return store;
}

#endif
