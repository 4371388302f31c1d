/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each file's digests, the copy that is served and its tree.
 *
 * Where the filesystem can, the copy is a clone, made before anything is read: it is then the clone that is hashed, and
 * nobody changes that. Else what is copied is what is hashed. Either way a file that is not the same before and after is
 * refused, as its writer was not done.
 */
#include "commands/publish/publish.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include "commands/adopt.h"
#include "commands/tree-file.h"
#include "common/log.h"
#include "verify/verify.h"

/* Times of files are only as fine as this, at worst. */
#define TICK_NS 20000000LL
#define SHOW_MS 100

struct making {
	struct publish_file *file;
	int fd, copy;
	char *temporary; /* the path of COPY */
	uint64_t told;
	bool cloned;
	struct verify_result result;
};

static int say(const struct publish_file *file, int error)
{
	return log_error_errno(error, "%s/%s", file->publish->dir, file->path);
}

static int say_made(const struct publish_file *file, int error)
{
	return log_error_errno(error, "%s: what is made of %s/%s", file->publish->out,
			       file->publish->dir, file->path);
}

/* Reading FILE, or writing what was read. */
static int say_hashed(const struct publish_file *file, int error)
{
	if (error == -ECANCELED)
		return error;
	return error == -ENOSPC || error == -EDQUOT ? say_made(file, error) : say(file, error);
}

char *publish_object_path(const char *base, const struct digest *sha256, const char *suffix)
{
	char hex[DIGEST_HEX_SIZE], *path;

	digest_to_hex(sha256, hex);
	return asprintf(&path, "%sobjects/%.2s/%s%s", base, hex, hex, suffix) < 0 ? NULL : path;
}

/* In OUT. */
static char *place(const struct publish *publish, const struct digest *sha256, const char *suffix)
{
	_cleanup_free_ char *base = NULL;

	if (asprintf(&base, "%s/", publish->out) < 0) {
		base = NULL;
		return NULL;
	}
	return publish_object_path(base, sha256, suffix);
}

static bool object_fits(const char *path, uint64_t size)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

/* ---- files that are as they were ---- */

static bool was_done(struct publish *publish, struct publish_file *file)
{
	_cleanup_free_ char *object = NULL, *tree = NULL;
	struct digest_pair digests;

	if (!publish_state_find(publish->state, file, &digests))
		return false;
	object = place(publish, &digests.sha256, "");
	tree = place(publish, &digests.sha256, ".vtree");
	if (!object || !tree || !tree_file_fits(tree, file->stamp.size, &digests.fsverity) ||
	    (!publish->in_place && !object_fits(object, file->stamp.size)))
		return false;
	file->digests = digests;
	file->done = true;
	return true;
}

/* ---- the others ---- */

/* A change in the same tick as the last one would leave the times as they are. */
static void wait_for_tick(const struct publish_file *file)
{
	struct timespec ts;
	int64_t age;

	clock_gettime(CLOCK_REALTIME, &ts);
	age = ts.tv_sec * 1000000000LL + ts.tv_nsec - file->stamp.ctime_ns;
	if (age > -TICK_NS && age < TICK_NS)
		nanosleep(&(struct timespec){ .tv_nsec = TICK_NS }, NULL);
}

static int check_unchanged(const struct making *making)
{
	const struct publish_file *file = making->file;
	struct publish_stamp now;
	struct stat st;

	if (fstat(making->fd, &st) < 0)
		return say(file, -errno);
	now = publish_stamp_of(&st);
	if (st.st_dev == file->device && S_ISREG(st.st_mode) &&
	    publish_stamp_equal(&now, &file->stamp))
		return 0;
	log_error("%s/%s: changed while it was being published; publish again when its writer is done",
		  file->publish->dir, file->path);
	return -EAGAIN;
}

