/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of users: there again after a close, a kill, and any damage of the database; never there again once they were
 * taken back or are over; and of a file that was changed by anybody else none counts.
 */
#include "grants-testing.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static int64_t now; /* 0: what it is */

time_t __real_time(time_t *out);
time_t __wrap_time(time_t *out);

time_t __wrap_time(time_t *out)
{
	time_t value = now ? (time_t)now : __real_time(NULL);

	if (out)
		*out = value;
	return value;
}

static int failing;	/* an errno: so does each sync */
static unsigned int synced;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
	synced++;
	errno = failing;
	return failing ? -1 : __real_fsync(fd);
}

static void test_put_and_drop(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	size_t dropped;

	assert_int_equal(count(store, 7), 0);
	put(store, 7, WEB, 1, false);
	put(store, 7, OTHER, 1, true);
	put(store, 8, WEB, 1, true);
	put(store, 7, WEB, 2, false);
	store_close(store);
	store = open_store(*state, BOOT_B);
	assert_int_equal(answer(store, 7, WEB, 1), 'g');
	assert_int_equal(answer(store, 7, OTHER, 1), 'r');
	assert_int_equal(answer(store, 8, WEB, 1), 'r');
	assert_int_equal(answer(store, 9, WEB, 1), '-');
	/* The later one counts. */
	put(store, 7, WEB, 1, true);
	assert_int_equal(answer(store, 7, WEB, 1), 'r');
	assert_int_equal(count(store, 7), 3);
	assert_int_equal(drop(store, 7, WEB, 1), 1);
	assert_int_equal(drop(store, 7, WEB, 1), 0);
	assert_int_equal(answer(store, 7, WEB, 1), '-');
	assert_int_equal(answer(store, 8, WEB, 1), 'r');
	put(store, 7, WEB, 3, false);
	assert_int_equal(store_grant_drop(store, 7, WEB, NULL, &dropped), 0);
	assert_int_equal(dropped, 2);
	assert_int_equal(count(store, 7), 1);
	store_close(store);
	store = open_store(*state, BOOT_B);
	assert_int_equal(answer(store, 7, OTHER, 1), 'r');
	assert_int_equal(count(store, 7), 1);
	store_close(store);
}

