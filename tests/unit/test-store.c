/* SPDX-License-Identifier: Apache-2.0 */
#include "store-util.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/io.h"

#define SIZE (3 * CHUNK_SIZE + 1000)

static int setup(void **state)
{
	*state = make_directory();
	return 0;
}

static int teardown(void **state)
{
	remove_tree(*state);
	free(*state);
	return 0;
}

static uint64_t used(struct store *store)
{
	struct store_usage usage;

	store_usage(store, &usage);
	return usage.used;
}

static void test_layout(void **state)
{
	struct store *store;
	struct stat st;
	char path[200], *text;
	size_t len;

	chmod(*state, 0755);
	snprintf(path, sizeof(path), "%s/deep/er", (char *)*state);
	store = open_store(path, NULL);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	store_close(store);

	chmod(path, 0755);
	store = open_store(path, NULL);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	store_close(store);
	strcat(path, "/CACHEDIR.TAG");
	assert_int_equal(io_read_file(path, 4096, &text, &len), 0);
	assert_memory_equal(text, "Signature: 8a477f597d28d172789f06886806bc55", 43);
	free(text);
}

static void test_refuses_strange_directory(void **state)
{
	struct store_options options = {.path = *state};
	struct store *store = NULL;
	char path[200];
	struct stat st;

	chmod(*state, 0755);
	snprintf(path, sizeof(path), "%s/tmp", (char *)*state);
	mkdir(path, 0755);
	assert_int_equal(store_open(&options, &store), -ENOTEMPTY);
	assert_null(store);
	assert_int_equal(stat(*state, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

static void test_records(void **state)
{
	struct digest_name name = name_of(DIGEST_FSVERITY, 1), other = name_of(DIGEST_SHA256, 2);
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object;
	struct store_info info, again;
	void *front;
	size_t len;

	assert_int_equal(store_lookup(store, &name, &info), -ENOENT);
	assert_int_equal(store_create(store, &name, SIZE, "front", 5, &info), 0);
	assert_true(info.id >= 1);
	assert_int_equal(info.size, SIZE);
	assert_true(info.digests.has_fsverity && !info.digests.has_sha256 && !info.complete);
	assert_int_equal(info.present, 0);
	assert_int_equal(info.last_open, 0);
	assert_int_equal(store_create(store, &name, 17, NULL, 0, &again), 0);
	assert_int_equal(again.id, info.id);
	assert_int_equal(again.size, SIZE);
	assert_int_equal(store_create(store, &other, 5, NULL, 0, &again), 0);
	assert_true(again.id > info.id);

	assert_int_equal(store_object_open(store, info.id, &object), 0);
	assert_int_equal(store_object_fd(object), -1);
	assert_int_equal(store_object_front(object, &front, &len), 0);
	assert_int_equal(len, 5);
	assert_memory_equal(front, "front", 5);
	free(front);
	store_object_close(object);
	assert_int_equal(store_object_open(store, again.id, &object), 0);
	assert_int_equal(store_object_front(object, &front, &len), -ENODATA);
	store_object_close(object);

	assert_int_equal(store_next(store, 0, &again), 0);
	assert_int_equal(again.id, info.id);
	assert_int_equal(store_next(store, info.id, &again), 0);
	assert_int_equal(store_next(store, again.id, &again), -ENOENT);
	assert_int_equal(store_get(store, 999999, &again), -ENOENT);
	store_close(store);

	store = open_store(*state, BOOT_A);
	assert_int_equal(store_lookup(store, &name, &again), 0);
	assert_int_equal(again.id, info.id);
	name = name_of(DIGEST_SHA256, 3);
	assert_int_equal(store_create(store, &name, 5, NULL, 0, &again), 0);
	assert_true(again.id > info.id + 1);
	store_close(store);
}

static void test_views_and_users(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct digest_name name = name_of(DIGEST_SHA256, 1);
	uint32_t a, b, c, view;
	struct store_info info;
	int64_t last_open;
	char *origin, huge[2000];
	uid_t uid;

	assert_int_equal(store_view(store, 1000, "https://app.example.com", &a), 0);
	assert_int_equal(store_view(store, 1001, "https://app.example.com", &b), 0);
	assert_int_equal(store_view(store, 1000, "local", &c), 0);
	assert_true(a >= 1 && a != b && b != c && a != c);
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_int_equal(store_view(store, 1000, huge, &view), -ENAMETOOLONG);
	assert_int_equal(store_create(store, &name, 5, NULL, 0, &info), 0);
	assert_int_equal(store_touch(store, info.id, b), 0);
	assert_int_equal(store_touch(store, info.id, c), 0);
	assert_int_equal(store_touch(store, info.id, b), 0);
	assert_int_equal(store_touch(store, info.id + 1, b), -ENOENT);
	store_close(store);

	store = open_store(*state, BOOT_A);
	assert_int_equal(store_view(store, 1000, "https://app.example.com", &view), 0);
	assert_int_equal(view, a);
	assert_int_equal(store_view_get(store, b, &uid, &origin), 0);
	assert_int_equal(uid, 1001);
	assert_string_equal(origin, "https://app.example.com");
	free(origin);
	assert_int_equal(store_view_get(store, 77, &uid, &origin), -ENOENT);
	assert_int_equal(store_next_user(store, info.id, 0, &view, &last_open), 0);
	assert_int_equal(view, b);
	assert_true(last_open > 1600000000);
	assert_int_equal(store_next_user(store, info.id, view, &view, &last_open), 0);
	assert_int_equal(view, c);
	assert_int_equal(store_next_user(store, info.id, view, &view, &last_open), -ENOENT);
	assert_int_equal(store_get(store, info.id, &info), 0);
	assert_true(info.last_open > 1600000000);
	assert_int_equal(store_remove(store, info.id), 0);
	assert_int_equal(store_next_user(store, info.id, 0, &view, &last_open), -ENOENT);
	store_close(store);
}

static void test_put_and_finish(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = open_object(store, DIGEST_SHA256, 1, SIZE), *same;
	struct digest_pair pair = pair_of(1), wrong = pair_of(2);
	struct digest_name fsverity = name_of(DIGEST_FSVERITY, 1);
	struct store_info info;
	struct stat st;
	uint64_t id;
	char byte;

	assert_int_equal(store_object_put(object, 4, &byte, 1), -EINVAL);
	assert_int_equal(store_object_put(object, 0, &byte, 1), -EINVAL);
	assert_int_equal(put_chunk(object, 1, 3), 0);
	assert_int_equal(used(store), SIZE);
	assert_int_equal(store_object_presence(object, 3), STORE_PRESENT);
	assert_int_equal(store_object_presence(object, 0), STORE_ABSENT);
	assert_int_equal(store_object_presence(object, 4), STORE_ABSENT);
	store_object_info(object, &info);
	assert_int_equal(info.present, 1000);
	id = info.id;
	assert_int_equal(store_object_open(store, id, &same), 0);
	assert_ptr_equal(same, object);
	store_object_close(same);
	store_object_close(object);
	assert_int_equal(store_get(store, id, &info), 0);
	assert_int_equal(info.present, 1000);

	assert_int_equal(store_object_open(store, id, &object), 0);
	assert_int_equal(store_object_presence(object, 3), STORE_PRESENT);
	assert_true(chunk_is_right(object, 1, 3));
	assert_int_equal(store_object_finish(object, &pair, "front", 5), -EINVAL);
	put_all(object, 1);
	assert_true(store_object_full(object));
	assert_false(store_object_complete(object));
	assert_int_equal(store_object_finish(object, &wrong, "front", 5), -EINVAL);
	assert_int_equal(store_object_finish(object, &pair, "front", 5), 0);
	assert_true(store_object_complete(object));
	assert_int_equal(store_object_finish(object, &pair, "front", 5), 0);
	assert_int_equal(fstat(store_object_fd(object), &st), 0);
	assert_int_equal(st.st_size, SIZE);
	store_object_close(object);
	store_close(store);

	store = open_store(*state, BOOT_B);
	assert_int_equal(used(store), SIZE);
	assert_int_equal(store_lookup(store, &fsverity, &info), 0);
	assert_true(info.complete && info.id == id && info.present == SIZE);
	assert_int_equal(info.name.kind, DIGEST_SHA256);
	assert_int_equal(store_object_open(store, id, &object), 0);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(store_object_presence(object, i), STORE_PRESENT);
		assert_true(chunk_is_right(object, 1, i));
	}
	store_object_drop(object, 1); /* not of a complete one */
	assert_int_equal(store_object_presence(object, 1), STORE_PRESENT);
	store_object_close(object);
	store_close(store);
}

static void test_empty_object(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = open_object(store, DIGEST_SHA256, 1, 0);
	struct digest_pair pair = pair_of(1);

	assert_true(store_object_full(object));
	assert_int_equal(store_object_finish(object, &pair, NULL, 0), 0);
	assert_true(store_object_fd(object) >= 0);
	store_object_close(object);
	store_close(store);
}

static void test_another_boot(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *attested = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	struct store_object *unattested = open_object(store, DIGEST_SHA256, 2, SIZE);
	struct store_info info;

	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(put_chunk(attested, 1, i), 0);
		assert_int_equal(put_chunk(unattested, 2, i), 0);
	}
	store_object_close(attested);
	store_object_close(unattested);
	store_close(store);

	store = open_store(*state, BOOT_B);
	attested = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	unattested = open_object(store, DIGEST_SHA256, 2, SIZE);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(store_object_presence(attested, i), STORE_HINT);
		assert_int_equal(store_object_presence(unattested, i), STORE_ABSENT);
	}
	store_object_info(attested, &info);
	assert_int_equal(info.present, 3 * CHUNK_SIZE);
	assert_int_equal(store_object_confirm(attested, 0), 0);
	assert_int_equal(store_object_confirm(attested, 3), -ENODATA);
	assert_int_equal(store_object_presence(attested, 0), STORE_PRESENT);
	store_object_drop(attested, 1);
	assert_int_equal(put_chunk(attested, 1, 2), 0);
	assert_int_equal(put_chunk(attested, 1, 3), 0);
	assert_false(store_object_full(attested));
	store_object_close(attested);
	store_object_close(unattested);
	store_close(store);

	/* And what was said is kept, but by another boot again. */
	store = open_store(*state, BOOT_B);
	attested = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	assert_int_equal(store_object_presence(attested, 0), STORE_PRESENT);
	assert_int_equal(store_object_presence(attested, 1), STORE_ABSENT);
	assert_int_equal(store_object_presence(attested, 2), STORE_PRESENT);
	store_object_close(attested);
	store_close(store);
}

