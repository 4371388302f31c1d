/* SPDX-License-Identifier: Apache-2.0 */
/* In which cgroup and unit is a process, and whose word is that? */
#include "tests/unit/caller-trees.h"

#include <errno.h>
#include "fs/origins/cgroup.h"

static int begin(void **state)
{
	remove_tree("cgroup");
	return 0;
}

static int result;

/* The cgroup by TEXT, or the name of an error. */
static const char *named(const char *text)
{
	static char path[CGROUP_PATH_SIZE];

	strcpy(path, "untouched");
	result = cgroup_of("cgroup", geteuid(), text, path);
	if (result < 0)
		assert_string_equal(path, "untouched");
	return result == 0 ? path : strerrorname_np(-result);
}

static const char *unit_of(const char *path)
{
	static char unit[CGROUP_UNIT_SIZE];

	return cgroup_unit(path, unit) ? unit : "none";
}

static void test_version_2(void **state)
{
	put_version_2("cgroup");
	put_group("cgroup/system.slice/translator.service");
	put_group("cgroup/unified/trap");
	put_group("cgroup/systemd/trap");
	assert_string_equal(named("0::/system.slice/translator.service\n"),
			    "/system.slice/translator.service");
	assert_string_equal(named("0::/\n"), "/");
	/* A named hierarchy beside it does not count. */
	assert_string_equal(named("1:name=systemd:/trap\n0::/system.slice\n"), "/system.slice");
	assert_string_equal(named("1:name=systemd:/trap\n"), "ENXIO");
	assert_string_equal(named("0::/system.slice/gone.service\n"), "ENOENT");
}

static void test_version_1(void **state)
{
	put_group("cgroup/systemd/system.slice/a.service");
	put_group("cgroup/memory/m");
	put_group("cgroup/pids/p");
	put_group("cgroup/cpu,cpuacct/c");
	put_group("cgroup/unified/trap"); /* not mounted */
	assert_string_equal(named("9:pids:/p\n1:name=systemd:/system.slice/a.service\n0::/trap\n"),
			    "/system.slice/a.service");
	/* One hierarchy names all processes: not the one in which this process has a name. */
	assert_string_equal(named("9:pids:/p\n1:name=systemd:/\n"), "/");
	assert_string_equal(named("4:memory:/m\n9:pids:/\n3:cpu,cpuacct:/c\n"), "/");
	assert_string_equal(named("4:memory:/m\n9:pids:/p\n"), "/p");
	assert_string_equal(named("9:pids:/p\n4:memory:/m\n"), "/p");
	assert_string_equal(named("4:memory:/m\n3:cpu,cpuacct:/c\n"), "/m");
	assert_string_equal(named("5:net_cls,net_prio:/x\n3:cpu,cpuacct:/c\n2:name=elogind:/e\n"), "/c");
	/* None of those that name processes; or not where it should be. */
	assert_string_equal(named("5:net_cls,net_prio:/x\n2:name=elogind:/e\n"), "ENXIO");
	assert_string_equal(named("8:freezer:/\n"), "ENXIO");
	assert_string_equal(named(""), "ENXIO");
}

static void test_hybrid(void **state)
{
	put_group("cgroup/systemd/jail");
	put_group("cgroup/memory/m");
	put_version_2("cgroup/unified");
	put_group("cgroup/unified/user.slice/user-7.slice");
	assert_string_equal(named("4:memory:/m\n1:name=systemd:/jail\n0::/user.slice/user-7.slice\n"),
			    "/user.slice/user-7.slice");
	assert_string_equal(named("4:memory:/m\n1:name=systemd:/jail\n0::/\n"), "/jail");
	assert_string_equal(named("4:memory:/m\n1:name=systemd:/\n0::/\n"), "/");
	assert_string_equal(named("4:memory:/m\n0::/\n"), "/m");
	assert_string_equal(named("0::/\n"), "/");
}

