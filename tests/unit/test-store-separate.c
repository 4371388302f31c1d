/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that a view fetches apart, and what it owns from then on. */
#include "store-util.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define SIZE (2 * CHUNK_SIZE + 77)
#define VIEW 5
#define FRONT "a front"

static struct store_object *separate(struct store *store, enum digest_kind kind, unsigned int seed,
				     uint64_t size)
{
	struct digest_name name = name_of(kind, seed);
	struct digest_pair digests = digest_pair_of(&name);
	struct store_object *object = NULL;

	assert_int_equal(store_separate_new(store, &digests, size, &object), 0);
	return object;
}

static uint64_t id_of(struct store_object *object)
{
	struct store_info info;

	store_object_info(object, &info);
	return info.id;
}

static void finish(struct store_object *object, unsigned int seed)
{
	struct digest_pair digests = pair_of(seed);

	put_all(object, seed);
	assert_int_equal(store_object_finish(object, &digests, FRONT, sizeof(FRONT)), 0);
	assert_true(store_object_complete(object));
}

static void use(struct store_object *object, struct store *store, uint32_t view, uint64_t quota, int expected)
{
	struct store_uses due;

	assert_int_equal(store_object_use(object, view, quota, &due), expected);
	assert_int_equal(store_record_uses(store, &due), 0);
}

static bool owns(struct store *store, uint32_t view, unsigned int seed, uint64_t id)
{
	for (enum digest_kind kind = DIGEST_SHA256; kind <= DIGEST_FSVERITY; kind++) {
		struct digest_name name = name_of(kind, seed);
		uint64_t found = 0;
		int r = store_owns(store, view, &name, &found);

		assert_true(r == 0 || r == -ENOENT);
		if (r < 0)
			return false;
		assert_int_equal(found, id);
	}
	return true;
}

static struct store_info publish(struct store_object *object, uint32_t view)
{
	struct store_info info;

	assert_int_equal(store_separate_publish(object, view, false, FRONT, sizeof(FRONT), &info), 0);
	return info;
}

/* Until it is published nobody finds it, and nothing is left of it. */
static void test_apart(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = separate(store, DIGEST_FSVERITY, 1, SIZE), *other;
	struct digest_name name = name_of(DIGEST_FSVERITY, 1);
	struct store_info info;

	finish(object, 1);
	assert_true(chunk_is_right(object, 1, 0) && chunk_is_right(object, 1, 2));
	assert_int_equal(store_lookup(store, &name, &info), -ENOENT);
	assert_int_equal(store_get(store, id_of(object), &info), -ENOENT);
	assert_int_equal(store_next(store, 0, &info), -ENOENT);
	assert_int_equal(store_object_open(store, id_of(object), &other), -ENOENT);
	assert_int_equal(store_object_pin(object, true), -ENOENT);
	assert_int_equal(count_files(*state), 1);
	store_object_info(object, &info);
	assert_true(info.separate && info.complete && info.size == SIZE);
	/* Another of the same name has another id. */
	other = separate(store, DIGEST_FSVERITY, 1, SIZE);
	assert_int_not_equal(id_of(other), id_of(object));
	store_object_close(other);
	store_object_close(object);
	assert_int_equal(count_files(*state), 0);
	store_close(store);
}

static void test_becomes_the_stores(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = separate(store, DIGEST_SHA256, 1, SIZE), *stored;
	struct store_info info;
	uint64_t own;
	void *front;
	size_t len;

	use(object, store, VIEW, 0, 0);
	assert_int_equal(store_account(store, VIEW).used, SIZE);
	finish(object, 1);
	assert_false(owns(store, VIEW, 1, 0));
	own = id_of(object);
	info = publish(object, VIEW);
	assert_true(info.complete && !info.separate && info.id != own);
	assert_true(owns(store, VIEW, 1, info.id));
	assert_false(owns(store, VIEW + 1, 1, info.id));
	/* Charged once, and whoever had it open goes on. */
	assert_int_equal(store_account(store, VIEW).used, SIZE);
	assert_int_equal(store_account(store, VIEW).objects, 1);
	assert_int_equal(count_files(*state), 1);
	assert_true(chunk_is_right(object, 1, 1));
	assert_int_equal(store_separate_publish(object, VIEW, false, FRONT, sizeof(FRONT), &info), -EALREADY);
	store_object_unuse(object, VIEW);
	store_object_close(object);
	assert_int_equal(store_account(store, VIEW).used, SIZE);
	store_close(store);

	store = open_store(*state, BOOT_B);
	assert_true(owns(store, VIEW, 1, info.id));
	assert_int_equal(store_object_open(store, info.id, &stored), 0);
	assert_true(store_object_complete(stored) && chunk_is_right(stored, 1, 2));
	assert_int_equal(store_object_front(stored, &front, &len), 0);
	assert_int_equal(len, sizeof(FRONT));
	free(front);
	store_object_close(stored);
	store_close(store);
}

