/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file comes in by descriptor: shared with the store's filesystem where that can (FICLONE), else copied. Both
 * digests are computed of what is in the store, never of what the file may become meanwhile.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "common/log.h"
#include "fs/operations/operations.h"
#include "fs/session.h"
#include "verify/verify.h"

static int tell_progress(void *arg, uint64_t done)
{
	struct operation *operation = arg;

	return operation->emit(operation, json_pack("{s:I}", "progress", (json_int_t)done));
}

/* SHARED: with the file that it comes from. */
static int take_in(struct operation *operation, struct store_ingest *ingest,
		   struct verify_result *result, bool *shared)
{
	int fd = store_ingest_fd(ingest);

	*shared = ioctl(fd, FICLONE, operation->fd) == 0;
	if (*shared)
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

/* So that it stays, whatever room is wanted; durable before it is said. */
static int pin(struct operation *operation, const struct store_info *info)
{
	struct store_object *object;
	int r;

	if (!json_is_true(json_object_get(operation->request, "pin")))
		return 0;
	r = store_object_open(operation->store, info->id, &object);
	if (r == 0) {
		r = store_object_pin(object, true);
		store_object_close(object);
	}
	return r < 0 ? operation_fail(operation, r, "it cannot be pinned: %s", strerror(-r)) : 0;
}

/* NEW: it was not here before. */
static int report(struct operation *operation, const struct store_info *info, bool new, bool shared)
{
	char sha256[DIGEST_HEX_SIZE], fsverity[DIGEST_HEX_SIZE];
	int r = pin(operation, info);

	if (r < 0)
		return r;
	note_use(operation, info);
	digest_to_hex(&info->digests.sha256, sha256);
	digest_to_hex(&info->digests.fsverity, fsverity);
	return operation->emit(operation,
			       json_pack("{s:s, s:s, s:I, s:b, s:b}", "digest", sha256, "fsverity", fsverity,
					 "size", (json_int_t)info->size, "new", new, "shared", new && shared));
}

static bool is_complete(struct operation *operation, const struct digest *sha256, struct store_info *info)
{
	const struct digest_name name = { DIGEST_SHA256, *sha256 };

	return store_lookup(operation->store, &name, info) == 0 && info->complete && info->digests.has_sha256 &&
	       info->digests.has_fsverity;
}

/* What it has to be, if the request says so. */
static int take_expected(struct operation *operation, struct digest *expected, bool *has)
{
	json_t *value = json_object_get(operation->request, "sha256");
	const char *hex = json_string_value(value);

	*has = value;
	if (value && (!hex || strlen(hex) != DIGEST_HEX_SIZE - 1 || digest_from_hex(hex, expected) < 0))
		return operation_fail(operation, -EINVAL, "\"sha256\" is not 64 lowercase hex digits");
	return 0;
}

static int check_expected(struct operation *operation, const struct digest *found)
{
	const char *file = json_string_value(json_object_get(operation->request, "file"));
	struct digest expected;
	char hex[DIGEST_HEX_SIZE];
	bool has;
	int r = take_expected(operation, &expected, &has);

	if (r < 0 || !has || digest_equal(&expected, found))
		return r;
	digest_to_hex(found, hex);
	return operation_fail(operation, -EBADMSG, "%.300s: its SHA-256 is %s, not what it is called", file ? file : "it", hex);
}

static int commit(struct operation *operation, struct store_ingest *ingest,
		  const struct verify_result *result, bool shared)
{
	struct digest_pair digests = verify_result_digests(result);
	struct store_info info;
	const void *front;
	bool new;
	size_t len;
	int r;

	r = check_expected(operation, &digests.sha256);
	if (r < 0) {
		store_ingest_abort(ingest);
		return r;
	}
	new = !is_complete(operation, &digests.sha256, &info);
	front = verify_tree_front(result->tree, &len);
	r = store_ingest_commit(ingest, &digests, result->size, front, len, &info);
	if (r < 0)
		return operation_fail(operation, r, "the store did not take it");
	return report(operation, &info, new, shared);
}

/* With "once" what is here under its digest and has the same size is not read again. 1: it is here. */
static int find_once(struct operation *operation, uint64_t size)
{
	struct store_info info;
	struct digest expected;
	bool has;
	int r = take_expected(operation, &expected, &has);

	if (r < 0 || !has || !json_is_true(json_object_get(operation->request, "once")) ||
	    !is_complete(operation, &expected, &info) || info.size != size)
		return r;
	r = report(operation, &info, false, false);
	return r < 0 ? r : 1;
}

int operation_add(struct operation *operation)
{
	struct store_ingest *ingest;
	struct verify_result result;
	struct statx st;
	bool shared;
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
	/* Its database, and what users gave it to keep, are nobody's models; and its objects are here. */
	if (store_contains(operation->store, operation->fd))
		return operation_fail(operation, -EXDEV, "it is a file of the store itself");
	r = find_once(operation, st.stx_size);
	if (r != 0)
		return r < 0 ? r : 0;
	r = store_ingest_new(operation->store, S_ISREG(st.stx_mode) ? st.stx_size : 0, &ingest);
	if (r < 0)
		return operation_fail(operation, r, "the store has no room for it");
	r = take_in(operation, ingest, &result, &shared);
	if (r < 0) {
		store_ingest_abort(ingest);
		return r;
	}
	r = commit(operation, ingest, &result, shared);
	verify_tree_free(result.tree);
	return r;
}
