/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each file comes in as by `add`; then its model's names do, as by `import`. What is in the store already is not read again,
 * unless its original is to go: then nothing but its own bytes counts.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "commands/adopt.h"
#include "commands/commands.h"
#include "commands/import/importing.h"
#include "common/io.h"
#include "common/log.h"
#include "fs/control/control.h"

#define GIT_BLOB_MAX ((size_t)64 << 20)

struct sums {
	uint64_t files, bytes;	     /* all that has a name now */
	uint64_t shared, duplicates; /* bytes: not copied, and there already */
	uint64_t moved, failed;	     /* files */
};

struct adopting {
	const struct settings *settings;
	struct config *config;
	bool everybody, move, json;
	char *mountpoint; /* where links lead; NULL: not known yet, or nothing is mounted */
	json_t *seen;	  /* "device:inode" of those that came in: [SHA-256, size] */
	struct sums sums;
	struct progress progress;
	int error; /* the last one */
};

/* What `add` said of a file. */
struct added {
	struct adopting *adopting;
	char hex[DIGEST_HEX_SIZE];
	uint64_t size;
	bool is_new, shared;
};

static int take_line(void *arg, json_t *line)
{
	const char *digest = json_string_value(json_object_get(line, "digest"));
	struct added *added = arg;

	if (!digest) {
		progress_show(&added->adopting->progress,
			      (uint64_t)json_integer_value(json_object_get(line, "progress")));
		return 0;
	}
	snprintf(added->hex, sizeof(added->hex), "%s", digest);
	added->size = (uint64_t)json_integer_value(json_object_get(line, "size"));
	added->is_new = json_is_true(json_object_get(line, "new"));
	added->shared = json_is_true(json_object_get(line, "shared"));
	return 0;
}

/* git's id of a file is checked here, and from then on its SHA-256 stands for it. */
static int check_git_blob(struct adopt_file *file)
{
	struct registry_file known = { .has_git_blob = true };
	char problem[REGISTRY_PROBLEM_SIZE];
	_cleanup_free_ char *bytes = NULL;
	struct stat st;
	size_t len;
	int r;

	r = io_read_regular(file->path, GIT_BLOB_MAX, &bytes, &len, &st);
	if (r < 0)
		return log_error_errno(r, "%s", file->path);
	memcpy(known.git_blob, file->git_blob, sizeof(known.git_blob));
	known.path = file->name;
	r = registry_file_hash(&known, bytes, len, problem);
	if (r < 0)
		return log_error_errno(r, "%s: its bytes are not what it is called", file->path);
	file->sha256 = known.sha256;
	file->has_sha256 = true;
	return 0;
}

static int add(struct adopting *adopting, const struct adopt_file *file, int fd, uint64_t size, struct added *out)
{
	bool moves = adopting->move;
	char hex[DIGEST_HEX_SIZE];
	json_t *request = json_pack("{s:s, s:b, s:b}", "op", "add", "pin", moves, "once", !moves);
	int r;

	/* A path that is no UTF-8 is not told: then the message is without it. */
	json_object_set_new(request, "file", json_string(file->path));
	if (file->has_sha256) {
		digest_to_hex(&file->sha256, hex);
		json_object_set_new(request, "sha256", json_string(hex));
	}
	*out = (struct added){ .adopting = adopting };
	adopting->progress = (struct progress){ .what = file->path, .total = size };
	r = control_call(adopting->settings, adopting->config, request, fd, take_line, out);
	progress_end(&adopting->progress);
	if (r < 0 && r != -EBADMSG)
		log_error("%s: not adopted", file->path);
	return r;
}

static int put_link(struct adopting *adopting, const struct adopt_file *file, int fd, const struct stat *st,
		    const struct added *added)
{
	_cleanup_free_ char *target = NULL;
	int r;

	if (asprintf(&target, "%s/hash/%s", adopting->mountpoint, added->hex) < 0) {
		target = NULL;
		return -ENOMEM;
	}
	r = adopt_replace(file->path, fd, st, target, added->hex);
	adopting->sums.moved += r == 0;
	return r;
}

static void count(struct sums *sums, const struct added *added)
{
	sums->shared += added->shared ? added->size : 0;
	sums->duplicates += added->is_new ? 0 : added->size;
}

