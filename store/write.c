/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks into an object's file.
 *
 * Two ways. Direct: from the buffer to the disk, past the page cache. What is fetched for a reader goes to it
 * from memory and stays in the kernel as pages of the mount, so pages of this file would be a second copy,
 * and page allocation is dearer than the network (HACKING.md has the figures). Buffered: for bytes that are
 * read back at once (a whole fetch that is hashed in order), for a last chunk that is no multiple of the
 * block size, and for filesystems without O_DIRECT.
 *
 * The two never meet in one page: chunks are 512 KiB, and reading brings nothing else (object_advise()).
 */
#include "store/internal.h"

#include <fcntl.h>
#include "common/io.h"
#include "common/log.h"

#define ALIGNMENT ((uintptr_t)4096) /* enough for every block device and filesystem that is in use */

/* How many of the chunks, from the first, may be written directly? */
static size_t alignable(const struct iovec *chunks, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (((uintptr_t)chunks[i].iov_base | chunks[i].iov_len) % ALIGNMENT)
			break;
	}
	return i;
}

/*
 * Another open file of the same file: O_DIRECT belongs to that, and readers go on through the page cache. To open it
 * costs microseconds, to keep it would cost a descriptor for each object.
 */
static int write_direct(struct store_object *object, uint64_t offset, const struct iovec *chunks,
			size_t n)
{
	struct store *store = object->store;
	_cleanup_close_ int fd = io_reopen(atomic_load(&object->fd), O_WRONLY | O_DIRECT);
	int r = fd < 0 ? fd : io_pwritev(fd, chunks, n, offset);

	if (r == -EINVAL && !atomic_exchange(&store->buffered, true))
		log_debug("%s: written through the page cache, its filesystem has no direct I/O",
			  store->path);
	return r;
}

/* Writing begins at once, so that the sync at the end finds little to do. */
static int write_buffered(struct store_object *object, uint64_t offset, const struct iovec *chunks,
			  size_t n)
{
	int fd = atomic_load(&object->fd);
	size_t len = 0;
	int r;

	r = io_pwritev(fd, chunks, n, offset);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		len += chunks[i].iov_len;
	if (sync_file_range(fd, (off_t)offset, (off_t)len, SYNC_FILE_RANGE_WRITE) < 0)
		log_debug("%s: the sync at the end will tell", object_label(object).text);
	return 0;
}

int write_chunks(struct store_object *object, uint64_t first, const struct iovec *chunks, size_t n,
		 bool direct)
{
	size_t done = 0;
	int r = 0;

	if (direct && !atomic_load_explicit(&object->store->buffered, memory_order_relaxed))
		done = alignable(chunks, n);
	if (done > 0)
		r = write_direct(object, first * CHUNK_SIZE, chunks, done);
	/* Whatever it was that direct writing cannot do here: the page cache can, or names the error. */
	if (r < 0 && r != -ENOSPC && r != -EIO)
		done = 0;
	else if (r < 0)
		return r;
	if (done == n)
		return 0;
	return write_buffered(object, (first + done) * CHUNK_SIZE, chunks + done, n - done);
}
