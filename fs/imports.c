/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of imports: found, read, replaced.
 *
 * A change of a NAME with serial S: NAME.<S + 1>.json is written, then the new catalog beside the old one; that is loaded
 * once more, so that nothing is put there which would not be read again; then it takes the old one's place. Up to there
 * the old state holds, from there on the new one. Files of other serials are leftovers, which go with the next change.
 */
#include "fs/imports-internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "common/io.h"
#include "common/log.h"

#define FILE_NAME_SIZE 128

static const char *const known[] = { "hf", "ollama", "oci", "ipfs", "metalink", "local" };
static const char *const any_prefix[] = { "" };

_Static_assert(ARRAY_SIZE(known) <= IMPORT_CATALOGS, "all of a user's");

/* One at a time: `busy` is held across the disk, the lock is not. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t free;
	bool busy; /* protected by lock */
} turn = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };

static void take_turn(void)
{
	pthread_mutex_lock(&turn.lock);
	while (turn.busy)
		pthread_cond_wait(&turn.free, &turn.lock);
	turn.busy = true;
	pthread_mutex_unlock(&turn.lock);
}

static void end_turn(void)
{
	pthread_mutex_lock(&turn.lock);
	turn.busy = false;
	pthread_cond_signal(&turn.free);
	pthread_mutex_unlock(&turn.lock);
}

bool import_is_known(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(known); i++) {
		if (!strcmp(name, known[i]))
			return true;
	}
	return false;
}

/* ---- folders ---- */

/* Of one owner. */
struct folder {
	char *path;
	int fd;
};

static void folder_release(struct folder *folder)
{
	cleanup_free(&folder->path);
	cleanup_close(&folder->fd);
}

