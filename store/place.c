/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's directory: where it may lie, who has it, and the files in it.
 *
 * The lock is the flock(2), not the file: a pid that a dead process left in it means nothing. The
 * pid is written by the holder, for messages.
 */
#include "store/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"

/* How long to wait for one that only asks who has the lock, or has it and will write its pid. */
#define LOCK_PATIENCE_MS 200

static const char CACHEDIR_TAG[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
				   "# This directory is a cache of weightfs(1). What it is for:\n"
				   "#	https://bford.info/cachedir/\n";

/* Is FD on a filesystem of the type "fuse.weightfs"? */
static bool on_weightfs(int fd)
{
	_cleanup_free_ char *info = NULL, *mounts = NULL;
	char path[64], start[32], *id, *line, *next;
	size_t len;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (io_read_file(path, 1 << 16, &info, &len) < 0)
		return false;
	id = strstr(info, "mnt_id:");
	if (!id || io_read_file("/proc/self/mountinfo", 16 << 20, &mounts, &len) < 0)
		return false;
	snprintf(start, sizeof(start), "%d ", atoi(id + strlen("mnt_id:")));
	for (line = mounts; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (strncmp(line, start, strlen(start)))
			continue;
		line = strstr(line, " - ");
		return line && !strncmp(line, " - fuse.weightfs ", 17);
	}
	return false;
}

/* Looks at PATH, or, where it is not made yet, at what it will be made in. */
static int check_mount(const char *path)
{
	_cleanup_free_ char *place = strdup(path);
	_cleanup_close_ int fd = -1;
	char *parent;

	if (!place)
		return -ENOMEM;
	for (parent = place;; parent = dirname(parent)) {
		fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 || errno != ENOENT || !strcmp(parent, "/") || !strcmp(parent, "."))
			break;
	}
	if (fd < 0)
		return log_error_errno(-errno, "store %s: %s cannot be opened", path, parent);
	if (on_weightfs(fd))
		return log_error_errno(
			-EINVAL, "store %s: lies on a weightfs mount, which reads from a store",
			path);
	return 0;
}

static int make_parents(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return log_error_errno(-errno, "store %s: %s cannot be made", path, copy);
		*slash = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return log_error_errno(-errno, "store %s: cannot be made", path);
	return 0;
}

/*
 * Somebody's home directory given by mistake must not become a store: its mode would be changed,
 * its tmp/ emptied.
 */
static int check_ours(const char *path, int root)
{
	int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const char *stranger = NULL;
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return log_error_errno(-errno, "store %s: cannot be read", path);
	if (faccessat(root, "lock", F_OK, 0) < 0)
		while (!stranger && (entry = readdir(dir)))
			if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
			    strcmp(entry->d_name, "lost+found") &&
			    strcmp(entry->d_name, "control.sock"))
				stranger = entry->d_name;
	if (stranger)
		r = log_error_errno(-ENOTEMPTY, "store %s: is no store, and holds \"%s\"", path,
				    stranger);
	closedir(dir);
	return r;
}

