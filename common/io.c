/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int io_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		done += (size_t)n;
	}
	return 0;
}

int io_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int io_pwritev(int fd, const struct iovec *pieces, size_t n, uint64_t offset)
{
	struct iovec left[IO_VECTORS], *next = left, *end = left + n;

	assert(n <= IO_VECTORS);
	memcpy(left, pieces, n * sizeof(*left));
	while (next < end) {
		ssize_t done = pwritev(fd, next, (int)(end - next), (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		offset += (uint64_t)done;
		while (next < end && (size_t)done >= next->iov_len)
			done -= (ssize_t)next++->iov_len;
		if (next < end) {
			next->iov_base = (char *)next->iov_base + done;
			next->iov_len -= (size_t)done;
		}
	}
	return 0;
}

int io_write(int fd, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

ssize_t io_read(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int read_whole(int fd, size_t limit, char **out, size_t *len)
{
	_cleanup_free_ char *text = NULL;
	size_t capacity = 0, used = 0;

	for (;;) {
		ssize_t n;

		/* One byte more than the limit tells a longer file; one more for the NUL. */
		if (used + 1 >= capacity) {
			size_t wanted = capacity ? 2 * capacity : 4096;
			char *grown = realloc(text, wanted);

			if (!grown)
				return -ENOMEM;
			text = grown;
			capacity = wanted;
		}
		n = io_read(fd, text + used, capacity - used - 1);
		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > limit)
			return -EFBIG;
	}
	text[used] = '\0';
	*out = steal_pointer(text);
	*len = used;
	return 0;
}

int io_read_file(const char *path, size_t limit, char **out, size_t *len)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : read_whole(fd, limit, out, len);
}

int io_read_regular(const char *path, size_t limit, char **out, size_t *len, struct stat *st)
{
	/* Of a FIFO without a writer this does not wait. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENXIO ? -EMEDIUMTYPE : -errno; /* a socket, or a device that nothing is behind */
	if (fstat(fd, st) < 0)
		return -errno;
	if (S_ISDIR(st->st_mode))
		return -EISDIR;
	return S_ISREG(st->st_mode) ? read_whole(fd, limit, out, len) : -EMEDIUMTYPE;
}

int io_replace(int tmp_dir, const char *tmp, int dir, const char *name, const void *data, size_t len,
	       bool *replaced)
{
	_cleanup_close_ int fd =
		openat(tmp_dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? -errno : io_write(fd, data, len);
	bool renamed;

	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(tmp_dir, tmp, dir, name) < 0)
		r = -errno;
	renamed = r == 0;
	if (renamed && fsync(dir) < 0)
		r = -errno;
	if (!renamed)
		(void)unlinkat(tmp_dir, tmp, 0);
	if (replaced)
		*replaced = renamed;
	return r;
}

int io_reopen(int fd, int flags)
{
	char path[32];
	int reopened;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reopened = open(path, flags | O_CLOEXEC);
	return reopened < 0 ? -errno : reopened;
}
