/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <linux/fuse.h> of some distributions ends before protocol 7.40, so what is needed of it is declared here.
 */
#include <config.h>

#include "fs/requests/wire.h"

#include <string.h>
#include <sys/ioctl.h>
#include "common/log.h"

/* struct fuse_backing_map, FUSE_DEV_IOC_BACKING_OPEN, FUSE_DEV_IOC_BACKING_CLOSE (7.40) */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

#ifndef HAVE_FUSE_PASSTHROUGH_OPEN

/* 7.36: <linux/fuse.h> since 5.17 has FUSE_INIT_EXT. 7.40: */
#define PASSTHROUGH2	 (1U << (37 - 32)) /* FUSE_PASSTHROUGH, in flags2 */
#define OPEN_PASSTHROUGH (1U << 7)	   /* FOPEN_PASSTHROUGH */
/* Words that were padding before: fuse_init_out.max_stack_depth, fuse_open_out.backing_id */
#define STACK_DEPTH_AT (offsetof(struct fuse_init_out, flags2) + sizeof(uint32_t))
#define BACKING_ID_AT  (offsetof(struct fuse_open_out, open_flags) + sizeof(uint32_t))

static atomic_bool offered, agreed;	  /* one session a process */
static __thread int32_t reply_backing_id; /* of the OPEN that this thread answers now; 0: none */

void wire_heard(const void *message, size_t length)
{
	const struct fuse_in_header *header = message;
	const struct fuse_init_in *init = (const void *)(header + 1);

	if (length < sizeof(*header) + sizeof(*init) || header->opcode != FUSE_INIT)
		return;
	atomic_store(&offered, init->flags & FUSE_INIT_EXT && init->flags2 & PASSTHROUGH2);
}

bool wire_agree(struct fuse_conn_info *conn, bool wanted)
{
	bool agree = wanted && atomic_load(&offered);

	atomic_store(&agreed, agree);
	return agree;
}

static void amend_init_passthrough(struct fuse_init_out *init, size_t length)
{
	/* 1: backing files lie directly on a real filesystem; then others may still stack upon this one. */
	const uint32_t depth = 1;

	if (!atomic_load(&agreed) || length < STACK_DEPTH_AT + sizeof(depth))
		return;
	init->flags |= FUSE_INIT_EXT;
	init->flags2 |= PASSTHROUGH2;
	memcpy((char *)init + STACK_DEPTH_AT, &depth, sizeof(depth));
}

int wire_reply_open(fuse_req_t request, struct fuse_file_info *fi, int32_t backing_id)
{
	int r;

	/* Replies carry no opcode: the next one that this thread writes is this one. */
	reply_backing_id = backing_id;
	r = fuse_reply_open(request, fi);
	reply_backing_id = 0;
	return r;
}

ssize_t wire_write(int device, const struct iovec *iov, int count)
{
	struct fuse_open_out open;
	struct iovec amended[2];

	if (!reply_backing_id || count != 2 || iov[1].iov_len != sizeof(open))
		return writev(device, iov, count);
	memcpy(&open, iov[1].iov_base, sizeof(open));
	open.open_flags &= ~(uint32_t)FOPEN_KEEP_CACHE; /* the kernel refuses the two together */
	open.open_flags |= OPEN_PASSTHROUGH;
	memcpy((char *)&open + BACKING_ID_AT, &reply_backing_id, sizeof(reply_backing_id));
	amended[0] = iov[0];
	amended[1] = (struct iovec){&open, sizeof(open)};
	return writev(device, amended, 2);
}

#else

void wire_heard(const void *message, size_t length)
{
	/* libfuse understands it. */
}

bool wire_agree(struct fuse_conn_info *conn, bool wanted)
{
	if (!wanted || !(conn->capable & FUSE_CAP_PASSTHROUGH))
		return false;
	conn->want |= FUSE_CAP_PASSTHROUGH;
	conn->max_backing_stack_depth = 0; /* beside this filesystem itself */
	return true;
}

static void amend_init_passthrough(struct fuse_init_out *init, size_t length)
{
	/* libfuse said it. */
}

int wire_reply_open(fuse_req_t request, struct fuse_file_info *fi, int32_t backing_id)
{
	fi->backing_id = backing_id;
	return fuse_reply_open(request, fi);
}

ssize_t wire_write(int device, const struct iovec *iov, int count)
{
	return writev(device, iov, count);
}

#endif

void wire_amend_init(struct fuse_init_out *init, size_t length)
{
	/* libfuse 3.14 negotiates it but forgets to send it. */
	init->flags |= FUSE_PARALLEL_DIROPS;
	amend_init_passthrough(init, length);
}

int32_t wire_backing_open(int device, int fd)
{
	struct backing_map map = {.fd = fd};
	int id = ioctl(device, BACKING_OPEN, &map);

	/* Kernels that do not know it say ENOTTY, too; 0 is no id. */
	return id > 0 ? id : id < 0 ? -errno : -EIO;
}

void wire_backing_close(int device, int32_t backing_id)
{
	uint32_t id = (uint32_t)backing_id;

	if (ioctl(device, BACKING_CLOSE, &id) < 0)
		log_warning_errno(-errno, "backing file %d cannot be given back", backing_id);
}
