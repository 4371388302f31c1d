/* SPDX-License-Identifier: Apache-2.0 */
/* Watching paths: every way in which a file becomes another one is a change, and nothing else is. */
#include "tests/unit/watch-testing.h"

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
	for (int i = 0; i < 2; i++)
		write_and_expect("etc/policy", watch, "etc/policy");
	watch_free(watch);
}

static void test_not_there_yet(void **state)
{
	struct watch *watch = watch_of("new/deep/policy");

	put_folder("new");
	assert_true(expect_change(watch, "new/deep/policy"));
	put_folder("new/deep");
	expect_change(watch, "new/deep/policy");
	for (int i = 0; i < 2; i++)
		write_and_expect("new/deep/policy", watch, "new/deep/policy");
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
	for (int i = 0; i < 2; i++)
		write_and_expect("policy.d/10.rules", watch, "policy.d");
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
		IN_A_FOLDER(test_other_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