/* A file that is there. Sets its digest and size. */
static int bring_in(struct adopting *adopting, struct adopt_file *file, int fd, const struct stat *st,
		    struct registry_file *out)
{
	struct added added;
	char key[64];
	int r, held = -1;
	json_t *seen;

	snprintf(key, sizeof(key), "%" PRIu64 ":%" PRIu64, (uint64_t)st->st_dev, (uint64_t)st->st_ino);
	seen = json_object_get(adopting->seen, key);
	if (seen) {
		out->size = (uint64_t)json_integer_value(json_array_get(seen, 1));
		return digest_from_hex(json_string_value(json_array_get(seen, 0)), &out->sha256);
	}
	if (file->has_git_blob && check_git_blob(file) < 0)
		return -EBADMSG;
	if (adopting->move)
		held = adopt_hold(fd, file->path, st);
	r = add(adopting, file, fd, (uint64_t)st->st_size, &added);
	if (r < 0)
		return r;
	count(&adopting->sums, &added);
	json_object_set_new(adopting->seen, key, json_pack("[s, I]", added.hex, (json_int_t)added.size));
	/* It is adopted, also where it could not be moved. */
	if (adopting->move && (held < 0 || put_link(adopting, file, fd, st, &added) < 0))
		adopting->error = -EBUSY;
	out->size = added.size;
	return digest_from_hex(added.hex, &out->sha256);
}

/* ---- the mount ---- */

static int take_mountpoint(void *arg, json_t *line)
{
	const char *text = json_string_value(json_object_get(line, "mountpoint"));
	char **mountpoint = arg;

	if (text && *text && !*mountpoint)
		*mountpoint = strdup(text);
	return 0;
}

static int find_mountpoint(struct adopting *adopting)
{
	if (adopting->mountpoint)
		return 0;
	return control_call(adopting->settings, adopting->config, json_pack("{s:s}", "op", "status"), -1,
			    take_mountpoint, &adopting->mountpoint);
}

/* Is what has ST on the mount? Anybody's file may lie in a folder "hash". */
static bool is_mounted(struct adopting *adopting, const struct stat *st)
{
	struct stat mount;

	return find_mountpoint(adopting) == 0 && adopting->mountpoint && stat(adopting->mountpoint, &mount) == 0 &&
	       mount.st_dev == st->st_dev;
}

/* ---- files ---- */

/* A link into a mount stands for what an earlier run moved. */
static int take_moved(struct adopting *adopting, const struct adopt_file *file, const char *hex,
		      struct registry_file *out)
{
	struct digest digest;
	struct stat st;

	if (stat(file->path, &st) < 0)
		return log_error_errno(-errno, "%s: what it is a link to cannot be found", file->path);
	if (!is_mounted(adopting, &st))
		return log_error_errno(-EXDEV, "%s: is a link that does not lead into the mount", file->path);
	if (digest_from_hex(hex, &digest) < 0 || (file->has_sha256 && !digest_equal(&digest, &file->sha256)))
		return log_error_errno(-EBADMSG, "%s: is a link to another object", file->path);
	if (adopting->move)
		adopt_clean(file->path, hex);
	out->sha256 = digest;
	out->size = (uint64_t)st.st_size;
	return 0;
}

