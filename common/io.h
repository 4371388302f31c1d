/* SPDX-License-Identifier: Apache-2.0 */
/* Whole reads and writes. All return 0 or -errno; any thread. */
#ifndef COMMON_IO_H
#define COMMON_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include "common/cleanup.h"

/* Exactly LEN bytes at OFFSET; -ENODATA when the file ends before. */
int must_check io_pread(int fd, void *buf, size_t len, uint64_t offset);
int must_check io_pwrite(int fd, const void *buf, size_t len, uint64_t offset);
/* Exactly all of N (at most IO_VECTORS) pieces. */
#define IO_VECTORS 32
int must_check io_pwritev(int fd, const struct iovec *pieces, size_t n, uint64_t offset);
/* Exactly LEN bytes to a stream; no SIGPIPE protection. */
int must_check io_write(int fd, const void *buf, size_t len);
/* Up to LEN bytes, short only at the end of the stream. Returns the count or -errno. */
ssize_t must_check io_read(int fd, void *buf, size_t len);
/*
 * A whole small file as a NUL-terminated string that the caller frees, LEN without the NUL.
 * -EFBIG when it is longer than LIMIT.
 */
int must_check io_read_file(const char *path, size_t limit, char **out, size_t *len);
/*
 * The same, ST is what it is; but only of a regular file, and never waiting for another process as a FIFO would: -EISDIR,
 * or -EMEDIUMTYPE for anything else.
 */
int must_check io_read_regular(const char *path, size_t limit, char **out, size_t *len, struct stat *st);
/*
 * LEN bytes as DIR/NAME, in the place of what is there, through TMP_DIR/TMP on the same filesystem: durable when it returns 0,
 * whole after a crash in any case. REPLACED (may be NULL): whatever comes of it, NAME has the new text.
 */
int must_check io_replace(int tmp_dir, const char *tmp, int dir, const char *name, const void *data,
			  size_t len, bool *replaced);
/*
 * Another open file description of the file that FD has open, with an offset and FLAGS (open(2)) of its own, also if the
 * file has no name any more. The descriptor, or -errno.
 */
int must_check io_reopen(int fd, int flags);

#endif
