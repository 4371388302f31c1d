/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can still be read of a damaged database, into a new one.
 *
 * Two ways in. As it is: what is in a block that cannot be read is lost, the rest is not. If that has gaps, or cannot be
 * opened, a copy (of hard links) is repaired by RocksDB, which leaves out whole tables, but needs neither MANIFEST nor
 * CURRENT nor an intact log; what the first way did not find is taken from there.
 *
 * Blocks are checksummed, so what is read is what was written, but it may be of any time: deleted keys come back. So of
 * objects only what cannot become wrong is kept: digests, size, front, pin, times. Whether there is a file is
 * seen from objects/, and what it holds from its bytes (store/adopt.c). The chunks of which a damaged record tells
 * are not worth the risk.
 */
#include "store/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include "common/log.h"

struct salvaging {
	const char *store;
	struct db *from, *to;
	uint64_t objects, views; /* the first id and number that were never seen */
	uint64_t records, gaps, strange;
};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

void remove_all(const char *path)
{
	if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
		log_warning_errno(-errno, "%s cannot be removed", path);
}

static void see(uint64_t *next, uint64_t number, uint64_t last)
{
	if (number >= *next && number <= last)
		*next = number + 1;
}

static bool is_there(struct db *db, const struct schema_key *key)
{
	_cleanup_free_ uint8_t *value = NULL;
	size_t len;

	return db_get(db, key, &value, &len) == 0;
}

static int put_if_absent(struct db *db, const struct schema_key *key, const void *value, size_t len)
{
	_cleanup_batch_ struct db_batch batch = db_batch();

	if (is_there(db, key))
		return 0;
	db_batch_put(&batch, key, value, len);
	return db_write(db, &batch, false);
}

static struct schema_key key_of(const uint8_t *bytes, size_t len)
{
	struct schema_key key = {.len = len < sizeof(key.bytes) ? len : sizeof(key.bytes)};

	memcpy(key.bytes, bytes, key.len);
	return key;
}

/* ---- an object ---- */

static int copy_user(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct schema_key user = key_of(key, key_len);

	if (schema_check(key, key_len, value, len) == 0)
		db_batch_put(arg, &user, value, len);
	return 0;
}

/* True: there is one, and it is in BATCH now. */
static bool copy_beside(struct salvaging *salvaging, struct db_batch *batch, enum schema_type type,
			uint64_t id)
{
	struct schema_key key = schema_key_id(type, id);
	_cleanup_free_ uint8_t *value = NULL;
	size_t len;

	if (db_get(salvaging->from, &key, &value, &len) < 0 ||
	    schema_check(key.bytes, key.len, value, len) < 0)
		return false;
	db_batch_put(batch, &key, value, len);
	return true;
}

static int copy_record(struct salvaging *salvaging, uint64_t id, struct record *record)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key key = schema_key_id(SCHEMA_OBJECT, id);
	struct schema_key users = schema_key_id(SCHEMA_USER, id);
	bool front;
	int r;

	if (is_there(salvaging->to, &key))
		return 0;
	front = copy_beside(salvaging, &batch, SCHEMA_FRONT, id);
	record->complete = record->file = record->doubtful = false;
	record->lacks_front = false;
	if (record->digests.has_fsverity && record->size > CHUNK_SIZE && !front) {
		/* What has another name can be had without a front: as a whole. */
		record->lacks_front = record->name == DIGEST_FSVERITY;
		record->digests.has_fsverity = record->lacks_front;
		if (!record->lacks_front) {
			record->digests.fsverity = (struct digest){{0}};
			record->told = false;
		}
	}
	record_put(&batch, id, record);
	(void)copy_beside(salvaging, &batch, SCHEMA_OPENED, id);
	r = db_scan(salvaging->from, &users, users.len, copy_user, &batch);
	if (r < 0 && r != -EUCLEAN)
		return r;
	salvaging->records++;
	return db_write(salvaging->to, &batch, false);
}

/* ---- a view: either key tells the other ---- */

static int copy_view(struct salvaging *salvaging, uint32_t number, uint32_t uid, const uint8_t *origin,
		     size_t len)
{
	struct schema_key there = schema_key(SCHEMA_VIEW), back = schema_key(SCHEMA_VIEW_OF);
	uint8_t value[5 + STORE_ORIGIN_MAX] = {SCHEMA_VALUE_VERSION};
	int r;

	see(&salvaging->views, number, STORE_VIEW_MAX);
	schema_key_u32(&there, number);
	schema_key_u32(&back, uid);
	memcpy(back.bytes + back.len, origin, len);
	back.len += len;
	schema_put_u32(value + 1, number);
	r = put_if_absent(salvaging->to, &back, value, 5);
	if (r < 0)
		return r;
	schema_put_u32(value + 1, uid);
	memcpy(value + 5, origin, len);
	return put_if_absent(salvaging->to, &there, value, 5 + len);
}

/* ---- all of it ---- */

static int take_sequence(struct salvaging *salvaging, uint8_t kind, uint64_t next)
{
	if (kind == 'o' && next > salvaging->objects)
		salvaging->objects = next;
	if (kind == 'v' && next > salvaging->views)
		salvaging->views = next;
	return 0;
}

