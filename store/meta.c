/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database as a whole: is it sound, and what replaces it when it is not.
 *
 *	meta.new/      being made of what can be read                  thrown away when found
 *	meta.ready/    finished                                        takes the place of meta/ when found
 *	meta.damaged/  what meta/ was, until the next time             kept
 *
 * so that a crash at any point is gone on from. Of a block in the middle RocksDB learns when it reads it: so all of the
 * database is read once, here, before anything is believed. HACKING.md says what that takes.
 */
#include "store/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include "common/log.h"

struct paths {
	char *meta, *new, *ready, *damaged, *scratch, *suspect;
};

static void paths_free(struct paths *paths)
{
	free(paths->meta);
	free(paths->new);
	free(paths->ready);
	free(paths->damaged);
	free(paths->scratch);
	free(paths->suspect);
}

static char *path_of(const struct store *store, const char *suffix)
{
	char *path = NULL;

	return asprintf(&path, "%s/meta%s", store->path, suffix) < 0 ? NULL : path;
}

static int paths_make(const struct store *store, struct paths *out)
{
	out->meta = path_of(store, "");
	out->new = path_of(store, ".new");
	out->ready = path_of(store, ".ready");
	out->damaged = path_of(store, ".damaged");
	out->scratch = path_of(store, ".scratch");
	out->suspect = path_of(store, DB_SUSPECT);
	return out->meta && out->new && out->ready && out->damaged && out->scratch && out->suspect
		       ? 0
		       : -ENOMEM;
}

/* ---- is it sound? ---- */

struct inspection {
	struct census *census;
	uint32_t format; /* 0: none seen */
	uint64_t strange;
	uint8_t type; /* of the first strange one */
};

void census_count(struct census *census, const struct digest_name *name)
{
	uint64_t part;

	memcpy(&part, name->digest.bytes + 8, sizeof(part));
	census->in[name->digest.bytes[0]].files++;
	census->in[name->digest.bytes[0]].names += part * 2 + name->kind;
}

/* That something is strange may be because the format is newer: first all is read. */
static int inspect(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct inspection *inspection = arg;
	struct digest_name name;
	struct record record;

	if (schema_check(key, key_len, value, len) < 0) {
		if (inspection->strange++ == 0)
			inspection->type = key[0];
		return 0;
	}
	if (key_len > 0 && key[0] == SCHEMA_FORMAT)
		inspection->format = schema_get_u32(value);
	if (key_len == 0 || key[0] != SCHEMA_OBJECT ||
	    schema_get_record(value, len, &record) < 0)
		return 0;
	name = record_name(&record);
	if (record.file)
		census_count(inspection->census, &name);
	inspection->census->doubtful += record.doubtful;
	return 0;
}

static int write_format(struct db *db)
{
	struct schema_key key = schema_key(SCHEMA_FORMAT);
	_cleanup_batch_ struct db_batch batch = db_batch();
	uint8_t current[4];

	schema_put_u32(current, STORE_FORMAT);
	db_batch_put(&batch, &key, current, sizeof(current));
	return db_write(db, &batch, true);
}

static int check(struct store *store, struct db *db, struct census *census,
		 struct db_reason *reason)
{
	struct inspection inspection = {.census = census};
	int r;

	*census = (struct census){.doubtful = 0};
	r = db_check(db, inspect, &inspection, reason);
	if (r < 0)
		return r;
	if (inspection.format > STORE_FORMAT)
		return log_error_errno(-EPROTO, "%s: has format %u, this program knows %u",
				       store->path, inspection.format, STORE_FORMAT);
	if (inspection.strange > 0) {
		snprintf(reason->text, sizeof(reason->text),
			 "%llu keys cannot be understood, the first is of type '%c'",
			 (unsigned long long)inspection.strange, inspection.type);
		return -EUCLEAN;
	}
	/* New, or of an older format, which lacks nothing. */
	return inspection.format == STORE_FORMAT ? 0 : write_format(db);
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && !strcmp(text + len - n, end);
}