static int take_file(struct adopting *adopting, struct adopt_file *file, struct registry_file *out)
{
	_cleanup_close_ int fd = adopt_open(file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	char hex[DIGEST_HEX_SIZE];
	struct stat st;

	if (fd == -ELOOP && adopt_is_moved(file->path, hex))
		return take_moved(adopting, file, hex, out);
	if (fd < 0 || fstat(fd, &st) < 0)
		return log_error_errno(fd < 0 ? fd : -errno, "%s", file->path);
	if (!S_ISREG(st.st_mode))
		return log_error_errno(-EMEDIUMTYPE, "%s", file->path);
	return bring_in(adopting, file, fd, &st, out);
}

/* Where a model is found now. */
static int print_place(void *arg, json_t *line)
{
	command_print_place(json_string_value(json_object_get(line, "mountpoint")), arg);
	printf("\n");
	return 0;
}

static int drop_line(void *arg, json_t *line)
{
	return 0;
}

static int name_model(struct adopting *adopting, const char *catalog, const struct import_found *found)
{
	char problem[REGISTRY_PROBLEM_SIZE];
	_cleanup_free_ char *place = NULL;
	_cleanup_close_ int fd = -1;
	int r = import_write(found, catalog, &fd, problem);

	if (r < 0)
		return log_error_errno(r, "%s/%s: %s", catalog, found->folder, problem);
	if (asprintf(&place, "%s/%s", catalog, found->folder) < 0)
		return -ENOMEM;
	return control_call(adopting->settings, adopting->config,
			    json_pack("{s:s, s:s, s:O?, s:b}", "op", "import", "name", catalog, "refs", found->refs,
				      "everybody", adopting->everybody), fd, adopting->json ? drop_line : print_place, place);
}

/* So it will be with the next one. */
static bool is_hopeless(int error)
{
	return error == -EPERM || error == -EPIPE || error == -ENOSPC;
}

static int take_model(void *arg, struct adopt_model *model)
{
	struct import_found found = { .folder = model->folder, .refs = model->refs };
	struct adopting *adopting = arg;
	int r = 0;

	for (size_t i = 0; i < model->n && r == 0; i++) {
		struct registry_file file = { .has_size = true, .has_sha256 = true };
		int failed = take_file(adopting, &model->files[i], &file);

		if (is_hopeless(failed))
			r = failed;
		adopting->sums.failed += failed < 0;
		adopting->error = failed < 0 ? failed : adopting->error;
		if (failed < 0)
			continue;
		adopting->sums.files++;
		adopting->sums.bytes += file.size;
		file.path = strdup(model->files[i].name);
		r = file.path ? registry_files_add(&found.files, &file) : -ENOMEM;
		if (r < 0)
			registry_file_clear(&file);
	}
	if (found.files.n > 0 && name_model(adopting, model->catalog, &found) < 0)
		adopting->error = -EINVAL;
	registry_files_clear(&found.files);
	return r;
}

static void print_sums(const struct sums *sums, bool json)
{
	char bytes[COMMAND_SIZE_TEXT], shared[COMMAND_SIZE_TEXT], duplicates[COMMAND_SIZE_TEXT];
	json_t *line;

	if (!json) {
		printf("%" PRIu64 " file%s, %s; %s shared with the originals, %s were there already; %" PRIu64 " moved, %"
		       PRIu64 " failed\n", sums->files, command_plural((json_int_t)sums->files), command_size(sums->bytes, bytes),
		       command_size(sums->shared, shared), command_size(sums->duplicates, duplicates), sums->moved,
		       sums->failed);
		return;
	}
	line = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "files", (json_int_t)sums->files, "bytes",
			 (json_int_t)sums->bytes, "shared", (json_int_t)sums->shared, "duplicates",
			 (json_int_t)sums->duplicates, "moved", (json_int_t)sums->moved, "failed",
			 (json_int_t)sums->failed);
	command_print_json(line);
	json_decref(line);
}

static int adopt(struct adopting *adopting, bool move, int argc, char **argv)
{
	int r = move ? find_mountpoint(adopting) : 0;

	adopting->move = move;
	if (move && r == 0 && !adopting->mountpoint)
		r = log_error_errno(-ENOTCONN, "--move: nothing is mounted that links could lead to");
	adopting->seen = json_object();
	for (int i = optind; i < argc && r == 0; i++) {
		r = adopt_scan(argv[i], take_model, adopting);
		if (r < 0 && !is_hopeless(r)) {
			adopting->sums.failed++;
			adopting->error = r;
			r = 0;
		}
	}
	if (r == -EPERM)
		log_error("only root and the owner of the store bring files into it");
	json_decref(adopting->seen);
	free(adopting->mountpoint);
	return r < 0 ? r : adopting->error;
}

int command_adopt(const struct command *command, int argc, char **argv)
{
	struct settings settings = { 0 };
	struct config config;
	struct adopting adopting = { .settings = &settings, .config = &config };
	bool move = false;
	int status;

	status = command_begin_with(command, argc, argv, &settings, &config, &adopting.json,
				    (const struct command_option[]){ { "move", &move, NULL },
								     { "everybody", &adopting.everybody, NULL },
								     { 0 } });
	if (status != EXIT_DONE)
		return status;
	if (optind == argc) {
		status = command_usage(command);
	} else {
		if (adopt(&adopting, move, argc, argv) < 0)
			status = EXIT_FAILED;
		print_sums(&adopting.sums, adopting.json);
	}
	return command_end(&settings, &config, status);
}
