/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog that is there, and the next one.
 *
 * It is written to the work folder, signed, and loaded from there as its readers will. Then two renames: the signature
 * first, so that whoever sees the new catalog finds its signature, too. Killed between them, the next run finds a catalog
 * in the work folder without a signature beside it that fits the signature in OUT, and puts it there.
 */
#include "commands/publish/publish.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include "common/io.h"
#include "common/log.h"

#define WORK_DIR ".weightfs-publish"

/* The next one, while it is not in its place. */
struct next {
	char *catalog, *signature;
};

static void release_next(struct next *next)
{
	free(next->catalog);
	free(next->signature);
}

static int next_of(const struct publish *publish, struct next *out)
{
	if (asprintf(&out->catalog, "%s/%s.jsonl", publish->work_dir, publish->name) < 0)
		out->catalog = NULL;
	else
		out->signature = catalog_signature_path(out->catalog);
	return out->signature ? 0 : log_error_errno(-ENOMEM, "%s", publish->out);
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static int sync_folder(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? log_error_errno(-errno, "%s", path) : 0;
}

/* ---- the places ---- */

static int make_folders(struct publish *publish)
{
	struct stat st;

	if (asprintf(&publish->work_dir, "%s/" WORK_DIR, publish->out) < 0)
		publish->work_dir = NULL;
	if (asprintf(&publish->catalog_path, "%s/%s.jsonl", publish->out, publish->name) < 0)
		publish->catalog_path = NULL;
	if (publish->catalog_path)
		publish->signature_path = catalog_signature_path(publish->catalog_path);
	if (!publish->work_dir || !publish->signature_path)
		return log_error_errno(-ENOMEM, "%s", publish->out);
	if ((mkdir(publish->out, 0755) < 0 && errno != EEXIST) || stat(publish->out, &st) < 0)
		return log_error_errno(-errno, "%s", publish->out);
	publish->out_device = st.st_dev;
	publish->out_inode = st.st_ino;
	if (mkdir(publish->work_dir, 0700) < 0 && errno != EEXIST)
		return log_error_errno(-errno, "%s", publish->work_dir);
	publish->lock = open(publish->work_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (publish->lock < 0)
		return log_error_errno(-errno, "%s", publish->work_dir);
	if (flock(publish->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return log_error_errno(-errno, "%s", publish->work_dir);
	log_error("%s: another publish is at work there", publish->out);
	return -EBUSY;
}

static int remove_temporary(const struct publish *publish)
{
	DIR *dir = opendir(publish->work_dir);
	struct dirent *entry;

	if (!dir)
		return log_error_errno(-errno, "%s", publish->work_dir);
	while ((entry = readdir(dir)))
		if (!strncmp(entry->d_name, "tmp-", strlen("tmp-")))
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	return 0;
}

/* ---- what an interrupted run left ---- */

/* Is the signature in OUT that of CATALOG? 0; -EBADMSG: of other bytes. */
static int check_signature(const struct publish *publish, const char *catalog)
{
	const struct catalog_keys *keys = &publish->signer.keys;
	_cleanup_close_ int fd = open(catalog, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	struct verify_problem problem;
	struct verify_signed sign;
	struct stat st;
	size_t len;
	int r;

	if (fd < 0)
		return log_error_errno(-errno, "%s", catalog);
	r = io_read_regular(publish->signature_path, VERIFY_SIGNATURE_MAX, &text, &len, &st);
	if (r < 0)
		return log_error_errno(r, "%s", publish->signature_path);
	r = verify_minisign_check(fd, text, len, keys->keys, keys->n, &sign, &problem);
	if (r < 0 && r != -EBADMSG)
		catalog_problem_log(r, publish->signature_path, &problem);
	return r;
}

static int finish_interrupted(const struct publish *publish, const struct next *next)
{
	int r;

	if (is_there(next->catalog) && !is_there(next->signature) &&
	    is_there(publish->signature_path)) {
		r = check_signature(publish, next->catalog);
		if (r == 0) {
			if (rename(next->catalog, publish->catalog_path) < 0)
				return log_error_errno(-errno, "%s", publish->catalog_path);
			log_info("%s: put in place, which an interrupted run had begun",
				 publish->catalog_path);
			return sync_folder(publish->out);
		}
		if (r != -EBADMSG)
			return r;
	}
	if ((unlink(next->signature) < 0 && errno != ENOENT) ||
	    (unlink(next->catalog) < 0 && errno != ENOENT))
		return log_error_errno(-errno, "%s", publish->work_dir);
	return 0;
}

/* ---- the catalog that is there ---- */

static int load_old(struct publish *publish)
{
	static const char *const any_prefix[] = { "" };
	const struct verify_catalog_rules rules = { .name = publish->name, .prefixes = any_prefix,
						    .n_prefixes = 1 };
	const struct catalog_keys *keys = publish->signer.key_file ? &publish->signer.keys : NULL;

	if (!is_there(publish->catalog_path))
		return 0;
	return catalog_file_load(publish->catalog_path, publish->signature_path, keys, &rules,
				 &publish->old);
}

static int choose_serial(struct publish *publish)
{
	uint64_t before;

	if (!publish->old) {
		if (publish->serial == 0)
			publish->serial = (uint64_t)time(NULL);
		return 0;
	}
	before = verify_catalog_info(publish->old)->serial;
	if (publish->serial > before)
		return 0;
	if (publish->serial != 0 || before == INT64_MAX) {
		log_error("%s has the serial %llu, the next one's has to be higher",
			  publish->catalog_path, (unsigned long long)before);
		return -EINVAL;
	}
	publish->serial = before + 1;
	return 0;
}

int publish_catalog_begin(struct publish *publish)
{
	_cleanup_(release_next) struct next next = { 0 };
	int r = make_folders(publish);

	if (r < 0)
		return r;
	if (!publish->signer.key_file && is_there(publish->signature_path)) {
		log_error("%s is signed, which --unsigned would end: publish into another folder, or "
			  "remove %s",
			  publish->catalog_path, publish->signature_path);
		return -EEXIST;
	}
	r = next_of(publish, &next);
	if (r == 0)
		r = finish_interrupted(publish, &next);
	if (r == 0)
		r = remove_temporary(publish);
	if (r == 0)
		r = load_old(publish);
	return r < 0 ? r : choose_serial(publish);
}

/* ---- the next one ---- */

/* As its readers will see it. */
static int check_next(const struct publish *publish, const struct next *next)
{
	static const char *const any_prefix[] = { "" };
	const struct verify_catalog_rules rules = { .name = publish->name, .prefixes = any_prefix,
						    .n_prefixes = 1,
						    .min_serial = publish->serial };
	_cleanup_(cleanup_verify_catalog) struct verify_catalog *catalog = NULL;

	return catalog_file_load(next->catalog, next->signature,
				 publish->signer.key_file ? &publish->signer.keys : NULL, &rules,
				 &catalog);
}

static int put_in_place(const struct publish *publish, const struct next *next)
{
	/* Before anybody is told of them, the objects are on the disk, and so are their names. */
	if (syncfs(publish->lock) < 0)
		return log_error_errno(-errno, "%s", publish->out);
	if (publish->signer.key_file) {
		if (rename(next->signature, publish->signature_path) < 0)
			return log_error_errno(-errno, "%s", publish->signature_path);
		if (sync_folder(publish->out) < 0)
			return -EIO;
	}
	if (rename(next->catalog, publish->catalog_path) < 0)
		return log_error_errno(-errno, "%s", publish->catalog_path);
	return sync_folder(publish->out);
}

int publish_catalog_end(struct publish *publish)
{
	_cleanup_(release_next) struct next next = { 0 };
	int r = next_of(publish, &next);

	if (r == 0)
		r = publish_lines(publish, next.catalog);
	if (r == 0 && publish->signer.key_file)
		r = publish_sign(publish, next.catalog, next.signature);
	if (r == 0)
		r = check_next(publish, &next);
	return r < 0 ? r : put_in_place(publish, &next);
}
