/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change of what a user imported as NAME, which has serial S: the new catalog is written beside the old one and loaded once
 * more, so that nothing is put there which would not be read again; NAME.<S + 1>.json is written; then the new catalog takes
 * the old one's place. Up to there the old state holds, from there on the new one. Files of other serials are leftovers,
 * which go with the next change.
 */
#include "catalogs/imports-internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "common/io.h"
#include "common/log.h"

static bool is_rest_of(const char *file, const char *name)
{
	size_t len = strlen(name), digits;

	if (strncmp(file, name, len) != 0 || file[len] != '.')
		return false;
	digits = strspn(file + len + 1, "0123456789");
	return digits > 0 && !strcmp(file + len + 1 + digits, ".json");
}

/* A change under way. */
struct change {
	uid_t owner;
	struct import_dir dir;
	struct import_merge merge;
	char file[IMPORT_FILE_SIZE], new_file[IMPORT_FILE_SIZE], rest_file[IMPORT_FILE_SIZE];
	struct verify_problem *problem;
};

/* The disk is at fault: that is for the log, too. */
static int fail(const struct change *change, int error, const char *file)
{
	log_error_errno(error, "%s/%s cannot be written", change->dir.path, file);
	return import_refuse(change->problem, error, "it cannot be written down: %s", strerror(-error));
}

