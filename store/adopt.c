/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and records brought together: every file of objects/ has a record that counts it.
 *
 * At each open the names of the files are counted, a directory at a time, and compared with what the records say; only
 * where the two differ is looked at closer. They do when the database was lost or went back in time, and after a power
 * cut that took the record of a new file. A file then gets its record back, or one is made; what is in the file nobody
 * knows: it is doubtful until its bytes were looked at (store/doubt.c). It counts against the store's size at once.
 */
#include "store/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "common/log.h"

struct adoption {
	struct store *store;
	uint64_t taken;	  /* files that are doubtful from now on */
	uint64_t strange; /* entries that are no objects */
	char stranger[512];
};

/* ---- the record of a file ---- */

struct owner {
	struct store *store;
	struct digest_name name;
	uint64_t id; /* 0: none */
	struct record record;
	bool made; /* it had none */
};

/*
 * Of two records with one name, which only a damaged database has, the newer is right: names are given once. Called in
 * the order of ids.
 */
static int consider(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	uint64_t id = schema_get_u64(key + key_len - 8);
	struct owner *owner = arg;
	struct record record;
	int r = record_read(owner->store, id, &record);

	if (r == -ENOENT || (r == 0 && record.name != owner->name.kind))
		return 0;
	if (r < 0)
		return r;
	if (owner->id) {
		record.pinned |= owner->record.pinned;
		record_erase(&batch, owner->id, &owner->record);
		record_put(&batch, id, &record);
		r = db_write(owner->store->db, &batch, false);
	}
	owner->id = id;
	owner->record = record;
	return r;
}

static int find_owner(struct owner *owner)
{
	struct schema_key key = schema_key_digest(SCHEMA_ALIAS, &owner->name);
	int r = db_scan(owner->store->db, &key, key.len, consider, owner);

	if (r < 0 || owner->id)
		return r;
	owner->record.digests = digest_pair_of(&owner->name);
	owner->record.name = owner->name.kind;
	owner->made = true;
	return store_next_id(owner->store, &owner->store->object_ids, &owner->id);
}

/* Its size is certain: the file was cut short, or something was written behind its end. */
static void make_fit(struct store *store, const char *path, uint64_t size)
{
	_cleanup_close_ int fd =
		openat(store->objects_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		log_warning_errno(-errno, "%s/objects/%s cannot be made %llu bytes long",
				  store->path, path, (unsigned long long)size);
}

/* Claimed: naming, in effect: nobody else is here yet. */
static int take_in(struct owner *owner, const char *path, const struct stat *st)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key opened = schema_key_id(SCHEMA_OPENED, owner->id);
	struct record *record = &owner->record;
	struct store *store = owner->store;
	uint8_t value[SCHEMA_TIME_SIZE];
	int64_t last_open;
	int r;

	if (owner->made)
		record->lacks_front =
			record->digests.has_fsverity && st->st_size > (off_t)CHUNK_SIZE;
	if (owner->made || !record->digests.has_fsverity || record->lacks_front)
		record->size = (uint64_t)st->st_size;
	else if (record->size != (uint64_t)st->st_size)
		make_fit(store, path, record->size);
	record->file = record->doubtful = true;
	record->gated |= store_file_is_gated(st->st_mode);
	record_put(&batch, owner->id, record);
	r = record_last_open(store, owner->id, &last_open);
	if (r < 0)
		return r;
	/* What has never been opened is as old as its file. */
	if (last_open == 0) {
		schema_put_time(value, st->st_mtime);
		db_batch_put(&batch, &opened, value, sizeof(value));
	}
	return db_write(store->db, &batch, false);
}

/* ---- the files ---- */

/* Is ENTRY of the directory NUMBER called as an object is? */
static bool is_object(unsigned int number, const char *entry, struct digest_name *out)
{
	char canonical[DIGEST_NAME_SIZE];

	if (digest_name_parse(entry, out) < 0 || out->digest.bytes[0] != number)
		return false;
	digest_name_format(out, canonical);
	return !strcmp(entry, canonical);
}

static int look_at(struct adoption *adoption, unsigned int number, const char *entry)
{
	struct store *store = adoption->store;
	struct owner owner = {.store = store};
	char path[300];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "%02x/%.255s", number & 0xffU, entry);
	if (!is_object(number, entry, &owner.name) ||
	    fstatat(store->objects_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode)) {
		if (adoption->strange++ == 0)
			snprintf(adoption->stranger, sizeof(adoption->stranger), "%s", path);
		return 0;
	}
	r = find_owner(&owner);
	if (r == 0 && !owner.record.file) {
		r = take_in(&owner, path, &st);
		adoption->taken++;
	}
	if (r == 0 && owner.record.doubtful) {
		store->doubts.objects++;
		store->doubts.bytes += (uint64_t)st.st_blocks * 512;
	}
	return r;
}

/* VISIT each entry of the directory NUMBER, if there is one. */
static int each_entry(struct store *store, unsigned int number,
		      int (*visit)(void *arg, unsigned int number, const char *entry), void *arg)
{
	struct dirent *entry;
	char name[3];
	DIR *dir;
	int fd, r = 0;

	snprintf(name, sizeof(name), "%02x", number & 0xffU);
	fd = openat(store->objects_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return 0;
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		r = log_error_errno(-errno, "%s/objects/%s cannot be read", store->path, name);
		cleanup_close(&fd);
		return r;
	}
	while (r == 0 && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			r = visit(arg, number, entry->d_name);
	}
	closedir(dir);
	return r;
}

static int count_entry(void *arg, unsigned int number, const char *entry)
{
	struct digest_name name;

	if (is_object(number, entry, &name))
		census_count(arg, &name);
	return 0;
}

static int visit_entry(void *arg, unsigned int number, const char *entry)
{
	return look_at(arg, number, entry);
}

static int compare(struct adoption *adoption, const struct census *census)
{
	_cleanup_free_ struct census *files = calloc(1, sizeof(*files));
	struct store *store = adoption->store;
	int r = files ? 0 : -ENOMEM;

	for (unsigned int i = 0; i < STORE_DIRECTORIES && r == 0; i++) {
		r = each_entry(store, i, count_entry, files);
		/* What is doubtful already is to be counted. */
		if (r == 0 && (census->doubtful > 0 ||
			       memcmp(&files->in[i], &census->in[i], sizeof(files->in[i])) != 0))
			r = each_entry(store, i, visit_entry, adoption);
	}
	return r;
}

static bool is_empty(const struct census *census)
{
	for (size_t i = 0; i < STORE_DIRECTORIES; i++) {
		if (census->in[i].files > 0)
			return false;
	}
	return true;
}

int adopt(struct store *store, const struct census *census, bool replaced)
{
	struct adoption adoption = {.store = store};
	int r;

	r = compare(&adoption, census);
	if (r < 0)
		return r;
	if (adoption.taken > 0 && !replaced && is_empty(census))
		log_warning("%s: the database is damaged (there is none); rebuilding it from the "
			    "object files; pins, and who opened what, are lost",
			    store->path);
	else if (adoption.taken > 0 && !replaced)
		log_warning("%s: %llu object files are in no record, as after a power cut; they are "
			    "looked at",
			    store->path, (unsigned long long)adoption.taken);
	else if (store->doubts.objects > 0 && !replaced)
		log_info("%s: %llu object files are still to be looked at", store->path,
			 (unsigned long long)store->doubts.objects);
	if (adoption.strange > 0)
		log_warning("%s: %llu files are left alone, they are no objects: objects/%s",
			    store->path, (unsigned long long)adoption.strange, adoption.stranger);
	return 0;
}
