/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 at any moment: a child with three threads puts, drops, finishes, resets, removes and
 * ingests at random until it is killed; another child opens what is left and checks it. The children
 * keep a journal of what the store told them, with one write(2) an entry:
 *
 *	C id seed    created, or found to exist        r id    about to be removed
 *	F id seed    finished or ingested              R id    removed
 *	                                               D id    about to lose a chunk
 *
 * The parent never opens a store: RocksDB's threads do not survive a fork.
 */
#include "store-util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "common/io.h"
#include "store/internal.h"

#define ROUNDS	60
#define SEEDS	9
#define THREADS 3
#define LIMIT	((uint64_t)1 << 30)

struct entry {
	uint64_t what, id, seed;
};

struct worker {
	struct store *store;
	int journal;
	unsigned int index, random;
};

static _Noreturn void fail_with(const char *what, uint64_t id, int r)
{
	fprintf(stderr, "%s: object %llu: %d\n", what, (unsigned long long)id, r);
	_exit(3);
}

static void note(int journal, char what, uint64_t id, unsigned int seed)
{
	struct entry entry = {(uint64_t)what, id, seed};

	if (write(journal, &entry, sizeof(entry)) != sizeof(entry))
		_exit(4);
}

static unsigned int below(struct worker *worker, unsigned int n)
{
	return (unsigned int)rand_r(&worker->random) / 7 % n;
}

static uint64_t size_of(unsigned int seed)
{
	return seed == 0 ? 0 : (seed % 4 + 1) * CHUNK_SIZE - seed * 1001;
}

static void ingest(struct worker *worker, unsigned int seed)
{
	static _Thread_local char data[CHUNK_SIZE];
	struct digest_pair pair = pair_of(seed);
	struct store_ingest *new;
	struct store_info info;
	int r = store_ingest_new(worker->store, size_of(seed), &new);

	for (uint64_t i = 0; r == 0 && i < chunk_count(size_of(seed)); i++) {
		size_t len = chunk_length(size_of(seed), i);

		fill(data, len, seed, i);
		r = io_pwrite(store_ingest_fd(new), data, len, i * CHUNK_SIZE);
	}
	if (r == 0)
		r = store_ingest_commit(new, &pair, size_of(seed), "front", 5, &info);
	if (r < 0)
		fail_with("ingest", seed, r);
	note(worker->journal, 'F', info.id, seed);
}

static void put_some(struct worker *worker, struct store_object *object, uint64_t id,
		     unsigned int seed)
{
	for (uint64_t i = worker->index; i < chunk_count(size_of(seed)); i += THREADS) {
		int r = below(worker, 4) ? put_chunk(object, seed, i) : 0;

		if (r < 0)
			fail_with("put", seed, r);
	}
	if (below(worker, 40) == 0 && worker->index < chunk_count(size_of(seed))) {
		note(worker->journal, 'D', id, seed);
		drop_chunk(object, worker->index);
	}
}

static void use(struct worker *worker, struct store_object *object, uint64_t id, unsigned int seed)
{
	struct digest_pair pair = pair_of(seed);
	unsigned int dice = below(worker, 24);
	int r = 0;

	put_some(worker, object, id, seed);
	if (dice == 0) {
		r = store_object_reset(object);
		if (r < 0 && r != -EINVAL)
			fail_with("reset", id, r);
	} else if (dice < 3) {
		note(worker->journal, 'r', id, seed);
		r = store_remove(worker->store, id);
		if (r < 0 && r != -ENOENT)
			fail_with("remove", id, r);
		if (r == 0)
			note(worker->journal, 'R', id, seed);
	} else if (dice < 16) {
		r = store_object_finish(object, &pair, "front", 5);
		if (r < 0 && r != -ENODATA)
			fail_with("finish", id, r);
		if (r == 0)
			note(worker->journal, 'F', id, seed);
	} else if (dice == 16) {
		r = store_touch(worker->store, id, 1 + seed);
		if (r < 0 && r != -ENOENT)
			fail_with("touch", id, r);
	}
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	for (;;) {
		unsigned int seed = below(worker, SEEDS);
		struct digest_name name = name_of(seed % 2 ? DIGEST_FSVERITY : DIGEST_SHA256, seed);
		struct store_object *object;
		struct store_info info;
		int r;

		if (below(worker, 20) == 0)
			ingest(worker, seed);
		r = store_create(worker->store, &name, size_of(seed), NULL, 0, &info);
		if (r < 0)
			fail_with("create", seed, r);
		note(worker->journal, 'C', info.id, seed);
		r = store_object_open(worker->store, info.id, &object);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			fail_with("open", info.id, r);
		use(worker, object, info.id, seed);
		store_object_close(object);
	}
	return NULL;
}

