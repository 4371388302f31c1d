/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB, held small and kept alive.
 *
 *	working ──a write fails──► broken ──there is space, nobody is inside──► reopened: working
 *
 * librocksdb 7.8 goes on with a log file that could not be written once: its own recovery says that
 * all is well, and the next write fails for ever, or aborts the process where it was built with
 * assertions (github.com/facebook/rocksdb/issues/11643; Debian's is). So nothing is ever written
 * through a handle that saw an error: reading goes on with it, writes fail, and a write tries to open the
 * database anew: the one that failed at once, and again through the new handle, so that one bad moment of a disk is
 * nobody's; if that does not help, others from time to time. A write that the caller saw fail may be found in
 * the log by then.
 *
 * Damage is another matter: it is not mended while the database is in use. What cannot be read is -EIO, reading goes on
 * with the rest, and the file <path>.suspect makes the next open rebuild the database.
 */
#include "store/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include "common/clock.h"
#include "common/log.h"

/* What opening it anew takes of the disk, at most, and how often to look. */
#define REOPEN_SPACE	((uint64_t)8 << 20)
#define REOPEN_AFTER_MS 500
/* How long a write waits until nobody else is inside. */
#define ALONE_WITHIN_MS 100

struct db {
	char *path;
	rocksdb_readoptions_t *reading;
	rocksdb_writeoptions_t *writing, *syncing;

	pthread_mutex_t lock;
	pthread_cond_t reopened; /* or nobody is inside any more, while it is broken */
	rocksdb_t *rocksdb;  /* changed while reopening only; NULL: cannot even be read */
	unsigned int inside; /* protected by lock: calls under way */
	bool reopening;	     /* protected by lock: nobody is inside and nobody comes in */
	int broken;	     /* protected by lock: the -errno that writes fail with, or 0 */
	int64_t retry_at;    /* protected by lock: in clock_ms() */
	int64_t reopened_at; /* protected by lock: the last time that it helped */
	bool damaged;	     /* protected by lock: so it stays broken */
	bool salvaging;	     /* constant: errors are expected, and nothing is written */
};

static struct db *db_new(const char *path)
{
	struct db *db = calloc(1, sizeof(*db));
	pthread_condattr_t attr;

	if (!db)
		return NULL;
	db->path = strdup(path);
	pthread_mutex_init(&db->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&db->reopened, &attr);
	pthread_condattr_destroy(&attr);
	db->reading = rocksdb_readoptions_create();
	db->writing = rocksdb_writeoptions_create();
	db->syncing = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(db->syncing, 1);
	return db;
}

int db_open(const char *path, enum engine_mode mode, struct db_reason *reason, struct db **out)
{
	struct db *db = db_new(path);
	char *message = NULL;
	int r = -ENOMEM;

	if (db && db->path) {
		db->salvaging = mode == ENGINE_SALVAGE || mode == ENGINE_PREFIX;
		db->rocksdb = engine_open(path, mode, &message);
		r = message ? engine_error(message) : 0;
	}
	if (r == -EUCLEAN)
		snprintf(reason->text, sizeof(reason->text), "%s", message);
	else if (r < 0)
		log_error("%s: the database cannot be opened: %s", path,
			  message ? message : "no memory");
	rocksdb_free(message);
	if (r < 0) {
		db_close(db);
		return r;
	}
	*out = db;
	return 0;
}

/* Nothing is left in the log, then: what happens to it before the next start is of no consequence. */
static void flush(struct db *db)
{
	rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
	char *message = NULL;

	rocksdb_flush(db->rocksdb, options, &message);
	rocksdb_flushoptions_destroy(options);
	rocksdb_free(message); /* the log has it, then */
}

void db_close(struct db *db)
{
	if (!db)
		return;
	if (db->rocksdb && !db->broken && !db->salvaging)
		flush(db);
	engine_close(db->rocksdb);
	rocksdb_readoptions_destroy(db->reading);
	rocksdb_writeoptions_destroy(db->writing);
	rocksdb_writeoptions_destroy(db->syncing);
	pthread_cond_destroy(&db->reopened);
	pthread_mutex_destroy(&db->lock);
	free(db->path);
	free(db);
}

/* ---- who is inside -----------------------------------------------------------------------------
 */

/* Locked. */
static void leave_locked(struct db *db)
{
	db->inside--;
	if (db->broken && db->inside == 0)
		pthread_cond_broadcast(&db->reopened);
}

static void leave(struct db *db)
{
	pthread_mutex_lock(&db->lock);
	leave_locked(db);
	pthread_mutex_unlock(&db->lock);
}

/* Locked: until nobody is inside, or for a moment: one of them may be the caller of this one. */
static void wait_alone(struct db *db)
{
	int64_t until = clock_ms() + ALONE_WITHIN_MS;
	struct timespec at = {until / 1000, until % 1000 * 1000000};

	while ((db->inside > 0 || db->reopening) &&
	       pthread_cond_timedwait(&db->reopened, &db->lock, &at) == 0)
		;
	while (db->reopening)
		pthread_cond_wait(&db->reopened, &db->lock);
}

static bool has_space(const char *path)
{
	struct statvfs fs;

	return statvfs(path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize >= REOPEN_SPACE;
}

static rocksdb_t *open_again(struct db *db, enum engine_mode mode, int *error)
{
	char *message = NULL;
	rocksdb_t *rocksdb = engine_open(db->path, mode, &message);

	if (message) {
		*error = engine_error(message) == -ENOSPC ? -ENOSPC : -EIO;
		log_error("%s: the database cannot be opened: %s", db->path, message);
	}
	rocksdb_free(message);
	return rocksdb;
}

/* Alone inside. 0 when it can be written again; R: what it is broken by. */
static int reopen(struct db *db, int r)
{
	if (!has_space(db->path))
		return r;
	engine_close(db->rocksdb);
	db->rocksdb = open_again(db, ENGINE_WRITE, &r);
	if (db->rocksdb) {
		log_info("%s: the database can be written again", db->path);
		return 0;
	}
	db->rocksdb = open_again(db, ENGINE_READ, &r);
	return r;
}

static bool may_mend(const struct db *db)
{
	return db->broken && !db->damaged && clock_ms() >= db->retry_at;
}

/* Locked, which is given up meanwhile; nobody is inside. */
static void mend(struct db *db)
{
	int r = db->broken;

	db->reopening = true;
	pthread_mutex_unlock(&db->lock);
	r = reopen(db, r);
	pthread_mutex_lock(&db->lock);
	db->broken = r;
	db->retry_at = clock_ms() + REOPEN_AFTER_MS;
	if (r == 0)
		db->reopened_at = clock_ms();
	db->reopening = false;
	pthread_cond_broadcast(&db->reopened);
}

/*
 * The handle, which stays until leave(); NULL when there is none: where nothing can be read nobody gets as far as to
 * write, so readers mend it, too. A scan's callback may enter again.
 */
static rocksdb_t *enter(struct db *db)
{
	rocksdb_t *rocksdb;

	pthread_mutex_lock(&db->lock);
	while (db->reopening)
		pthread_cond_wait(&db->reopened, &db->lock);
	if (!db->rocksdb && db->inside == 0 && may_mend(db))
		mend(db);
	db->inside++;
	rocksdb = db->rocksdb;
	pthread_mutex_unlock(&db->lock);
	return rocksdb;
}

/*
 * Enter to write: the handle, or what is wrong with it. Who finds it broken, and all others
 * outside, tries to mend it.
 */
static int enter_to_write(struct db *db, rocksdb_t **out)
{
	int r;

	pthread_mutex_lock(&db->lock);
	while (db->reopening)
		pthread_cond_wait(&db->reopened, &db->lock);
	if (may_mend(db))
		wait_alone(db);
	if (may_mend(db) && db->inside == 0)
		mend(db);
	if (!db->broken) {
		db->inside++;
		*out = db->rocksdb;
	}
	r = db->broken;
	pthread_mutex_unlock(&db->lock);
	return r;
}

/* The next open has to look at everything. Also if nothing can be written into the database any more. */
static void leave_mark(struct db *db)
{
	_cleanup_free_ char *path = NULL;
	int fd = -1;

	if (asprintf(&path, "%s" DB_SUSPECT, db->path) >= 0)
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fsync(fd) < 0)
		log_warning_errno(-errno, "%s: that it is damaged cannot be noted", db->path);
	cleanup_close(&fd);
}

/* What RocksDB said, as -errno. */
static int failed(struct db *db, const char *message, const char *what)
{
	int r = engine_error(message);
	bool first;

	if (db->salvaging)
		return r;
	if (r != -EUCLEAN) {
		log_error("%s: the database cannot be %s: %s", db->path, what, message);
		return r == -ENOSPC ? r : -EIO;
	}
	pthread_mutex_lock(&db->lock);
	first = !db->damaged;
	db->damaged = true;
	pthread_mutex_unlock(&db->lock);
	if (first) {
		log_error("%s: the database is damaged, and is rebuilt at the next start: %s",
			  db->path, message);
		leave_mark(db);
	}
	return -EIO;
}

/* Leaves, so that nobody comes in between who would write through the handle that failed. */
static int write_failed(struct db *db, char *message)
{
	int64_t now = clock_ms();
	int r = engine_error(message) == -ENOSPC ? -ENOSPC : -EIO;
	bool first;

	pthread_mutex_lock(&db->lock);
	first = db->broken == 0;
	db->broken = r;
	/* At once, unless that was done a moment ago. */
	db->retry_at = now;
	if (db->reopened_at && now < db->reopened_at + REOPEN_AFTER_MS)
		db->retry_at += REOPEN_AFTER_MS;
	leave_locked(db);
	pthread_mutex_unlock(&db->lock);
	if (first)
		r = failed(db, message, "written");
	rocksdb_free(message);
	return r;
}

/* ---- reading and writing ------------------------------------------------------------------------
 */

static int read_failed(struct db *db, char *message)
{
	int r = failed(db, message, "read");

	rocksdb_free(message);
	return r;
}

static int get(struct db *db, rocksdb_t *rocksdb, const struct schema_key *key, uint8_t **value,
	       size_t *len)
{
	char *message = NULL;
	rocksdb_pinnableslice_t *pinned;
	const char *bytes;
	uint8_t *copy;
	size_t n;

	pinned = rocksdb_get_pinned(rocksdb, db->reading, (const char *)key->bytes, key->len,
				    &message);
	if (message)
		return read_failed(db, message);
	if (!pinned)
		return -ENOENT;
	bytes = rocksdb_pinnableslice_value(pinned, &n);
	copy = malloc(n + 1);
	if (copy && n)
		memcpy(copy, bytes, n);
	rocksdb_pinnableslice_destroy(pinned);
	if (!copy)
		return -ENOMEM;
	*value = copy;
	*len = n;
	return 0;
}

int db_get(struct db *db, const struct schema_key *key, uint8_t **value, size_t *len)
{
	rocksdb_t *rocksdb = enter(db);
	int r = rocksdb ? get(db, rocksdb, key, value, len) : -EIO;

	leave(db);
	return r;
}

static int scan(struct db *db, rocksdb_t *rocksdb, const struct schema_key *from, size_t prefix,
		db_found found, void *arg)
{
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	char *message = NULL;
	struct schema_key end;
	rocksdb_iterator_t *it;
	int r = 0;

	schema_key_after(from, prefix, &end);
	rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)end.bytes, end.len);
	it = rocksdb_create_iterator(rocksdb, options);
	rocksdb_iter_seek(it, (const char *)from->bytes, from->len);
	for (; r == 0 && rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		size_t key_len, len;
		const char *key = rocksdb_iter_key(it, &key_len);
		const char *value = rocksdb_iter_value(it, &len);

		r = found(arg, (const uint8_t *)key, key_len, (const uint8_t *)value, len);
		if (r != 0)
			break;
	}
	rocksdb_iter_get_error(it, &message);
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(options);
	if (message)
		return read_failed(db, message);
	return r;
}