/* What others have already is not stored twice. */
static void test_is_there(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *there = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	struct store_object *object = separate(store, DIGEST_FSVERITY, 1, SIZE);

	finish(there, 1);
	use(object, store, VIEW, 0, 0);
	finish(object, 1);
	assert_int_equal(count_files(*state), 2);
	assert_int_equal(publish(object, VIEW).id, id_of(there));
	assert_int_equal(count_files(*state), 1);
	assert_true(owns(store, VIEW, 1, id_of(there)));
	assert_true(chunk_is_right(object, 1, 0));
	store_object_close(object);
	store_object_close(there);
	store_close(store);
}

/* Part of it is there: what is missing is filled in, under those who read it. */
static void test_is_there_in_part(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *there = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	struct store_object *object = separate(store, DIGEST_FSVERITY, 1, SIZE);

	assert_int_equal(put_chunk(there, 1, 1), 0);
	use(object, store, VIEW, 0, 0);
	finish(object, 1);
	assert_int_equal(publish(object, VIEW).id, id_of(there));
	assert_true(store_object_complete(there));
	assert_true(chunk_is_right(there, 1, 0) && chunk_is_right(there, 1, 1));
	assert_int_equal(count_files(*state), 1);
	store_object_close(object);
	store_object_close(there);
	store_close(store);
}

/* Whoever fetches it with a credential: what is pinned stays, and everybody's. What was fetched stays apart, with its room. */
static void test_pinned_does_not_give_way(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *there = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	struct store_object *object = separate(store, DIGEST_FSVERITY, 1, SIZE);
	struct store_info info;
	uint64_t both;

	assert_int_equal(put_chunk(there, 1, 1), 0);
	assert_int_equal(store_object_pin(there, true), 0);
	use(object, store, VIEW, 0, 0);
	finish(object, 1);
	both = used(store);
	assert_int_equal(store_separate_publish(object, VIEW, true, FRONT, sizeof(FRONT), &info), -EBUSY);
	assert_int_equal(store_get(store, id_of(there), &info), 0);
	assert_true(info.pinned && !info.gated && !info.complete);
	assert_true(chunk_is_right(there, 1, 1));
	assert_false(owns(store, VIEW, 1, 0));
	/* As it was: what is read, what is charged, what is taken of the disk. */
	assert_true(chunk_is_right(object, 1, 0) && chunk_is_right(object, 1, 2));
	assert_int_equal(store_account(store, VIEW).used, SIZE);
	assert_int_equal(used(store), both);
	assert_int_equal(count_files(*state), 2);
	/* Once it is not pinned any more, it may. */
	assert_int_equal(store_object_pin(there, false), 0);
	assert_int_equal(store_separate_publish(object, VIEW, true, FRONT, sizeof(FRONT), &info), 0);
	assert_true(info.gated && info.complete && info.id != id_of(there));
	assert_true(owns(store, VIEW, 1, info.id));
	store_object_unuse(object, VIEW);
	store_object_close(object);
	store_object_close(there);
	store_close(store);
}

/* What stayed apart leaves nothing behind. */
static void test_what_stayed_apart_goes(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *there = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	struct store_object *object = separate(store, DIGEST_FSVERITY, 1, SIZE);
	struct store_info info;
	uint64_t before;

	assert_int_equal(put_chunk(there, 1, 1), 0);
	assert_int_equal(store_object_pin(there, true), 0);
	before = used(store);
	use(object, store, VIEW, 0, 0);
	finish(object, 1);
	assert_int_equal(store_separate_publish(object, VIEW, true, FRONT, sizeof(FRONT), &info), -EBUSY);
	store_object_unuse(object, VIEW);
	store_object_close(object);
	assert_int_equal(used(store), before);
	assert_int_equal(store_account(store, VIEW).used, 0);
	assert_int_equal(count_files(*state), 1);
	store_object_close(there);
	store_close(store);
}