static struct store *open_here(const char *path, const char *boot_id)
{
	struct store_options options = {.path = path, .size = LIMIT, .boot_id = boot_id};
	struct store *store = NULL;
	int r = store_open(&options, &store);

	if (r < 0)
		fail_with("store_open", 0, r);
	return store;
}

static _Noreturn void run_worker(const char *path, int journal, unsigned int round)
{
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	struct store *store = open_here(path, BOOT_A);

	for (unsigned int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){store, journal, i, round * 100 + i};
		pthread_create(&threads[i], NULL, work, &workers[i]);
	}
	pthread_join(threads[0], NULL);
	_exit(4);
}

/* ---- the checks, in a process of their own ----------------------------------------------------
 */

static void check_object(struct store *store, const struct store_info *info)
{
	enum store_presence kept = info->digests.has_fsverity ? STORE_HINT : STORE_PRESENT;
	struct store_object *object;
	uint64_t present = 0;
	unsigned int seed;
	int r;

	memcpy(&seed,
	       (info->name.kind == DIGEST_SHA256 ? &info->digests.sha256 : &info->digests.fsverity)
			       ->bytes +
		       4,
	       sizeof(seed));
	if (info->size != size_of(seed))
		fail_with("size", info->id, 0);
	r = store_object_open(store, info->id, &object);
	if (r < 0)
		fail_with("open", info->id, r);
	if (store_object_complete(object) != info->complete)
		fail_with("lost its file", info->id, 0);
	for (uint64_t i = 0; i < chunk_count(info->size); i++) {
		enum store_presence presence = store_object_presence(object, i);

		if (presence == STORE_ABSENT && !info->complete)
			continue;
		if (presence != kept)
			fail_with("presence", info->id, (int)i);
		if (!chunk_is_right(object, seed, i))
			fail_with("bytes", info->id, (int)i);
		present += chunk_length(info->size, i);
	}
	if (present != info->present)
		fail_with("sum of presence", info->id, 0);
	store_object_close(object);
}

static void check_records(struct store *store)
{
	struct store_info info = {.id = 0};
	uint64_t used = 0, count = 0;
	struct store_usage usage;
	int r;

	while ((r = store_next(store, info.id, &info)) == 0) {
		struct record record;

		if (record_read(store, info.id, &record) < 0)
			fail_with("record", info.id, 0);
		used += record.file ? record.size : 0;
		count += record.file;
		check_object(store, &info);
	}
	if (r != -ENOENT)
		fail_with("next", info.id, r);
	store_usage(store, &usage);
	if (usage.used != used || usage.objects != count)
		fail_with("usage", 0, (int)(usage.used - used));
}