int db_scan(struct db *db, const struct schema_key *from, size_t prefix, db_found found, void *arg)
{
	rocksdb_t *rocksdb = enter(db);
	int r = rocksdb ? scan(db, rocksdb, from, prefix, found, arg) : -EIO;

	leave(db);
	return r;
}

/* FAILED: through the handle, not before it was tried. */
static int write_once(struct db *db, struct db_batch *batch, bool sync, bool *failed)
{
	rocksdb_t *rocksdb = NULL;
	char *message = NULL;
	int r;

	*failed = false;
	r = enter_to_write(db, &rocksdb);
	if (r < 0)
		return r;
	rocksdb_write(rocksdb, sync ? db->syncing : db->writing, batch->changes, &message);
	*failed = message != NULL;
	if (message)
		return write_failed(db, message);
	leave(db);
	return 0;
}

int db_write(struct db *db, struct db_batch *batch, bool sync)
{
	bool failed;
	int r;

	r = write_once(db, batch, sync, &failed);
	return failed ? write_once(db, batch, sync, &failed) : r;
}

int db_check(struct db *db, db_found found, void *arg, struct db_reason *reason)
{
	char *message = NULL;
	int r = engine_walk(db->rocksdb, found, arg, &message);

	if (r == -EUCLEAN && message)
		snprintf(reason->text, sizeof(reason->text), "%s", message);
	else if (message)
		log_error("%s: the database cannot be read: %s", db->path, message);
	rocksdb_free(message);
	return r;
}

int db_salvage(struct db *db, db_found found, void *arg, uint64_t *gaps)
{
	return engine_salvage(db->rocksdb, found, arg, gaps);
}
