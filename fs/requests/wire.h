/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said to the kernel beside libfuse: FUSE passthrough (protocol 7.40, Linux 6.9).
 *
 * libfuse 3.17 and later know how to agree on it and how to say it in the reply to an OPEN. For older ones both
 * replies are amended on their way to the device, which is why session.c reads and writes it itself. Backing
 * files are registered by ioctl(2) in any case: the library's call hides the errno, and wants a live
 * request, which there is none of when a reply found nobody.
 */
#ifndef FS_REQUESTS_WIRE_H
#define FS_REQUESTS_WIRE_H

#include <linux/fuse.h>
#include <sys/uio.h>
#include "fs/fs.h"

/* LENGTH bytes that the kernel sent. Of interest is INIT's request: what is offered. */
void wire_heard(const void *message, size_t length);
/*
 * Agree on passthrough, in the operation `init` with CONN, if WANTED. true: the kernel and this libfuse can do it, and
 * the reply will say so.
 */
bool wire_agree(struct fuse_conn_info *conn, bool wanted);
/* The reply to INIT as it leaves; LENGTH: how much of it libfuse sends. */
void wire_amend_init(struct fuse_init_out *init, size_t length);

/*
 * fuse_reply_open(): BACKING_ID 0: reads come here. Else they go to the file registered so; FI must not ask for
 * keep_cache then. 0, or -errno: no RELEASE will come. Any thread.
 */
int must_check wire_reply_open(fuse_req_t request, struct fuse_file_info *fi, int32_t backing_id);
/* writev(2) to the device. What wire_reply_open() has to add is added here. */
ssize_t wire_write(int device, const struct iovec *iov, int count);

/*
 * Register FD, a regular file, with the connection of DEVICE: the id, > 0, or -errno. -EPERM: no CAP_SYS_ADMIN, or not
 * agreed on; -ELOOP: FD lies on a stacked filesystem. The kernel holds the file until the id is closed; files that are
 * open by it hold it longer.
 */
int32_t must_check wire_backing_open(int device, int fd);
void wire_backing_close(int device, int32_t backing_id);

#endif
