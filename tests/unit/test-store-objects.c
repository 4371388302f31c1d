/* SPDX-License-Identifier: Apache-2.0 */
/* Objects in the store: how they fill, become complete, go, and are taken in whole. */
#include "store-util.h"

#include <fcntl.h>
#include <sys/stat.h>
#include "common/io.h"

#define SIZE (3 * CHUNK_SIZE + 1000)

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
	assert_int_equal(store_object_finish(object, &pair, "front", 5), -ENODATA);
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
	assert_true(store_object_complete(object) && store_object_full(object));
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(store_object_presence(object, i), STORE_HINT);
		assert_true(chunk_is_right(object, 1, i));
	}
	assert_int_equal(store_object_confirm(object, 1), 0);
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
	drop_chunk(attested, 1);
	assert_int_equal(put_chunk(attested, 1, 2), 0);
	assert_int_equal(put_chunk(attested, 1, 3), 0);
	assert_false(store_object_full(attested));
	store_object_close(attested);
	store_object_close(unattested);
	store_close(store);

	/* And what was said is kept. */
	store = open_store(*state, BOOT_B);
	attested = open_object(store, DIGEST_FSVERITY, 1, SIZE);
	assert_int_equal(store_object_presence(attested, 0), STORE_HINT);
	assert_int_equal(store_object_presence(attested, 1), STORE_ABSENT);
	assert_int_equal(store_object_presence(attested, 2), STORE_HINT);
	assert_false(store_object_recorded(attested));
	assert_int_equal(put_chunk(attested, 1, 1), 0);
	assert_true(store_object_recorded(attested) && !store_object_full(attested));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup_directory, teardown_directory)
		TEST(put_and_finish),
		TEST(empty_object),
		TEST(another_boot),
		TEST(reset_and_resize),
		TEST(remove),
		TEST(same_digest_twice),
		TEST(sha256_by_audit),
		TEST(ingest),
		TEST(ingest_over_partial),
	};

	return cmocka_run_group_tests_name("store-objects", tests, NULL, NULL);
}
