/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings: options by name, what goes before what, and where the control socket is. The build
 * gives config/settings.c a SYSCONFDIR of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "common/log.h"
#include "config/settings.h"

#define SYSTEM_CONF SYSCONFDIR "/weightfs/weightfs.conf"
#define GIB	    ((uint64_t)1 << 30)

static uid_t uid;

/* The linker puts it in front of the real one. */
uid_t __wrap_getuid(void);
uid_t __wrap_getuid(void)
{
	return uid;
}

/* ---- a place for files ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
	char path[] = "/tmp/weightfs-settings-XXXXXX";

	remove_tree(SYSCONFDIR);
	if (!mkdtemp(path) || chdir(path) < 0)
		return -1;
	*state = strdup(path);
	uid = 1000;
	setenv("HOME", "/home/anna", 1);
	setenv("XDG_RUNTIME_DIR", "/run/user/1000", 1);
	unsetenv("XDG_CACHE_HOME");
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	remove_tree(SYSCONFDIR);
	if (chdir("/") < 0)
		return -1;
	remove_tree(*state);
	free(*state);
	return 0;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void write_system_conf(const char *text)
{
	assert_int_equal(mkdir(SYSCONFDIR, 0700), 0);
	assert_int_equal(mkdir(SYSCONFDIR "/weightfs", 0700), 0);
	write_file(SYSTEM_CONF, text);
}

static void assert_path(const char *path, const char *directory, const char *rest)
{
	_cleanup_free_ char *expected = NULL;

	assert_true(asprintf(&expected, "%s%s", directory, rest) > 0);
	assert_string_equal(path, expected);
}

/* ---- options ---- */

static void test_options(void **state)
{
	struct settings settings = {0};

	assert_int_equal(settings_set(&settings, "conf", "a.conf"), 0);
	assert_int_equal(settings_set(&settings, "policy", "a.rules"), 0);
	assert_int_equal(settings_set(&settings, "store", "/s"), 0);
	assert_int_equal(settings_set(&settings, "offline", NULL), 0);
	assert_int_equal(settings_set(&settings, "origin", "HTTPS://App.example.com:443"), 0);
	assert_string_equal(settings.conf, "a.conf");
	assert_string_equal(settings.policy, "a.rules");
	assert_string_equal(settings.store, "/s");
	assert_string_equal(settings.origin, "https://app.example.com");
	assert_true(settings.offline);
	assert_null(settings.socket);
	/* The last one counts. */
	assert_int_equal(settings_set(&settings, "conf", "b.conf"), 0);
	assert_string_equal(settings.conf, "b.conf");
	assert_int_equal(settings_set(&settings, "origin", "translator"), 0);
	assert_string_equal(settings.origin, "translator");
	settings_free(&settings);
	assert_null(settings.conf);
	assert_false(settings.offline);
	settings_free(&settings); /* harmless */
}

static void test_unknown_options(void **state)
{
	static const char *const names[] = {
		"",	  "con",    "confs", "Conf", "conf ",
		"stores", "socket", "size",  "ro",   "allow_other",
	};
	struct settings settings = {0};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (settings_set(&settings, names[i], "x") != -ENOENT ||
		    settings_set(&settings, names[i], NULL) != -ENOENT)
			fail_msg("\"%s\" passes", names[i]);
	}
	assert_null(settings.conf);
	assert_null(settings.policy);
	assert_null(settings.store);
	assert_null(settings.origin);
	assert_null(settings.socket);
	assert_false(settings.offline);
}

