/* SPDX-License-Identifier: Apache-2.0 */
/* The objects' files: objects/ab/<name>, sparse, of the object's size from the start. */
#include "store/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "common/log.h"

void store_file_path(const struct digest_name *name, char out[STORE_FILE_PATH_SIZE])
{
	char hex[DIGEST_HEX_SIZE];

	digest_to_hex(&name->digest, hex);
	out[0] = hex[0];
	out[1] = hex[1];
	out[2] = '/';
	digest_name_format(name, out + 3);
}

static int directory_of(struct store *store, const char *path, char out[3])
{
	memcpy(out, path, 2);
	out[2] = '\0';
	if (mkdirat(store->objects_fd, out, 0700) < 0 && errno != EEXIST)
		return log_error_errno(-errno, "%s/objects/%s cannot be made", store->path, out);
	return 0;
}

int store_file_create(struct store *store, const struct digest_name *name, uint64_t size)
{
	char path[STORE_FILE_PATH_SIZE], dir[3];
	_cleanup_close_ int fd = -1;
	int r;

	store_file_path(name, path);
	r = directory_of(store, path, dir);
	if (r < 0)
		return r;
	/* A file that is there belongs to no record; a removed object that is still open may have
	 * it. */
	if (unlinkat(store->objects_fd, path, 0) < 0 && errno != ENOENT)
		return log_error_errno(-errno, "%s/objects/%s cannot be replaced", store->path,
				       path);
	fd = openat(store->objects_fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return log_error_errno(-errno, "%s/objects/%s cannot be made", store->path, path);
	if (ftruncate(fd, (off_t)size) < 0) {
		r = log_error_errno(-errno, "%s/objects/%s cannot be made %llu bytes long",
				    store->path, path, (unsigned long long)size);
		unlinkat(store->objects_fd, path, 0);
		return r;
	}
	return steal_fd(&fd);
}

int store_file_anonymous(struct store *store, uint64_t size)
{
	_cleanup_close_ int fd = -1;
	char name[32];

	snprintf(name, sizeof(name), "%llu",
		 (unsigned long long)atomic_fetch_add(&store->ingests, 1));
	fd = openat(store->tmp_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	unlinkat(store->tmp_fd, name, 0);
	return ftruncate(fd, (off_t)size) < 0 ? -errno : steal_fd(&fd);
}

int store_file_sync_name(struct store *store, const struct digest_name *name)
{
	char path[STORE_FILE_PATH_SIZE];
	_cleanup_close_ int fd = -1;

	store_file_path(name, path);
	path[2] = '\0';
	fd = openat(store->objects_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* The directory itself may be new, too. */
	if (fd < 0 || fsync(fd) < 0 || fsync(store->objects_fd) < 0)
		return log_error_errno(-errno, "%s/objects/%s cannot be synced", store->path, path);
	return 0;
}

int store_file_take(struct store *store, const char *tmp, const struct digest_name *name)
{
	char path[STORE_FILE_PATH_SIZE], dir[3];
	int r;

	store_file_path(name, path);
	r = directory_of(store, path, dir);
	if (r < 0)
		return r;
	if (renameat(store->tmp_fd, tmp, store->objects_fd, path) < 0)
		return log_error_errno(-errno, "%s/objects/%s cannot be put in place", store->path,
				       path);
	return store_file_sync_name(store, name);
}
