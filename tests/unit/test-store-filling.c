/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several objects are being filled at once, on a disk of their own: what they take of it is measured all the time, and
 * neither `size` nor `keep-free` is ever exceeded.
 */
#include "store-disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/statvfs.h>

#define THREADS 6
#define ROUNDS	40
#define OBJECTS 15

static struct store *shared;
static atomic_bool over;
static atomic_uint wrong, kept, refused;

static uint64_t size_of(unsigned int seed)
{
	return (1 + seed % 5) * CHUNK_SIZE + 1000 * (seed % 3) + 1;
}

/* A new object each time, or one that another thread has begun; its chunks in some order. */
static void fill_one(unsigned int seed)
{
	struct digest_name name = name_of(DIGEST_FSVERITY, seed);
	struct digest_pair pair = pair_of(seed);
	struct store_object *object;
	struct store_info info;
	uint64_t chunks;
	int r;

	r = store_create(shared, &name, size_of(seed), NULL, 0, &info);
	if (r == 0)
		r = store_object_open(shared, info.id, &object);
	if (r < 0) /* it went in between */
		return;
	chunks = chunk_count(info.size);
	for (uint64_t i = 0; i < chunks && r == 0; i++)
		r = put_chunk(object, seed, (i * 5 + seed) % chunks == i ? i : chunks - 1 - i);
	if (r == 0 && store_object_full(object))
		r = store_object_finish(object, &pair, "front", 5);
	atomic_fetch_add(&kept, r == 0);
	atomic_fetch_add(&refused, r == -ENOSPC);
	atomic_fetch_add(&wrong, r != 0 && r != -ENOSPC);
	store_object_close(object);
}

static void *fill_many(void *arg)
{
	unsigned int thread = *(unsigned int *)arg;

	/* Seeds that differ by THREADS are one thread's: a chunk is put once at a time. */
	for (unsigned int i = 0; i < ROUNDS; i++)
		fill_one(thread + THREADS * ((i * 7 + thread) % OBJECTS));
	return NULL;
}

/* ---- measured meanwhile ---- */

/* A while after it was decided that a file goes, it goes. */
static atomic_uint going, gone;
int __real_unlinkat(int fd, const char *path, int flags);
int __wrap_unlinkat(int fd, const char *path, int flags);

int __wrap_unlinkat(int fd, const char *path, int flags)
{
	int r;

	usleep(500);
	atomic_fetch_add(&going, 1);
	r = __real_unlinkat(fd, path, flags);
	atomic_fetch_add(&gone, 1);
	return r;
}

static uint64_t blocks;

static int add_blocks(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type == FTW_F)
		blocks += (uint64_t)st->st_blocks * 512;
	return 0;
}

/* On the disk, below a folder of the store; one thread at a time. 0: something went away meanwhile. */
static uint64_t measure(const char *disk, const char *folder)
{
	unsigned int before = atomic_load(&gone);
	char path[200];

	snprintf(path, sizeof(path), "%s/store/%s", disk, folder);
	if (atomic_load(&going) != before)
		return 0;
	blocks = 0;
	nftw(path, add_blocks, 16, FTW_PHYS);
	return atomic_load(&going) == before ? blocks : 0;
}

static void fill_all(char *disk, void *(*watch)(void *disk))
{
	pthread_t threads[THREADS], watcher;
	unsigned int numbers[THREADS];

	atomic_store(&over, false);
	atomic_store(&kept, 0);
	atomic_store(&refused, 0);
	pthread_create(&watcher, NULL, watch, disk);
	for (unsigned int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		pthread_create(&threads[i], NULL, fill_many, &numbers[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&over, true);
	pthread_join(watcher, NULL);
	store_close(shared);
	assert_int_equal(wrong, 0);
	/* There was more than there is room for. */
	assert_true(atomic_load(&kept) > OBJECTS);
}

#define SIZE ((uint64_t)8 << 20)

static uint64_t most;

static void *watch_size(void *disk)
{
	while (!atomic_load(&over)) {
		uint64_t there = measure(disk, "objects");

		most = there > most ? there : most;
	}
	return NULL;
}

static void test_size(void **state)
{
	if (!*state)
		skip();
	most = 0;
	shared = open_on_disk(*state, SIZE, 0);
	fill_all(*state, watch_size);
	assert_true(most <= SIZE);
	assert_true(most > SIZE / 2); /* it was full */
}

#define KEEP ((uint64_t)30 << 20)

static uint64_t least;

/* But for what RocksDB takes for itself. */
static void *watch_free(void *disk)
{
	while (!atomic_load(&over)) {
		uint64_t meta = measure(disk, "meta");
		struct statvfs fs;

		if (statvfs(disk, &fs) == 0 && fs.f_bavail * fs.f_frsize + meta < least)
			least = fs.f_bavail * fs.f_frsize + meta;
	}
	return NULL;
}

static void test_keep_free(void **state)
{
	if (!*state)
		skip();
	least = UINT64_MAX;
	shared = open_on_disk(*state, 1 << 30, KEEP);
	fill_all(*state, watch_free);
	assert_true(least >= KEEP);
	assert_true(least < KEEP + DISK / 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_size, mount_disk, unmount_disk),
		cmocka_unit_test_setup_teardown(test_keep_free, mount_disk, unmount_disk),
	};

	return cmocka_run_group_tests_name("store-filling", tests, NULL, NULL);
}
