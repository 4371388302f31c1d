/* SPDX-License-Identifier: Apache-2.0 */
/* weightfs.conf: what is taken, and what is refused with which line and words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "fs/config-value.h"

#define FILE_NAME "/etc/weightfs/weightfs.conf"
#define LAB	  "[source lab]\nurl = https://models.example/{sha256}\n"

static struct config parse_ok(const char *text)
{
	struct config config;
	struct config_error error;
	int r = config_parse(FILE_NAME, text, strlen(text), &config, &error);

	if (r != 0)
		fail_msg("refused in line %u: %s\n%s", error.line, error.message, text);
	return config;
}

struct bad {
	const char *text;
	unsigned int line;
	const char *message; /* a part of it */
};

static void check_bad(const struct bad *bad, size_t len)
{
	struct config config = {.n_sources = 77};
	struct config_error error;
	int r = config_parse(FILE_NAME, bad->text, len, &config, &error);

	if (r != -EINVAL)
		fail_msg("returned %d for:\n%s", r, bad->text);
	if (error.line != bad->line || !strstr(error.message, bad->message))
		fail_msg("line %u \"%s\" and not %u \"%s\" for:\n%s", error.line, error.message,
			 bad->line, bad->message, bad->text);
	assert_string_equal(error.file, FILE_NAME);
	assert_int_equal(config.n_sources, 77); /* outputs on success only */
}

static void check_all_bad(const struct bad *bad, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_bad(&bad[i], strlen(bad[i].text));
}

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
	assert_int_equal(config.n_sources, 0);
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

/* A source with PREFIX and enough letters after it that the url's line has LEN bytes. */
static char *long_url(size_t len)
{
	static const char head[] = "[source lab]\n", prefix[] = "url = https://models.example/";
	char *text = malloc(sizeof(head) + len + 32);
	size_t used = strlen(head) + strlen(prefix);

	assert_non_null(text);
	sprintf(text, "%s%s", head, prefix);
	memset(text + used, 'a', len - strlen(prefix));
	strcpy(text + strlen(head) + len, "\npriority = 4\n");
	return text;
}

/* inih's own limit is 200 bytes, and what is longer would be cut. */
static void test_long_lines(void **state)
{
	static const size_t good[] = {100, 196, 197, 198, 199, 200, 201, 400, 4096, 8000};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_free_ char *text = long_url(good[i]);
		struct config config = parse_ok(text);

		assert_int_equal(strlen(config.sources[0].url), good[i] - strlen("url = "));
		assert_int_equal(config.sources[0].priority, 4);
		config_free(&config);
	}
	for (size_t len = 8188; len < 8196; len++) {
		_cleanup_free_ char *text = long_url(len);
		struct bad bad = {text, 2, "line of more than 8190 bytes"};
		struct config config;

		if (len > 8190) {
			check_bad(&bad, strlen(text));
			continue;
		}
		config = parse_ok(text);
		assert_int_equal(config.sources[0].priority, 4);
		config_free(&config);
	}
}

