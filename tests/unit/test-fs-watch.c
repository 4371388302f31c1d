/* SPDX-License-Identifier: Apache-2.0 */
/* Watching paths: every way in which a file becomes another one is a change, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include "common/clock.h"
#include "fs/watch.h"

#define LONG_MS	 10000 /* for what has to come */
#define SHORT_MS 150   /* for what must not */

static char base[PATH_MAX];

/* ---- files, by their paths below the test's folder ---- */

static const char *in(const char *path)
{
	static char whole[4][PATH_MAX];
	static unsigned int turn;

	turn = (turn + 1) % ARRAY_SIZE(whole);
	snprintf(whole[turn], PATH_MAX, "%.2000s/%s", base, path);
	return whole[turn];
}

static int begin_file(const char *path, int flags)
{
	int fd = open(in(path), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "text\n", 5), 5);
	return fd;
}

static void put_file(const char *path)
{
	close(begin_file(path, O_TRUNC));
}

static void put_folder(const char *path)
{
	assert_int_equal(mkdir(in(path), 0700), 0);
}

static void put_link(const char *path, const char *target)
{
	assert_int_equal(symlink(target, in(path)), 0);
}

static void move(const char *from, const char *to)
{
	assert_int_equal(rename(in(from), in(to)), 0);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void take_away(const char *path)
{
	assert_int_equal(nftw(in(path), remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* ---- a watch ---- */

static struct watch *watch_of(const char *path)
{
	const char *paths[] = { in(path) };
	struct watch *watch;

	assert_int_equal(watch_new(&watch), 0);
	assert_true(watch_set(watch, paths, 1));
	assert_false(watch_set(watch, paths, 1));
	return watch;
}

static enum watch_reason wait_for(struct watch *watch, int64_t ms)
{
	const struct itimerspec in_time = { .it_value = { ms / 1000, ms % 1000 * 1000000 } };
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	enum watch_reason why;

	assert_true(timer >= 0);
	assert_int_equal(timerfd_settime(timer, 0, &in_time, NULL), 0);
	why = watch_wait(watch, timer);
	close(timer);
	return why;
}

/* Of PATH; then as somebody does who has read it anew. True: there was something new to be watched. */
static bool expect_change(struct watch *watch, const char *path)
{
	const char *paths[] = { in(path) };
	bool anew;

	assert_int_equal(wait_for(watch, LONG_MS), WATCH_CHANGED);
	anew = watch_set(watch, paths, 1);
	assert_false(anew && watch_set(watch, paths, 1));
	return anew;
}

static void write_and_expect(const char *written, struct watch *watch, const char *path)
{
	put_file(written);
	expect_change(watch, path);
}

static void expect_nothing(struct watch *watch)
{
	assert_int_equal(wait_for(watch, SHORT_MS), WATCH_WOKEN);
}

static int setup(void **state)
{
	char made[] = "/tmp/weightfs-watch-XXXXXX";

	if (!mkdtemp(made) || !realpath(made, base))
		return -1;
	put_folder("etc");
	put_file("etc/policy");
	return 0;
}

static int teardown(void **state)
{
	take_away("");
	return 0;
}

/* ---- ways to change a file ---- */

static void test_in_place(void **state)
{
	struct watch *watch = watch_of("etc/policy");

	write_and_expect("etc/policy", watch, "etc/policy");
	close(begin_file("etc/policy", O_APPEND));
	expect_change(watch, "etc/policy");
	assert_int_equal(truncate(in("etc/policy"), 1), 0);
	expect_change(watch, "etc/policy");
	assert_int_equal(chmod(in("etc/policy"), 0000), 0);
	assert_false(expect_change(watch, "etc/policy"));
	expect_nothing(watch);
	watch_free(watch);
}

/* The second time it is another file, which is watched as well. */
static void test_replaced(void **state)
{
	struct watch *watch = watch_of("etc/policy");

	for (int i = 0; i < 3; i++) {
		put_file("etc/policy.new");
		move("etc/policy.new", "etc/policy");
		expect_change(watch, "etc/policy");
		write_and_expect("etc/policy", watch, "etc/policy");
	}
	/* As some editors: the old one becomes a backup. */
	move("etc/policy", "etc/policy~");
	write_and_expect("etc/policy", watch, "etc/policy");
	put_file("etc/policy~");
	expect_nothing(watch);
	watch_free(watch);
}

static void test_gone_and_back(void **state)
{
	struct watch *watch = watch_of("etc/policy");

	take_away("etc/policy");
	expect_change(watch, "etc/policy");
	write_and_expect("etc/policy", watch, "etc/policy");
	take_away("etc");
	expect_change(watch, "etc/policy");
	put_folder("etc");
	for (int i = 0; i < 2; i++) {
		write_and_expect("etc/policy", watch, "etc/policy");
	}
	watch_free(watch);
}

static void test_not_there_yet(void **state)
{
	struct watch *watch = watch_of("new/deep/policy");

	put_folder("new");
	assert_true(expect_change(watch, "new/deep/policy"));
	put_folder("new/deep");
	expect_change(watch, "new/deep/policy");
	for (int i = 0; i < 2; i++) {
		write_and_expect("new/deep/policy", watch, "new/deep/policy");
	}
	watch_free(watch);
}

static void test_folder_replaced(void **state)
{
	struct watch *watch;

	put_folder("other");
	put_file("other/policy");
	watch = watch_of("etc/policy");
	move("etc", "old");
	move("other", "etc");
	assert_true(expect_change(watch, "etc/policy"));
	put_file("old/policy");
	expect_nothing(watch);
	write_and_expect("etc/policy", watch, "etc/policy");
	watch_free(watch);
}

/* Its bytes may be changed through another name. */
static void test_other_name(void **state)
{
	struct watch *watch;

	put_folder("elsewhere");
	assert_int_equal(link(in("etc/policy"), in("elsewhere/twin")), 0);
	watch = watch_of("etc/policy");
	write_and_expect("elsewhere/twin", watch, "etc/policy");
	watch_free(watch);
}

static void test_links(void **state)
{
	struct watch *watch;

	put_folder("a");
	put_folder("b");
	put_file("a/rules");
	put_file("b/rules");
	put_link("etc/link", "../a/rules");
	watch = watch_of("etc/link");
	write_and_expect("a/rules", watch, "etc/link");
	/* Replaced where it really is. */
	put_file("a/rules.new");
	move("a/rules.new", "a/rules");
	expect_change(watch, "etc/link");
	/* The link leads elsewhere. */
	put_file("b/rules");
	expect_nothing(watch);
	put_link("etc/link.new", "../b/rules");
	move("etc/link.new", "etc/link");
	expect_change(watch, "etc/link");
	write_and_expect("b/rules", watch, "etc/link");
	put_file("a/rules");
	expect_nothing(watch);
	watch_free(watch);
}

/* As Kubernetes does: the file is a link into a link to a folder, and that is switched. */
static void test_link_to_a_folder(void **state)
{
	struct watch *watch;

	put_folder("etc/..1");
	put_folder("etc/..2");
	put_file("etc/..1/rules");
	put_file("etc/..2/rules");
	put_link("etc/..data", "..1");
	put_link("etc/rules", "..data/rules");
	watch = watch_of("etc/rules");
	put_link("etc/..data_tmp", "..2");
	move("etc/..data_tmp", "etc/..data");
	expect_change(watch, "etc/rules");
	write_and_expect("etc/..2/rules", watch, "etc/rules");
	take_away("etc/..1");
	expect_nothing(watch);
	watch_free(watch);
}

static void test_links_that_lead_nowhere(void **state)
{
	struct watch *watch;
	char deep[PATH_MAX + 10];
	const char *paths[] = { deep };

	put_link("etc/round", "about");
	put_link("etc/about", "round");
	put_link("etc/dangling", "/no/such/place");
	watch = watch_of("etc/round");
	take_away("etc/about");
	write_and_expect("etc/about", watch, "etc/round");
	watch_free(watch);
	watch = watch_of("etc/dangling");
	take_away("etc/dangling");
	expect_change(watch, "etc/dangling");
	/* What is too long for a path is no path, and no harm. */
	memset(deep, 'x', sizeof(deep));
	deep[0] = '/';
	deep[sizeof(deep) - 1] = '\0';
	assert_false(watch_set(watch, paths, 1));
	watch_free(watch);
}

/* ---- folders, and what does not matter ---- */

static void test_a_folder_gains_and_loses(void **state)
{
	struct watch *watch;

	put_folder("policy.d");
	watch = watch_of("policy.d");
	for (int i = 0; i < 2; i++) {
		write_and_expect("policy.d/10.rules", watch, "policy.d");
	}
	move("policy.d/10.rules", "policy.d/20.rules");
	expect_change(watch, "policy.d");
	take_away("policy.d/20.rules");
	expect_change(watch, "policy.d");
	take_away("policy.d");
	put_folder("policy.d");
	expect_change(watch, "policy.d");
	write_and_expect("policy.d/30.rules", watch, "policy.d");
	watch_free(watch);
}

static void test_neighbours_do_not_matter(void **state)
{
	struct watch *watch = watch_of("etc/policy");
	int fd;

	put_file("etc/policy.new");
	put_file("other");
	put_folder("etc/folder");
	take_away("etc/policy.new");
	assert_true((fd = open(in("etc/policy"), O_RDONLY | O_CLOEXEC)) >= 0);
	close(fd);
	expect_nothing(watch);
	watch_free(watch);
}

/* ---- when it is told ---- */

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

/* ---- what is watched ---- */

static void test_other_paths(void **state)
{
	const char *both[] = { in("etc/policy"), in("etc/list") }, *one[] = { in("etc/list") };
	struct watch *watch = watch_of("etc/policy");

	assert_true(watch_set(watch, both, 2));
	assert_false(watch_set(watch, both, 2));
	put_file("etc/list");
	assert_int_equal(wait_for(watch, LONG_MS), WATCH_CHANGED);
	/* The file is watched, too, now that it is there. */
	assert_true(watch_set(watch, both, 2));
	assert_false(watch_set(watch, both, 2));
	/* What is left out is not watched any more. */
	assert_false(watch_set(watch, one, 1));
	put_file("etc/policy");
	expect_nothing(watch);
	put_file("etc/list");
	assert_int_equal(wait_for(watch, LONG_MS), WATCH_CHANGED);
	watch_free(watch);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(test_in_place),
		IN_A_FOLDER(test_replaced),
		IN_A_FOLDER(test_gone_and_back),
		IN_A_FOLDER(test_not_there_yet),
		IN_A_FOLDER(test_folder_replaced),
		IN_A_FOLDER(test_other_name),
		IN_A_FOLDER(test_links),
		IN_A_FOLDER(test_link_to_a_folder),
		IN_A_FOLDER(test_links_that_lead_nowhere),
		IN_A_FOLDER(test_a_folder_gains_and_loses),
		IN_A_FOLDER(test_neighbours_do_not_matter),
		IN_A_FOLDER(test_half_written),
		IN_A_FOLDER(test_never_closed),
		IN_A_FOLDER(test_many_changes_are_one),
		IN_A_FOLDER(test_woken),
		IN_A_FOLDER(test_other_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