static void pause_briefly(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

/* The pid in the lock file, or 0. */
static pid_t written_pid(int fd)
{
	char text[16] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;

	return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static int busy(const char *path, int fd)
{
	_cleanup_free_ char *comm = NULL;
	pid_t pid = written_pid(fd);
	char proc[64];
	size_t len;

	if (!pid) {
		log_error("store %s is in use by another process", path);
		return -EBUSY;
	}
	snprintf(proc, sizeof(proc), "/proc/%d/comm", (int)pid);
	if (io_read_file(proc, 4096, &comm, &len) == 0)
		comm[strcspn(comm, "\n")] = '\0';
	log_error("store %s is in use by %s (pid %d)", path,
		  comm && *comm ? comm : "a process that has ended", (int)pid);
	return -EBUSY;
}

static int take_lock(struct store *store, int root)
{
	int64_t deadline = clock_ms() + LOCK_PATIENCE_MS;
	char text[16];
	int len;

	store->lock_fd = openat(root, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->lock_fd < 0)
		return log_error_errno(-errno, "store %s: the lock cannot be opened", store->path);
	while (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return log_error_errno(-errno, "store %s: cannot be locked", store->path);
		if (clock_ms() >= deadline)
			return busy(store->path, store->lock_fd);
		pause_briefly();
	}
	len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	/* On a full disk the pid may be missing: messages are poorer, the lock holds. */
	if (ftruncate(store->lock_fd, 0) < 0 || pwrite(store->lock_fd, text, (size_t)len, 0) < 0)
		log_warning_errno(-errno, "store %s: the pid cannot be written", store->path);
	return 0;
}

pid_t store_holder(const char *path)
{
	_cleanup_close_ int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = root < 0 ? -1 : openat(root, "lock", O_RDONLY | O_CLOEXEC);
	int64_t deadline = clock_ms() + LOCK_PATIENCE_MS;
	pid_t pid;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	for (;;) {
		if (flock(fd, LOCK_SH | LOCK_NB) == 0)
			return 0; /* given back as fd is closed */
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		pid = written_pid(fd);
		if (pid)
			return pid == getpid() ? 0 : pid;
		if (clock_ms() >= deadline)
			return -EBUSY;
		pause_briefly();
	}
}

/* Opened anew: a kernel that keeps it must not keep the lock. */
int store_probe(const struct store *store)
{
	int fd = openat(store->objects_fd, "../lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

bool store_is_at(const char *path)
{
	_cleanup_close_ int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	static const char *const folders[] = {"objects", "tmp"};
	struct stat st;

	if (root < 0 || fstatat(root, "lock", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (fstatat(root, folders[i], &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
			return false;
	return true;
}

/* Of what is open already: no filesystem is asked anew, as it may be anybody's. */
static bool look_at(int dir, const char *name, struct statx *out)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | (*name ? 0 : AT_EMPTY_PATH);

	return statx(dir, name, flags, STATX_INO | STATX_NLINK | STATX_MNT_ID, out) == 0;
}

static bool is_same(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor;
}

/* The folder that FD has its name in, or had it before it was removed; -1: none from here. */
static int folder_of(int fd)
{
	char link[32], path[PATH_MAX], *slash;
	_cleanup_close_ int folder = -1;
	struct statx named, open_file;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0 || *path != '/')
		return -1;
	path[n] = '\0';
	slash = strrchr(path, '/');
	*slash = '\0';
	folder = open(*path ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || !look_at(fd, "", &open_file))
		return -1;
	/* Of another mount namespace the path may be that of something else. */
	if (open_file.stx_nlink > 0 &&
	    (!slash[1] || !look_at(folder, slash + 1, &named) || !is_same(&named, &open_file)))
		return -1;
	return steal_fd(&folder);
}

/* By what the folders are, not by their paths: they may be mounted elsewhere, too. */
bool store_contains(const struct store *store, int fd)
{
	_cleanup_close_ int root = openat(store->objects_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int folder = folder_of(fd);
	struct statx top, objects, here, below;

	if (root < 0 || folder < 0 || !look_at(root, "", &top) || !look_at(store->objects_fd, "", &objects) ||
	    !look_at(folder, "", &here))
		return false;
	for (;;) {
		int above;

		if (is_same(&here, &top) || is_same(&here, &objects))
			return true;
		above = openat(folder, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		cleanup_close(&folder);
		folder = above;
		below = here;
		if (above < 0 || !look_at(above, "", &here))
			return false;
		/* The root is its own parent; what is mounted in its own parent is not. */
		if (is_same(&here, &below) && here.stx_mnt_id == below.stx_mnt_id)
			return false;
	}
}

static void write_tag(const char *path, int root)
{
	_cleanup_close_ int fd =
		openat(root, "CACHEDIR.TAG", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : io_pwrite(fd, CACHEDIR_TAG, strlen(CACHEDIR_TAG), 0);

	if (r < 0 && r != -EEXIST)
		log_warning_errno(r, "store %s: CACHEDIR.TAG cannot be written", path);
}

/* Ingests that were under way when their process ended. */
static int empty_tmp(struct store *store)
{
	int fd = openat(store->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return log_error_errno(-errno, "store %s: tmp cannot be read", store->path);
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
		    unlinkat(store->tmp_fd, entry->d_name, 0) < 0)
			log_warning_errno(-errno, "store %s: tmp/%s stays", store->path,
					  entry->d_name);
	closedir(dir);
	return 0;
}

static int make_directory(struct store *store, int root, const char *name, int *out)
{
	int fd;

	/* What is durable in it must be found there. */
	if (mkdirat(root, name, 0700) < 0 ? errno != EEXIST : fsync(root) < 0)
		return log_error_errno(-errno, "store %s: %s cannot be made", store->path, name);
	fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return log_error_errno(-errno, "store %s: %s cannot be opened", store->path, name);
	*out = fd;
	return 0;
}

int store_place_open(struct store *store)
{
	_cleanup_close_ int root = -1;
	int r;

	r = check_mount(store->path);
	if (r < 0)
		return r;
	r = make_parents(store->path);
	if (r < 0)
		return r;
	root = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return log_error_errno(-errno, "store %s: cannot be opened", store->path);
	r = check_ours(store->path, root);
	if (r < 0)
		return r;
	r = take_lock(store, root);
	if (r < 0)
		return r;
	if (fchmod(root, 0700) < 0)
		return log_error_errno(-errno, "store %s: the mode cannot be set", store->path);
	write_tag(store->path, root);
	r = make_directory(store, root, "objects", &store->objects_fd);
	if (r < 0)
		return r;
	r = make_directory(store, root, "grants", &store->grants_fd);
	if (r < 0)
		return r;
	r = make_directory(store, root, "tmp", &store->tmp_fd);
	return r < 0 ? r : empty_tmp(store);
}

void store_place_close(struct store *store)
{
	cleanup_close(&store->objects_fd);
	cleanup_close(&store->tmp_fd);
	cleanup_close(&store->grants_fd);
	cleanup_close(&store->lock_fd);
}
