/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STORE/catalogs/, 0700: of each catalog NAME.state, which names by its serial what is kept, NAME@SERIAL.jsonl and
 * NAME@SERIAL.minisig, as they were served.
 *
 * A new pair is made durable first; then NAME.state is replaced, which is when it counts; then the old pair goes. Whenever
 * that is broken off, the state names a catalog and a signature that belong together, and no serial is forgotten
 * that was used. (What is not named by it goes with the next refresh.)
 */
#include "catalogs/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "common/io.h"
#include "common/log.h"

#define FILE_NAME_SIZE 128
#define STATE_MAX      ((size_t)64 * 1024)

static const char *const suffixes[] = {"jsonl", "minisig"};

void catalog_state_release(struct catalog_state *state)
{
	free(state->etag);
	*state = (struct catalog_state){0};
}

int catalog_kept_open(const char *path, bool make)
{
	_cleanup_free_ char *folder = NULL;
	int fd;

	if (asprintf(&folder, "%s/catalogs", path) < 0)
		return -ENOMEM;
	if (make && mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void file_name(char out[FILE_NAME_SIZE], const char *name, uint64_t serial, const char *suffix)
{
	snprintf(out, FILE_NAME_SIZE, "%s@%" PRIu64 ".%s", name, serial, suffix);
}

static void new_name(char out[FILE_NAME_SIZE], const char *name, const char *suffix)
{
	snprintf(out, FILE_NAME_SIZE, "%s@new.%s", name, suffix);
}

/* ---- the state ---- */

static void hash_format(const uint8_t hash[VERIFY_SIGNED_HASH_SIZE], char out[2 * VERIFY_SIGNED_HASH_SIZE + 1])
{
	for (size_t i = 0; i < VERIFY_SIGNED_HASH_SIZE; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static bool hash_parse(const char *text, uint8_t out[VERIFY_SIGNED_HASH_SIZE])
{
	if (strlen(text) != (size_t)2 * VERIFY_SIGNED_HASH_SIZE)
		return false;
	for (size_t i = 0; i < VERIFY_SIGNED_HASH_SIZE; i++) {
		if (sscanf(text + 2 * i, "%2hhx", &out[i]) != 1)
			return false;
	}
	return true;
}

/* A serial is a string: JSON's numbers end at 2^63 here. */
static int state_parse(const char *text, size_t len, struct catalog_state *out)
{
	const char *serial, *hash, *etag = NULL;
	json_int_t asked, changed;
	json_t *value = json_loadb(text, len, 0, NULL);
	struct catalog_state state = {.taken = true};
	char *end;
	int r = -EINVAL;

	if (value && json_unpack(value, "{s:s, s:s, s?s, s:I, s:I}", "serial", &serial, "hash", &hash, "etag",
				 &etag, "asked", &asked, "changed", &changed) == 0) {
		errno = 0;
		state.serial = strtoull(serial, &end, 10);
		if (*serial && !*end && !errno && hash_parse(hash, state.hash))
			r = 0;
	}
	if (r == 0 && etag && !(state.etag = strdup(etag)))
		r = -ENOMEM;
	if (r == 0) {
		state.asked = asked;
		state.changed = changed;
		*out = state;
	}
	json_decref(value);
	return r;
}

void catalog_state_read(int dir, const char *name, struct catalog_state *out)
{
	_cleanup_free_ char *text = NULL;
	char file[FILE_NAME_SIZE], path[FILE_NAME_SIZE + 64];
	struct stat st;
	size_t len;
	int r;

	*out = (struct catalog_state){0};
	snprintf(file, sizeof(file), "%s.state", name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, file);
	r = io_read_regular(path, STATE_MAX, &text, &len, &st);
	if (r == 0)
		r = state_parse(text, len, out);
	if (r < 0 && r != -ENOENT)
		log_warning_errno(r, "catalog %s: what is remembered of it (catalogs/%s) cannot be used", name, file);
}

int catalog_state_write(int dir, const char *name, const struct catalog_state *state)
{
	char hash[2 * VERIFY_SIGNED_HASH_SIZE + 1], serial[24], file[FILE_NAME_SIZE], tmp[FILE_NAME_SIZE];
	_cleanup_free_ char *text = NULL;
	json_t *value;

	hash_format(state->hash, hash);
	snprintf(serial, sizeof(serial), "%" PRIu64, state->serial);
	value = json_pack("{s:s, s:s, s:s*, s:I, s:I}", "serial", serial, "hash", hash, "etag", state->etag, "asked",
			  (json_int_t)state->asked, "changed", (json_int_t)state->changed);
	text = value ? json_dumps(value, JSON_INDENT(1)) : NULL;
	json_decref(value);
	if (!text)
		return -ENOMEM;
	snprintf(file, sizeof(file), "%s.state", name);
	new_name(tmp, name, "state");
	return io_replace(dir, tmp, dir, file, text, strlen(text), NULL);
}

/* ---- loading ---- */

void catalog_rules_of(const struct config_catalog *config, uint64_t min_serial, const atomic_bool *stop,
		      struct verify_catalog_rules *out)
{
	*out = (struct verify_catalog_rules){
		.name = config->name,
		.prefixes = config->prefixes,
		.n_prefixes = config->n_prefixes,
		.min_serial = min_serial,
		.stop = stop,
	};
}

int catalog_kept_load(int dir, const struct config_catalog *config, const struct catalog_state *state,
		      const atomic_bool *stop, struct verify_catalog **out, struct verify_problem *problem)
{
	_cleanup_close_ int fd = -1, signature_fd = -1;
	char file[FILE_NAME_SIZE], signature[VERIFY_SIGNATURE_MAX];
	struct verify_catalog_rules rules;
	ssize_t len;

	if (!state->taken)
		return -ENOENT;
	file_name(file, config->name, state->serial, suffixes[0]);
	fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	file_name(file, config->name, state->serial, suffixes[1]);
	signature_fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || signature_fd < 0) {
		*problem = (struct verify_problem){.text = "a part of it is missing"};
		return -ENODATA;
	}
	len = io_read(signature_fd, signature, sizeof(signature));
	if (len < 0) {
		*problem = (struct verify_problem){.text = "its signature cannot be read"};
		return (int)len;
	}
	catalog_rules_of(config, state->serial, stop, &rules);
	return verify_catalog_load(fd, signature, (size_t)len, config->keys, config->n_keys, &rules, out,
				   problem);
}

/* ---- replacing ---- */

int catalog_kept_create(int dir, const char *name, const char *suffix, int *fd)
{
	char file[FILE_NAME_SIZE];

	new_name(file, name, suffix);
	*fd = openat(dir, file, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *fd < 0 ? -errno : 0;
}

int catalog_kept_replace(int dir, const char *name, const struct catalog_state *state)
{
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		char from[FILE_NAME_SIZE], to[FILE_NAME_SIZE];
		_cleanup_close_ int fd = -1;

		new_name(from, name, suffixes[i]);
		file_name(to, name, state->serial, suffixes[i]);
		fd = openat(dir, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || fsync(fd) < 0 || renameat(dir, from, dir, to) < 0)
			return -errno;
	}
	/* Their names before the one that names them. */
	return fsync(dir) < 0 ? -errno : catalog_state_write(dir, name, state);
}

void catalog_kept_sweep(int dir, const char *name, const struct catalog_state *state)
{
	char kept[ARRAY_SIZE(suffixes)][FILE_NAME_SIZE];
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *files = copy < 0 ? NULL : fdopendir(copy);
	size_t len = strlen(name);
	struct dirent *entry;

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		file_name(kept[i], name, state->serial, suffixes[i]);
	while (files && (entry = readdir(files))) {
		if (strncmp(entry->d_name, name, len) != 0 || entry->d_name[len] != '@')
			continue;
		if (state->taken && (!strcmp(entry->d_name, kept[0]) || !strcmp(entry->d_name, kept[1])))
			continue;
		(void)unlinkat(dir, entry->d_name, 0);
	}
	if (files)
		closedir(files);
	else if (copy >= 0)
		close(copy);
}