static int take_known(struct salvaging *salvaging, const uint8_t *key, size_t key_len,
		      const uint8_t *value, size_t len)
{
	struct record record;

	switch ((enum schema_type)key[0]) {
	case SCHEMA_FORMAT:
		if (schema_get_u32(value) <= STORE_FORMAT)
			return 0;
		return log_error_errno(-EPROTO, "%s: has format %u, this program knows %u",
				       salvaging->store, schema_get_u32(value), STORE_FORMAT);
	case SCHEMA_SEQUENCE:
		return take_sequence(salvaging, key[1], schema_get_u64(value + 1));
	case SCHEMA_OBJECT:
		see(&salvaging->objects, schema_get_u64(key + 1), STORE_ID_MAX);
		if (schema_get_record(value, len, &record) < 0)
			return 0;
		return copy_record(salvaging, schema_get_u64(key + 1), &record);
	case SCHEMA_USER:
		see(&salvaging->views, schema_get_u32(key + 9), STORE_VIEW_MAX);
		see(&salvaging->objects, schema_get_u64(key + 1), STORE_ID_MAX);
		return 0;
	case SCHEMA_FRONT:
	case SCHEMA_PRESENCE:
	case SCHEMA_OPENED:
		see(&salvaging->objects, schema_get_u64(key + 1), STORE_ID_MAX);
		return 0;
	case SCHEMA_ALIAS:
		see(&salvaging->objects, schema_get_u64(key + key_len - 8), STORE_ID_MAX);
		return 0;
	case SCHEMA_VIEW:
		return copy_view(salvaging, schema_get_u32(key + 1), schema_get_u32(value + 1),
				 value + 5, len - 5);
	case SCHEMA_VIEW_OF:
		return copy_view(salvaging, schema_get_u32(value + 1), schema_get_u32(key + 1),
				 key + 5, key_len - 5);
	case SCHEMA_OWN: /* it may be of a use that was released: who fetched it does so again */
		see(&salvaging->views, schema_get_u32(key + 1), STORE_VIEW_MAX);
		see(&salvaging->objects, schema_get_u64(value + 1), STORE_ID_MAX);
		return 0;
	case SCHEMA_DOOMED: /* whether that is of today nobody knows: better a file too much */
		return 0;
	}
	return 1;
}

static int take(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct salvaging *salvaging = arg;
	struct schema_key whole;
	int r;

	if (key_len == 0 || key_len > sizeof(whole.bytes) ||
	    schema_check(key, key_len, value, len) < 0) {
		salvaging->strange++;
		return 0;
	}
	r = take_known(salvaging, key, key_len, value, len);
	if (r <= 0)
		return r;
	whole = key_of(key, key_len);
	return put_if_absent(salvaging->to, &whole, value, len);
}

static int salvage_from(struct salvaging *salvaging, const char *path)
{
	struct db_reason reason;
	int r;

	r = db_open(path, ENGINE_SALVAGE, &reason, &salvaging->from);
	if (r == -EUCLEAN) {
		salvaging->gaps++;
		r = db_open(path, ENGINE_PREFIX, &reason, &salvaging->from);
	}
	if (r < 0)
		return r;
	r = db_salvage(salvaging->from, take, salvaging, &salvaging->gaps);
	db_close(steal_pointer(salvaging->from));
	return r;
}

/* Files of a database are never changed, but for its log, which is only read here. */
static int link_all(const char *from, const char *to)
{
	DIR *dir = opendir(from);
	_cleanup_close_ int fd = -1;
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return -errno;
	if (mkdir(to, 0700) == 0)
		fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		r = -errno;
	while (r == 0 && (entry = readdir(dir))) {
		struct stat st;

		if (!strcmp(entry->d_name, "LOCK") || !strncmp(entry->d_name, "LOG", 3) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (linkat(dirfd(dir), entry->d_name, fd, entry->d_name, 0) < 0)
			r = -errno;
	}
	closedir(dir);
	return r;
}

static int salvage_repaired(struct salvaging *salvaging, const char *old, const char *scratch)
{
	int r;

	remove_all(scratch);
	r = link_all(old, scratch);
	if (r < 0 && r != -ENOSPC) {
		log_warning_errno(r, "%s cannot be copied", old);
		return 0;
	}
	if (r == 0)
		r = engine_repair(scratch);
	return r < 0 ? r : salvage_from(salvaging, scratch);
}

static int finish(struct salvaging *salvaging)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key format = schema_key(SCHEMA_FORMAT);
	struct schema_key objects = schema_key(SCHEMA_SEQUENCE), views = objects;
	uint8_t current[4], value[9] = {SCHEMA_VALUE_VERSION};

	schema_put_u32(current, STORE_FORMAT);
	db_batch_put(&batch, &format, current, sizeof(current));
	schema_key_u8(&objects, 'o');
	schema_put_u64(value + 1, salvaging->objects);
	db_batch_put(&batch, &objects, value, sizeof(value));
	schema_key_u8(&views, 'v');
	schema_put_u64(value + 1, salvaging->views);
	db_batch_put(&batch, &views, value, sizeof(value));
	return db_write(salvaging->to, &batch, true);
}

/* What is wrong with the old one is no reason to give up; what is wrong with the new one is. */
static bool is_final(int r)
{
	return r < 0 && r != -EUCLEAN && r != -ENOENT;
}

int salvage(struct store *store, const char *old, const char *scratch, const char *new)
{
	struct salvaging salvaging = {.store = store->path, .objects = 1, .views = 1};
	struct db_reason reason;
	int r;

	r = db_open(new, ENGINE_CREATE, &reason, &salvaging.to);
	if (r < 0)
		return r;
	r = salvage_from(&salvaging, old);
	if (r == -EUCLEAN || (r == 0 && salvaging.gaps > 0))
		r = salvage_repaired(&salvaging, old, scratch);
	r = is_final(r) ? r : finish(&salvaging);
	db_close(salvaging.to);
	if (r == 0)
		log_info("%s: %llu records of objects could be read", store->path,
			 (unsigned long long)salvaging.records);
	return r;
}