/* Who never opened it, or has released it since, does not own it. */
static void test_not_charged(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = separate(store, DIGEST_SHA256, 1, SIZE), *large;
	struct store_info info;

	finish(object, 1);
	info = publish(object, VIEW);
	assert_false(owns(store, VIEW, 1, info.id));
	store_object_close(object);

	object = separate(store, DIGEST_SHA256, 2, SIZE);
	use(object, store, VIEW, 4 * MIB, 0);
	finish(object, 2);
	info = publish(object, VIEW);
	assert_true(owns(store, VIEW, 2, info.id));
	store_object_unuse(object, VIEW);
	store_object_close(object);
	large = separate(store, DIGEST_SHA256, 3, 4 * MIB);
	use(large, store, VIEW, 4 * MIB, 0);
	assert_false(owns(store, VIEW, 2, info.id));
	/* Not either after it was used again without being fetched: the key is still there. */
	store_object_unuse(large, VIEW);
	store_object_close(large);
	assert_int_equal(store_account(store, VIEW).used, 0);
	store_close(store);
	store = open_store(*state, BOOT_A);
	assert_false(owns(store, VIEW, 2, info.id));
	store_close(store);
}

/* Removed, and the same bytes anew: they are others'. */
static void test_removed(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = separate(store, DIGEST_SHA256, 1, SIZE), *anew;
	struct store_info info;

	use(object, store, VIEW, 0, 0);
	finish(object, 1);
	info = publish(object, VIEW);
	assert_int_equal(store_remove(store, info.id), 0);
	assert_false(owns(store, VIEW, 1, info.id));
	anew = open_object(store, DIGEST_SHA256, 1, SIZE);
	finish(anew, 1);
	assert_false(owns(store, VIEW, 1, id_of(anew)));
	store_object_close(anew);
	store_object_close(object);
	store_close(store);
}

static void test_room(void **state)
{
	struct store *store = open_limited(*state, 3 * MIB);
	struct store_object *first = separate(store, DIGEST_SHA256, 1, 2 * MIB);
	struct store_object *second = separate(store, DIGEST_SHA256, 2, 2 * MIB);
	struct store_object *old = open_object(store, DIGEST_SHA256, 3, MIB);

	/* Others go for it, as for any. */
	finish(old, 3);
	store_object_close(old);
	assert_int_equal(store_object_reserve(first), 0);
	assert_int_equal(used(store), MIB);
	assert_int_equal(store_object_reserve(second), -ENOSPC);
	assert_int_equal(used(store), MIB); /* nothing goes for what would not fit even then */
	assert_int_equal(put_chunk(second, 2, 0), -ENOSPC);
	assert_int_equal(store_object_presence(second, 0), STORE_ABSENT);
	/* With another size. */
	assert_int_equal(store_object_resize(first, MIB), 0);
	assert_int_equal(store_object_reserve(second), 0);
	assert_int_equal(used(store), 0);
	store_object_close(first);
	finish(second, 2);
	assert_int_equal(store_object_resize(second, MIB), -EINVAL);
	store_object_close(second);
	assert_int_equal(count_files(*state), 0);
	store_close(store);
}

/* Empty ones have a file, too, when they are complete. */
static void test_empty(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_object *object = separate(store, DIGEST_SHA256, 1, 0);
	struct digest_pair digests = pair_of(1);

	use(object, store, VIEW, 0, 0);
	assert_int_equal(store_object_finish(object, &digests, NULL, 0), 0);
	assert_true(owns(store, VIEW, 1, publish(object, VIEW).id));
	store_object_close(object);
	store_close(store);
}

/* The process dies while one is fetched, and right after one was published. */
static void test_killed(void **state)
{
	struct digest_name name = name_of(DIGEST_SHA256, 2);
	struct store_info info;
	struct store *store;
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		struct store_object *first, *second;

		store = open_store(*state, BOOT_A);
		first = separate(store, DIGEST_SHA256, 1, SIZE);
		second = separate(store, DIGEST_SHA256, 2, SIZE);
		put_all(first, 1);
		use(second, store, VIEW, 0, 0);
		finish(second, 2);
		_exit(publish(second, VIEW).complete ? 7 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 7);
	store = open_store(*state, BOOT_A);
	assert_int_equal(count_files(*state), 1);
	assert_int_equal(store_lookup(store, &name, &info), 0);
	assert_true(info.complete && owns(store, VIEW, 2, info.id));
	assert_int_equal(used(store), SIZE);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: ThreadSanitizer allows a fork only before there are threads, and RocksDB leaves some. */
		cmocka_unit_test_setup_teardown(test_killed, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_apart, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_becomes_the_stores, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_is_there, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_is_there_in_part, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_pinned_does_not_give_way, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_what_stayed_apart_goes, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_not_charged, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_removed, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_room, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_empty, setup_directory, teardown_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
