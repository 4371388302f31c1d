/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is on the disk. Hugging Face's cache has a folder models--ORG--NAME for each model, with blobs/<SHA-256 or git's id>,
 * snapshots/<commit>/<links to blobs> and refs/<ref>, which has the commit in it. Ollama's: adopt-ollama.c.
 */
#include "commands/adopt-scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "common/io.h"
#include "common/log.h"
#include "registry/registry.h"
#include "store/store.h"
#include "verify/catalog.h"

#define REF_MAX	  256
#define DEPTH_MAX 32

void adopt_model_clear(struct adopt_model *model)
{
	for (size_t i = 0; i < model->n; i++) {
		free(model->files[i].name);
		free(model->files[i].path);
	}
	free(model->files);
	free(model->folder);
	json_decref(model->refs);
}

struct adopt_file *adopt_add_file(struct adopt_model *model, char *name, char *path)
{
	struct adopt_file *grown = NULL;

	if (name && path)
		grown = reallocarray(model->files, model->n + 1, sizeof(*grown));
	if (!grown) {
		free(name);
		free(path);
		return NULL;
	}
	model->files = grown;
	grown[model->n] = (struct adopt_file){ .name = name, .path = path };
	return &grown[model->n++];
}

char *adopt_join(const char *a, const char *b)
{
	char *path;

	return asprintf(&path, "%s%s%s", a, *a ? "/" : "", b) < 0 ? NULL : path;
}

static bool is_folder(const char *path, const char *below)
{
	_cleanup_free_ char *joined = adopt_join(path, below);
	struct stat st;

	return joined && stat(joined, &st) == 0 && S_ISDIR(st.st_mode);
}

int adopt_each_entry(const char *path, bool hidden, int (*each)(void *arg, const char *path, const char *name), void *arg)
{
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, NULL, alphasort), r = 0;

	if (n < 0)
		return errno == ENOENT ? 0 : log_error_errno(-errno, "%s", path);
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		bool skipped = !strcmp(name, ".") || !strcmp(name, "..") || (name[0] == '.' && !hidden);

		if (r == 0 && !skipped)
			r = each(arg, path, name);
		free(entries[i]);
	}
	free(entries);
	return r;
}

bool adopt_is_moved(const char *path, char hex[DIGEST_HEX_SIZE])
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	const size_t digits = DIGEST_HEX_SIZE - 1, len = strlen("/hash/") + digits;
	struct digest digest;

	if (n < (ssize_t)len)
		return false;
	target[n] = '\0';
	if (strncmp(target + n - len, "/hash/", strlen("/hash/")) != 0 ||
	    digest_from_hex(target + n - digits, &digest) < 0)
		return false;
	digest_to_hex(&digest, hex);
	return true;
}

/* ---- files of a folder ---- */

struct walk {
	struct adopt_model *model;
	const char *base; /* names are below it */
	const char *blobs; /* of a snapshot: where its links lead; NULL: links are not followed */
	bool hidden;
	int depth;
};

/* Of a snapshot's link to "../../blobs/<name>", by any number of steps up. */
static int blob_of(const struct walk *walk, const char *link, struct adopt_file *file)
{
	char target[PATH_MAX], *name;
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	size_t len;

	if (n < 0)
		return -errno;
	target[n] = '\0';
	name = strrchr(target, '/');
	name = name ? name + 1 : target;
	len = strlen(name);
	if (len == 64 && digest_from_hex(name, &file->sha256) == 0)
		file->has_sha256 = true;
	else if (len == 40 && registry_from_hex(name, file->git_blob, sizeof(file->git_blob)) == 0)
		file->has_git_blob = true;
	else
		return -EINVAL;
	free(file->path);
	file->path = adopt_join(walk->blobs, name);
	return file->path ? 0 : -ENOMEM;
}

static int walk_entry(void *arg, const char *folder, const char *name);

