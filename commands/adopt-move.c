/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link in the place of a file. It is made under a name of its own, then both are exchanged, and what was exchanged is looked
 * at before it is removed: somebody may have put another file there meanwhile. Killed in between, the original is
 * under the other name, and the link is right; whoever comes again removes it.
 */
#include "commands/adopt.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include "common/log.h"
#include "verify/verify.h"

int adopt_open(const char *path, int flags)
{
	const struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_NO_SYMLINKS };
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

struct where {
	int dir;
	const char *name; /* in PATH */
	char tmp[64];
};

static int find(const char *path, const char *hex, struct where *out)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");

	if (!dir)
		return -ENOMEM;
	out->name = slash ? slash + 1 : path;
	snprintf(out->tmp, sizeof(out->tmp), ".weightfs-%.40s", hex);
	out->dir = adopt_open(dir, O_RDONLY | O_DIRECTORY);
	return out->dir < 0 ? out->dir : 0;
}

int adopt_hold(int fd, const char *path, const struct stat *st)
{
	if (st->st_nlink > 1) {
		log_warning("%s: has %u names (hard links): left where it is", path, (unsigned int)st->st_nlink);
		return -EMLINK;
	}
	/* Whoever opens it for writing breaks the lease; a signal of that is of no use. */
	(void)signal(SIGIO, SIG_IGN);
	if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
		return 0;
	if (errno == EAGAIN) {
		log_warning("%s: is open for writing: left where it is", path);
		return -ETXTBSY;
	}
	return log_error_errno(-errno, "%s: whether somebody writes to it cannot be told: left where it is", path);
}

/* Nobody has written to it, nor given it another name, since it was held. */
static bool is_same(int fd, const struct stat *st, const struct stat *now)
{
	return fcntl(fd, F_GETLEASE) == F_RDLCK && now->st_dev == st->st_dev && now->st_ino == st->st_ino &&
	       now->st_nlink == 1 && now->st_size == st->st_size && now->st_mtim.tv_sec == st->st_mtim.tv_sec &&
	       now->st_mtim.tv_nsec == st->st_mtim.tv_nsec;
}

static int check_digest(int at, const char *path, const char *hex)
{
	_cleanup_close_ int fd = openat(at, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct verify_result result;
	char found[DIGEST_HEX_SIZE];
	struct digest_pair digests;
	int r = fd < 0 ? -errno : verify_fd(fd, -1, NULL, NULL, &result);

	if (r < 0)
		return r;
	digests = verify_result_digests(&result);
	verify_tree_free(result.tree);
	digest_to_hex(&digests.sha256, found);
	return strcmp(found, hex) == 0 ? 0 : -EBADMSG;
}

/* Both names are swapped, or there is nothing to swap with yet. */
static int exchange(const struct where *where)
{
	return renameat2(where->dir, where->tmp, where->dir, where->name, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

static int put(const struct where *where, int fd, const struct stat *st)
{
	struct stat now;
	int r;

	if (fstatat(where->dir, where->name, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!is_same(fd, st, &now))
		return -ESTALE;
	r = exchange(where);
	if (r < 0)
		return r;
	if (fstatat(where->dir, where->tmp, &now, AT_SYMLINK_NOFOLLOW) < 0 || !is_same(fd, st, &now)) {
		r = exchange(where);
		return r < 0 ? r : -ESTALE;
	}
	/* The link is durable before the file goes. */
	if (fsync(where->dir) == 0)
		return 0;
	r = -errno;
	if (exchange(where) < 0)
		log_error_errno(-errno, "%s is %s now", where->name, where->tmp);
	return r;
}

static bool is_link(const struct where *where, const char *name)
{
	struct stat st;

	return fstatat(where->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

/* The link belongs to whom the file did. Who may write to the folder may have put something else there: that stays as it is. */
static int give_link(const struct where *where, const struct stat *st)
{
	_cleanup_close_ int fd = openat(where->dir, where->tmp, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat link;

	if (fd < 0 || fstat(fd, &link) < 0)
		return -errno;
	if (!S_ISLNK(link.st_mode))
		return -ESTALE;
	return fchownat(fd, "", st->st_uid, st->st_gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int replace(const struct where *where, int fd, const struct stat *st, const char *target)
{
	int r;

	/* Of one that was interrupted: only ever a link, as long as NAME is the file. */
	if (is_link(where, where->tmp))
		(void)unlinkat(where->dir, where->tmp, 0);
	if (symlinkat(target, where->dir, where->tmp) < 0)
		return -errno;
	r = give_link(where, st);
	if (r == 0 && fsync(where->dir) < 0)
		r = -errno;
	if (r == 0)
		r = put(where, fd, st);
	/* What is there now: the file, if all went well; else the link, unless swapping back failed. */
	if (r == 0 || is_link(where, where->tmp))
		(void)unlinkat(where->dir, where->tmp, 0);
	return r;
}

int adopt_replace(const char *path, int fd, const struct stat *st, const char *target, const char *hex)
{
	struct where where;
	int r = check_digest(AT_FDCWD, target, hex);

	if (r < 0)
		return log_error_errno(r, "%s: cannot be read as %s: left where it is", path, target);
	r = find(path, hex, &where);
	if (r < 0)
		return log_error_errno(r, "%s: left where it is", path);
	r = replace(&where, fd, st, target);
	close(where.dir);
	if (r == -ESTALE)
		log_error("%s: was changed meanwhile: left where it is", path);
	else if (r < 0)
		log_error_errno(r, "%s: left where it is", path);
	return r;
}

void adopt_clean(const char *path, const char *hex)
{
	struct where where;

	if (find(path, hex, &where) < 0)
		return;
	/* Nothing goes that is not the same, and can be read where the link leads. */
	if (is_link(&where, where.tmp) ||
	    (check_digest(where.dir, where.tmp, hex) == 0 && check_digest(AT_FDCWD, path, hex) == 0))
		(void)unlinkat(where.dir, where.tmp, 0);
	close(where.dir);
}