/* No file without a record that counts it. */
static void check_files(struct store *store, const char *path)
{
	char command[300], text[200];
	FILE *pipe;

	snprintf(command, sizeof(command), "find %s/objects %s/tmp -type f -printf '%%f\\n'", path,
		 path);
	pipe = popen(command, "r");
	while (pipe && fgets(text, sizeof(text), pipe)) {
		struct digest_name name;
		struct store_info info = {.id = 0};
		bool owned = false;

		text[strcspn(text, "\n")] = '\0';
		if (digest_name_parse(text, &name) < 0)
			fail_with(text, 0, 0);
		while (!owned && store_next(store, info.id, &info) == 0) {
			struct record record;

			owned = info.name.kind == name.kind &&
				record_read(store, info.id, &record) == 0 && record.file &&
				digest_equal(&name.digest, name.kind == DIGEST_SHA256
								   ? &info.digests.sha256
								   : &info.digests.fsverity);
		}
		if (!owned)
			fail_with(text, 0, 0);
	}
	if (pipe)
		pclose(pipe);
}

static void check_journal(struct store *store, const char *journal)
{
	_cleanup_free_ char *text = NULL;
	const struct entry *entries;
	uint64_t last = 0;
	size_t len, n;
	enum { SEEN = 1, DOOMED = 2, REMOVED = 4, FINISHED = 8, DAMAGED = 16 };
	_cleanup_free_ uint8_t *state = NULL, *seeds = NULL;

	if (io_read_file(journal, 1 << 30, &text, &len) < 0)
		fail_with("journal", 0, 0);
	entries = (const void *)text;
	n = len / sizeof(*entries);
	for (size_t i = 0; i < n; i++)
		last = entries[i].id > last ? entries[i].id : last;
	state = calloc(last + 1, 1);
	seeds = calloc(last + 1, 1);
	for (size_t i = 0; i < n; i++) {
		uint64_t id = entries[i].id;

		if (state[id] && seeds[id] != (uint8_t)entries[i].seed)
			fail_with("id given out for two objects", id, 0);
		seeds[id] = (uint8_t)entries[i].seed;
		state[id] |= SEEN;
		state[id] |= entries[i].what == 'r' ? DOOMED : 0;
		state[id] |= entries[i].what == 'R' ? REMOVED : 0;
		state[id] |= entries[i].what == 'F' ? FINISHED : 0;
		state[id] |= entries[i].what == 'D' ? DAMAGED : 0;
	}
	for (uint64_t id = 1; id <= last; id++) {
		struct store_info info;
		int r = store_get(store, id, &info);

		if ((state[id] & REMOVED) && r != -ENOENT)
			fail_with("removed, and here again", id, r);
		if (state[id] && !(state[id] & DOOMED) && r < 0)
			fail_with("lost", id, r);
		if ((state[id] & FINISHED) && !(state[id] & (DOOMED | DAMAGED)) && !info.complete)
			fail_with("was complete", id, 0);
	}
	if (n) {
		struct digest_name name = name_of(DIGEST_SHA256, SEEDS + 1000);
		struct store_info info;

		/* The next id is one that nobody had. */
		if (store_create(store, &name, 0, NULL, 0, &info) < 0 || info.id <= last ||
		    store_remove(store, info.id) < 0)
			fail_with("id used again", info.id, (int)last);
	}
}

static _Noreturn void run_checker(const char *path, const char *journal, const char *boot_id)
{
	struct store *store = open_here(path, boot_id);

	check_records(store);
	check_files(store, path);
	check_journal(store, journal);
	store_close(store);
	_exit(0);
}

static void check(const char *path, const char *journal, const char *boot_id)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		run_checker(path, journal, boot_id);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_kill(void **state)
{
	unsigned int random = 4711;
	char *path = make_directory();
	char journal[200];
	int fd;

	snprintf(journal, sizeof(journal), "%s.journal", path);
	fd = open(journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct timespec moment = {.tv_nsec = rand_r(&random) % 150000000};
		int status;
		pid_t child = fork();

		if (child == 0)
			run_worker(path, fd, round);
		nanosleep(&moment, NULL);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		/* It did not end by itself, with something to say. */
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		check(path, journal, BOOT_A);
	}
	check(path, journal, BOOT_B);
	close(fd);
	unlink(journal);
	remove_tree(path);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill)};

	return cmocka_run_group_tests_name("store-crash", tests, NULL, NULL);
}
