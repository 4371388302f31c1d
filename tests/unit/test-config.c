/* SPDX-License-Identifier: Apache-2.0 */
/* weightfs.conf: what is taken, its files and its values. */
#include "tests/unit/config-helper.h"

#include <sys/stat.h>
#include "common/number.h"
#include "config/value.h"

/* ---- what is taken ---- */

static void test_defaults(void **state)
{
	struct config config = parse_ok("");

	assert_null(config.store.path);
	assert_int_equal(config.store.size.bytes, 0);
	assert_int_equal(config.store.size.percent, 0);
	assert_int_equal(config.store.keep_free.bytes, 0);
	assert_int_equal(config.store.keep_free.percent, 5);
	assert_int_equal(config.fetch.connections, 16);
	assert_int_equal(config.fetch.memory, 64 << 20);
	assert_int_equal(config.fetch.read_deadline_ms, 300000);
	assert_int_equal(config.fetch.connect_timeout_ms, 10000);
	assert_int_equal(config.fetch.stall_timeout_ms, 30000);
	assert_false(config.fetch.offline);
	assert_null(config.audit.file);
	assert_false(config.audit.none);
	assert_false(config.audit.web_origins);
	assert_int_equal(config.audit.rate, 10);
	assert_int_equal(config.n_sources + config.n_catalogs, 0);
	assert_true(config.import.enabled);
	assert_false(config.import.allow_http || config.import.allow_private);
	config_free(&config);
	config_free(&config); /* harmless */
}

/* The sample of the design, without what is not honoured yet. */
static void test_sample(void **state)
{
	struct config config = parse_ok("[store]\n"
					"path = /var/cache/weightfs\n"
					"size = 200G\n"
					"keep-free = 5%\n"
					"[fetch]\n"
					"connections = 16\n"
					"memory = 64M\n"
					"read-deadline = 5m\n"
					"offline = no\n"
					"[source lab]                    ; also: ca-file\n"
					"url  = https://models.example/blobs/{sha256}\n"
					"tree = https://models.example/blobs/{sha256}.vtree\n"
					"header-file = /etc/weightfs/lab.headers\n"
					"priority = 10\n"
					"allow-http = no\n"
					"allow-private = no\n");
	const struct fetch_source *lab = &config.sources[0];

	assert_string_equal(config.store.path, "/var/cache/weightfs");
	assert_int_equal(config.store.size.bytes, (uint64_t)200 << 30);
	assert_int_equal(config.store.size.percent, 0);
	assert_int_equal(config.store.keep_free.percent, 5);
	assert_int_equal(config.fetch.read_deadline_ms, 300000);
	assert_int_equal(config.n_sources, 1);
	assert_string_equal(lab->name, "lab");
	assert_string_equal(lab->url, "https://models.example/blobs/{sha256}");
	assert_string_equal(lab->tree, "https://models.example/blobs/{sha256}.vtree");
	assert_null(lab->ca_file);
	assert_string_equal(lab->header_file, "/etc/weightfs/lab.headers");
	assert_int_equal(lab->priority, 10);
	assert_false(lab->allow_http);
	assert_false(lab->allow_private);
	config_free(&config);
}

#define KEY  "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
#define KEY2 "RWR1LVN7KNLkFpLq63tEIoWWqIaiOGcvQ2ZSFIwKki7EoDZJhLp9nFfA"

