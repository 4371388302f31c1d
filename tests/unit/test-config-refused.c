/* SPDX-License-Identifier: Apache-2.0 */
/* weightfs.conf: what is refused, with which line and words. */
#include "tests/unit/config-helper.h"

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
		{"[audit]\nrate = 0\n", 2, "[audit] rate = 0: must be a whole number from 1 to 10000"},
		{"[audit]\nfile = ~/audit\n", 2, "must be a path without \"~\", log or none"},
		{"[audit]\nfile = none\nfile = log\n", 3, "file again: the first is in line 2"},
		{"[audit x]\n", 1, "section [audit] takes no name"},
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

#define KEY "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
#define HUB "[catalog hub]\nurl = https://models.example/catalog.jsonl\n"
#define ALL HUB "key = " KEY "\nprefix = Qwen/\n"

static void test_bad_catalog(void **state)
{
	static const struct bad bad[] = {
		{"[catalog]\n", 1, "[catalog NAME] needs a name of 1 to 64 letters"},
		{"[catalog Hub]\n", 1, "[catalog Hub]: a catalog's name is a lowercase letter and"},
		{"[catalog 1hub]\n", 1, "a catalog's name is a lowercase letter and"},
		{"[catalog hf]\n", 1, "[catalog hf]: the name is that of imports"},
		{"[catalog local]\n", 1, "the name is that of imports"},
		{ALL ALL, 5, "[catalog hub] again: the first is in line 1"},
		{"[catalog hub]\n", 1, "[catalog hub] has no url"},
		{HUB, 1, "[catalog hub] has no key"},
		{HUB "key = " KEY "\n[store]\n", 1, "[catalog hub] has no prefix"},
		{HUB "key = RWQx\n", 3, "[catalog hub] key = RWQx: "},
		{HUB "key =\n", 3, "[catalog hub] key has no value"},
		{ALL "url = https://x.example/\n", 5, "url again: the first is in line 2"},
		{ALL "prefix = /Qwen\n", 5, "[catalog hub] prefix = /Qwen: "},
		{ALL "prefix = Qwen/../x\n", 5, "prefix = Qwen/../x: "},
		{ALL "prefix =\n", 5, "prefix has no value"},
		{ALL "refresh = 1\n", 5, "refresh = 1: must be 0 (when somebody asks) or a time"},
		{ALL "refresh = 8d\n", 5, "at most 7d"},
		{ALL "priority = 1001\n", 5, "from -1000 to 1000"},
		{ALL "allow-http = maybe\n", 5, "must be yes or no"},
		{ALL "tree = https://x.example/\n", 5, "[catalog hub] unknown key \"tree\""},
		{"[catalog hub]\nurl = http://x.example/c\nkey = " KEY "\nprefix = *\n", 2, "[catalog hub] url: "},
		{"[catalog hub]\nurl = https://x.example/{sha256}\nkey = " KEY "\nprefix = *\n", 2,
		 "[catalog hub] url: it is no template"},
		{"[catalog hub]\nurl = https://x.example/c?d\nkey = " KEY "\nprefix = *\n", 2,
		 "[catalog hub] needs a signature"},
		{ALL "signature = http://x.example/s\n", 5, "[catalog hub] signature: "},
		{ALL "ca-file = ~/x\n", 5, "a path without"},
		{"[import x]\n", 1, "section [import] takes no name"},
		{"[import]\nenabled = 1\n", 2, "[import] enabled = 1: must be yes or no"},
		{"[ipfs]\ngateway = gateway.example\n", 2, "[ipfs] gateway = gateway.example: "},
		{"[ipfs]\ngateway = http://gateway.example\n", 2, "[ipfs] gateway = http://gateway.example: "},
		{"[ipfs]\ngateway = https://gateway.example/?x\n", 2, "that /ipfs/CID can be put behind"},
		{"[ipfs]\ngateway = https://gateway.example/{sha256}\n", 2, "that /ipfs/CID can be put behind"},
		{"[ipfs]\ngateway = https://a\ngateway = https://b\ngateway = https://c\ngateway = https://d\n"
		 "gateway = https://e\n", 6, "[ipfs] one gateway too many: at most 4"},
		{"[import]\nurl = x\n", 2, "[import] unknown key \"url\""},
	};
	char many[8192] = "";

	check_all_bad(bad, ARRAY_SIZE(bad));
	for (unsigned int i = 0; i <= CONFIG_CATALOGS_MAX; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many),
			 "[catalog c%u]\nurl = https://x.example/c\nkey = " KEY "\nprefix = *\n", i);
	check_all_bad(&(struct bad){many, 4 * CONFIG_CATALOGS_MAX + 1, "[catalog c32] is one too many"}, 1);
}

static void test_bad_layout(void **state)
{
	static const struct bad bad[] = {
		{"path = /x\n", 1, "key \"path\" before the first section"},
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

/* ---- limits ---- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_store),     cmocka_unit_test(test_bad_fetch),
		cmocka_unit_test(test_bad_source),    cmocka_unit_test(test_bad_catalog),
	cmocka_unit_test(test_bad_layout),
		cmocka_unit_test(test_first_mistake), cmocka_unit_test(test_many_sources),
		cmocka_unit_test(test_long_lines),    cmocka_unit_test(test_long_comment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