static void test_elsewhere(void **state)
{
	put_version_2("cgroup");
	put_group("cgroup/a/b");
	put_group("cgroup/a (deleted)");
	put_group("cgroup/deleted)");
	assert_string_equal(named("0::/../other\n"), "EXDEV");
	assert_string_equal(named("0::/a/../a/b\n"), "EXDEV");
	assert_string_equal(named("0::/..\n"), "EXDEV");
	assert_string_equal(named("0::/a (deleted)\n"), "ENOENT");
	assert_string_equal(named("0::/deleted)\n"), "/deleted)");
	assert_string_equal(named("0::/a/./b\n"), "EBADMSG");
	assert_string_equal(named("0::/a//b\n"), "EBADMSG");
	assert_string_equal(named("0::/a/\n"), "EBADMSG");
	assert_string_equal(named("0:://\n"), "EBADMSG");
	/* A cgroup is a directory, and no way to another one. */
	assert_int_equal(symlink("a", "cgroup/link"), 0);
	assert_string_equal(named("0::/link/b\n"), "ENOTDIR");
	assert_string_equal(named("0::/cgroup.procs\n"), "ENOTDIR");
}

static void test_garbage(void **state)
{
	static const char *const odd[] = {
		"\n",
		"0",
		"0::",
		"0::/a",
		"0::\n",
		"0::a\n",
		"0:/a\n",
		"::/a\n",
		"-1::/a\n",
		"0x1::/a\n",
		" 0::/a\n",
		"0::/a\n\n",
		"0::/a\n0::/b\n",
		"0::/a\nrubbish",
		"1::/a\n",
		"0:memory:/a\n",
		"0::/a\n1:name=systemd:/\n2:name=systemd:/a\n",
		"99999999999999999999999::/a\n",
		"0::/a\n1:memory\n",
	};

	put_version_2("cgroup");
	put_group("cgroup/a");
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		named(odd[i]);
		if (result != -EBADMSG)
			fail_msg("%s: %d", odd[i], result);
	}
	/* Any byte but a newline may be in a name. */
	put_group("cgroup/a:b\t\\ \x80\xff\x01");
	assert_string_equal(named("0::/a:b\t\\ \x80\xff\x01\n"), "/a:b\t\\ \x80\xff\x01");
}

static void test_long(void **state)
{
	char path[2 * CGROUP_PATH_SIZE], text[sizeof(path) + 8];
	size_t len = 0;

	put_version_2("cgroup");
	/* As long as the kernel shows, in names of 99: the folder itself is in the working directory. */
	for (; len + 100 < CGROUP_PATH_SIZE - 10; len += 100) {
		memset(path + len, 'x', 100);
		path[len] = '/';
	}
	path[len] = '\0';
	assert_int_equal(chdir("cgroup"), 0);
	put_group(path + 1);
	assert_int_equal(chdir(".."), 0);
	snprintf(text, sizeof(text), "0::%s\n", path);
	assert_string_equal(named(text), path);
	for (; len < CGROUP_PATH_SIZE; len++)
		path[len] = 'y';
	path[len] = '\0';
	snprintf(text, sizeof(text), "0::%s\n", path);
	assert_string_equal(named(text), "ENAMETOOLONG");
	path[len - 1] = '\0';
	snprintf(text, sizeof(text), "0::%s\n", path);
	assert_string_equal(named(text), "ENOENT");
}

/* Who else could have made it, or moved a process there? */
static void test_delegated(void **state)
{
	static const char text[] = "0::/user.slice/user@7.service/app.slice/x.service\n";
	static const char *const doors[] = {"", "/cgroup.procs", "/cgroup.threads", "/tasks"};
	static const mode_t modes[] = {0775, 0757, 0777};
	char path[256];

	put_version_2("cgroup");
	put_group("cgroup/user.slice/user@7.service/app.slice/x.service");
	put_group("cgroup/user.slice/user@7.service/app.slice");
	put_group("cgroup/user.slice/user@7.service");
	put_group("cgroup/user.slice");
	assert_string_equal(named(text), "/user.slice/user@7.service/app.slice/x.service");
	for (size_t i = 0; i < 4 * 3; i++) {
		snprintf(path, sizeof(path), "cgroup/user.slice/user@7.service/app.slice%s", doors[i % 4]);
		assert_int_equal(chmod(path, modes[i / 4]), 0);
		assert_string_equal(named(text), "/user.slice/user@7.service");
		assert_string_equal(unit_of(named(text)), "user@7.service");
		assert_int_equal(chmod(path, 0755), 0);
	}
	/* In a folder that is root's again, too. */
	assert_int_equal(chmod("cgroup/user.slice", 0777), 0);
	assert_string_equal(named(text), "/");
	assert_int_equal(chmod("cgroup", 0777), 0);
	assert_string_equal(named(text), "");
	assert_string_equal(named("0::/\n"), "");
	/* What lies in it still has to be right. */
	assert_string_equal(named("0::/user.slice/gone\n"), "ENOENT");
	assert_string_equal(named("0::/user.slice/../a\n"), "EXDEV");
}