static void test_catalogs(void **state)
{
	struct config config = parse_ok("[catalog hub]\n"
					"url = https://models.example/catalog.jsonl\n"
					"key = " KEY "              ; of 2026\n"
					"key = " KEY2 "\n"
					"prefix = Qwen/\n"
					"prefix = *\n"
					"[import]\n"
					"enabled = no\n"
					"allow-http = yes\n"
					"allow-private = yes\n"
					"ca-file = ca.pem\n"
					"[catalog a.b-c_1]\n"
					"signature = http://10.0.0.1/s?x\n"
					"url = http://10.0.0.1/c?x\n"
					"key = " KEY "\n"
					"prefix = a\n"
					"refresh = 0\n"
					"priority = -3\n"
					"allow-http = yes\n"
					"allow-private = yes\n"
					"ca-file = ca.pem\n"
					"header-file = /h\n");
	const struct config_catalog *hub = &config.catalogs[0], *other = &config.catalogs[1];
	char id[VERIFY_KEY_ID_SIZE];

	assert_int_equal(config.n_catalogs, 2);
	assert_string_equal(hub->name, "hub");
	assert_string_equal(hub->url, "https://models.example/catalog.jsonl");
	assert_string_equal(hub->signature, "https://models.example/catalog.jsonl.minisig");
	assert_int_equal(hub->n_keys, 2);
	verify_key_id(&hub->keys[0], id);
	assert_string_equal(id, "E7620F1842B4E81F"); /* what minisign calls it */
	assert_int_equal(hub->n_prefixes, 2);
	assert_string_equal(hub->prefixes[0], "Qwen/");
	assert_string_equal(hub->prefixes[1], "");
	assert_int_equal(hub->refresh_ms, 3600000);
	assert_false(hub->priority || hub->allow_http || hub->allow_private);
	assert_true(!hub->ca_file && !hub->header_file);
	assert_string_equal(other->name, "a.b-c_1");
	assert_string_equal(other->signature, "http://10.0.0.1/s?x");
	assert_int_equal(other->refresh_ms, 0);
	assert_int_equal(other->priority, -3);
	assert_true(other->allow_http && other->allow_private);
	assert_string_equal(other->ca_file, "/etc/weightfs/ca.pem");
	assert_string_equal(other->header_file, "/h");
	assert_false(config.import.enabled);
	assert_true(config.import.allow_http && config.import.allow_private);
	assert_string_equal(config.import.ca_file, "/etc/weightfs/ca.pem");
	config_free(&config);
}

static void test_every_key(void **state)
{
	struct config config = parse_ok("[store]\n"
					"size = 50%\n"
					"keep-free = 0\n"
					"[fetch]\n"
					"connections = 128\n"
					"memory = 65536K\n"
					"read-deadline = 0\n"
					"connect-timeout = 250ms\n"
					"stall-timeout = 7d\n"
					"offline = yes\n"
					"[source a]\n"
					"url = https://a.example/{fsverity:2}/{fsverity}\n"
					"priority = -1000\n"
					"[source B.2_c-d]\n"
					/* http is allowed by a line further down */
					"url = http://127.0.0.1:8080/{sha256}\n"
					"ca-file = /etc/ca.pem\n"
					"priority = 1000\n"
					"allow-http = yes\n"
					"allow-private = yes\n");
	const struct fetch_source *a = &config.sources[0], *b = &config.sources[1];

	assert_null(config.store.path);
	assert_int_equal(config.store.size.percent, 50);
	assert_int_equal(config.store.keep_free.bytes, 0);
	assert_int_equal(config.store.keep_free.percent, 0);
	assert_int_equal(config.fetch.connections, 128);
	assert_int_equal(config.fetch.memory, 64 << 20);
	assert_int_equal(config.fetch.read_deadline_ms, 0);
	assert_int_equal(config.fetch.connect_timeout_ms, 250);
	assert_int_equal(config.fetch.stall_timeout_ms, (int64_t)7 * 86400 * 1000);
	assert_true(config.fetch.offline);
	assert_int_equal(config.n_sources, 2);
	assert_string_equal(a->name, "a");
	assert_int_equal(a->priority, -1000);
	assert_false(a->allow_http);
	assert_null(a->tree);
	assert_string_equal(b->name, "B.2_c-d");
	assert_string_equal(b->url, "http://127.0.0.1:8080/{sha256}");
	assert_string_equal(b->ca_file, "/etc/ca.pem");
	assert_int_equal(b->priority, 1000);
	assert_true(b->allow_http);
	assert_true(b->allow_private);
	config_free(&config);
}

static void test_audit(void **state)
{
	struct config config = parse_ok("[audit]\n"
					"file = /var/log/audit\n"
					"web-origins = yes\n"
					"rate = 10000\n");

	assert_string_equal(config.audit.file, "/var/log/audit");
	assert_false(config.audit.none);
	assert_true(config.audit.web_origins);
	assert_int_equal(config.audit.rate, 10000);
	config_free(&config);
	/* Two words are no paths. */
	config = parse_ok("[audit]\nfile = none\n");
	assert_null(config.audit.file);
	assert_true(config.audit.none);
	config_free(&config);
	config = parse_ok("[audit]\nfile = log\n");
	assert_null(config.audit.file);
	assert_false(config.audit.none);
	config_free(&config);
}

