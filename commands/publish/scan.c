/* SPDX-License-Identifier: Apache-2.0 */
/* What is below the folder: files, links that stay inside it, and nothing else. */
#include "commands/publish/publish.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "common/io.h"
#include "common/log.h"

#define SECRET	    "is a secret key: take it out of the folder"
#define NS_A_SECOND 1000000000LL

struct folder {
	const char *path, *real; /* below DIR ("" for itself), and without links */
	dev_t device;
	ino_t inode;
	const struct folder *parent;
};

struct publish_stamp publish_stamp_of(const struct stat *st)
{
	return (struct publish_stamp){
		.size = (uint64_t)st->st_size,
		.inode = st->st_ino,
		.mtime_ns = st->st_mtim.tv_sec * NS_A_SECOND + st->st_mtim.tv_nsec,
		.ctime_ns = st->st_ctim.tv_sec * NS_A_SECOND + st->st_ctim.tv_nsec,
	};
}

bool publish_stamp_equal(const struct publish_stamp *a, const struct publish_stamp *b)
{
	return a->size == b->size && a->inode == b->inode && a->mtime_ns == b->mtime_ns &&
	       a->ctime_ns == b->ctime_ns;
}

/* The name of a file may be anything; a terminal must not be told to do anything. */
static int refuse(const struct publish *publish, const char *path, int error, const char *what)
{
	_cleanup_free_ char *shown = strdup(path);

	for (char *c = shown; c && *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f || (unsigned char)*c >= 0x80)
			*c = '?';
	log_error("%s/%s: %s", publish->dir, shown ? shown : "?", what);
	return error;
}

static int refuse_errno(const struct publish *publish, const char *path, int error)
{
	return refuse(publish, path, error, strerror(-error));
}

static char *join(const char *folder, const char *name)
{
	char *path;

	if (!*folder)
		return strdup(name);
	return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* The one that signs: it would be a thing to publish. */
static bool is_signing_key(const struct publish *publish, const struct stat *st)
{
	struct stat key;

	return publish->signer.key_file && stat(publish->signer.key_file, &key) == 0 &&
	       key.st_dev == st->st_dev && key.st_ino == st->st_ino;
}

int publish_refuse_secret(const struct publish_file *file)
{
	_cleanup_free_ char *text = NULL;
	struct verify_secret secret;
	struct stat st;
	size_t len;
	int r;

	if (file->stamp.size == 0 || file->stamp.size > VERIFY_SECRET_MAX ||
	    io_read_regular(file->real, VERIFY_SECRET_MAX, &text, &len, &st) < 0)
		return 0;
	r = verify_secret_parse(text, len, &secret, NULL);
	if (r == 0)
		verify_secret_wipe(&secret);
	explicit_bzero(text, len);
	return r == 0 || r == -EACCES ? refuse(file->publish, file->path, -EPERM, SECRET) : 0;
}

static int add_file(struct publish *publish, char **path, char **real, const struct stat *st)
{
	struct publish_file *file;

	if (is_signing_key(publish, st))
		return refuse(publish, *path, -EPERM, SECRET);
	if (publish->n_files == VERIFY_CATALOG_NAMES)
		return refuse(publish, *path, -E2BIG, "more than 4,000,000 files: a catalog has no more names");
	if (publish->n_files == publish->capacity) {
		size_t wanted = publish->capacity ? 2 * publish->capacity : 256;
		struct publish_file *grown =
			reallocarray(publish->files, wanted, sizeof(*publish->files));

		if (!grown)
			return log_error_errno(-ENOMEM, "%s", publish->dir);
		publish->files = grown;
		publish->capacity = wanted;
	}
	file = &publish->files[publish->n_files++];
	*file = (struct publish_file){ .publish = publish, .device = st->st_dev };
	file->path = steal_pointer(*path);
	file->real = steal_pointer(*real);
	file->stamp = publish_stamp_of(st);
	return 0;
}

/* Where a link leads, ST being what is there. */
static int follow(const struct publish *publish, const char *path, char **real, struct stat *st)
{
	size_t len = strcmp(publish->real_dir, "/") ? strlen(publish->real_dir) : 0;
	char *target = realpath(*real, NULL);

	if (!target)
		return refuse(publish, path, -errno,
			      errno == ENOENT ? "a link to what is not there" : strerror(errno));
	free(*real);
	*real = target;
	if (strncmp(target, publish->real_dir, len) != 0 || target[len] != '/')
		return refuse(publish, path, -EXDEV, "a link that leads out of the folder");
	return lstat(target, st) < 0 ? refuse_errno(publish, path, -errno) : 0;
}

static int scan(struct publish *publish, const struct folder *folder);

static int scan_below(struct publish *publish, const struct folder *parent, const char *path,
		      const char *real, const struct stat *st)
{
	struct folder folder = { path, real, st->st_dev, st->st_ino, parent };

	for (const struct folder *above = parent; above; above = above->parent)
		if (above->device == st->st_dev && above->inode == st->st_ino)
			return refuse(publish, path, -ELOOP, "a link to a folder that it is in");
	return scan(publish, &folder);
}

static int scan_entry(struct publish *publish, const struct folder *folder, const char *name)
{
	_cleanup_free_ char *path = join(folder->path, name), *real = join(folder->real, name);
	const char *refused;
	struct stat st;
	int r = 0;

	if (!path || !real)
		return log_error_errno(-ENOMEM, "%s", publish->dir);
	if (name[0] == '.') {
		log_info("%s/%s: hidden, left out", publish->dir, path);
		publish->n_skipped++;
		return 0;
	}
	refused = verify_name_refused(path, strlen(path));
	if (refused)
		return refuse(publish, path, -EINVAL, refused);
	if (lstat(real, &st) < 0)
		return refuse_errno(publish, path, -errno);
	if (S_ISLNK(st.st_mode))
		r = follow(publish, path, &real, &st);
	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode))
		return scan_below(publish, folder, path, real, &st);
	if (!S_ISREG(st.st_mode))
		return refuse(publish, path, -EMEDIUMTYPE, "neither a file nor a folder");
	return add_file(publish, &path, &real, &st);
}