static void test_reset_and_resize(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = open_object(store, DIGEST_SHA256, 1, SIZE);
	struct store_object *attested = open_object(store, DIGEST_FSVERITY, 2, SIZE);
	uint64_t other = 5 * CHUNK_SIZE;

	put_all(object, 1);
	assert_int_equal(store_object_reset(object), 0);
	assert_false(store_object_full(object));
	assert_int_equal(put_chunk(object, 1, 1), 0);
	assert_int_equal(store_object_resize(object, other), 0);
	assert_int_equal(store_object_size(object), other);
	assert_int_equal(store_object_presence(object, 1), STORE_ABSENT);
	assert_int_equal(used(store), other);
	assert_int_equal(store_object_resize(object, (uint64_t)1 << 40), -ENOSPC);
	assert_int_equal(store_object_size(object), other);
	assert_int_equal(store_object_resize(attested, 5), -EINVAL);
	assert_int_equal(put_chunk(object, 1, 4), 0);
	store_object_close(object);
	store_object_close(attested);
	store_close(store);

	store = open_store(*state, BOOT_A);
	assert_int_equal(used(store), other);
	object = open_object(store, DIGEST_SHA256, 1, SIZE);
	assert_int_equal(store_object_size(object), other);
	assert_int_equal(store_object_presence(object, 1), STORE_ABSENT);
	assert_true(chunk_is_right(object, 1, 4));
	store_object_close(object);
	store_close(store);
}