/* Has a database been in use at PATH? (The first thing RocksDB makes is neither of these.) */
static bool holds_data(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir)))
		found = ends_with(entry->d_name, ".sst") || ends_with(entry->d_name, ".log");
	if (dir)
		closedir(dir);
	return found;
}

/* -EUCLEAN: for REASON it must not be used. */
static int open_sound(struct store *store, const struct paths *paths, struct census *census,
		      struct db_reason *reason)
{
	_cleanup_free_ char *current = NULL;
	enum engine_mode mode = ENGINE_WRITE;
	struct db *db;
	int r;

	if (access(paths->suspect, F_OK) == 0) {
		snprintf(reason->text, sizeof(reason->text), "it was found so while it was in use");
		return -EUCLEAN;
	}
	if (asprintf(&current, "%s/CURRENT", paths->meta) < 0)
		return -ENOMEM;
	if (access(current, F_OK) < 0) {
		/* RocksDB would begin anew among the old files. */
		snprintf(reason->text, sizeof(reason->text), "CURRENT is missing");
		if (errno != ENOENT || holds_data(paths->meta))
			return errno == ENOENT ? -EUCLEAN : -errno;
		mode = ENGINE_CREATE;
	}
	r = db_open(paths->meta, mode, reason, &db);
	if (r < 0)
		return r;
	r = check(store, db, census, reason);
	if (r < 0)
		db_close(db);
	else
		store->db = db;
	return r;
}

/* ---- what replaces it ---- */

static int sync_directory(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* What is ready takes its place. 0 too if nothing is. */
static int exchange(struct store *store, const struct paths *paths)
{
	if (access(paths->ready, F_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (access(paths->meta, F_OK) == 0) {
		remove_all(paths->damaged);
		if (rename(paths->meta, paths->damaged) < 0)
			return log_error_errno(-errno, "%s cannot be put aside", paths->meta);
	}
	if (unlink(paths->suspect) < 0 && errno != ENOENT)
		return log_error_errno(-errno, "%s cannot be removed", paths->suspect);
	if (rename(paths->ready, paths->meta) < 0)
		return log_error_errno(-errno, "%s cannot be put in place", paths->meta);
	return sync_directory(store->path);
}

static int replace(struct store *store, const struct paths *paths)
{
	int r;

	remove_all(paths->new);
	r = salvage(store, paths->meta, paths->scratch, paths->new);
	remove_all(paths->scratch);
	if (r < 0) {
		remove_all(paths->new);
		return log_error_errno(r, "%s: the database cannot be rebuilt", store->path);
	}
	if (rename(paths->new, paths->ready) < 0)
		return log_error_errno(-errno, "%s cannot be renamed", paths->new);
	r = sync_directory(store->path);
	return r < 0 ? r : exchange(store, paths);
}

int meta_open(struct store *store, struct census *census, bool *replaced)
{
	_cleanup_(paths_free) struct paths paths = {NULL};
	struct db_reason reason;
	int r;

	r = paths_make(store, &paths);
	if (r == 0)
		r = exchange(store, &paths);
	if (r < 0)
		return r;
	*replaced = false;
	r = open_sound(store, &paths, census, &reason);
	if (r != -EUCLEAN)
		return r;
	log_warning("%s: the database is damaged (%s); rebuilding it from the object files",
		    store->path, reason.text);
	r = replace(store, &paths);
	if (r < 0)
		return r;
	log_warning("%s: what was readable of the database is kept; the damaged one is %s",
		    store->path, paths.damaged);
	*replaced = true;
	r = open_sound(store, &paths, census, &reason);
	if (r == -EUCLEAN)
		r = log_error_errno(-EIO, "%s: the new database is damaged, too (%s)", store->path,
				    reason.text);
	return r;
}