static int open_folder(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* NAME in AT, made if it is not there: durable. */
static int make_folder(int at, const char *name)
{
	if (mkdirat(at, name, 0700) == 0) {
		if (fsync(at) < 0)
			return -errno;
	} else if (errno != EEXIST) {
		return -errno;
	}
	return open_folder(at, name);
}

static int find_folder(const char *store, uid_t owner, bool make, struct folder *out)
{
	int (*step)(int at, const char *name) = make ? make_folder : open_folder;
	_cleanup_close_ int base = -1, imports = -1;
	char name[32] = "everybody";
	int fd;

	if (owner != CATALOG_EVERYBODY)
		snprintf(name, sizeof(name), "%u", owner);
	if (asprintf(&out->path, "%s/imports/%s", store, name) < 0) {
		out->path = NULL;
		return -ENOMEM;
	}
	base = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	imports = base < 0 ? -errno : step(base, "imports");
	fd = imports < 0 ? imports : step(imports, name);
	if (fd < 0)
		return fd == -ENOENT && !make ? fd : log_error_errno(fd, "%s", out->path);
	out->fd = fd;
	return 0;
}

static void catalog_name(char out[FILE_NAME_SIZE], const char *name)
{
	snprintf(out, FILE_NAME_SIZE, "%s.jsonl", name);
}

static void rest_name(char out[FILE_NAME_SIZE], const char *name, uint64_t serial)
{
	snprintf(out, FILE_NAME_SIZE, "%s.%" PRIu64 ".json", name, serial);
}

static bool is_rest_of(const char *file, const char *name)
{
	size_t len = strlen(name), digits;

	if (strncmp(file, name, len) != 0 || file[len] != '.')
		return false;
	digits = strspn(file + len + 1, "0123456789");
	return digits > 0 && !strcmp(file + len + 1 + digits, ".json");
}

/* Call EACH for all files in FOLDER, until it returns other than 0. */
static int each_file(const struct folder *folder, int (*each)(const struct folder *folder, const char *file, void *arg),
		     void *arg)
{
	int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return -errno;
	while (r == 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			r = each(folder, entry->d_name, arg);
	}
	closedir(dir);
	return r;
}

/* ---- reading ---- */

static int load_catalog(const struct folder *folder, const char *file, const char *name, struct verify_catalog **out,
			struct verify_problem *problem)
{
	const struct verify_catalog_rules rules = { .name = name, .prefixes = any_prefix, .n_prefixes = 1 };
	_cleanup_close_ int fd = openat(folder->fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	return verify_catalog_load_unsigned(fd, &rules, out, problem);
}

static int load_rest(const struct folder *folder, const char *name, uint64_t serial, json_t **out)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	char file[FILE_NAME_SIZE];
	struct stat st;
	size_t len;
	int r;

	rest_name(file, name, serial);
	if (asprintf(&path, "%s/%s", folder->path, file) < 0)
		return -ENOMEM;
	r = io_read_regular(path, IMPORT_REST_MAX, &text, &len, &st);
	return r < 0 ? r : import_rest_parse(text, len, out);
}

/*
 * What is there of NAME. -ENOENT: nothing. -EUCLEAN: it is damaged, logged; other errors are the disk's, logged, or
 * -ENOMEM.
 */
static int load_one(const struct folder *folder, const char *name, struct verify_catalog **entries, json_t **rest)
{
	_cleanup_(cleanup_catalog) struct verify_catalog *loaded = NULL;
	struct verify_problem problem = { 0 };
	char file[FILE_NAME_SIZE];
	int r;

	catalog_name(file, name);
	r = load_catalog(folder, file, name, &loaded, &problem);
	if (r == -ENOENT || r == -ENOMEM)
		return r;
	if (r < 0 && problem.text[0]) {
		log_error("%s/%s:%u: %s: what was imported as %s does not count", folder->path, file, problem.line,
			  problem.text, name);
		return r == -EINVAL || r == -EFBIG ? -EUCLEAN : r;
	}
	if (r < 0)
		return log_error_errno(r, "%s/%s", folder->path, file);
	r = load_rest(folder, name, verify_catalog_info(loaded)->serial, rest);
	if (r < 0) {
		rest_name(file, name, verify_catalog_info(loaded)->serial);
		log_error_errno(r, "%s/%s: what was imported as %s does not count", folder->path, file, name);
		return r == -ENOMEM || r == -EIO ? r : -EUCLEAN;
	}
	*entries = steal_pointer(loaded);
	return 0;
}

static void release(struct import *import)
{
	verify_catalog_unref(import->entries);
	json_decref((json_t *)import->refs);
	for (size_t i = 0; i < import->n_gated; i++)
		free(import->gated[i]);
	free(import->gated);
	for (size_t i = 0; i < import->n_hosts; i++) {
		free(import->hosts[i].host);
		free(import->hosts[i].authorization);
	}
	free(import->hosts);
	*import = (struct import){ 0 };
}

void imports_free(struct import *imports, size_t n)
{
	for (size_t i = 0; i < n; i++)
		release(&imports[i]);
	free(imports);
}

static int load_import(const struct folder *folder, const char *name, uid_t owner, struct import *out)
{
	_cleanup_(cleanup_json) json_t *rest = NULL;
	int r = load_one(folder, name, &out->entries, &rest);

	if (r < 0)
		return r;
	snprintf(out->name, sizeof(out->name), "%s", name);
	out->owner = owner;
	r = import_rest_show(rest, out);
	if (r < 0)
		release(out);
	return r;
}

int imports_load(const char *path, uid_t owner, struct import **out, size_t *n)
{
	_cleanup_(folder_release) struct folder folder = { NULL, -1 };
	struct import *imports;
	size_t count = 0;
	int r;

	take_turn();
	r = find_folder(path, owner, false, &folder);
	imports = r < 0 ? NULL : calloc(ARRAY_SIZE(known), sizeof(*imports));
	if (r == 0 && !imports)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(known); i++) {
		int loaded = load_import(&folder, known[i], owner, &imports[count]);

		count += loaded == 0;
		r = loaded == -ENOMEM ? loaded : 0;
	}
	end_turn();
	if (r < 0) {
		imports_free(imports, count);
		imports = NULL;
		count = 0;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	*out = imports;
	*n = count;
	return 0;
}

struct owners {
	uid_t *uids;
	size_t n, capacity;
};

static int note_owner(const struct folder *folder, const char *file, void *arg)
{
	unsigned long uid = strtoul(file, NULL, 10);
	struct owners *owners = arg;
	char name[32];

	snprintf(name, sizeof(name), "%lu", uid);
	if (!strcmp(file, "everybody"))
		uid = CATALOG_EVERYBODY;
	else if (strcmp(file, name) != 0 || uid >= CATALOG_NOBODY)
		return 0;
	if (owners->n == owners->capacity) {
		uid_t *more = reallocarray(owners->uids, owners->capacity + 64, sizeof(*more));

		if (!more)
			return -ENOMEM;
		owners->uids = more;
		owners->capacity += 64;
	}
	owners->uids[owners->n++] = (uid_t)uid;
	return 0;
}

int imports_owners(const char *path, uid_t **out, size_t *n)
{
	_cleanup_(folder_release) struct folder folder = { NULL, -1 };
	struct owners owners = { NULL };
	int r;

	if (asprintf(&folder.path, "%s/imports", path) < 0) {
		folder.path = NULL;
		return -ENOMEM;
	}
	folder.fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = folder.fd < 0 ? -errno : each_file(&folder, note_owner, &owners);
	if (r < 0 && r != -ENOENT) {
		free(owners.uids);
		return log_error_errno(r, "%s", folder.path);
	}
	*out = owners.uids;
	*n = owners.n;
	return 0;
}

/* ---- writing ---- */

/* A change under way. */
struct change {
	struct folder folder;
	struct import_merge merge;
	char file[FILE_NAME_SIZE], new_file[FILE_NAME_SIZE], rest_file[FILE_NAME_SIZE];
	struct verify_problem *problem;
};

/* The disk is at fault: that is for the log, too. */
static int fail(const struct change *change, int error, const char *file)
{
	log_error_errno(error, "%s/%s cannot be written", change->folder.path, file);
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
	fd = openat(change->folder.fd, change->rest_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = fd < 0 ? -errno : io_write(fd, text, len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? fail(change, r, change->rest_file) : 0;
}

static int write_catalog(struct change *change)
{
	_cleanup_close_ int fd = openat(change->folder.fd, change->new_file,
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

static int add_size(const struct folder *folder, const char *file, void *arg)
{
	uint64_t *sum = arg;
	struct stat st;

	if (fstatat(folder->fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0)
		*sum += (uint64_t)st.st_size;
	return 0;
}

/* With the old files still there, which are counted, too. */
static int check_sizes(struct change *change)
{
	uint64_t sum = 0;
	int r = each_file(&change->folder, add_size, &sum);

	if (r < 0)
		return fail(change, r, ".");
	if (sum > IMPORT_BYTES_MAX)
		return import_refuse(change->problem, -E2BIG, "more than %" PRIu64 " MiB of imports: remove some",
				     IMPORT_BYTES_MAX >> 20);
	return 0;
}

static int drop_leftover(const struct folder *folder, const char *file, void *arg)
{
	const struct change *change = arg;

	if (!strcmp(file, change->new_file) ||
	    (is_rest_of(file, change->merge.name) && strcmp(file, change->rest_file) != 0))
		(void)unlinkat(folder->fd, file, 0);
	return 0;
}

/* The catalog is complete beside the old one. */
static int put_in_place(struct change *change)
{
	int fd = change->folder.fd;

	/* The rest is there before what names it. */
	if (fsync(fd) < 0 || renameat(fd, change->new_file, fd, change->file) < 0)
		return fail(change, -errno, change->file);
	if (fsync(fd) < 0)
		return fail(change, -errno, change->file);
	(void)each_file(&change->folder, drop_leftover, change);
	return 0;
}

static int remove_all(struct change *change)
{
	int fd = change->folder.fd;

	if (unlinkat(fd, change->file, 0) < 0 && errno != ENOENT)
		return fail(change, -errno, change->file);
	if (fsync(fd) < 0)
		return fail(change, -errno, change->file);
	change->rest_file[0] = '\0';
	(void)each_file(&change->folder, drop_leftover, change);
	return fsync(fd) < 0 ? fail(change, -errno, change->file) : 0;
}

/* As it will be read; what it says of lines is of the file that nobody sees. */
static int load_new(struct change *change, struct verify_catalog **out)
{
	struct verify_problem problem = { 0 };
	int r = load_catalog(&change->folder, change->new_file, change->merge.name, out, &problem);

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
		if (unlinkat(change->folder.fd, change->new_file, 0) == 0)
			(void)unlinkat(change->folder.fd, change->rest_file, 0);
	}
	return r;
}

/* OLD and REST: what is there; the next serial. */
static int begin(struct change *change, const char *name, struct verify_catalog **old, json_t **rest)
{
	int r = load_one(&change->folder, name, old, rest);

	change->merge.name = name;
	catalog_name(change->file, name);
	snprintf(change->new_file, sizeof(change->new_file), "%s.jsonl.new", name);
	if (r == -ENOENT) {
		*rest = import_rest_new();
		r = *rest ? 0 : -ENOMEM;
	}
	if (r < 0)
		return import_refuse(change->problem, r, "%s/%s.jsonl %s", change->folder.path, name,
				     r == -EUCLEAN ? "is damaged: remove the import" : "cannot be read");
	change->merge.old = *old;
	change->merge.serial = *old ? verify_catalog_info(*old)->serial + 1 : 1;
	rest_name(change->rest_file, name, change->merge.serial);
	return 0;
}

static int load_request(const struct import_request *request, struct verify_catalog **out,
			struct verify_problem *problem)
{
	const struct verify_catalog_rules rules = { .name = request->name, .prefixes = any_prefix, .n_prefixes = 1 };
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
	struct change change = { .folder.fd = -1, .problem = problem };
	int r;

	take_turn();
	r = find_folder(path, request->owner, true, &change.folder);
	if (r < 0)
		import_refuse(problem, r, "it cannot be written down: %s", strerror(-r));
	else
		r = add(&change, request, n);
	end_turn();
	folder_release(&change.folder);
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
	struct change change = { .folder.fd = -1, .problem = problem };
	int r;

	if (!import_is_known(name))
		return import_refuse(problem, -EINVAL, "\"%.64s\" is not what imports are called", name ? name : "");
	take_turn();
	r = find_folder(path, owner, false, &change.folder);
	if (r == 0)
		r = take_out(&change, name, folder, n);
	else
		import_refuse(problem, r, r == -ENOENT ? "nothing was imported" : "it cannot be written down");
	end_turn();
	folder_release(&change.folder);
	return r;
}
