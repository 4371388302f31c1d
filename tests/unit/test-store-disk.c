/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that are full, and disks that lie. */
#include "store-disk.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/clock.h"
#include "store/internal.h"

#define SIZE (4 * CHUNK_SIZE)

static bool sync_fails;
static unsigned int syncs; /* RocksDB's own are not among them: its library has its own way to libc */
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd)
{
	syncs++;
	if (!sync_fails)
		return __real_fdatasync(fd);
	errno = EIO;
	return -1;
}

static void test_sync_fails(void **state)
{
	char *path = make_directory();
	struct store *store = open_store(path, BOOT_A);
	struct store_object *object = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	struct digest_pair pair = pair_of(1);
	struct store_info info;
	uint64_t id;

	put_all(object, 1);
	sync_fails = true;
	assert_int_equal(store_object_finish(object, &pair, "front", 5), -EIO);
	sync_fails = false;
	assert_false(store_object_complete(object));
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(store_object_presence(object, i), STORE_ABSENT);
	store_object_info(object, &info);
	assert_int_equal(info.present, 0);
	id = info.id;
	store_object_close(object);
	assert_int_equal(store_get(store, id, &info), 0);
	assert_int_equal(info.present, 0);

	/* One sync for all chunks. */
	assert_int_equal(store_object_open(store, id, &object), 0);
	syncs = 0;
	put_all(object, 1);
	assert_int_equal(syncs, 0);
	assert_int_equal(store_object_finish(object, &pair, "front", 5), 0);
	assert_int_equal(syncs, 1);
	store_object_close(object);
	store_close(store);
	remove_tree(path);
	free(path);
}

static void test_formats(void **state)
{
	char *path = make_directory(), meta[200];
	struct store_options options = {.path = path};
	struct store *store = open_store(path, BOOT_A);
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key key = schema_key(SCHEMA_FORMAT);
	_cleanup_free_ uint8_t *found = NULL;
	uint8_t value[4];
	struct db_reason reason;
	struct db *db;
	size_t len;

	store_close(store);
	snprintf(meta, sizeof(meta), "%s/meta", path);
	assert_int_equal(db_open(meta, ENGINE_CREATE, &reason, &db), 0);
	schema_put_u32(value, STORE_FORMAT + 1);
	db_batch_put(&batch, &key, value, sizeof(value));
	assert_int_equal(db_write(db, &batch, true), 0);
	db_close(db);
	assert_int_equal(store_open(&options, &store), -EPROTO);

	/* An older one becomes a current one. */
	assert_int_equal(db_open(meta, ENGINE_CREATE, &reason, &db), 0);
	schema_put_u32(value, 1);
	db_batch_put(&batch, &key, value, sizeof(value));
	assert_int_equal(db_write(db, &batch, true), 0);
	db_close(db);
	assert_int_equal(store_open(&options, &store), 0);
	store_close(store);
	assert_int_equal(db_open(meta, ENGINE_CREATE, &reason, &db), 0);
	assert_int_equal(db_get(db, &key, &found, &len), 0);
	assert_int_equal(len, sizeof(value));
	assert_int_equal(schema_get_u32(found), STORE_FORMAT);
	db_close(db);
	remove_tree(path);
	free(path);
}

/* What is found under a damaged record. */
static void test_damaged_record(void **state)
{
	uint8_t bytes[SCHEMA_RECORD_SIZE];
	struct record record = {.size = 5, .name = DIGEST_SHA256}, out;

	record.digests = pair_of(1);
	schema_put_record(bytes, &record);
	assert_int_equal(schema_get_record(bytes, sizeof(bytes), &out), 0);
	assert_int_equal(out.size, 5);
	assert_true(out.digests.has_sha256 && out.digests.has_fsverity && !out.complete &&
		    !out.file);
	assert_true(digest_equal(&out.digests.fsverity, &record.digests.fsverity));
	assert_int_equal(schema_get_record(bytes, sizeof(bytes) - 1, &out), -EIO);
	assert_int_equal(schema_get_record(bytes, 0, &out), -EIO);
	bytes[0]++;
	assert_int_equal(schema_get_record(bytes, sizeof(bytes), &out), -EIO);
	bytes[0]--;
	bytes[1] &= (uint8_t)~4; /* without the digest that is its name */
	assert_int_equal(schema_get_record(bytes, sizeof(bytes), &out), -EIO);
	bytes[1] = 0xff;
	assert_int_equal(schema_get_record(bytes, sizeof(bytes), &out), -EIO);
}

/* ---- a disk of its own ------------------------------------------------------------------------
 */

/* Fill what is left, to the last byte. */
static FILE *fill_disk(const char *path)
{
	static char block[1 << 16];
	char name[200];
	FILE *file;

	snprintf(name, sizeof(name), "%s/ballast", path);
	file = fopen(name, "w");
	assert_non_null(file);
	setbuf(file, NULL);
	for (size_t len = sizeof(block); len > 0;)
		if (write(fileno(file), block, len) != (ssize_t)len)
			len /= 2;
	return file;
}