/* Lines as editors and people write them. */
static void test_layout(void **state)
{
	struct config config = parse_ok("\xef\xbb\xbf"
					"; a comment\r\n"
					"# another = one\r\n"
					"\r\n"
					"   [store]\r\n"
					"\tpath=/srv/models;x\t; a comment after a blank\r\n"
					"  size  =  1K  \r\n"
					"keep-free: 2M\r\n"
					"[ source\t lab ]\r\n"
					"  url = https://models.example/{sha256};v=1#x\r\n"
					"\r\n"
					"  # in between\r\n"
					"  tree = https://models.example/{sha256}.vtree\r\n"
					"  priority = 3");

	assert_string_equal(config.store.path, "/srv/models;x");
	assert_int_equal(config.store.size.bytes, 1024);
	assert_int_equal(config.store.keep_free.bytes, 2 << 20);
	assert_int_equal(config.n_sources, 1);
	assert_string_equal(config.sources[0].name, "lab");
	assert_string_equal(config.sources[0].url, "https://models.example/{sha256};v=1#x");
	assert_string_equal(config.sources[0].tree, "https://models.example/{sha256}.vtree");
	assert_int_equal(config.sources[0].priority, 3);
	config_free(&config);
}

static void test_relative_paths(void **state)
{
	static const struct {
		const char *name, *expected;
		bool below_cwd;
	} cases[] = {
		{"/etc/weightfs/weightfs.conf", "/etc/weightfs/lab.pem", false},
		{"/weightfs.conf", "/lab.pem", false},
		{"weightfs.conf", "/lab.pem", true},
		{"demo/x/weightfs.conf", "/demo/x/lab.pem", true},
		{"./weightfs.conf", "/./lab.pem", true},
	};
	static const char text[] = LAB "ca-file = lab.pem\nheader-file = lab.pem\n"
				       "[store]\npath = lab.pem\n";
	_cleanup_free_ char *cwd = getcwd(NULL, 0);

	assert_non_null(cwd);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config_error error;
		struct config config;
		char expected[4096];

		snprintf(expected, sizeof(expected), "%s%s", cases[i].below_cwd ? cwd : "",
			 cases[i].expected);
		assert_int_equal(config_parse(cases[i].name, text, strlen(text), &config, &error),
				 0);
		assert_string_equal(config.sources[0].ca_file, expected);
		assert_string_equal(config.sources[0].header_file, expected);
		assert_string_equal(config.store.path, expected);
		config_free(&config);
	}
}

/* ---- files ---- */

static void test_load(void **state)
{
	char folder[] = "/tmp/test-config-XXXXXX", file[64], formatted[1024], expected[1024];
	struct config_error error;
	struct config config;
	FILE *stream;

	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/weightfs.conf", folder);
	assert_int_equal(config_load(file, &config, &error), -ENOENT);
	assert_int_equal(error.line, 0);
	config_error_format(&error, formatted, sizeof(formatted));
	snprintf(expected, sizeof(expected), "%s: cannot be read: No such file or directory", file);
	assert_string_equal(formatted, expected);
	assert_int_equal(config_load(folder, &config, &error), -EISDIR);

	stream = fopen(file, "w");
	assert_non_null(stream);
	fputs(LAB "ca-file = ca.pem\n", stream);
	fclose(stream);
	assert_int_equal(config_load(file, &config, &error), 0);
	snprintf(expected, sizeof(expected), "%s/ca.pem", folder);
	assert_string_equal(config.sources[0].ca_file, expected);
	config_free(&config);

	stream = fopen(file, "a");
	assert_non_null(stream);
	fputs("oops\n", stream);
	fclose(stream);
	assert_int_equal(config_load(file, &config, &error), -EINVAL);
	config_error_format(&error, formatted, sizeof(formatted));
	snprintf(expected, sizeof(expected), "%s:4: neither \"[section]\" nor \"key = value\"",
		 file);
	assert_string_equal(formatted, expected);

	assert_int_equal(truncate(file, CONFIG_FILE_MAX + 1), 0);
	assert_int_equal(config_load(file, &config, &error), -EFBIG);
	assert_non_null(strstr(error.message, "cannot be read: "));
	unlink(file);
	rmdir(folder);
}

static void assert_default_store(uid_t uid, const char *expected)
{
	_cleanup_free_ char *path = NULL;
	int r = config_default_store(uid, &path);

	assert_int_equal(r, expected ? 0 : -ENOENT);
	if (expected)
		assert_string_equal(path, expected);
}

static void test_default_store(void **state)
{
	setenv("HOME", "/home/anna", 1);
	setenv("XDG_CACHE_HOME", "/big/cache", 1);
	assert_default_store(0, "/var/cache/weightfs");
	assert_default_store(1000, "/big/cache/weightfs");
	setenv("XDG_CACHE_HOME", "cache", 1); /* to be ignored */
	assert_default_store(1000, "/home/anna/.cache/weightfs");
	unsetenv("XDG_CACHE_HOME");
	assert_default_store(1000, "/home/anna/.cache/weightfs");
	unsetenv("HOME");
	assert_default_store(1000, NULL);
	assert_default_store(0, "/var/cache/weightfs");
}

