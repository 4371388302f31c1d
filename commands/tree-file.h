/* SPDX-License-Identifier: Apache-2.0 */
/* Tree files: the front of an object's tree, and its descriptor behind it. */
#ifndef COMMANDS_TREE_FILE_H
#define COMMANDS_TREE_FILE_H

#include <stdbool.h>
#include "verify/verify.h"

/* All of it to FD, which is empty. 0 or -errno. */
int must_check tree_file_write(int fd, const struct verify_result *result);
/* Is there a tree file at PATH, as long as it has to be, whose descriptor is that of the object? (The front is not looked at.) */
bool tree_file_fits(const char *path, uint64_t size, const struct digest *fsverity);

#endif