/* OUT may be DIR, or in it: what is published is no model. */
static bool is_ours(const struct publish *publish, const struct folder *folder, const char *name)
{
	if (folder->device != publish->out_device || folder->inode != publish->out_inode)
		return false;
	return !strcmp(name, "objects") ||
	       !strcmp(name, strrchr(publish->catalog_path, '/') + 1) ||
	       !strcmp(name, strrchr(publish->signature_path, '/') + 1) ||
	       !strcmp(name, strrchr(publish->work_dir, '/') + 1);
}

static int scan(struct publish *publish, const struct folder *folder)
{
	DIR *dir = opendir(folder->real);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return refuse_errno(publish, folder->path, -errno);
	while (r == 0 && (errno = 0, entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    is_ours(publish, folder, entry->d_name))
			continue;
		r = scan_entry(publish, folder, entry->d_name);
	}
	if (r == 0 && errno != 0)
		r = refuse_errno(publish, folder->path, -errno);
	closedir(dir);
	return r;
}

/* ---- names ---- */

/*
 * Bytes of PATH that are the model's folder: its first component if a file lies directly in there (MODEL/file), else two
 * (ORG/MODEL/file). 0: it is in no folder.
 */
static size_t model_folder(const char *path, bool org)
{
	const char *slash = strchr(path, '/');

	if (slash && org)
		slash = strchr(slash + 1, '/');
	return slash ? (size_t)(slash - path) : 0;
}

static int make_name(struct publish *publish, struct publish_file *file, bool org)
{
	size_t len = model_folder(file->path, org);
	const char *refused;
	int n;

	if (publish->revision && len == 0)
		return refuse(publish, file->path, -EINVAL,
			      "is in no model's folder, which --revision could be put behind");
	/* What has its revision already is what it is. */
	if (publish->revision && !memchr(file->path, '@', len))
		n = asprintf(&file->name, "%s%.*s@%s%s", publish->prefix, (int)len, file->path,
			     publish->revision, file->path + len);
	else
		n = asprintf(&file->name, "%s%s", publish->prefix, file->path);
	if (n < 0) {
		file->name = NULL;
		return log_error_errno(-ENOMEM, "%s", publish->dir);
	}
	refused = verify_name_refused(file->name, (size_t)n);
	return refused ? refuse(publish, file->path, -EINVAL, refused) : 0;
}

/* Files N, from FIRST on, have the same first component. */
static int make_names(struct publish *publish, size_t first, size_t n)
{
	bool org = true;
	int r = 0;

	for (size_t i = first; i < first + n; i++) {
		const char *slash = strchr(publish->files[i].path, '/');

		if (slash && !strchr(slash + 1, '/'))
			org = false;
	}
	for (size_t i = first; r == 0 && i < first + n; i++)
		r = make_name(publish, &publish->files[i], org);
	return r;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(((const struct publish_file *)a)->path, ((const struct publish_file *)b)->path);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct publish_file *)a)->name, ((const struct publish_file *)b)->name);
}

static int name_all(struct publish *publish)
{
	struct publish_file *files = publish->files;
	size_t n = publish->n_files, first = 0;
	int r = 0;

	qsort(files, n, sizeof(*files), compare_paths);
	for (size_t i = 1; r == 0 && i <= n; i++) {
		size_t len = strcspn(files[first].path, "/");

		if (i < n && !strncmp(files[i].path, files[first].path, len) &&
		    files[i].path[len] == '/' && files[first].path[len] == '/')
			continue;
		r = make_names(publish, first, i - first);
		first = i;
	}
	if (r < 0)
		return r;
	qsort(files, n, sizeof(*files), compare_names);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(files[i - 1].name, files[i].name)) {
			log_error("%s/%s and %s/%s would both be called %s", publish->dir,
				  files[i - 1].path, publish->dir, files[i].path, files[i].name);
			return -EEXIST;
		}
	return 0;
}

int publish_scan(struct publish *publish)
{
	struct folder top = { .path = "" };
	struct stat st;
	int r;

	publish->real_dir = realpath(publish->dir, NULL);
	if (!publish->real_dir || lstat(publish->real_dir, &st) < 0)
		return log_error_errno(-errno, "%s", publish->dir);
	if (!S_ISDIR(st.st_mode))
		return log_error_errno(-ENOTDIR, "%s", publish->dir);
	top.real = publish->real_dir;
	top.device = st.st_dev;
	top.inode = st.st_ino;
	r = scan(publish, &top);
	if (r == 0 && publish->n_files == 0) {
		log_error("%s: there is no file in it", publish->dir);
		r = -ENOENT;
	}
	return r < 0 ? r : name_all(publish);
}