/* ---- values ---- */

static void test_values(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} times[] = {
		{"0", 0},	 {"0s", 0},
		{"1ms", 1},	 {"250ms", 250},
		{"30s", 30000},	 {"5m", 300000},
		{"1h", 3600000}, {"1d", 86400000},
		{"007s", 7000},	 {"9223372036854775807ms", INT64_MAX},
	};
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {
		{"0", 0},
		{"1", 1},
		{"1K", 1024},
		{"3M", 3 << 20},
		{"200G", (uint64_t)200 << 30},
		{"8388607T", (uint64_t)8388607 << 40},
		{"9223372036854775807", INT64_MAX},
	};
	uint64_t bytes = 42;
	int64_t ms = 42;
	int number = 42;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		assert_int_equal(config_value_time(times[i].text, &ms), 0);
		assert_int_equal(ms, times[i].ms);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_int_equal(config_value_size(sizes[i].text, &bytes), 0);
		assert_int_equal(bytes, sizes[i].bytes);
	}
	assert_int_equal(config_value_size("8388608T", &bytes), -ERANGE);
	assert_int_equal(config_value_size("9223372036854775808", &bytes), -ERANGE);
	assert_int_equal(config_value_size("99999999999999999999", &bytes), -ERANGE);
	assert_int_equal(config_value_size(" 1", &bytes), -EINVAL);
	assert_int_equal(config_value_size("", &bytes), -EINVAL);
	assert_int_equal(bytes, INT64_MAX);
	assert_int_equal(config_value_time("9223372036854775808ms", &ms), -ERANGE);
	assert_int_equal(config_value_time("1", &ms), -EINVAL);
	assert_int_equal(config_value_time("00", &ms), -EINVAL);
	assert_int_equal(ms, INT64_MAX);
	assert_int_equal(config_value_int("-2147483647", &number), 0);
	assert_int_equal(number, -2147483647);
	assert_int_equal(config_value_int("2147483648", &number), -ERANGE);
	assert_int_equal(number, -2147483647);
}

static void test_amounts(void **state)
{
	static const struct config_amount bytes = {.bytes = 12345}, none = {0};
	static const struct config_amount half = {.percent = 50}, all = {.percent = 100};

	assert_int_equal(config_amount_of(&bytes, 1), 12345);
	assert_int_equal(config_amount_of(&none, 1000), 0);
	assert_int_equal(config_amount_of(&half, 1001), 500);
	assert_int_equal(config_amount_of(&half, 99), 49);
	assert_int_equal(config_amount_of(&all, 199), 199);
	assert_true(config_amount_of(&all, UINT64_MAX) == UINT64_MAX);
	assert_true(config_amount_of(&half, UINT64_MAX) == UINT64_MAX / 2);
}

/* What is written is read back, in the largest unit that fits. */
static void test_formats(void **state)
{
	static const struct {
		int64_t value;
		const char *size, *time;
	} formats[] = {
		{0, "0", "0"},
		{1, "1", "1ms"},
		{1000, "1000", "1s"},
		{1024, "1K", "1024ms"},
		{60000, "60000", "1m"},
		{90000, "90000", "90s"},
		{(int64_t)20 << 30, "20G", "21474836480ms"},
		{(int64_t)48 * 3600 * 1000, "168750K", "2d"},
		{INT64_MAX, "9223372036854775807", "9223372036854775807ms"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		char text[NUMBER_TEXT_SIZE];
		uint64_t size = 42;
		int64_t time = 42;

		number_size_format((uint64_t)formats[i].value, text);
		assert_string_equal(text, formats[i].size);
		assert_int_equal(number_size(text, &size), 0);
		assert_int_equal(size, formats[i].value);
		number_time_format(formats[i].value, text);
		assert_string_equal(text, formats[i].time);
		assert_int_equal(number_time(text, &time), 0);
		assert_int_equal(time, formats[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),       cmocka_unit_test(test_sample),
		cmocka_unit_test(test_catalogs),
	cmocka_unit_test(test_every_key),      cmocka_unit_test(test_layout),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_relative_paths), cmocka_unit_test(test_load),
		cmocka_unit_test(test_default_store),  cmocka_unit_test(test_values),
		cmocka_unit_test(test_amounts),
		cmocka_unit_test(test_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