static int write_rest(struct change *change, const json_t *rest)
{
	_cleanup_free_ char *text = import_rest_format(rest);
	size_t len = text ? strlen(text) : 0;
	_cleanup_close_ int fd = -1;
	int r;

	if (!text)
		return import_refuse(change->problem, -ENOMEM, "no memory");
	if (len > IMPORT_REST_MAX)
		return import_refuse(change->problem, -E2BIG, "more than %zu MiB beside the objects",
				     IMPORT_REST_MAX >> 20);
	fd = openat(change->dir.fd, change->rest_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = fd < 0 ? -errno : io_write(fd, text, len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? fail(change, r, change->rest_file) : 0;
}

static int write_catalog(struct change *change)
{
	_cleanup_close_ int fd = openat(change->dir.fd, change->new_file,
					O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	struct verify_problem problem = { 0 };
	int r;

	if (!out)
		return fail(change, -errno, change->new_file);
	(void)steal_fd(&fd);
	r = import_merge_write(&change->merge, out, &problem);
	if (r == 0 && (fflush(out) == EOF || fsync(fileno(out)) < 0))
		r = -errno;
	if (fclose(out) == EOF && r == 0)
		r = -errno;
	if (r == -EINVAL || r == -E2BIG || r == -EFBIG || r == -ENOMEM)
		return import_refuse(change->problem, r == -EFBIG ? -E2BIG : r, "%s", problem.text);
	return r < 0 ? fail(change, r, change->new_file) : 0;
}

static int add_size(const struct import_dir *dir, const char *file, void *arg)
{
	uint64_t *sum = arg;
	struct stat st;

	if (fstatat(dir->fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0)
		*sum += (uint64_t)st.st_size;
	return 0;
}

static bool is_trusted(uid_t owner)
{
	return owner == 0 || owner == CATALOG_EVERYBODY;
}

/* In imports/. */
static int add_owner(const struct import_dir *dir, const char *name, void *arg)
{
	_cleanup_close_ int fd = -1;
	struct import_dir owner;

	if (!strcmp(name, "0") || !strcmp(name, "everybody"))
		return 0;
	fd = openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	owner = (struct import_dir){ NULL, fd };
	return fd < 0 ? 0 : import_dir_each(&owner, add_size, arg);
}

static int check_all(struct change *change)
{
	_cleanup_close_ int fd = openat(change->dir.fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct import_dir imports = { NULL, fd };
	uint64_t sum = 0;
	int r = fd < 0 ? -errno : import_dir_each(&imports, add_owner, &sum);

	if (r < 0)
		return fail(change, r, "..");
	if (sum > IMPORT_ALL_BYTES_MAX)
		return import_refuse(change->problem, -E2BIG, "all users have more than %" PRIu64 " MiB of imports",
				     IMPORT_ALL_BYTES_MAX >> 20);
	return 0;
}

/* With the old files still there, which are counted, too. Whoever removes some makes it less. */
static int check_sizes(struct change *change)
{
	uint64_t sum = 0;
	int r = change->merge.new ? import_dir_each(&change->dir, add_size, &sum) : 0;

	if (r < 0)
		return fail(change, r, ".");
	if (sum > IMPORT_BYTES_MAX)
		return import_refuse(change->problem, -E2BIG, "more than %" PRIu64 " MiB of imports: remove some",
				     IMPORT_BYTES_MAX >> 20);
	return change->merge.new && !is_trusted(change->owner) ? check_all(change) : 0;
}

static int drop_leftover(const struct import_dir *dir, const char *file, void *arg)
{
	const struct change *change = arg;

	if (!strcmp(file, change->new_file) ||
	    (is_rest_of(file, change->merge.name) && strcmp(file, change->rest_file) != 0))
		(void)unlinkat(dir->fd, file, 0);
	return 0;
}

/* The catalog is complete beside the old one. */
static int put_in_place(struct change *change)
{
	int fd = change->dir.fd;

	/* The rest is there before what names it. */
	if (fsync(fd) < 0 || renameat(fd, change->new_file, fd, change->file) < 0)
		return fail(change, -errno, change->file);
	if (fsync(fd) < 0)
		return fail(change, -errno, change->file);
	(void)import_dir_each(&change->dir, drop_leftover, change);
	return 0;
}

static int remove_all(struct change *change)
{
	int fd = change->dir.fd;

	if (unlinkat(fd, change->file, 0) < 0 && errno != ENOENT)
		return fail(change, -errno, change->file);
	if (fsync(fd) < 0)
		return fail(change, -errno, change->file);
	change->rest_file[0] = '\0';
	(void)import_dir_each(&change->dir, drop_leftover, change);
	return fsync(fd) < 0 ? fail(change, -errno, change->file) : 0;
}

/* As it will be read; what it says of lines is of the file that nobody sees. */
static int load_new(struct change *change, struct verify_catalog **out)
{
	struct verify_problem problem = { 0 };
	int r = import_load_catalog(&change->dir, change->new_file, change->merge.name, out, &problem);

	return r < 0 ? import_refuse(change->problem, r, "%s", problem.text) : 0;
}

static int write_change(struct change *change, json_t *rest)
{
	_cleanup_(cleanup_catalog) struct verify_catalog *entries = NULL;
	int r = write_catalog(change);

	if (r == 0)
		r = load_new(change, &entries);
	if (r == 0 && verify_catalog_info(entries)->n_objects == 0)
		return remove_all(change);
	if (r == 0 && import_rest_prune(rest, entries) < 0)
		r = import_refuse(change->problem, -ENOMEM, "no memory");
	if (r == 0)
		r = write_rest(change, rest);
	if (r == 0)
		r = check_sizes(change);
	if (r == 0)
		r = put_in_place(change);
	if (r < 0) {
		/* The rest stays if the new catalog may be in place already. */
		if (unlinkat(change->dir.fd, change->new_file, 0) == 0)
			(void)unlinkat(change->dir.fd, change->rest_file, 0);
	}
	return r;
}

/* OLD and REST: what is there; the next serial. */
static int begin(struct change *change, const char *name, struct verify_catalog **old, json_t **rest)
{
	int r = import_load_one(&change->dir, name, old, rest);

	change->merge.name = name;
	import_catalog_name(change->file, name);
	snprintf(change->new_file, sizeof(change->new_file), "%s.jsonl.new", name);
	if (r == -ENOENT) {
		*rest = import_rest_new();
		r = *rest ? 0 : -ENOMEM;
	}
	if (r < 0)
		return import_refuse(change->problem, r, "%s/%s.jsonl %s", change->dir.path, name,
				     r == -EUCLEAN ? "is damaged: remove the import" : "cannot be read");
	change->merge.old = *old;
	change->merge.serial = *old ? verify_catalog_info(*old)->serial + 1 : 1;
	import_rest_name(change->rest_file, name, change->merge.serial);
	return 0;
}

static int load_request(const struct import_request *request, struct verify_catalog **out,
			struct verify_problem *problem)
{
	const struct verify_catalog_rules rules = import_rules(request->name);
	_cleanup_(cleanup_catalog) struct verify_catalog *loaded = NULL;
	struct stat st;
	int r;

	if (!import_is_known(request->name))
		return import_refuse(problem, -EINVAL, "\"%.64s\" is not what imports are called", request->name);
	if (request->replaces && verify_name_refused(request->replaces, strlen(request->replaces)))
		return import_refuse(problem, -EINVAL, "replaces: \"%.160s\" %s", request->replaces,
				     verify_name_refused(request->replaces, strlen(request->replaces)));
	if (fstat(request->fd, &st) < 0)
		return import_refuse(problem, -errno, "%s", strerror(errno));
	if ((uint64_t)st.st_size > IMPORT_REQUEST_MAX)
		return import_refuse(problem, -E2BIG, "more than %" PRIu64 " MiB at once", IMPORT_REQUEST_MAX >> 20);
	r = verify_catalog_load_unsigned(request->fd, &rules, &loaded, problem);
	if (r == 0)
		r = import_check(loaded, problem);
	if (r == 0)
		*out = steal_pointer(loaded);
	return r;
}

static int add(struct change *change, const struct import_request *request, size_t *n)
{
	_cleanup_(cleanup_catalog) struct verify_catalog *new = NULL, *old = NULL;
	_cleanup_(cleanup_json) json_t *rest = NULL;
	int r = load_request(request, &new, change->problem);

	if (r == 0)
		r = begin(change, request->name, &old, &rest);
	if (r < 0)
		return r;
	change->merge.new = new;
	change->merge.without = request->replaces;
	if (request->replaces)
		import_rest_drop(rest, request->replaces);
	r = import_rest_add(rest, request, new, change->problem);
	if (r == 0)
		r = write_change(change, rest);
	if (r == 0)
		*n = change->merge.added;
	return r;
}

int imports_add(const char *path, const struct import_request *request, size_t *n, struct verify_problem *problem)
{
	struct change change = { .owner = request->owner, .dir.fd = -1, .problem = problem };
	int r;

	imports_take_turn();
	r = import_dir_find(path, request->owner, true, &change.dir);
	if (r < 0)
		import_refuse(problem, r, "it cannot be written down: %s", strerror(-r));
	else
		r = add(&change, request, n);
	imports_end_turn();
	import_dir_release(&change.dir);
	return r;
}

static int take_out(struct change *change, const char *name, const char *folder, size_t *n)
{
	_cleanup_(cleanup_catalog) struct verify_catalog *old = NULL;
	_cleanup_(cleanup_json) json_t *rest = NULL;
	struct verify_place place;
	size_t before;
	int r = begin(change, name, &old, &rest);

	if (r < 0 && (r != -EUCLEAN || folder))
		return r;
	if (r == 0 && !old)
		return import_refuse(change->problem, -ENOENT, "nothing was imported as %s", name);
	if (folder && verify_catalog_lookup(old, folder, &place) < 0)
		return import_refuse(change->problem, -ENOENT, "%.160s: nothing of %s is called that", folder, name);
	before = old ? verify_catalog_info(old)->n_objects : 0;
	change->merge.without = folder;
	if (folder)
		import_rest_drop(rest, folder);
	r = folder ? write_change(change, rest) : remove_all(change);
	if (r == 0)
		*n = before - change->merge.objects;
	return r;
}

int imports_remove(const char *path, uid_t owner, const char *name, const char *folder, size_t *n,
		   struct verify_problem *problem)
{
	struct change change = { .owner = owner, .dir.fd = -1, .problem = problem };
	int r;

	if (!import_is_known(name))
		return import_refuse(problem, -EINVAL, "\"%.64s\" is not what imports are called", name ? name : "");
	imports_take_turn();
	r = import_dir_find(path, owner, false, &change.dir);
	if (r == 0)
		r = take_out(&change, name, folder, n);
	else
		import_refuse(problem, r, r == -ENOENT ? "nothing was imported" : "it cannot be written down");
	imports_end_turn();
	import_dir_release(&change.dir);
	return r;
}