static void test_bad_values(void **state)
{
	static const struct {
		const char *name, *value;
	} cases[] = {
		{"conf", NULL},		{"conf", ""},
		{"policy", NULL},	{"policy", ""},
		{"store", NULL},	{"store", ""},
		{"origin", NULL},	{"origin", ""},
		{"origin", "https://"}, {"origin", "https://a.example/path"},
		{"origin", "any"},	{"origin", "../x"},
		{"offline", ""},	{"offline", "no"},
	};
	struct settings settings = {0};

	assert_int_equal(settings_set(&settings, "conf", "kept.conf"), 0);
	assert_int_equal(settings_set(&settings, "origin", "kept"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = settings_set(&settings, cases[i].name, cases[i].value);

		if (r != -EINVAL)
			fail_msg("%s=%s: %d", cases[i].name,
				 cases[i].value ? cases[i].value : "(none)", r);
	}
	assert_string_equal(settings.conf, "kept.conf");
	assert_string_equal(settings.origin, "kept");
	assert_null(settings.store);
	assert_false(settings.offline);
	settings_free(&settings);
}

/* ---- filling in ---- */

static void test_nothing_given(void **state)
{
	struct settings settings = {0};
	struct config config;

	assert_int_equal(settings_resolve(&settings, &config), 0);
	assert_null(settings.conf);
	assert_null(settings.policy);
	assert_string_equal(settings.store, "/home/anna/.cache/weightfs");
	assert_string_equal(settings.socket, "/run/user/1000/weightfs/control.sock");
	assert_int_equal(config.fetch.connections, 16);
	assert_int_equal(config.n_sources, 0);
	config_free(&config);
	settings_free(&settings);

	setenv("XDG_CACHE_HOME", "/caches", 1);
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(settings_resolve(&settings, &config), 0);
	assert_string_equal(settings.store, "/caches/weightfs");
	assert_string_equal(settings.socket, "/caches/weightfs/control.sock");
	config_free(&config);
	settings_free(&settings);

	/* Of root's environment nothing counts. */
	uid = 0;
	setenv("XDG_RUNTIME_DIR", "/elsewhere", 1);
	assert_int_equal(settings_resolve(&settings, &config), 0);
	assert_string_equal(settings.store, "/var/cache/weightfs");
	assert_string_equal(settings.socket, "/run/weightfs/control.sock");
	config_free(&config);
	settings_free(&settings);
}

static void test_own_store(void **state)
{
	struct settings settings = {0};
	struct config config;

	assert_int_equal(settings_set(&settings, "store", "cache"), 0);
	assert_int_equal(settings_set(&settings, "policy", "rules"), 0);
	assert_int_equal(settings_resolve(&settings, &config), 0);
	assert_path(settings.store, *state, "/cache");
	assert_path(settings.policy, *state, "/rules");
	assert_path(settings.socket, *state, "/cache/control.sock");
	config_free(&config);
	settings_free(&settings);
}

static void test_own_configuration(void **state)
{
	struct settings settings = {0};
	struct config config;

	write_file("my.conf", "[store]\npath = /data/models\n[fetch]\nconnections = 3\n");
	assert_int_equal(settings_set(&settings, "conf", "my.conf"), 0);
	assert_int_equal(settings_resolve(&settings, &config), 0);
	assert_path(settings.conf, *state, "/my.conf");
	assert_null(settings.policy);
	assert_string_equal(settings.store, "/data/models");
	assert_string_equal(settings.socket, "/data/models/control.sock");
	assert_int_equal(config.fetch.connections, 3);
	config_free(&config);
	settings_free(&settings);

	/* The policy that lies beside it; an option goes before both. */
	write_file("policy", "");
	assert_int_equal(settings_set(&settings, "conf", "my.conf"), 0);
	assert_int_equal(settings_resolve(&settings, &config), 0);
	assert_path(settings.policy, *state, "/policy");
	config_free(&config);
	settings_free(&settings);
	assert_int_equal(settings_set(&settings, "conf", "my.conf"), 0);
	assert_int_equal(settings_set(&settings, "policy", "/p"), 0);
	assert_int_equal(settings_set(&settings, "store", "/s"), 0);
	assert_int_equal(settings_resolve(&settings, &config), 0);
	assert_string_equal(settings.policy, "/p");
	assert_string_equal(settings.store, "/s");
	assert_string_equal(settings.socket, "/s/control.sock");
	config_free(&config);
	settings_free(&settings);
}

static void test_refused_configuration(void **state)
{
	struct settings settings = {0};
	struct config config;

	assert_int_equal(settings_set(&settings, "conf", "missing.conf"), 0);
	assert_int_equal(settings_resolve(&settings, &config), -ENOENT);
	write_file("bad.conf", "[store]\npaht = /data/models\n");
	assert_int_equal(settings_set(&settings, "conf", "bad.conf"), 0);
	assert_int_equal(settings_resolve(&settings, &config), -EINVAL);
	settings_free(&settings);

	/* A user without a home has no place for a store. */
	unsetenv("HOME");
	assert_int_equal(settings_resolve(&settings, &config), -ENOENT);
	settings_free(&settings);
}

static void test_system_configuration(void **state)
{
	struct settings settings = {0};
	struct config config;

	uid = 0;
	assert_int_equal(settings_use_default_conf(&settings), 0);
	assert_null(settings.conf); /* it is not there */
	write_system_conf("[store]\npath = /data/models\n");
	assert_int_equal(settings_use_default_conf(&settings), 0);
	assert_string_equal(settings.conf, SYSTEM_CONF);
	assert_int_equal(settings_resolve(&settings, &config), 0);
	assert_string_equal(settings.store, "/data/models");
	/* Its daemon is the system's: whoever may not enter the store must find it. */
	assert_string_equal(settings.socket, "/run/weightfs/control.sock");
	config_free(&config);
	settings_free(&settings);

	/* With another store it is not. */
	assert_int_equal(settings_set(&settings, "conf", SYSTEM_CONF), 0);
	assert_int_equal(settings_set(&settings, "store", "/s"), 0);
	assert_int_equal(settings_resolve(&settings, &config), 0);
	assert_string_equal(settings.socket, "/s/control.sock");
	config_free(&config);
	settings_free(&settings);

	/* What was named stays; a user has none. */
	assert_int_equal(settings_set(&settings, "conf", "/other.conf"), 0);
	assert_int_equal(settings_use_default_conf(&settings), 0);
	assert_string_equal(settings.conf, "/other.conf");
	settings_free(&settings);
	assert_int_equal(settings_set(&settings, "store", "/s"), 0);
	assert_int_equal(settings_use_default_conf(&settings), 0);
	assert_null(settings.conf);
	settings_free(&settings);
	uid = 1000;
	assert_int_equal(settings_use_default_conf(&settings), 0);
	assert_null(settings.conf);
}

static void test_store_options(void **state)
{
	struct settings settings = {0};
	struct store_options options;
	struct config config;
	struct statvfs st;
	uint64_t total;

	assert_int_equal(statvfs(*state, &st), 0);
	total = (uint64_t)st.f_blocks * st.f_frsize;
	config_defaults(&config);
	config.store.size = (struct config_amount){.bytes = 3 * GIB};
	config.store.keep_free = (struct config_amount){.percent = 50};
	/* Neither the folder nor the one above is there yet. */
	assert_true(asprintf(&settings.store, "%s/not/yet", (char *)*state) > 0);
	assert_int_equal(settings_store_options(&settings, &config, &options), 0);
	assert_ptr_equal(options.path, settings.store);
	assert_true(options.size == 3 * GIB);
	assert_true(options.keep_free == config_amount_of(&config.store.keep_free, total));
	assert_in_range(options.keep_free, total / 2 - 1, total / 2 + 1);
	settings_free(&settings);

	settings.store = strdup("/weightfs-not-there");
	assert_int_equal(settings_store_options(&settings, &config, &options), 0);
	settings_free(&settings);
	write_file("file", "");
	assert_true(asprintf(&settings.store, "%s/file/store", (char *)*state) > 0);
	assert_int_equal(settings_store_options(&settings, &config, &options), -ENOTDIR);
	settings_free(&settings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(options),
		TEST(unknown_options),
		TEST(bad_values),
		TEST(nothing_given),
		TEST(own_store),
		TEST(own_configuration),
		TEST(refused_configuration),
		TEST(system_configuration),
		TEST(store_options),
	};

	log_set_level(LOG_EMERG); /* the refusals are meant */
	return cmocka_run_group_tests_name("fs-settings", tests, NULL, NULL);
}