static int count_files(const char *path)
{
	char command[300];
	int n = -1;
	FILE *pipe;

	snprintf(command, sizeof(command), "find %s/objects %s/tmp -type f | wc -l", path, path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%d", &n), 1);
	pclose(pipe);
	return n;
}

static void test_remove(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *old = open_object(store, DIGEST_SHA256, 1, SIZE), *fresh;
	struct store_object *fileless = open_object(store, DIGEST_SHA256, 2, SIZE);
	struct digest_name name = name_of(DIGEST_SHA256, 1);
	struct digest_pair pair = pair_of(1);
	struct store_info info, again;

	assert_int_equal(put_chunk(old, 1, 0), 0);
	store_object_info(old, &info);
	assert_int_equal(store_remove(store, info.id), 0);
	assert_int_equal(store_remove(store, info.id), -ENOENT);
	assert_int_equal(used(store), 0);
	assert_int_equal(count_files(*state), 0);
	assert_int_equal(store_lookup(store, &name, &again), -ENOENT);
	assert_int_equal(store_get(store, info.id, &again), -ENOENT);
	assert_int_equal(store_object_open(store, info.id, &fresh), -ENOENT);

	/* The old one goes on, next to a new one of the same name. */
	fresh = open_object(store, DIGEST_SHA256, 1, SIZE);
	store_object_info(fresh, &again);
	assert_true(again.id > info.id);
	assert_int_equal(put_chunk(fresh, 9, 1), 0);
	put_all(old, 1);
	assert_true(chunk_is_right(old, 1, 1));
	assert_true(chunk_is_right(fresh, 9, 1));
	assert_int_equal(store_object_finish(old, &pair, NULL, 0), 0);
	store_object_info(fresh, &again);
	assert_true(!again.complete && again.present == CHUNK_SIZE);
	assert_int_equal(used(store), SIZE);
	store_object_info(fileless, &again);
	assert_int_equal(store_remove(store, again.id), 0);
	put_all(fileless, 2);
	assert_true(chunk_is_right(fileless, 2, 3));
	assert_int_equal(count_files(*state), 1);
	store_object_close(old);
	store_object_close(fresh);
	store_object_close(fileless);
	store_close(store);

	store = open_store(*state, BOOT_A);
	assert_int_equal(used(store), SIZE);
	fresh = open_object(store, DIGEST_SHA256, 1, SIZE);
	assert_int_equal(store_object_presence(fresh, 0), STORE_ABSENT);
	assert_true(chunk_is_right(fresh, 9, 1));
	store_object_close(fresh);
	store_close(store);
}

/* Two names that turn out to be one object. */
static void test_same_digest_twice(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *by_fsverity = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	struct store_object *by_sha256 = open_object(store, DIGEST_SHA256, 1, SIZE);
	struct digest_name fsverity = name_of(DIGEST_FSVERITY, 1);
	struct digest_pair pair = pair_of(1);
	struct store_info loser, winner, found;

	assert_int_equal(put_chunk(by_fsverity, 1, 0), 0);
	put_all(by_sha256, 1);
	assert_int_equal(store_object_finish(by_sha256, &pair, NULL, 0), 0);
	store_object_info(by_fsverity, &loser);
	store_object_info(by_sha256, &winner);
	assert_true(loser.id < winner.id);
	assert_int_equal(store_lookup(store, &fsverity, &found), 0);
	assert_int_equal(found.id, winner.id);
	assert_int_equal(store_get(store, loser.id, &found), 0);
	assert_int_equal(used(store), 2 * SIZE);
	store_object_close(by_sha256);
	store_object_close(by_fsverity);

	assert_int_equal(store_remove(store, winner.id), 0);
	assert_int_equal(store_lookup(store, &fsverity, &found), 0);
	assert_int_equal(found.id, loser.id);
	assert_int_equal(store_remove(store, loser.id), 0);
	assert_int_equal(store_lookup(store, &fsverity, &found), -ENOENT);
	assert_int_equal(used(store), 0);
	assert_int_equal(count_files(*state), 0);
	store_close(store);
}

static void test_sha256_by_audit(void **state)
{
	struct digest_pair fsverity = {.has_fsverity = true, .fsverity = pair_of(1).fsverity};
	struct digest sha256 = pair_of(1).sha256, wrong = pair_of(2).sha256;
	struct digest_name name = name_of(DIGEST_SHA256, 1);
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	struct store_info info;

	assert_int_equal(store_object_set_sha256(object, &sha256), -EINVAL);
	put_all(object, 1);
	assert_int_equal(store_object_finish(object, &fsverity, NULL, 0), 0);
	assert_int_equal(store_object_set_sha256(object, &sha256), 0);
	assert_int_equal(store_object_set_sha256(object, &sha256), 0);
	assert_int_equal(store_object_set_sha256(object, &wrong), -EINVAL);
	assert_int_equal(store_lookup(store, &name, &info), 0);
	assert_int_equal(info.name.kind, DIGEST_FSVERITY);
	store_object_close(object);
	store_close(store);
}

static struct store_ingest *ingest_of(struct store *store, unsigned int seed, uint64_t size)
{
	char *data = malloc(CHUNK_SIZE);
	struct store_ingest *ingest;

	assert_int_equal(store_ingest_new(store, size, &ingest), 0);
	for (uint64_t i = 0; i < chunk_count(size); i++) {
		size_t len = chunk_length(size, i);

		fill(data, len, seed, i);
		assert_int_equal(io_pwrite(store_ingest_fd(ingest), data, len, i * CHUNK_SIZE), 0);
	}
	free(data);
	return ingest;
}

static void test_ingest(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct digest_pair pair = pair_of(1);
	struct store_object *object;
	struct store_ingest *ingest;
	struct store_info info, again;

	assert_int_equal(store_ingest_new(store, (uint64_t)1 << 40, &ingest), -ENOSPC);
	store_ingest_abort(ingest_of(store, 1, SIZE));
	store_ingest_abort(NULL);
	assert_int_equal(count_files(*state), 0);
	assert_int_equal(
		store_ingest_commit(ingest_of(store, 1, SIZE), &pair, SIZE + 1, "f", 1, &info),
		-EINVAL);
	assert_int_equal(store_ingest_commit(ingest_of(store, 1, SIZE), &pair, SIZE, "f", 1, &info),
			 0);
	assert_true(info.complete && info.present == SIZE);
	assert_int_equal(
		store_ingest_commit(ingest_of(store, 1, SIZE), &pair, SIZE, "f", 1, &again), 0);
	assert_int_equal(again.id, info.id);
	assert_int_equal(used(store), SIZE);
	assert_int_equal(count_files(*state), 1);
	assert_int_equal(store_object_open(store, info.id, &object), 0);
	assert_true(chunk_is_right(object, 1, 3));
	store_object_close(object);
	store_close(store);
}

static void test_ingest_over_partial(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	/* Unattested, and of a size that was a lie. */
	struct store_object *object = open_object(store, DIGEST_SHA256, 1, SIZE + CHUNK_SIZE);
	struct digest_pair pair = pair_of(1);
	struct store_info info, out;
	int fd;

	assert_int_equal(put_chunk(object, 7, 0), 0);
	fd = store_object_fd(object);
	store_object_info(object, &info);
	assert_int_equal(store_ingest_commit(ingest_of(store, 1, SIZE), &pair, SIZE, NULL, 0, &out),
			 0);
	assert_int_equal(out.id, info.id);
	assert_true(store_object_complete(object));
	assert_int_equal(store_object_size(object), SIZE);
	assert_int_equal(store_object_presence(object, 3), STORE_PRESENT);
	assert_int_equal(store_object_presence(object, 4), STORE_ABSENT);
	for (uint64_t i = 0; i < 4; i++)
		assert_true(chunk_is_right(object, 1, i));
	/* The old descriptor is still what it was, for whoever borrowed it. */
	assert_int_not_equal(store_object_fd(object), fd);
	assert_int_not_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(used(store), SIZE);
	assert_int_equal(count_files(*state), 1);
	store_object_close(object);
	store_close(store);
}

static void test_lost_files(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *complete = open_object(store, DIGEST_SHA256, 1, SIZE);
	struct store_object *partial = open_object(store, DIGEST_FSVERITY, 2, SIZE);
	struct digest_pair pair = pair_of(1);
	char command[300];

	put_all(complete, 1);
	assert_int_equal(store_object_finish(complete, &pair, NULL, 0), 0);
	assert_int_equal(put_chunk(partial, 2, 1), 0);
	store_object_close(complete);
	store_object_close(partial);
	store_close(store);
	snprintf(command, sizeof(command), "rm -r %s/objects", (char *)*state);
	assert_int_equal(system(command), 0);

	store = open_store(*state, BOOT_A);
	complete = open_object(store, DIGEST_SHA256, 1, SIZE);
	partial = open_object(store, DIGEST_FSVERITY, 2, SIZE);
	assert_false(store_object_complete(complete));
	assert_int_equal(store_object_presence(partial, 1), STORE_ABSENT);
	put_all(complete, 1);
	assert_int_equal(store_object_finish(complete, &pair, NULL, 0), 0);
	assert_true(chunk_is_right(complete, 1, 2));
	assert_int_equal(used(store), 2 * SIZE);
	store_object_close(complete);
	store_object_close(partial);
	store_close(store);
}

static void test_limit(void **state)
{
	struct store_options options = {.path = *state, .size = SIZE + 5};
	struct store *store = NULL;
	struct store_object *a, *b;
	struct store_info info;
	struct store_usage usage;

	assert_int_equal(store_open(&options, &store), 0);
	a = open_object(store, DIGEST_SHA256, 1, SIZE);
	b = open_object(store, DIGEST_SHA256, 2, 6);
	assert_int_equal(put_chunk(a, 1, 0), 0);
	assert_int_equal(put_chunk(b, 2, 0), -ENOSPC);
	assert_int_equal(store_object_presence(b, 0), STORE_ABSENT);
	store_object_info(a, &info);
	assert_int_equal(store_remove(store, info.id), 0);
	assert_int_equal(put_chunk(b, 2, 0), 0);
	assert_int_equal(used(store), 6);
	store_object_close(a);
	store_object_close(b);
	store_close(store);

	options.size = 0;
	options.keep_free = UINT64_MAX / 2;
	assert_int_equal(store_open(&options, &store), 0);
	store_usage(store, &usage);
	assert_true(usage.limit > 0);
	assert_int_equal(usage.objects, 1);
	a = open_object(store, DIGEST_SHA256, 3, 6);
	assert_int_equal(put_chunk(a, 3, 0), -ENOSPC);
	store_object_close(a);
	store_close(store);
}

static void test_lock(void **state)
{
	struct store_options options = {.path = *state, .size = 1000};
	int ready[2], done[2], status;
	struct store *store = NULL;
	char path[200], byte = 0;
	pid_t child;

	assert_int_equal(store_holder("/nonexistent"), 0);
	assert_int_equal(store_holder(*state), 0);
	assert_int_equal(pipe(ready) | pipe(done), 0);
	child = fork();
	if (child == 0) {
		close(done[1]);
		if (store_open(&options, &store) < 0 || write(ready[1], &byte, 1) != 1)
			_exit(1);
		if (read(done[0], &byte, 1) < 0)
			_exit(1);
		_exit(0); /* without closing: the pid stays in the file */
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(store_holder(*state), child);
	assert_int_equal(store_open(&options, &store), -EBUSY);
	close(done[1]);
	waitpid(child, &status, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(ready[0]);
	close(done[0]);

	assert_int_equal(store_holder(*state), 0);
	store = open_store(*state, NULL);
	assert_int_equal(store_holder(*state), 0); /* it is ours */
	store_close(store);
	snprintf(path, sizeof(path), "%s/lock", (char *)*state);
	assert_int_equal(access(path, F_OK), 0);
}

static void test_format(void **state)
{
	struct store_options options = {.path = *state, .boot_id = "no uuid"};
	struct store *store = NULL;

	assert_int_equal(store_open(&options, &store), -EINVAL);
	assert_null(store);
}

static void test_refuses_own_mount(void **state)
{
	struct store_options options = {.path = *state};
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	struct store *store = NULL;
	char data[100];
	int r;

	if (fd < 0)
		skip();
	snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	if (mount("weightfs", *state, "fuse.weightfs", 0, data) < 0) {
		close(fd);
		skip();
	}
	r = store_open(&options, &store);
	umount2(*state, MNT_DETACH);
	close(fd);
	assert_int_equal(r, -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(lock), /* first: it forks, which RocksDB's threads would not survive */
		TEST(layout),
		TEST(refuses_strange_directory),
		TEST(records),
		TEST(views_and_users),
		TEST(put_and_finish),
		TEST(empty_object),
		TEST(another_boot),
		TEST(reset_and_resize),
		TEST(remove),
		TEST(same_digest_twice),
		TEST(sha256_by_audit),
		TEST(ingest),
		TEST(ingest_over_partial),
		TEST(lost_files),
		TEST(limit),
		TEST(format),
		TEST(refuses_own_mount),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
