/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file comes in by descriptor: shared with the store's filesystem where that can (FICLONE), else copied. Both
 * digests are computed of what is in the store, never of what the file may become meanwhile.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "common/log.h"
#include "fs/operations.h"
#include "fs/session.h"
#include "verify/verify.h"

static int tell_progress(void *arg, uint64_t done)
{
	struct operation *operation = arg;

	return operation->emit(operation, json_pack("{s:I}", "progress", (json_int_t)done));
}

static int take_in(struct operation *operation, struct store_ingest *ingest,
		   struct verify_result *result)
{
	int fd = store_ingest_fd(ingest);

	if (ioctl(fd, FICLONE, operation->fd) == 0)
		return verify_fd(fd, -1, tell_progress, operation, result);
	return verify_fd(operation->fd, fd, tell_progress, operation, result);
}

/* Who brings it in is its first user: it does not leave because others do without it. */
static void note_use(struct operation *operation, const struct store_info *info)
{
	uint32_t view;

	if (operation_view(operation, &view) < 0 || store_touch(operation->store, info->id, view) < 0)
		log_debug("object %llu: added by nobody in particular", (unsigned long long)info->id);
}

static int commit(struct operation *operation, struct store_ingest *ingest,
		  const struct verify_result *result)
{
	struct digest_pair digests = verify_result_digests(result);
	char sha256[DIGEST_HEX_SIZE], fsverity[DIGEST_HEX_SIZE];
	struct store_info info;
	const void *front;
	size_t len;
	int r;

	front = verify_tree_front(result->tree, &len);
	r = store_ingest_commit(ingest, &digests, result->size, front, len, &info);
	if (r < 0)
		return operation_fail(operation, r, "the store did not take it");
	note_use(operation, &info);
	digest_to_hex(&digests.sha256, sha256);
	digest_to_hex(&digests.fsverity, fsverity);
	return operation->emit(operation,
			       json_pack("{s:s, s:s, s:I}", "digest", sha256, "fsverity", fsverity,
					 "size", (json_int_t)result->size));
}

int operation_add(struct operation *operation)
{
	struct store_ingest *ingest;
	struct verify_result result;
	struct statx st;
	int r;

	/* Not fstat(2): of a file of the own mount that would be a request to this very daemon. */
	if (operation->fd < 0 || statx(operation->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
				       STATX_BASIC_STATS, &st) < 0)
		return operation_fail(operation, -EINVAL, "no file");
	if (S_ISDIR(st.stx_mode))
		return operation_fail(operation, -EISDIR, "it is a directory");
	/* Nobody can end a read of a pipe but who writes it: the client spools it. */
	if (operation->fs && !S_ISREG(st.stx_mode))
		return operation_fail(operation, -EINVAL, "it is not a regular file");
	if (operation->fs && makedev(st.stx_dev_major, st.stx_dev_minor) == session_device())
		return operation_fail(operation, -EXDEV, "it is a file of this mount");
	r = store_ingest_new(operation->store, S_ISREG(st.stx_mode) ? st.stx_size : 0, &ingest);
	if (r < 0)
		return operation_fail(operation, r, "the store has no room for it");
	r = take_in(operation, ingest, &result);
	if (r < 0) {
		store_ingest_abort(ingest);
		return r;
	}
	r = commit(operation, ingest, &result);
	verify_tree_free(result.tree);
	return r;
}