static void test_all_that_an_answer_says(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_grant of_set = grant_of(7, WEB, 0), of_digest = grant_of(7, OTHER, 5), *grants;
	size_t n;

	strcpy(of_set.about.set, "public");
	of_set.made = 4000000000;
	of_digest.about.digest = name_of(DIGEST_FSVERITY, 5);
	of_digest.refused = true;
	of_digest.until = INT64_MAX;
	assert_int_equal(store_grant_put(store, &of_set), 0);
	assert_int_equal(store_grant_put(store, &of_digest), 0);
	assert_int_equal(store_grants(store, 7, &grants, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(grants[0].about.set, "public");
	assert_string_equal(grants[0].origin, WEB);
	assert_int_equal(grants[0].made, 4000000000);
	assert_int_equal(grants[0].until, 0);
	assert_false(grants[0].refused);
	assert_string_equal(grants[1].about.set, "");
	assert_int_equal(grants[1].about.digest.kind, DIGEST_FSVERITY);
	assert_true(digest_equal(&grants[1].about.digest.digest, &of_digest.about.digest.digest));
	assert_int_equal(grants[1].until, INT64_MAX);
	assert_true(grants[1].refused);
	free(grants);
	store_close(store);
}

/* What would be another line, or another word of it, is none. */
static void test_names_that_cannot_be(void **state)
{
	static const char *const origins[] = {"", "a b", "a\nb", "a\tb", "\x7f", "\xc3\xa4"};
	struct store *store = open_store(*state, BOOT_A);
	struct store_grant grant;

	for (size_t i = 0; i < ARRAY_SIZE(origins); i++) {
		grant = grant_of(7, origins[i], 1);
		assert_int_equal(store_grant_put(store, &grant), -EINVAL);
	}
	grant = grant_of(7, WEB, 1);
	strcpy(grant.about.set, "a set");
	assert_int_equal(store_grant_put(store, &grant), -EINVAL);
	memset(grant.about.set, 'a', sizeof(grant.about.set));
	assert_int_equal(store_grant_put(store, &grant), -EINVAL);
	grant = grant_of(7, WEB, 1);
	memset(grant.origin, 'a', sizeof(grant.origin));
	assert_int_equal(store_grant_put(store, &grant), -EINVAL);
	assert_int_equal(count(store, 7), 0);
	store_close(store);
}

static void test_users(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	uid_t *uids;
	size_t n;

	assert_int_equal(store_grant_users(store, &uids, &n), 0);
	assert_int_equal(n, 0);
	free(uids);
	for (uid_t uid = 0; uid < 100; uid++)
		put(store, uid, WEB, uid, false);
	put(store, UINT32_MAX - 1, WEB, 1, false);
	assert_int_equal(store_grant_users(store, &uids, &n), 0);
	assert_int_equal(n, 101);
	free(uids);
	store_close(store);
}

static void test_as_many_as_there_may_be(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_grant last = grant_of(7, WEB, STORE_GRANTS_MAX);

	put(store, 7, WEB, 0, false); /* makes the folder */
	write_answers(*state, STORE_GRANTS_MAX - 1);
	assert_int_equal(count(store, 7), STORE_GRANTS_MAX - 1);
	put(store, 7, WEB, STORE_GRANTS_MAX - 1, false);
	assert_int_equal(store_grant_put(store, &last), -E2BIG);
	put(store, 7, WEB, 5, true);
	assert_int_equal(count(store, 7), STORE_GRANTS_MAX);
	assert_int_equal(answer(store, 7, WEB, 5), 'r');
	assert_int_equal(drop(store, 7, WEB, 9), 1);
	assert_int_equal(store_grant_put(store, &last), 0);
	put(store, 8, WEB, 1, false);
	store_close(store);
}

/* The bytes, then the name. */
static void test_all_is_synced(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_grant grant = grant_of(7, WEB, 1);
	size_t dropped = 99;

	synced = 0;
	put(store, 7, WEB, 1, false);
	assert_int_equal(synced, 2);
	assert_int_equal(drop(store, 7, WEB, 2), 0);
	assert_int_equal(synced, 2);
	assert_int_equal(drop(store, 7, WEB, 1), 1);
	assert_int_equal(synced, 4);
	failing = EIO;
	assert_int_equal(store_grant_put(store, &grant), -EIO);
	failing = 0;
	assert_int_equal(answer(store, 7, WEB, 1), '-');
	assert_int_equal(count_files(*state), 0); /* nothing is left in tmp/ */
	/* A no holds all the same, until another answer could be written, with all before. */
	put(store, 7, WEB, 1, false);
	put(store, 7, WEB, 2, false);
	failing = EIO;
	grant.refused = true;
	assert_int_equal(store_grant_put(store, &grant), -EIO);
	assert_int_equal(answer(store, 7, WEB, 1), 'r');
	assert_int_equal(store_grant_drop(store, 7, WEB, NULL, &dropped), -EIO);
	assert_int_equal(dropped, 99);
	assert_int_equal(count(store, 7), 0);
	grant.refused = false;
	assert_int_equal(store_grant_put(store, &grant), -EIO);
	failing = 0;
	assert_int_equal(count(store, 7), 0);
	put(store, 7, OTHER, 3, false);
	store_close(store);
	store = open_store(*state, BOOT_A);
	assert_int_equal(count(store, 7), 1);
	assert_int_equal(answer(store, 7, OTHER, 3), 'g');
	store_close(store);
}

/* Where no new file can be written a no is written over the old one, a yes is not. */
static void test_no_room_for_another_file(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_grant grant = grant_of(7, WEB, 3);
	char in_the_way[300];

	put(store, 7, WEB, 1, false);
	put(store, 7, WEB, 2, false);
	snprintf(in_the_way, sizeof(in_the_way), "%s/tmp/grants-7", (char *)*state);
	assert_int_equal(mkdir(in_the_way, 0700), 0);
	assert_int_equal(store_grant_put(store, &grant), -EISDIR);
	put(store, 7, WEB, 2, true);
	assert_int_equal(drop(store, 7, WEB, 1), 1);
	assert_int_equal(count(store, 7), 1);
	store_close(store);
	store = open_store(*state, BOOT_A);
	assert_int_equal(count(store, 7), 1);
	assert_int_equal(answer(store, 7, WEB, 2), 'r');
	store_close(store);
}

/* ---- the clock ---- */

static void test_what_is_over_is_gone_for_good(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	struct store_grant grant = grant_of(7, WEB, 1);

	now = 1000;
	grant.until = 2000;
	assert_int_equal(store_grant_put(store, &grant), 0);
	now = 1999;
	put(store, 7, WEB, 2, false);
	assert_int_equal(answer(store, 7, WEB, 1), 'g');
	/* By another clock, whatever the wall clock says. */
	grant.until = 2001;
	assert_int_equal(store_grant_end(store, &grant), 0);
	assert_int_equal(answer(store, 7, WEB, 1), 'g'); /* that one is not there */
	grant.until = 2000;
	assert_int_equal(store_grant_end(store, &grant), 0);
	now = 1500; /* somebody sets the clock back */
	assert_int_equal(answer(store, 7, WEB, 1), '-');
	assert_int_equal(answer(store, 7, WEB, 2), 'g');
	store_close(store);
	store = open_store(*state, BOOT_A);
	assert_int_equal(answer(store, 7, WEB, 1), '-');
	/* Any other write does the same. */
	assert_int_equal(store_grant_put(store, &grant), 0);
	now = 2001;
	put(store, 7, WEB, 3, false);
	now = 1500;
	assert_int_equal(answer(store, 7, WEB, 1), '-');
	store_close(store);
	now = 0;
}

/* ---- damage ---- */

/* What was granted is so, and what was taken back is not, whatever of the database is lost. */
static void test_damage_of_the_database(void **state)
{
	for (enum damage how = 0; how < DAMAGES; how++) {
		char *path = make_directory();
		struct store *store = open_store(path, BOOT_A);

		put(store, 7, WEB, 1, false);
		put(store, 7, WEB, 2, false);
		put(store, 7, WEB, 3, true);
		store_close(store);
		(void)fill_store(path);
		store = open_store(path, BOOT_A);
		assert_int_equal(drop(store, 7, WEB, 2), 1);
		store_close(store);
		damage(path, how);
		for (int i = 0; i < 2; i++) {
			store = open_store(path, BOOT_A);
			assert_int_equal(answer(store, 7, WEB, 1), 'g');
			assert_int_equal(answer(store, 7, WEB, 2), '-');
			assert_int_equal(answer(store, 7, WEB, 3), 'r');
			store_close(store);
		}
		remove_tree(path);
		free(path);
	}
}

/* Every byte changed, and the file cut everywhere: nothing counts, and it can be written again. */
static void test_damage_of_the_answers(void **state)
{
	struct store *store = open_store(*state, BOOT_A);
	char path[300], aside[320], text[4096];
	size_t len;
	FILE *file;

	put(store, 7, WEB, 1, false);
	put(store, 7, OTHER, 2, true);
	snprintf(path, sizeof(path), "%s/grants/7", (char *)*state);
	snprintf(aside, sizeof(aside), "%s.damaged", path);
	file = fopen(path, "r");
	assert_non_null(file);
	len = fread(text, 1, sizeof(text), file);
	fclose(file);
	assert_true(len > 150);
	for (size_t i = 0; i < 2 * len; i++) {
		if (i < len) {
			text[i] ^= i % 2 ? 1 : 0x20;
			write_file(path, text, len);
			text[i] ^= i % 2 ? 1 : 0x20;
		} else {
			write_file(path, text, i - len);
		}
		assert_int_equal(count(store, 7), 0);
		assert_int_equal(access(path, F_OK), -1);
		assert_int_equal(unlink(aside), 0);
	}
	write_file(path, text, len);
	assert_int_equal(count(store, 7), 2);
	write_file(path, "", 0);
	put(store, 7, WEB, 3, false);
	assert_int_equal(count(store, 7), 1);
	store_close(store);
}

/* ---- killed ---- */

/* Answers until it is killed; one byte is written for each that was acknowledged. */
static _Noreturn void answer_for_ever(const char *path, int journal)
{
	struct store *store = open_store(path, BOOT_A);

	for (unsigned int turn = 0;; turn++) {
		unsigned int seed = turn % 4;
		char what = "grd"[turn / 4 % 3], entry[2] = {what, (char)seed};

		if (what == 'd')
			(void)drop(store, 7, WEB, seed);
		else
			put(store, 7, WEB, seed, what == 'r');
		if (write(journal, entry, 2) != 2)
			_exit(1);
	}
}

/* What was acknowledged last holds for each object, or the one that was under way does. */
static void test_killed(void **state)
{
	enum { ROUNDS = 12 };

	for (int round = 0; round < ROUNDS; round++) {
		char *path = make_directory(), entry[2], last[4] = "----", found[4];
		unsigned int acknowledged = 0, differ = 0;
		int status, ends[2];
		pid_t child;

		assert_int_equal(pipe(ends), 0);
		child = fork();
		if (child == 0)
			answer_for_ever(path, ends[1]);
		close(ends[1]);
		while (acknowledged < 10 + (unsigned int)round * 3 && read(ends[0], entry, 2) == 2) {
			last[(int)entry[1]] = entry[0] == 'd' ? '-' : entry[0];
			acknowledged++;
		}
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		while (read(ends[0], entry, 2) == 2) {
			last[(int)entry[1]] = entry[0] == 'd' ? '-' : entry[0];
			acknowledged++;
		}
		close(ends[0]);
		/* A child looks: threads of RocksDB do not survive a fork. */
		child = fork();
		if (child == 0) {
			struct store *store = open_store(path, BOOT_A);

			for (unsigned int seed = 0; seed < 4; seed++) {
				found[seed] = answer(store, 7, WEB, seed);
				differ += found[seed] != last[seed] && seed != acknowledged % 4;
			}
			store_close(store);
			_exit(differ ? 1 : 0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		remove_tree(path);
		free(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed), /* first: it forks */
		cmocka_unit_test_setup_teardown(test_put_and_drop, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_all_that_an_answer_says, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_names_that_cannot_be, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_users, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_as_many_as_there_may_be, setup_directory,
						teardown_directory),
		cmocka_unit_test_setup_teardown(test_all_is_synced, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_no_room_for_another_file, setup_directory, teardown_directory),
		cmocka_unit_test_setup_teardown(test_what_is_over_is_gone_for_good, setup_directory,
						teardown_directory),
		cmocka_unit_test(test_damage_of_the_database),
		cmocka_unit_test_setup_teardown(test_damage_of_the_answers, setup_directory, teardown_directory),
	};

	return cmocka_run_group_tests_name("grants in the store", tests, NULL, NULL);
}
