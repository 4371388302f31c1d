/* SPDX-License-Identifier: Apache-2.0 */
/* The store as a whole: its directory, what it records, its limits. */
#include "store-util.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "common/io.h"

#define SIZE (3 * CHUNK_SIZE + 1000)

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

/* The next second. */
static void wait_for_time_after(int64_t then)
{
	while (time(NULL) <= then)
		usleep(10000);
}

static void test_touches(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct digest_name name = name_of(DIGEST_SHA256, 1);
	struct store_info info, later;
	int64_t first, second;
	uint32_t view;

	assert_int_equal(store_create(store, &name, 5, NULL, 0, &info), 0);
	/* Many views in one second: each is recorded. */
	for (view = 1; view <= 300; view++)
		assert_int_equal(store_touch(store, info.id, view), 0);
	for (view = 0; view < 300;)
		assert_int_equal(store_next_user(store, info.id, view, &view, &first), 0);
	assert_int_equal(view, 300);
	assert_int_equal(store_get(store, info.id, &info), 0);
	assert_int_equal(info.last_open, first);
	wait_for_time_after(first);
	assert_int_equal(store_touch(store, info.id, 300), 0);
	assert_int_equal(store_next_user(store, info.id, 299, &view, &second), 0);
	assert_true(second > first);
	assert_int_equal(store_get(store, info.id, &later), 0);
	assert_int_equal(later.last_open, second);
	assert_int_equal(store_next_user(store, info.id, 0, &view, &second), 0);
	assert_true(second <= first);
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
	/* In blocks of 4 KiB: one object, and all but a byte of what six bytes take. */
	struct store_options options = {.path = *state, .size = (SIZE / 4096 + 2) * 4096 - 1};
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

struct seen {
	struct store *store;
	uint64_t ids[8];
	size_t n, most;
};

/* Asks for each by its id as well: a listing may read the store. */
static int see(void *arg, const struct store_info *info)
{
	struct seen *seen = arg;
	struct store_info same;

	assert_int_equal(store_get(seen->store, info->id, &same), 0);
	assert_int_equal(same.size, info->size);
	assert_int_equal(same.present, info->present);
	assert_int_equal(same.complete, info->complete);
	seen->ids[seen->n++] = info->id;
	return seen->n == seen->most ? 7 : 0;
}

/* All, from any place on, until one has seen enough; what is open is told as it is now. */
static void test_each(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct seen all = {.store = store}, two = {.store = store, .most = 2}, none = {.store = store};
	struct store_object *open = open_object(store, DIGEST_SHA256, 1, 2 * CHUNK_SIZE);
	uint64_t ids[5];

	for (unsigned int i = 0; i < 5; i++) {
		struct digest_name name = name_of(DIGEST_SHA256, 1 + i);
		struct store_info info;

		assert_int_equal(store_create(store, &name, 2 * CHUNK_SIZE, NULL, 0, &info), 0);
		ids[i] = info.id;
	}
	assert_int_equal(put_chunk(open, 1, 1), 0);
	assert_int_equal(store_remove(store, ids[2]), 0);
	assert_int_equal(store_each(store, 0, see, &all), 0);
	assert_int_equal(all.n, 4);
	assert_true(all.ids[0] == ids[0] && all.ids[1] == ids[1] && all.ids[2] == ids[3] && all.ids[3] == ids[4]);
	assert_int_equal(store_each(store, ids[1], see, &two), 7);
	assert_true(two.n == 2 && two.ids[0] == ids[3] && two.ids[1] == ids[4]);
	assert_int_equal(store_each(store, ids[4], see, &none), 0);
	assert_int_equal(none.n, 0);
	store_object_close(open);
	store_close(store);
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

static bool contains(const struct store *store, const char *path, const char *name)
{
	char file[300];
	bool result;
	int fd;

	snprintf(file, sizeof(file), "%s/%s", path, name);
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	result = store_contains(store, fd);
	/* What is removed while it is open still counts as what it was. */
	unlink(file);
	assert_int_equal(store_contains(store, fd), result);
	close(fd);
	return result;
}

static void test_contains(void **state)
{
	char path[200], mounted[200], outside[300];
	struct store *store;
	int fd;

	snprintf(path, sizeof(path), "%s/store", (char *)*state);
	assert_false(store_is_at(path));
	store = open_store(path, NULL);
	assert_true(store_is_at(path) && !store_is_at(*state));
	assert_true(contains(store, path, "file") && contains(store, path, "objects/ab"));
	assert_false(contains(store, *state, "file") || contains(store, *state, "store of mine"));
	fd = memfd_create("file", MFD_CLOEXEC);
	assert_false(store_contains(store, fd));
	close(fd);
	snprintf(outside, sizeof(outside), "%s/link", (char *)*state);
	assert_int_equal(symlink(path, outside), 0);
	assert_true(contains(store, outside, "file"));
	/* By another path. */
	snprintf(mounted, sizeof(mounted), "%s/mounted", (char *)*state);
	assert_int_equal(mkdir(mounted, 0700), 0);
	for (int whole = 0; whole < 2; whole++) {
		snprintf(outside, sizeof(outside), "%s/%s", path, whole ? "" : "objects");
		if (mount(outside, mounted, NULL, MS_BIND, NULL) < 0) {
			print_message("not privileged to mount: not tested by another path\n");
			break;
		}
		assert_true(contains(store, mounted, "file"));
		assert_int_equal(umount2(mounted, MNT_DETACH), 0);
	}
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup_directory, teardown_directory)
		TEST(lock), /* first: it forks, which RocksDB's threads would not survive */
		TEST(layout),
		TEST(refuses_strange_directory),
		TEST(records),
		TEST(each),
		TEST(views_and_users),
		TEST(touches),
		TEST(lost_files),
		TEST(contains),
		TEST(limit),
		TEST(format),
		TEST(refuses_own_mount),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
