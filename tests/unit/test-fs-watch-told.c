/* SPDX-License-Identifier: Apache-2.0 */
/* When a change is told: once it is whole, and whatever else is not. */
#include "tests/unit/watch-testing.h"

/* Nobody is told to read half of a file. */
static void test_half_written(void **state)
{
	struct watch *watch = watch_of("etc/policy");
	int fd = begin_file("etc/policy", O_TRUNC);

	expect_nothing(watch);
	assert_int_equal(write(fd, "more\n", 5), 5);
	expect_nothing(watch);
	close(fd);
	expect_change(watch, "etc/policy");
	/* A new one, too, of which nothing is written yet. */
	take_away("etc/policy");
	expect_change(watch, "etc/policy");
	fd = open(in("etc/policy"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	expect_nothing(watch);
	close(fd);
	expect_change(watch, "etc/policy");
	watch_free(watch);
}

static void test_never_closed(void **state)
{
	struct watch *watch = watch_of("etc/policy");
	int fd = begin_file("etc/policy", O_TRUNC);

	expect_change(watch, "etc/policy");
	/* That was the end of waiting for this close; it is a change of its own. */
	close(fd);
	expect_change(watch, "etc/policy");
	expect_nothing(watch);
	watch_free(watch);
}

/* Nor does it keep back what else has changed; and half of it is told again, sooner if it was no good. */
static void test_slow_writer(void **state)
{
	char policy[PATH_MAX], list[PATH_MAX];
	const char *both[] = { strcpy(policy, in("etc/policy")), strcpy(list, in("etc/list")) };
	struct watch *watch = watch_of("etc/policy");
	int fd = begin_file("etc/list", O_TRUNC);

	assert_true(watch_set(watch, both, 2));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(write(fd, "more\n", 5), 5);
		expect_nothing(watch);
		put_file("etc/policy.new");
		move("etc/policy.new", "etc/policy");
		/* Not after a second, in which this would be told anyway. */
		assert_int_equal(wait_for(watch, 900), WATCH_CHANGED);
		(void)!watch_set(watch, both, 2);
	}
	watch_failed(watch);
	assert_int_equal(write(fd, "more\n", 5), 5);
	assert_int_equal(wait_for(watch, 900), WATCH_CHANGED);
	assert_int_equal(write(fd, "more\n", 5), 5);
	expect_nothing(watch);
	close(fd);
	assert_int_equal(wait_for(watch, LONG_MS), WATCH_CHANGED);
	expect_nothing(watch);
	watch_free(watch);
}

/* What was taken away is not there anew before it is written. */
static void test_made_anew_slowly(void **state)
{
	struct watch *watch = watch_of("etc/policy");
	int fd;

	move("etc/policy", "etc/policy~");
	fd = begin_file("etc/policy", O_TRUNC);
	expect_nothing(watch);
	close(fd);
	expect_change(watch, "etc/policy");
	watch_free(watch);
}

static void test_many_changes_are_one(void **state)
{
	struct watch *watch = watch_of("etc/policy");

	for (int i = 0; i < 100; i++)
		write_and_expect("etc/policy", watch, "etc/policy");
	expect_nothing(watch);
	watch_free(watch);
}

/* What is woken for keeps the change for the next call. */
static void test_woken(void **state)
{
	struct watch *watch = watch_of("etc/policy");
	int wake = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	put_file("etc/policy");
	assert_int_equal(watch_wait(watch, wake), WATCH_WOKEN);
	assert_int_equal(watch_wait(watch, wake), WATCH_CHANGED);
	close(wake);
	watch_free(watch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(test_half_written),
		IN_A_FOLDER(test_never_closed),
		IN_A_FOLDER(test_slow_writer),
		IN_A_FOLDER(test_made_anew_slowly),
		IN_A_FOLDER(test_many_changes_are_one),
		IN_A_FOLDER(test_woken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