static int walk_file(struct walk *walk, char *path, bool is_link)
{
	const char *name = path + strlen(walk->base) + 1;
	const char *refused = verify_name_refused(name, strlen(name));
	char hex[DIGEST_HEX_SIZE];
	struct adopt_file *file;
	int r = 0;

	if (refused || (is_link && !walk->blobs && !adopt_is_moved(path, hex))) {
		log_warning("%s: %s: left out", path, refused ? refused : "is a link");
		free(path);
		return 0;
	}
	file = adopt_add_file(walk->model, strdup(name), path);
	if (!file)
		return -ENOMEM;
	if (is_link && walk->blobs)
		r = blob_of(walk, path, file);
	if (r == 0 || r == -ENOMEM)
		return r;
	log_warning("%s: leads to no blob: left out", path);
	walk->model->n--;
	free(file->name);
	free(file->path);
	return 0;
}

static int walk_entry(void *arg, const char *folder, const char *name)
{
	struct walk *walk = arg;
	char *path = adopt_join(folder, name);
	struct stat st;
	int r = 0;

	if (!path)
		return -ENOMEM;
	if (lstat(path, &st) < 0) {
		r = log_error_errno(-errno, "%s", path);
		free(path);
		return r;
	}
	if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
		return walk_file(walk, path, S_ISLNK(st.st_mode));
	if (S_ISDIR(st.st_mode) && store_is_at(path)) {
		log_warning("%s: is a store of weightfs: left out", path);
	} else if (S_ISDIR(st.st_mode) && walk->depth < DEPTH_MAX) {
		walk->depth++;
		r = adopt_each_entry(path, walk->hidden, walk_entry, walk);
		walk->depth--;
	} else {
		log_warning("%s: is no file: left out", path);
	}
	free(path);
	return r;
}

static int found(struct adopt_scan *scan, struct adopt_model *model)
{
	int r = model->n > 0 ? scan->found(scan->arg, model) : 0;

	adopt_model_clear(model);
	return r;
}

/* ---- Hugging Face ---- */

struct hub {
	struct adopt_scan *scan;
	const char *path; /* models--ORG--NAME */
	char *repository; /* ORG/NAME */
	json_t *refs;	  /* { ref: commit } */
	const char *below; /* of refs: where in there */
};

static int take_ref(void *arg, const char *folder, const char *name)
{
	struct hub *hub = arg;
	_cleanup_free_ char *path = adopt_join(folder, name), *ref = adopt_join(hub->below, name), *text = NULL;
	struct stat st;
	size_t len;

	if (!path || !ref)
		return -ENOMEM;
	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		struct hub below = *hub;

		below.below = ref;
		return strlen(ref) < REF_MAX ? adopt_each_entry(path, false, take_ref, &below) : 0;
	}
	if (io_read_regular(path, REF_MAX, &text, &len, &st) < 0)
		return 0;
	text[strcspn(text, "\r\n")] = '\0';
	json_object_set_new(hub->refs, ref, json_string(text));
	return 0;
}

/* Those that lead to REVISION. */
static json_t *refs_to(const struct hub *hub, const char *revision)
{
	json_t *refs = json_object(), *value;
	const char *ref;

	json_object_foreach(hub->refs, ref, value) {
		if (!strcmp(json_string_value(value), revision))
			json_object_set(refs, ref, value);
	}
	return json_object_size(refs) > 0 ? json_pack("{s:o}", hub->repository, refs) : (json_decref(refs), NULL);
}

static int take_snapshot(void *arg, const char *folder, const char *revision)
{
	struct hub *hub = arg;
	_cleanup_free_ char *path = adopt_join(folder, revision), *blobs = adopt_join(hub->path, "blobs");
	struct adopt_model model = { .catalog = "hf" };
	struct walk walk = { .model = &model, .base = path, .blobs = blobs, .hidden = true };
	int r;

	if (!path || !blobs || asprintf(&model.folder, "%s@%s", hub->repository, revision) < 0)
		return -ENOMEM;
	model.refs = refs_to(hub, revision);
	r = adopt_each_entry(path, true, walk_entry, &walk);
	if (r == 0)
		return found(hub->scan, &model);
	adopt_model_clear(&model);
	return r;
}

/* "models--ORG--NAME" to "ORG/NAME"; to be freed. NULL: it is not called so, or no memory. */
static char *repository_of(const char *folder)
{
	static const char prefix[] = "models--";
	char *name = strncmp(folder, prefix, strlen(prefix)) ? NULL : strdup(folder + strlen(prefix));
	char *dashes = name ? strstr(name, "--") : NULL;

	if (dashes) {
		*dashes = '/';
		memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
	}
	return name;
}

