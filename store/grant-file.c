/* SPDX-License-Identifier: Apache-2.0 */
/* How a file of grants/ is written (store/grant.c): as a whole, or, where there is no room for another one, over itself. */
#include "store/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include "common/io.h"
#include "common/log.h"

/* What is torn on the way is not understood, and grants nothing. */
static int overwrite(struct store *store, const char *name, const char *text, size_t len)
{
	_cleanup_close_ int fd = openat(store->grants_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return -errno;
	r = io_pwrite(fd, text, len, 0);
	if (r == 0 && ftruncate(fd, (off_t)len) < 0)
		r = -errno;
	if (fsync(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

int grant_file_write(struct store *store, const char *name, const char *text, size_t len, bool urgent)
{
	bool replaced;
	char tmp[64];
	int r;

	snprintf(tmp, sizeof(tmp), "grants-%s", name);
	r = io_replace(store->tmp_fd, tmp, store->grants_fd, name, text, len, &replaced);
	if (r < 0 && !replaced && urgent) {
		log_warning_errno(r, "%s/grants/%s cannot be replaced, and is overwritten", store->path, name);
		r = overwrite(store, name, text, len);
	}
	return r < 0 ? log_error_errno(r, "%s/grants/%s cannot be written", store->path, name) : 0;
}