/* Comments, too: what is cut off would be read as a line. */
static void test_long_comment(void **state)
{
	_cleanup_free_ char *text = malloc(20000);
	struct bad bad = {text, 2, "line of more than 8190 bytes"};

	assert_non_null(text);
	memset(text, 'x', 19999);
	text[19999] = '\0';
	memcpy(text, "[fetch]\n;", 9);
	check_bad(&bad, strlen(text));
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

/* ---- what is refused ---- */

static void test_bad_store(void **state)
{
	static const char size[] = "must be a size above 0 such as 200G, or a part of the "
				   "filesystem from 1% to 100%";
	static const struct bad bad[] = {
		{"[store]\npath =\n", 2, "[store] path has no value"},
		{"[store]\npath = ; nothing\n", 2, "[store] path has no value"},
		{"[store]\npath = ~/models\n", 2, "path = ~/models: must be a path without \"~\""},
		{"[store]\npath = /a # b\n", 2, "a comment after a value begins with \";\""},
		{"[store]\npath = /a\npath = /a\n", 3, "path again: the first is in line 2"},
		{"[store]\nsize = 0\n", 2, size},
		{"[store]\nsize = 0G\n", 2, size},
		{"[store]\nsize = 0%\n", 2, size},
		{"[store]\nsize = 101%\n", 2, "[store] size = 101%: must be"},
		{"[store]\nsize = 5 %\n", 2, size},
		{"[store]\nsize = 5%G\n", 2, size},
		{"[store]\nsize = %\n", 2, size},
		{"[store]\nsize = -1\n", 2, size},
		{"[store]\nsize = +1\n", 2, size},
		{"[store]\nsize = 1.5G\n", 2, size},
		{"[store]\nsize = 200g\n", 2, size},
		{"[store]\nsize = 200GB\n", 2, size},
		{"[store]\nsize = 200GiB\n", 2, size},
		{"[store]\nsize = 0x10\n", 2, size},
		{"[store]\nsize = G\n", 2, size},
		{"[store]\nsize = 8388608T\n", 2, size}, /* 2^63 */
		{"[store]\nsize = 9223372036854775808\n", 2, size},
		{"[store]\nsize = 18446744073709551616\n", 2, size},
		{"[store]\nsize = 1\nsize = 2\n", 3, "size again: the first is in line 2"},
		{"[store]\nkeep-free = 100%\n", 2, "from 0% to 99%"},
		{"[store]\nkeep-free = -5%\n", 2, "from 0% to 99%"},
		{"[store]\nkeep-free = x\n", 2, "[store] keep-free = x: must be a size"},
		{"[store]\ncatalog = x\n", 2, "[store] unknown key \"catalog\""},
		{"[store]\nPath = /x\n", 2, "unknown key \"Path\""},
		{"[store]\n[store]\n", 2, "section [store] again: the first is in line 1"},
		{"[store x]\n", 1, "section [store] takes no name"},
	};

	check_all_bad(bad, ARRAY_SIZE(bad));
}

static void test_bad_fetch(void **state)
{
	static const char above_0[] = "must be a time above 0 such as 30s or 250ms, at most 7d";
	static const char or_0[] = "must be 0 (for ever) or a time such as 5m, at most 7d";
	static const struct bad bad[] = {
		{"[fetch]\nconnections = 0\n", 2,
		 "[fetch] connections = 0: must be a whole number from 1 to 128"},
		{"[fetch]\nconnections = 129\n", 2, "from 1 to 128"},
		{"[fetch]\nconnections = -1\n", 2, "from 1 to 128"},
		{"[fetch]\nconnections = 4294967297\n", 2, "from 1 to 128"},
		{"[fetch]\nconnections = 99999999999999999999999\n", 2, "from 1 to 128"},
		{"[fetch]\nconnections = 16x\n", 2, "from 1 to 128"},
		{"[fetch]\nconnections = many\n", 2, "from 1 to 128"},
		{"[fetch]\nmemory = 8388607\n", 2, "memory is too small"},
		{"[fetch]\nmemory = 8191K\n", 2, "16 connections need 16 x 512K = 8192K"},
		{"[fetch]\nmemory = 9M\n\nconnections = 19\n", 2, "19 x 512K = 9728K"},
		{"[fetch]\nmemory = 0\n[store]\n", 2, "memory is too small"},
		{"[fetch]\nmemory = 5%\n", 2, "[fetch] memory = 5%: must be a size such as 64M"},
		{"[fetch]\nmemory = 1025G\n", 2, "at most 1T"},
		{"[fetch]\nread-deadline = 5\n", 2, or_0},
		{"[fetch]\nread-deadline = 5 m\n", 2, or_0},
		{"[fetch]\nread-deadline = -5m\n", 2, or_0},
		{"[fetch]\nread-deadline = 5M\n", 2, or_0},
		{"[fetch]\nread-deadline = 1m30s\n", 2, or_0},
		{"[fetch]\nread-deadline = 8d\n", 2, or_0},
		{"[fetch]\nread-deadline = 106751991168d\n", 2, or_0}, /* 2^63 ms */
		{"[fetch]\nread-deadline = never\n", 2, or_0},
		{"[fetch]\nconnect-timeout = 0\n", 2, above_0},
		{"[fetch]\nconnect-timeout = 0s\n", 2, above_0},
		{"[fetch]\nconnect-timeout = s\n", 2, above_0},
		{"[fetch]\nstall-timeout = 0\n", 2, above_0},
		{"[fetch]\nstall-timeout = 604800001ms\n", 2, above_0},
		{"[fetch]\noffline = true\n", 2, "[fetch] offline = true: must be yes or no"},
		{"[fetch]\noffline = Yes\n", 2, "must be yes or no"},
		{"[fetch]\noffline = 1\n", 2, "must be yes or no"},
		{"[fetch]\noffline = no # comment\n", 2, "a comment after a value begins with"},
		{"[fetch]\noffline = no\t# comment\n", 2, "a comment after a value begins with"},
		{"[fetch]\noffline\n", 2, "neither \"[section]\" nor \"key = value\""},
		{"[fetch]\noffline = no\noffline = no\n", 3, "offline again"},
		{"[fetch]\nretries = 3\n", 2, "[fetch] unknown key \"retries\""},
		{"[fetch]\n\n[fetch]\n", 3, "section [fetch] again: the first is in line 1"},
	};

	check_all_bad(bad, ARRAY_SIZE(bad));
}

static void test_bad_source(void **state)
{
	static const struct bad bad[] = {
		{"[source lab]\n", 1, "[source lab] has no url"},
		{"\n[source lab]\ntree = https://x.example/{sha256}\n[fetch]\n", 2,
		 "[source lab] has no url"},
		{"[source lab]\n" LAB, 1, "[source lab] has no url"},
		{LAB "\n" LAB, 4, "[source lab] again: the first is in line 1"},
		{LAB "[store]\n[source lab]\n", 4, "[source lab] again: the first is in line 1"},
		{"[source]\n", 1, "[source NAME] needs a name of 1 to 64 letters"},
		{"[source  ]\n", 1, "[source NAME] needs a name"},
		{"[source a b]\n", 1, "[source NAME] needs a name"},
		{"[source l\xc3\xa4"
		 "b]\n",
		 1, "[source NAME] needs a name"},
		{"[source 01234567890123456789012345678901234567890123456789012345678901234]\n", 1,
		 "[source NAME] needs a name"},
		{LAB "url = https://x.example/\n", 3, "url again: the first is in line 2"},
		{"[source lab]\nurl = \n", 2, "[source lab] url has no value"},
		/* fetch_template_check() has its own tests; here: that it is asked, and where. */
		{"[source lab]\n\nurl = http://x.example/\npriority = 1\n", 3,
		 "[source lab] url: "},
		{"[source lab]\nurl = https://x.example/{sha1}\n", 2, "{sha1}"},
		{"[source lab]\nurl = x\n[fetch]\n", 2, "[source lab] url: "},
		{"[source lab]\nallow-http = yes\nurl = ftp://x.example/\n", 3, "url: "},
		{LAB "tree = http://x.example/{sha256}\n", 3, "[source lab] tree: "},
		{LAB "allow-http = yes\ntree = {x}\n", 4, "[source lab] tree: "},
		/* A source's settings are its own. */
		{"[source a]\nurl = http://x.example/\nallow-http = yes\n"
		 "[source b]\nurl = http://x.example/\n",
		 5, "[source b] url: "},
		{LAB "ca-file = ~root/x\n", 3, "[source lab] ca-file = ~root/x: must be a path"},
		{LAB "header-file =\n", 3, "[source lab] header-file has no value"},
		{LAB "priority = high\n", 3,
		 "priority = high: must be a whole number from -1000 to 1000"},
		{LAB "priority = 1001\n", 3, "from -1000 to 1000"},
		{LAB "priority = -1001\n", 3, "from -1000 to 1000"},
		{LAB "priority = --1\n", 3, "from -1000 to 1000"},
		{LAB "priority = -\n", 3, "from -1000 to 1000"},
		{LAB "priority = 4294967296\n", 3, "from -1000 to 1000"},
		{LAB "allow-http = on\n", 3, "[source lab] allow-http = on: must be yes or no"},
		{LAB "allow-private = y\n", 3, "must be yes or no"},
		{LAB "allow-privat = no\n", 3, "[source lab] unknown key \"allow-privat\""},
		{LAB "client-cert = x\n", 3,
		 "[source lab] client-cert is not supported by this version"},
		{LAB "proxy = x\n", 3, "proxy is not supported by this version"},
		{LAB "sigv4 = aws:amz:x:s3\n", 3, "sigv4 is not supported by this version"},
	};

	check_all_bad(bad, ARRAY_SIZE(bad));
}

static void test_bad_layout(void **state)
{
	static const struct bad bad[] = {
		{"path = /x\n", 1, "key \"path\" before the first section"},
		{"[catalog hub]\n", 1, "section [catalog] is not supported by this version"},
		{"[control]\n", 1, "section [control] is not supported by this version"},
		{"[sotre]\n", 1, "unknown section [sotre]"},
		{"[Store]\n", 1, "unknown section [Store]"},
		{"[]\n", 1, "unknown section []"},
		{"[[store]\n", 1, "unknown section [[store]"},
		{"[store]]\n", 1, "\"]\" after the section's \"]\""},
		{"[store\npath = /x\n", 1, "a section without \"]\""},
		{"[store ; x ]\n", 1, "section [store] takes no name"},
		/* inih would ignore what follows. */
		{"[fetch] offline = yes\n", 1, "\" offline = yes\" after the section's \"]\""},
		{"[fetch]; x\n", 1, "after the section's"},
		{"[fetch] # x\n", 1, "after the section's"},
		{"[store]\n= /x\n", 2, "unknown key \"\""},
		{"[store]\n;\n\n  path\n", 4, "neither \"[section]\" nor \"key = value\""},
		{"[store]\npath /x\n[fetch]\n", 2, "neither \"[section]\" nor \"key = value\""},
		/* A continuation, of which inih would make a second value, or the end of the first.
		 */
		{LAB "header-file = a\n  b\n", 4, "neither \"[section]\" nor \"key = value\""},
		{LAB "header-file = a\n  b = c\n", 4, "unknown key \"b\""},
		{"[source lab]\n  url =\n    https://x.example/{sha256}\n", 2, "url has no value"},
		{"[source lab]\nurl = https://x.example/ \\\n", 2, "[source lab] url: "},
		{LAB "  https://x.example/{sha256}\n", 3, "unknown key \"https\""},
		{"[store]\n  path = /a\n  path = /b\n", 3, "path again"},
		{"[store]\npath = /a\rb\n", 2, "control character 0x0d at byte 10"},
		{"[store]\npath = /a\r\r\n", 2, "control character 0x0d"},
		{"[store]\n; \x1b[2J\n", 2, "control character 0x1b"},
		{"[store]\npath = /\x7f\n", 2, "control character 0x7f"},
		{"[store]\n\xef\xbb\xbfpath = /x\n", 2, "unknown key"},
		{"\xef\xbb\xbf\xef\xbb\xbf[store]\n", 1, "neither"},
	};
	static const char nul[] = "[store]\npath = /a\0b\n";
	static const struct bad with_nul = {nul, 2, "control character 0x00 at byte 10"};

	check_all_bad(bad, ARRAY_SIZE(bad));
	check_bad(&with_nul, sizeof(nul) - 1);
}

/* The first mistake is told, though others follow and the section's end finds one more. */
static void test_first_mistake(void **state)
{
	static const struct bad bad[] = {
		{"[source lab]\npriority = x\npriority = y\n[nonsense]\n", 2, "priority = x"},
		{"[fetch]\nmemory = 1\n[nonsense]\n", 2, "memory is too small"},
		{"[source a]\n[nonsense]\n", 1, "[source a] has no url"},
		{"[source a]\nnonsense\n", 2, "neither"},
	};

	check_all_bad(bad, ARRAY_SIZE(bad));
}

static void test_many_sources(void **state)
{
	char text[8192] = "";
	struct bad bad = {text, 2 * FETCH_SOURCES_MAX + 1, "at most 64 sources"};
	struct config config;
	size_t used = 0;

	for (int i = 0; i < FETCH_SOURCES_MAX; i++)
		used += (size_t)sprintf(text + used, "[source s%d]\nurl = https://x.example/%d\n",
					i, i);
	config = parse_ok(text);
	assert_int_equal(config.n_sources, FETCH_SOURCES_MAX);
	assert_string_equal(config.sources[63].name, "s63");
	assert_string_equal(config.sources[63].url, "https://x.example/63");
	config_free(&config);
	strcpy(text + used, "[source one-more]\nurl = https://x.example/\n");
	check_bad(&bad, strlen(text));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),       cmocka_unit_test(test_sample),
		cmocka_unit_test(test_every_key),      cmocka_unit_test(test_layout),
		cmocka_unit_test(test_long_lines),     cmocka_unit_test(test_long_comment),
		cmocka_unit_test(test_relative_paths), cmocka_unit_test(test_bad_store),
		cmocka_unit_test(test_bad_fetch),      cmocka_unit_test(test_bad_source),
		cmocka_unit_test(test_bad_layout),     cmocka_unit_test(test_first_mistake),
		cmocka_unit_test(test_many_sources),   cmocka_unit_test(test_load),
		cmocka_unit_test(test_default_store),  cmocka_unit_test(test_values),
		cmocka_unit_test(test_amounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