static void empty_disk(const char *path, FILE *ballast)
{
	char name[200];

	fclose(ballast);
	snprintf(name, sizeof(name), "%s/ballast", path);
	assert_int_equal(unlink(name), 0);
}

/* Room is promised, not only taken. */
static void test_keep_free(void **state)
{
	struct store_object *a, *b;
	struct store *store;

	if (!*state)
		skip();
	store = open_on_disk(*state, 1 << 30, 8 << 20);
	a = open_object(store, DIGEST_SHA256, 1, 20 << 20);
	b = open_object(store, DIGEST_SHA256, 2, 20 << 20);
	assert_int_equal(put_chunk(a, 1, 0), 0);
	assert_int_equal(put_chunk(b, 2, 0), -ENOSPC);
	store_object_close(a);
	store_object_close(b);
	store_close(store);
	store = open_on_disk(*state, 1 << 30, 8 << 20);
	a = open_object(store, DIGEST_SHA256, 1, 20 << 20);
	b = open_object(store, DIGEST_SHA256, 2, 20 << 20);
	assert_int_equal(put_chunk(b, 2, 0), -ENOSPC);
	put_all(a, 1);
	store_object_close(a);
	/* What was promised to the one that goes is free again, and so is what it took. */
	put_all(b, 2);
	assert_int_equal(used(store), 20 << 20);
	store_object_close(b);
	store_close(store);
}

/* Somebody else takes what was promised: everything fails, nobody dies, and what is here can be
 * read. */
static void test_full_disk(void **state)
{
	struct digest_pair pair = pair_of(1), other = pair_of(2);
	struct digest_name name = name_of(DIGEST_SHA256, 3);
	struct store_object *whole, *object;
	struct store_info info;
	struct store *store;
	FILE *ballast;
	int64_t deadline;
	int r = 0;

	if (!*state)
		skip();
	store = open_on_disk(*state, 1 << 30, 0);
	whole = open_object(store, DIGEST_SHA256, 1, SIZE);
	object = open_object(store, DIGEST_SHA256, 2, SIZE);
	put_all(whole, 1);
	assert_int_equal(store_object_finish(whole, &pair, "front", 5), 0);
	assert_int_equal(put_chunk(object, 2, 0), 0);
	ballast = fill_disk(*state);
	assert_int_equal(put_chunk(object, 2, 1), -ENOSPC);
	assert_int_equal(store_object_presence(object, 1), STORE_ABSENT);
	assert_true(chunk_is_right(whole, 1, 3));
	assert_true(chunk_is_right(object, 2, 0));
	/* Until RocksDB meets the end of the disk as well: records only, no bytes. */
	store_object_info(object, &info);
	for (uint32_t view = 1; r == 0 && view < 1000000; view++)
		r = store_touch(store, info.id, view);
	assert_int_equal(r, -ENOSPC);
	assert_true(store_create(store, &name, 5, NULL, 0, &info) < 0);
	assert_true(put_chunk(object, 2, 1) < 0);
	assert_true(store_object_reset(object) < 0);
	assert_int_equal(store_object_presence(object, 0), STORE_ABSENT);
	assert_true(chunk_is_right(whole, 1, 0));
	assert_int_equal(store_lookup(store, &(struct digest_name){0, pair.sha256}, &info), 0);
	assert_true(info.complete);

	/* Space again: RocksDB finds out by itself. */
	empty_disk(*state, ballast);
	deadline = clock_ms() + 60000;
	do {
		r = put_chunk(object, 2, 0);
		if (r < 0)
			usleep(20000);
	} while (r < 0 && clock_ms() < deadline);
	assert_int_equal(r, 0);
	put_all(object, 2);
	assert_int_equal(store_object_finish(object, &other, NULL, 0), 0);
	store_object_close(whole);
	store_object_close(object);
	store_close(store);
	store = open_on_disk(*state, 1 << 30, 0);
	object = open_object(store, DIGEST_SHA256, 2, SIZE);
	assert_true(store_object_complete(object) && chunk_is_right(object, 2, 1));
	store_object_close(object);
	store_close(store);
}

/* To open a store on a full disk may fail, but not more. */
static void test_open_on_full_disk(void **state)
{
	char path[200];
	struct store_options options = {path, 0, 0, BOOT_A};
	struct store *store = NULL;
	FILE *ballast;
	int r;

	if (!*state)
		skip();
	store_close(open_on_disk(*state, 0, 0));
	ballast = fill_disk(*state);
	snprintf(path, sizeof(path), "%s/store", (char *)*state);
	r = store_open(&options, &store);
	assert_true(r == 0 || r == -ENOSPC || r == -EIO);
	if (r == 0)
		store_close(store);
	empty_disk(*state, ballast);
	store_close(open_on_disk(*state, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sync_fails),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_damaged_record),
		cmocka_unit_test_setup_teardown(test_keep_free, mount_disk, unmount_disk),
		cmocka_unit_test_setup_teardown(test_full_disk, mount_disk, unmount_disk),
		cmocka_unit_test_setup_teardown(test_open_on_full_disk, mount_disk, unmount_disk),
	};

	return cmocka_run_group_tests_name("store-disk", tests, NULL, NULL);
}
