/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of which both digests are told, and what came with a credential. */
#include "store-util.h"

#include <errno.h>
#include <sys/stat.h>

#define SIZE (2 * CHUNK_SIZE + 77)
#define FRONT "a front"

static struct digest_name by(enum digest_kind kind, unsigned int seed)
{
	return name_of(kind, seed);
}

static struct store_info told(struct store *store, unsigned int seed, const void *front, size_t len)
{
	struct digest_pair digests = pair_of(seed);
	struct store_info info;

	assert_int_equal(store_create_pair(store, &digests, SIZE, false, front, len, &info), 0);
	return info;
}

static void test_known_by_both(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct digest_name sha256 = by(DIGEST_SHA256, 1), fsverity = by(DIGEST_FSVERITY, 1);
	struct store_info info = told(store, 1, NULL, 0), same;

	assert_true(info.told && info.lacks_front && info.name.kind == DIGEST_FSVERITY);
	assert_int_equal(store_lookup(store, &sha256, &same), 0);
	assert_int_equal(same.id, info.id);
	assert_int_equal(store_lookup(store, &fsverity, &same), 0);
	assert_int_equal(same.id, info.id);
	/* Its front comes, with the next who tells. */
	same = told(store, 1, FRONT, sizeof(FRONT));
	assert_int_equal(same.id, info.id);
	assert_false(same.lacks_front);
	store_close(store);
	store = open_store(*state, BOOT_A);
	assert_int_equal(store_lookup(store, &sha256, &same), 0);
	assert_true(same.told && !same.lacks_front);
	store_close(store);
}

static void test_what_is_here_learns_the_other(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct digest_name sha256 = by(DIGEST_SHA256, 2), fsverity = by(DIGEST_FSVERITY, 2);
	struct store_info first, info;

	assert_int_equal(store_create(store, &fsverity, SIZE, FRONT, sizeof(FRONT), &first), 0);
	info = told(store, 2, NULL, 0);
	assert_int_equal(info.id, first.id);
	assert_true(info.told && info.digests.has_sha256 && !info.lacks_front);
	assert_int_equal(store_lookup(store, &sha256, &info), 0);
	assert_int_equal(info.id, first.id);
	store_close(store);
}

static void test_what_was_only_received_goes(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct digest_name sha256 = by(DIGEST_SHA256, 3);
	struct store_object *object;
	struct store_info first, info;

	assert_int_equal(store_create(store, &sha256, SIZE, NULL, 0, &first), 0);
	assert_int_equal(store_object_open(store, first.id, &object), 0);
	assert_int_equal(store_object_pin(object, true), 0);
	/* Not while it is open: somebody may be putting. */
	info = told(store, 3, NULL, 0);
	assert_int_equal(info.id, first.id);
	assert_false(info.digests.has_fsverity);
	store_object_close(object);
	info = told(store, 3, NULL, 0);
	assert_true(info.id != first.id && info.digests.has_fsverity && info.pinned);
	assert_int_equal(store_get(store, first.id, &first), -ENOENT);
	store_close(store);
}

static void test_who_was_hashed_knows_better(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct digest_pair wrong = pair_of(4);
	struct store_info info;

	told(store, 4, NULL, 0);
	wrong.fsverity = by(DIGEST_FSVERITY, 5).digest;
	assert_int_equal(store_create_pair(store, &wrong, SIZE, false, NULL, 0, &info), -EINVAL);
	store_close(store);
}

static void test_an_audit_ends_being_told(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct digest_pair digests = pair_of(6), own;
	struct digest other = by(DIGEST_SHA256, 7).digest;
	struct store_info info = told(store, 6, FRONT, sizeof(FRONT));
	struct store_object *object;

	own = info.digests;
	assert_int_equal(store_object_open(store, info.id, &object), 0);
	put_all(object, 6);
	assert_int_equal(store_object_finish(object, &own, FRONT, sizeof(FRONT)), 0);
	store_object_info(object, &info);
	assert_true(info.complete && info.told);
	assert_int_equal(store_object_set_sha256(object, &other), -EINVAL);
	assert_int_equal(store_object_set_sha256(object, &digests.sha256), 0);
	store_object_info(object, &info);
	assert_false(info.told);
	store_object_close(object);
	store_close(store);
}

/* A view fetched it with a credential; others may have what there is of it without. */
static void test_gated_gives_nothing_to_who_has_it_open(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct digest_name sha256 = by(DIGEST_SHA256, 8);
	struct digest_pair alone = digest_pair_of(&sha256), digests = pair_of(8);
	struct store_object *theirs, *own;
	struct store_info before, info;
	struct store_usage usage;

	assert_int_equal(store_create(store, &sha256, SIZE, NULL, 0, &before), 0);
	assert_int_equal(store_object_open(store, before.id, &theirs), 0);
	assert_int_equal(store_separate_new(store, &alone, SIZE, &own), 0);
	put_all(own, 8);
	assert_int_equal(store_object_finish(own, &digests, FRONT, sizeof(FRONT)), 0);
	assert_int_equal(store_separate_publish(own, 5, true, FRONT, sizeof(FRONT), &info), 0);
	assert_true(info.gated && info.complete && info.id != before.id);
	assert_false(store_object_complete(theirs));
	store_usage(store, &usage);
	assert_int_equal(usage.gated, SIZE);
	assert_int_equal(usage.gated_objects, 1);
	store_object_close(own);
	store_object_close(theirs);
	store_close(store);
	store = open_store(*state, BOOT_A);
	assert_int_equal(store_lookup(store, &sha256, &info), 0);
	assert_true(info.gated);
	store_usage(store, &usage);
	assert_int_equal(usage.gated, SIZE);
	store_close(store);
}

static void test_a_claimed_size(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct digest_name sha256 = by(DIGEST_SHA256, 8);
	struct digest_pair digests = digest_pair_of(&sha256);
	struct store_object *object;
	struct store_info info, same;

	assert_int_equal(store_create_claimed(store, &digests, SIZE, false, &info), 0);
	assert_true(info.claimed);
	/* What is here is not made anew, and a size that came later is claimed, too. */
	assert_int_equal(store_create(store, &sha256, SIZE + 1, NULL, 0, &same), 0);
	assert_true(same.claimed && same.id == info.id && same.size == SIZE);
	assert_int_equal(store_object_open(store, info.id, &object), 0);
	assert_int_equal(store_object_resize(object, SIZE + 1), 0);
	store_object_close(object);
	store_close(store);
	store = open_store(*state, BOOT_B);
	assert_int_equal(store_lookup(store, &sha256, &same), 0);
	assert_true(same.claimed && same.size == SIZE + 1);
	sha256 = by(DIGEST_SHA256, 9);
	assert_int_equal(store_create(store, &sha256, SIZE, NULL, 0, &info), 0);
	assert_false(info.claimed);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_claimed_size, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_known_by_both, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_what_is_here_learns_the_other, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_what_was_only_received_goes, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_who_was_hashed_knows_better, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_an_audit_ends_being_told, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_gated_gives_nothing_to_who_has_it_open, setup_directory,
						teardown_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
