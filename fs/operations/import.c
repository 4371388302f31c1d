/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import, imports, import-remove: what a user names, for itself, or root and the owner of the store for everybody. Who may
 * answer for its user (fs/origins/answers.h) may name things for it, too.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "catalogs/imports.h"
#include "common/io.h"
#include "fs/origins/answers.h"
#include "fs/session.h"

/* Whose it is about. */
static int take_owner(struct operation *operation, uid_t *owner)
{
	bool everybody = json_is_true(json_object_get(operation->request, "everybody"));
	int r = answers_authorise(operation, false, owner);

	if (r < 0 || !everybody)
		return r;
	if (!operation->privileged)
		return operation_fail(operation, -EPERM, "only root and the owner of the store import for everybody");
	*owner = CATALOG_EVERYBODY;
	return 0;
}

static int take_name(struct operation *operation, const char **name)
{
	*name = json_string_value(json_object_get(operation->request, "name"));
	if (!import_is_known(*name))
		return operation_fail(operation, -EINVAL, "\"%.64s\" is not what imports are called (hf, ollama, oci, ipfs, metalink, local)", *name ? *name : "");
	return 0;
}

/* KEY is a string, or is not there: NULL. */
static int take_string(struct operation *operation, const char *key, const char **out)
{
	json_t *value = json_object_get(operation->request, key);

	*out = json_string_value(value);
	if (value && !json_is_null(value) && !*out)
		return operation_fail(operation, -EINVAL, "\"%s\" is not a string", key);
	return 0;
}

/*
 * The caller's file in memory of our own, where nobody writes to it any more. Only what is in memory is read in a daemon
 * (fcntl(2) tells that without asking the file): to read anything else may take as long as its owner likes.
 */
static int copy_request(struct operation *operation, int *out)
{
	_cleanup_close_ int copy = memfd_create("import", MFD_CLOEXEC);
	char buffer[65536];
	uint64_t offset = 0;
	ssize_t n;
	int r = 0;

	if (operation->fd < 0)
		return operation_fail(operation, -EINVAL, "no file");
	if (operation->fs && fcntl(operation->fd, F_GET_SEALS) < 0)
		return operation_fail(operation, -EINVAL, "it is not a file in memory (memfd_create(2))");
	if (copy < 0)
		return -errno;
	while (r == 0 && (n = pread(operation->fd, buffer, sizeof(buffer), (off_t)offset)) != 0) {
		if (n < 0)
			return operation_fail(operation, -errno, "it cannot be read: %s", strerror(errno));
		r = io_pwrite(copy, buffer, (size_t)n, offset);
		offset += (uint64_t)n;
		if (offset > IMPORT_REQUEST_MAX)
			return operation_fail(operation, -E2BIG, "more than %llu MiB at once",
					      (unsigned long long)IMPORT_REQUEST_MAX >> 20);
	}
	if (r == 0)
		*out = steal_fd(&copy);
	return r;
}

static int fail(struct operation *operation, int error, const struct verify_problem *problem)
{
	if (!problem->text[0])
		return error;
	if (problem->line == 0)
		return operation_fail(operation, error, "%s", problem->text);
	return operation_fail(operation, error, "line %u: %s", problem->line, problem->text);
}

/* It is on the disk: names show it at once. */
static int make_known(struct operation *operation, uid_t owner)
{
	int r = operation->fs ? catalogs_import_changed(operation->fs->catalogs, owner) : 0;

	return r < 0 ? operation_fail(operation, r, "it is written down, but cannot be read again: %s", strerror(-r)) : 0;
}

int operation_import(struct operation *operation)
{
	json_t *request = operation->request, *refs = json_object_get(request, "refs");
	struct import_request import = {
		.refs = json_is_null(refs) ? NULL : refs,
		.gated = json_is_true(json_object_get(request, "gated")),
		.token_challenge = json_is_true(json_object_get(request, "token_challenge")),
	};
	struct verify_problem problem = { 0 };
	_cleanup_close_ int fd = -1;
	size_t n;
	int r;

	r = take_owner(operation, &import.owner);
	if (r == 0)
		r = take_name(operation, &import.name);
	if (r == 0)
		r = take_string(operation, "authorization", &import.authorization);
	if (r == 0)
		r = take_string(operation, "replaces", &import.replaces);
	if (r == 0)
		r = copy_request(operation, &fd);
	if (r < 0)
		return r;
	import.fd = fd;
	r = imports_add(store_path(operation->store), &import, &n, &problem);
	if (r < 0)
		return fail(operation, r, &problem);
	r = make_known(operation, import.owner);
	return r < 0 ? r : operation->emit(operation, json_pack("{s:I, s:s*}", "new", (json_int_t)n, "mountpoint", session_mountpoint()));
}

int operation_import_remove(struct operation *operation)
{
	struct verify_problem problem = { 0 };
	const char *name, *folder;
	uid_t owner;
	size_t n;
	int r;

	r = take_owner(operation, &owner);
	if (r == 0)
		r = take_name(operation, &name);
	if (r == 0)
		r = take_string(operation, "folder", &folder);
	if (r < 0)
		return r;
	r = imports_remove(store_path(operation->store), owner, name, folder, &n, &problem);
	if (r < 0)
		return fail(operation, r, &problem);
	r = make_known(operation, owner);
	return r < 0 ? r : operation->emit(operation, json_pack("{s:I}", "removed", (json_int_t)n));
}

/* ---- listing ---- */

/* Names come in order: those of a folder one after the other. */
struct listing {
	struct operation *operation;
	const struct import *import;
	char folder[VERIFY_NAME_MAX + 1];
	json_int_t files;
	uint64_t size;
};

static int put_folder(struct listing *listing)
{
	json_t *line;

	if (listing->files == 0)
		return 0;
	line = json_pack("{s:s, s:s, s:I, s:I, s:b, s:b, s:s*}", "name", listing->import->name, "folder", listing->folder,
			 "files", listing->files, "size", (json_int_t)listing->size, "gated",
			 import_is_gated(listing->import, listing->folder), "everybody",
			 listing->import->owner == CATALOG_EVERYBODY, "mountpoint", session_mountpoint());
	listing->files = 0;
	listing->size = 0;
	return listing->operation->emit(listing->operation, line);
}

/* As far as the revision; where there is none, the first component. */
static size_t folder_length(const char *name)
{
	const char *slash = strchr(name, '/');
	size_t len = import_folder_length(name);

	return len > 0 ? len : slash ? (size_t)(slash - name) + 1 : 0;
}

static int found(void *arg, const char *name, const struct verify_object *object)
{
	struct listing *listing = arg;
	size_t len = folder_length(name);
	int r = 0;

	if (strlen(listing->folder) != len || strncmp(listing->folder, name, len) != 0)
		r = put_folder(listing);
	memcpy(listing->folder, name, len);
	listing->folder[len] = '\0';
	listing->files++;
	listing->size += object->size;
	return r;
}

static int list_owner(struct operation *operation, uid_t owner)
{
	struct import *imports;
	size_t n;
	int r = imports_load(store_path(operation->store), owner, &imports, &n);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct listing listing = { .operation = operation, .import = &imports[i] };

		r = verify_catalog_match(imports[i].entries, "*", found, &listing);
		if (r == 0)
			r = put_folder(&listing);
	}
	imports_free(imports, n);
	return r;
}

int operation_imports(struct operation *operation)
{
	uid_t owner;
	int r = answers_authorise(operation, false, &owner);

	if (r == 0)
		r = list_owner(operation, owner);
	return r < 0 ? r : list_owner(operation, CATALOG_EVERYBODY);
}
