/* SPDX-License-Identifier: Apache-2.0 */
#include "commands/tree-file.h"

#include <fcntl.h>
#include "common/io.h"

int tree_file_write(int fd, const struct verify_result *result)
{
	uint8_t descriptor[VERIFY_DESCRIPTOR_SIZE];
	const void *front;
	size_t len;
	int r;

	front = verify_tree_front(result->tree, &len);
	verify_descriptor_make(result->size, &result->root, descriptor);
	r = io_write(fd, front, len);
	return r < 0 ? r : io_write(fd, descriptor, sizeof(descriptor));
}

bool tree_file_fits(const char *path, uint64_t size, const struct digest *fsverity)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	uint64_t front = verify_front_size(size), said;
	uint8_t descriptor[VERIFY_DESCRIPTOR_SIZE];
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == front + sizeof(descriptor) &&
	       io_pread(fd, descriptor, sizeof(descriptor), front) == 0 &&
	       verify_descriptor_check(descriptor, fsverity, &said) == 0 && said == size;
}