static int open_file(struct making *making)
{
	struct publish_file *file = making->file;

	wait_for_tick(file);
	/* Where it is now, no link leads: who may write to the folder cannot have another's file published by one. */
	making->fd = adopt_open(file->real, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	return making->fd < 0 ? say(file, making->fd) : check_unchanged(making);
}

/* A new file in the work folder; PATH is to be freed. */
static int open_temporary(struct publish *publish, char **path)
{
	unsigned int number = atomic_fetch_add(&publish->n_temporary, 1);
	int fd;

	if (asprintf(path, "%s/tmp-%u", publish->work_dir, number) < 0) {
		*path = NULL;
		return -ENOMEM;
	}
	fd = open(*path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	fd = -errno;
	free(steal_pointer(*path));
	return fd;
}

static int count(void *arg, uint64_t done)
{
	struct making *making = arg;
	struct publish *publish = making->file->publish;

	atomic_fetch_add(&publish->bytes, done - making->told);
	making->told = done;
	return atomic_load(&publish->failed) ? -ECANCELED : 0;
}

static int hash(struct making *making)
{
	if (making->file->publish->in_place)
		return verify_fd(making->fd, -1, count, making, &making->result);
	making->copy = open_temporary(making->file->publish, &making->temporary);
	if (making->copy < 0)
		return making->copy;
	making->cloned = ioctl(making->copy, FICLONE, making->fd) == 0;
	if (making->cloned)
		return verify_fd(making->copy, -1, count, making, &making->result);
	return verify_fd(making->fd, making->copy, count, making, &making->result);
}

/* The folder of PATH, and that one's: OUT/objects/ab. */
static int make_folders(const char *path)
{
	_cleanup_free_ char *folder = strdup(path);
	char *slash;

	if (!folder)
		return -ENOMEM;
	slash = strrchr(folder, '/');
	*slash = '\0';
	if (mkdir(folder, 0755) == 0 || errno == EEXIST)
		return 0;
	slash = strrchr(folder, '/');
	*slash = '\0';
	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return -errno;
	*slash = '/';
	return mkdir(folder, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* On the disk before it has its name: what is there, is whole. */
static int put(int fd, const char *temporary, const char *path)
{
	int r = make_folders(path);

	if (r == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || rename(temporary, path) < 0))
		r = -errno;
	return r;
}

static int put_object(struct making *making)
{
	struct publish *publish = making->file->publish;
	_cleanup_free_ char *path = place(publish, &making->result.sha256, "");
	int r;

	if (publish->in_place)
		return 0;
	if (!path)
		return -ENOMEM;
	if (object_fits(path, making->result.size)) {
		unlink(making->temporary);
		return 0;
	}
	r = put(making->copy, making->temporary, path);
	if (r == 0)
		atomic_fetch_add(making->cloned ? &publish->n_cloned : &publish->n_copied, 1);
	return r;
}

static int put_tree(struct making *making)
{
	struct publish *publish = making->file->publish;
	const struct verify_result *result = &making->result;
	_cleanup_free_ char *path = place(publish, &result->sha256, ".vtree"), *temporary = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (!path)
		return -ENOMEM;
	if (tree_file_fits(path, result->size, verify_tree_fsverity(result->tree)))
		return 0;
	fd = open_temporary(publish, &temporary);
	if (fd < 0)
		return fd;
	r = tree_file_write(fd, result);
	if (r == 0)
		r = put(fd, temporary, path);
	if (r < 0)
		unlink(temporary);
	return r;
}

static int make(struct making *making)
{
	struct publish_file *file = making->file;
	int r = open_file(making);

	if (r == 0) {
		r = hash(making);
		if (r < 0)
			return say_hashed(file, r);
		r = check_unchanged(making);
	}
	if (r < 0)
		return r;
	r = put_object(making);
	if (r == 0)
		r = put_tree(making);
	if (r < 0)
		return say_made(file, r);
	file->digests = verify_result_digests(&making->result);
	r = publish_state_add(file->publish->state, file);
	file->done = r == 0;
	return r;
}

static int make_one(struct publish_file *file)
{
	struct making making = { .file = file, .fd = -1, .copy = -1 };
	int r = make(&making);

	if (r < 0 && making.temporary)
		unlink(making.temporary);
	verify_tree_free(making.result.tree);
	free(making.temporary);
	cleanup_close(&making.copy);
	cleanup_close(&making.fd);
	return r;
}

static void run(struct work *work)
{
	struct publish_file *file = container_of(work, struct publish_file, work);
	struct publish *publish = file->publish;
	int r = atomic_load(&publish->failed) ? -ECANCELED : make_one(file);

	pthread_mutex_lock(&publish->mutex);
	if (r < 0 && publish->error == 0) {
		publish->error = r;
		atomic_store(&publish->failed, true);
	}
	publish->n_left--;
	pthread_cond_signal(&publish->changed);
	pthread_mutex_unlock(&publish->mutex);
}

/* Shows how far it is until all is done; the first error. */
static int wait_for_all(struct publish *publish, uint64_t total)
{
	struct progress progress = { .what = publish->dir, .total = total };
	struct timespec until;
	int r;

	pthread_mutex_lock(&publish->mutex);
	while (publish->n_left > 0) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += SHOW_MS * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
		pthread_cond_timedwait(&publish->changed, &publish->mutex, &until);
		pthread_mutex_unlock(&publish->mutex);
		progress_show(&progress, atomic_load(&publish->bytes));
		pthread_mutex_lock(&publish->mutex);
	}
	r = publish->error;
	pthread_mutex_unlock(&publish->mutex);
	progress_end(&progress);
	return r;
}

int publish_objects(struct publish *publish)
{
	struct workqueue *queue;
	uint64_t total = 0;
	int r;

	for (size_t i = 0; i < publish->n_files; i++) {
		if (was_done(publish, &publish->files[i]))
			continue;
		r = publish_refuse_secret(&publish->files[i]);
		if (r < 0)
			return r;
		publish->n_hashed++;
		total += publish->files[i].stamp.size;
	}
	/* Only now: what is known is in there, and nothing torn. */
	r = publish_state_write(publish);
	if (r < 0)
		return r;
	r = workqueue_new(publish->jobs, "publish", &queue);
	if (r < 0)
		return log_error_errno(r, "threads");
	publish->n_left = publish->n_hashed;
	for (size_t i = 0; i < publish->n_files; i++) {
		if (publish->files[i].done)
			continue;
		publish->files[i].work.run = run;
		workqueue_submit(queue, &publish->files[i].work);
	}
	r = wait_for_all(publish, total);
	workqueue_free(queue);
	return r;
}