static void test_owners(void **state)
{
	char path[CGROUP_PATH_SIZE];

	put_version_2("cgroup");
	put_group("cgroup/a.service/b");
	put_group("cgroup/a.service");
	assert_int_equal(cgroup_of("cgroup", geteuid() + 1, "0::/a.service\n", path), 0);
	assert_string_equal(path, "");
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown("cgroup/a.service", 7, 0), 0);
	assert_string_equal(named("0::/a.service/b\n"), "/");
	assert_int_equal(chown("cgroup/a.service", 0, 7), 0);
	assert_string_equal(named("0::/a.service/b\n"), "/a.service/b");
	assert_int_equal(chown("cgroup/a.service/cgroup.procs", 7, 7), 0);
	assert_string_equal(named("0::/a.service/b\n"), "/");
}

static void test_units(void **state)
{
	char path[1024] = "/", name[300];

	assert_string_equal(unit_of("/system.slice/translator.service"), "translator.service");
	assert_string_equal(unit_of("/system.slice/system-getty.slice/getty@tty1.service"),
			    "getty@tty1.service");
	assert_string_equal(unit_of("/user.slice/user-7.slice/user@7.service/app.slice/x.service"),
			    "user@7.service");
	assert_string_equal(unit_of("/user.slice/user-7.slice/session-1.scope"), "session-1.scope");
	assert_string_equal(unit_of("/init.scope"), "init.scope");
	assert_string_equal(unit_of("/system.slice/dbus.socket"), "dbus.socket");
	assert_string_equal(unit_of("/system.slice/dev-sda1.swap/x"), "dev-sda1.swap");
	assert_string_equal(unit_of("/system.slice/home-a\\x20b.mount"), "home-a\\x20b.mount");
	assert_string_equal(unit_of("/system.slice/_cpu.service"), "cpu.service");
	assert_string_equal(unit_of("/system.slice/__a.service"), "_a.service");
	assert_string_equal(unit_of("/_cpu.slice/a.service"), "a.service");
	/* The first part that is no slice decides. */
	assert_string_equal(unit_of("/docker/0123/system.slice/a.service"), "none");
	assert_string_equal(unit_of("/a.service.d/b.service"), "none");
	assert_string_equal(unit_of("/a.timer"), "none");
	assert_string_equal(unit_of("/a.SERVICE"), "none");
	assert_string_equal(unit_of("/service"), "none");
	assert_string_equal(unit_of("/.service"), "none");
	assert_string_equal(unit_of("/_.service"), "none");
	assert_string_equal(unit_of("/@a.service"), "none");
	assert_string_equal(unit_of("/a@.service"), "none");
	assert_string_equal(unit_of("/a b.service"), "none");
	assert_string_equal(unit_of("/\xc3\xa4.service"), "none");
	assert_string_equal(unit_of("/.slice/a.service"), "none");
	assert_string_equal(unit_of("/system.slice"), "none");
	assert_string_equal(unit_of("/"), "none");
	assert_string_equal(unit_of(""), "none");
	memset(name, 'n', sizeof(name));
	strcpy(name + 255 - strlen(".service"), ".service");
	strcpy(path + 1, name);
	assert_string_equal(unit_of(path), name);
	memset(name, 'n', sizeof(name));
	strcpy(name + 256 - strlen(".service"), ".service");
	strcpy(path + 1, name);
	assert_string_equal(unit_of(path), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_version_2, begin),
		cmocka_unit_test_setup(test_version_1, begin),
		cmocka_unit_test_setup(test_hybrid, begin),
		cmocka_unit_test_setup(test_elsewhere, begin),
		cmocka_unit_test_setup(test_garbage, begin),
		cmocka_unit_test_setup(test_long, begin),
		cmocka_unit_test_setup(test_delegated, begin),
		cmocka_unit_test_setup(test_owners, begin),
		cmocka_unit_test(test_units),
	};

	return cmocka_run_group_tests_name("fs-cgroup", tests, trees_begin, trees_end);
}
