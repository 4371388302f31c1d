/* SPDX-License-Identifier: Apache-2.0 */
/* The files of imports: found and read. */
#include "catalogs/imports-internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "common/io.h"
#include "common/log.h"

static const char *const known[] = { "hf", "ollama", "oci", "ipfs", "metalink", "local" };

_Static_assert(ARRAY_SIZE(known) <= IMPORT_CATALOGS, "all of a user's");

/* One at a time: `busy` is held across the disk, the lock is not. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t free;
	bool busy; /* protected by lock */
} turn = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };

void imports_take_turn(void)
{
	pthread_mutex_lock(&turn.lock);
	while (turn.busy)
		pthread_cond_wait(&turn.free, &turn.lock);
	turn.busy = true;
	pthread_mutex_unlock(&turn.lock);
}

void imports_end_turn(void)
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

void import_dir_release(struct import_dir *dir)
{
	cleanup_free(&dir->path);
	cleanup_close(&dir->fd);
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

int import_dir_find(const char *store, uid_t owner, bool make, struct import_dir *out)
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

void import_catalog_name(char out[IMPORT_FILE_SIZE], const char *name)
{
	snprintf(out, IMPORT_FILE_SIZE, "%s.jsonl", name);
}

void import_rest_name(char out[IMPORT_FILE_SIZE], const char *name, uint64_t serial)
{
	snprintf(out, IMPORT_FILE_SIZE, "%s.%" PRIu64 ".json", name, serial);
}

/* Call EACH for all files in FOLDER, until it returns other than 0. */
int import_dir_each(const struct import_dir *dir, int (*each)(const struct import_dir *dir, const char *file, void *arg),
		    void *arg)
{
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!stream)
		return -errno;
	while (r == 0 && (entry = readdir(stream))) {
		if (entry->d_name[0] != '.')
			r = each(dir, entry->d_name, arg);
	}
	closedir(stream);
	return r;
}

/* ---- reading ---- */

int import_load_catalog(const struct import_dir *dir, const char *file, const char *name, struct verify_catalog **out,
			struct verify_problem *problem)
{
	const struct verify_catalog_rules rules = import_rules(name);
	_cleanup_close_ int fd = openat(dir->fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	return verify_catalog_load_unsigned(fd, &rules, out, problem);
}

static int load_rest(const struct import_dir *dir, const char *name, uint64_t serial, json_t **out)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	char file[IMPORT_FILE_SIZE];
	struct stat st;
	size_t len;
	int r;

	import_rest_name(file, name, serial);
	if (asprintf(&path, "%s/%s", dir->path, file) < 0)
		return -ENOMEM;
	r = io_read_regular(path, IMPORT_REST_MAX, &text, &len, &st);
	return r < 0 ? r : import_rest_parse(text, len, out);
}

/*
 * What is there of NAME. -ENOENT: nothing. -EUCLEAN: it is damaged, logged; other errors are the disk's, logged, or
 * -ENOMEM.
 */
int import_load_one(const struct import_dir *dir, const char *name, struct verify_catalog **entries, json_t **rest)
{
	_cleanup_(cleanup_catalog) struct verify_catalog *loaded = NULL;
	struct verify_problem problem = { 0 };
	char file[IMPORT_FILE_SIZE];
	int r;

	import_catalog_name(file, name);
	r = import_load_catalog(dir, file, name, &loaded, &problem);
	if (r == -ENOENT || r == -ENOMEM)
		return r;
	if (r < 0 && problem.text[0]) {
		log_error("%s/%s:%u: %s: what was imported as %s does not count", dir->path, file, problem.line,
			  problem.text, name);
		return r == -EINVAL || r == -EFBIG ? -EUCLEAN : r;
	}
	if (r < 0)
		return log_error_errno(r, "%s/%s", dir->path, file);
	r = load_rest(dir, name, verify_catalog_info(loaded)->serial, rest);
	if (r < 0) {
		import_rest_name(file, name, verify_catalog_info(loaded)->serial);
		log_error_errno(r, "%s/%s: what was imported as %s does not count", dir->path, file, name);
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

static int show_import(const struct import_dir *dir, const char *name, uid_t owner, struct import *out)
{
	_cleanup_(cleanup_json) json_t *rest = NULL;
	int r = import_load_one(dir, name, &out->entries, &rest);

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
	_cleanup_(import_dir_release) struct import_dir dir = { NULL, -1 };
	struct import *imports;
	size_t count = 0;
	int r;

	imports_take_turn();
	r = import_dir_find(path, owner, false, &dir);
	imports = r < 0 ? NULL : calloc(ARRAY_SIZE(known), sizeof(*imports));
	if (r == 0 && !imports)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(known); i++) {
		int loaded = show_import(&dir, known[i], owner, &imports[count]);

		count += loaded == 0;
		r = loaded == -ENOMEM ? loaded : 0;
	}
	imports_end_turn();
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

static int note_owner(const struct import_dir *dir, const char *file, void *arg)
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
	_cleanup_(import_dir_release) struct import_dir dir = { NULL, -1 };
	struct owners owners = { NULL };
	int r;

	if (asprintf(&dir.path, "%s/imports", path) < 0) {
		dir.path = NULL;
		return -ENOMEM;
	}
	dir.fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir.fd < 0 ? -errno : import_dir_each(&dir, note_owner, &owners);
	if (r < 0 && r != -ENOENT) {
		free(owners.uids);
		return log_error_errno(r, "%s", dir.path);
	}
	*out = owners.uids;
	*n = owners.n;
	return 0;
}