static int scan_repository(void *arg, const char *folder, const char *name)
{
	_cleanup_free_ char *path = adopt_join(folder, name), *refs = path ? adopt_join(path, "refs") : NULL;
	_cleanup_free_ char *snapshots = path ? adopt_join(path, "snapshots") : NULL;
	struct hub hub = { .scan = arg, .path = path, .repository = repository_of(name), .refs = json_object(), .below = "" };
	int r = 0;

	if (hub.repository && refs && snapshots) {
		r = adopt_each_entry(refs, false, take_ref, &hub);
		if (r == 0)
			r = adopt_each_entry(snapshots, false, take_snapshot, &hub);
	}
	free(hub.repository);
	json_decref(hub.refs);
	return r;
}

static int note_repository(void *arg, const char *folder, const char *name)
{
	_cleanup_free_ char *repository = repository_of(name);

	return repository ? 1 : 0;
}

/* ---- any ---- */

static int scan_folder(struct adopt_scan *scan, const char *path, const char *name)
{
	struct adopt_model model = { .catalog = "local", .folder = strdup(name) };
	struct walk walk = { .model = &model, .base = path };
	int r = model.folder ? adopt_each_entry(path, false, walk_entry, &walk) : -ENOMEM;

	if (r == 0)
		return found(scan, &model);
	adopt_model_clear(&model);
	return r;
}

/* FOLDER/NAME alone, called like the folder that it is in. */
static int scan_file(struct adopt_scan *scan, const char *folder, const char *name)
{
	const char *last = strrchr(folder, '/');
	struct adopt_model model = { .catalog = "local", .folder = strdup(last && last[1] ? last + 1 : "files") };
	struct walk walk = { .model = &model, .base = folder };
	int r = model.folder ? walk_entry(&walk, folder, name) : -ENOMEM;

	if (r == 0)
		return found(scan, &model);
	adopt_model_clear(&model);
	return r;
}

/* PATH is absolute: is it, or is it in, a store? Nothing of that may give its place to a link, or get a name. */
static int refuse_store(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	char *folder = copy;

	if (!copy)
		return -ENOMEM;
	while (!store_is_at(folder)) {
		if (!strcmp(folder, "/"))
			return 0;
		folder = dirname(folder);
	}
	return log_error_errno(-EXDEV, "%s: nothing of the store %s is adopted", path, folder);
}

int adopt_scan(const char *path, int (*found_model)(void *arg, struct adopt_model *model), void *arg)
{
	struct adopt_scan scan = { found_model, arg };
	/* A file that was moved is a link: its folder is what is resolved. */
	_cleanup_free_ char *folder = realpath(path, NULL), *parent = NULL, *base = NULL;
	const char *slash = strrchr(path, '/');
	struct stat st;
	char *name;
	int r;

	if (!folder || stat(folder, &st) < 0)
		return log_error_errno(-errno, "%s", path);
	parent = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	base = parent ? realpath(parent, NULL) : NULL;
	if (!base)
		return log_error_errno(-errno, "%s", path);
	r = refuse_store(S_ISDIR(st.st_mode) ? folder : base);
	if (r < 0)
		return r;
	if (!S_ISDIR(st.st_mode))
		return scan_file(&scan, base, slash ? slash + 1 : path);
	name = strrchr(folder, '/');
	if (is_folder(folder, "snapshots") && note_repository(NULL, NULL, name + 1)) {
		*name = '\0';
		return scan_repository(&scan, folder, name + 1);
	}
	if (is_folder(folder, "hub") && adopt_each_entry(folder, false, note_repository, NULL) == 0) {
		_cleanup_free_ char *hub = adopt_join(folder, "hub");

		return hub ? adopt_scan(hub, found_model, arg) : -ENOMEM;
	}
	if (is_folder(folder, "models/manifests") && is_folder(folder, "models/blobs")) {
		_cleanup_free_ char *models = adopt_join(folder, "models");

		return models ? adopt_scan(models, found_model, arg) : -ENOMEM;
	}
	if (adopt_each_entry(folder, false, note_repository, NULL) == 1)
		return adopt_each_entry(folder, false, scan_repository, &scan);
	if (is_folder(folder, "manifests") && is_folder(folder, "blobs"))
		return adopt_ollama(&scan, folder);
	return scan_folder(&scan, folder, name[1] ? name + 1 : "files");
}
