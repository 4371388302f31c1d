/* SPDX-License-Identifier: Apache-2.0 */
/* Metalink documents. */
#include "tests/unit/registry-testing.h"
#include "registry/metalink.h"

#define ONE  "3d6fece8033d146d8611eab4f032df738c8c1283620fd02a1f2bfec6e27d590d"
#define TWO  "17bfc4a6058d2d7d82db859c8b0528c6ab4d832fae620ec49fca6c6ff52e0b17"
#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">\n"
#define TAIL "</metalink>\n"
#define HASH "<hash type=\"sha-256\">" ONE "</hash>"
#define URL  "<url>https://a.example/x</url>"
#define FILE_OF(what) HEAD "<file name=\"x\">" what "</file>" TAIL

/* As the example of RFC 5854, section 1.1, with other digests. */
static const char example[] =
	HEAD "<published>2009-05-15T12:23:23Z</published>\n"
	"<file name=\"example.ext\">\n"
	"<size>14471447</size>\n"
	"<identity>Example</identity>\n"
	"<version>1.0</version>\n"
	"<language>en</language>\n"
	"<description>A description of the example file for download.</description>\n"
	"<hash type=\"sha-256\">" ONE "</hash>\n"
	"<url location=\"de\" priority=\"1\">ftp://ftp.example.com/example.ext</url>\n"
	"<url location=\"fr\" priority=\"1\">http://example.com/example.ext</url>\n"
	"<metaurl mediatype=\"torrent\" priority=\"2\">http://example.com/example.ext.torrent</metaurl>\n"
	"</file>\n"
	"<file name=\"example2.ext\">\n"
	"<size>14471447</size>\n"
	"<identity>Example2</identity>\n"
	"<version>1.0</version>\n"
	"<language>en</language>\n"
	"<description>Another description for a second file.</description>\n"
	"<hash type=\"sha-256\">" TWO "</hash>\n"
	"<url location=\"de\" priority=\"1\">ftp://ftp.example.com/example2.ext</url>\n"
	"<url location=\"fr\" priority=\"1\">http://example.com/example2.ext</url>\n"
	"<metaurl mediatype=\"torrent\" priority=\"2\">http://example.com/example2.ext.torrent</metaurl>\n"
	"</file>\n" TAIL;

static struct registry_files parse(const char *text)
{
	char problem[REGISTRY_PROBLEM_SIZE] = "";
	struct registry_files files = {0};
	int r = registry_metalink_parse(text, strlen(text), &files, problem);

	if (r < 0)
		fail_msg("%s", problem);
	return files;
}

static void refused(const char *text, const char *what)
{
	char problem[REGISTRY_PROBLEM_SIZE] = "";
	struct registry_files files;

	assert_int_equal(registry_metalink_parse(text, strlen(text), &files, problem), -EINVAL);
	expect_problem(problem, what);
}

static void test_example(void **state)
{
	struct registry_files files = parse(example);

	assert_int_equal(files.n, 2);
	expect_file(&files.files[0], "example.ext", 14471447, ONE,
		    (const char *[]){"http://example.com/example.ext", NULL});
	expect_file(&files.files[1], "example2.ext", 14471447, TWO,
		    (const char *[]){"http://example.com/example2.ext", NULL});
	registry_files_clear(&files);
}

/* What is not where it belongs counts for nothing. */
static void test_places(void **state)
{
	struct registry_files files = parse(
		"<m:metalink xmlns:m='urn:ietf:params:xml:ns:metalink' xmlns='urn:other'>"
		"<size>1</size><file name='no'><size>2</size></file>"
		"<m:file name='folder/&#xe4;'><size>3</size><m:hash type='SHA-256'><![CDATA[" ONE
		"]]></m:hash>"
		"<m:pieces type='sha-256' length='4'><m:hash type='sha-256'>" TWO "</m:hash></m:pieces>"
		"<m:hash type='sha-1'>x</m:hash><m:hash>y</m:hash>"
		"<m:os><m:size>4</m:size></m:os>"
		"<m:url>HTTPS://a.example/?a=1&amp;b=2</m:url></m:file></m:metalink>");

	assert_int_equal(files.n, 1);
	expect_file(&files.files[0], "folder/\xc3\xa4", -1, ONE,
		    (const char *[]){"HTTPS://a.example/?a=1&b=2", NULL});
	registry_files_clear(&files);
}

static void test_priorities(void **state)
{
	struct registry_files files = parse(FILE_OF(
		HASH "<url>https://a.example/last</url><url priority='2'>https://a.example/b</url>"
		     "<url priority='1'>https://a.example/a</url>"
		     "<url priority='2'>https://a.example/c</url>"
		     "<url priority='999999'>https://a.example/lastly</url>"));
	char text[8192] = HEAD "<file name=\"x\">" HASH, url[128];

	expect_file(&files.files[0], "x", -1, ONE,
		    (const char *[]){"https://a.example/a", "https://a.example/b",
				     "https://a.example/c", "https://a.example/last",
				     "https://a.example/lastly", NULL});
	registry_files_clear(&files);
	/* The best of forty stay, in their order. */
	for (int i = 0; i < 40; i++) {
		snprintf(url, sizeof(url), "<url priority='%d'>https://a.example/%d</url>",
			 (i * 7) % 40 + 1, (i * 7) % 40 + 1);
		strcat(text, url);
	}
	strcat(text, "</file>" TAIL);
	files = parse(text);
	assert_int_equal(files.files[0].n_urls, REGISTRY_URLS_MAX);
	for (int i = 0; i < REGISTRY_URLS_MAX; i++) {
		snprintf(url, sizeof(url), "https://a.example/%d", i + 1);
		assert_string_equal(files.files[0].urls[i], url);
	}
	registry_files_clear(&files);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *what;
	} bad[] = {
		{"", "line 1: no element found"},
		{"<metalink", "line 1"},
		{"{}", "line 1"},
		{"<html/>", "this is no Metalink document"},
		{"<metalink/>", "this is no Metalink document"},
		{"<metalink xmlns='http://www.metalinker.org/'/>", "Metalink 3"},
		{HEAD TAIL, "there is no file"},
		{HEAD "<file name='x'>" HASH URL "</file>", "line 3: no element found"},
		{FILE_OF(HASH URL) "<x/>", "junk after"},
		{HEAD "<file>" HASH URL "</file>" TAIL, "line 3: a file without name"},
		{HEAD "<file name='../x'>" HASH URL "</file>" TAIL, "line 3: the name \"../x\" has a component"},
		{HEAD "<file name='/x'>" HASH URL "</file>" TAIL, "the name \"/x\""},
		{HEAD "<file name='a\\x'>" HASH URL "</file>" TAIL, "backslash"},
		{HEAD "<file name='a&#x85;'>" HASH URL "</file>" TAIL, "control"},
		{HEAD "<file name='x'>" HASH URL "</file><file name='x'>" HASH URL "</file>" TAIL,
		 "two files \"x\""},
		{FILE_OF(URL), "has no hash of type sha-256"},
		{FILE_OF("<hash type='sha-1'>x</hash>" URL), "has no hash of type sha-256"},
		{FILE_OF(HASH), "has no URL of https or http"},
		{FILE_OF(HASH "<url>ftp://a.example/x</url>"), "has no URL of https or http"},
		{FILE_OF("<hash type='sha-256'>" ONE "0</hash>" URL), "is not 64 hex digits"},
		{FILE_OF("<hash type='sha-256'> " ONE "</hash>" URL), "is not 64 hex digits"},
		{FILE_OF(HASH "<hash type='sha-256'>" TWO "</hash>" URL), "is not what was said before"},
		{FILE_OF(HASH URL "<size>1</size><size>2</size>"), "is not what was said before"},
		{FILE_OF(HASH URL "<size>-1</size>"), "the size \"-1\""},
		{FILE_OF(HASH URL "<size>9223372036854775808</size>"), "the size"},
		{FILE_OF(HASH URL "<size/>"), "the size \"\""},
		{FILE_OF(HASH URL "<size>1<b/></size>"), "an element in a value"},
		{FILE_OF(HASH "<url>x</url>"), "the URL \"x\" is not absolute"},
		{FILE_OF(HASH "<url>//a.example/x</url>"), "is not absolute"},
		{FILE_OF(HASH "<url>?x:y</url>"), "is not absolute"},
		{FILE_OF(HASH "<url>https://a.example/ x</url>"), "has blanks"},
		{FILE_OF(HASH "<url>https://a.example/&#xe4;</url>"), "other than ASCII"},
		{FILE_OF(HASH "<url priority='0'>https://a.example/</url>"), "the priority \"0\""},
		{FILE_OF(HASH "<url priority='1000000'>https://a.example/</url>"), "the priority"},
		{FILE_OF(HASH "<url priority=''>https://a.example/</url>"), "the priority"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refused(bad[i].text, bad[i].what);
}

/* Upper case is what some programs write. */
static void test_case(void **state)
{
	struct registry_files files = parse(FILE_OF(
		"<hash type='sha-256'>3D6FECE8033D146D8611EAB4F032DF738C8C1283620FD02A1F2BFEC6E27D590D"
		"</hash>" URL));

	expect_hex(&files.files[0].sha256, ONE);
	registry_files_clear(&files);
}

static void test_entities(void **state)
{
	refused("<?xml version='1.0'?><!DOCTYPE m [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>"
		"<metalink xmlns='urn:ietf:params:xml:ns:metalink'><file name='&b;'/></metalink>",
		"a document type is not accepted");
	refused("<!DOCTYPE m SYSTEM 'file:///etc/passwd'><m/>", "a document type is not accepted");
	refused("<!DOCTYPE m [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><m>&x;</m>",
		"a document type is not accepted");
	refused(FILE_OF(HASH "<url>https://a.example/&x;</url>"), "undefined entity");
}

static char *repeated(const char *begin, const char *what, size_t n, const char *end)
{
	size_t len = strlen(what);
	char *text = malloc(strlen(begin) + n * len + strlen(end) + 1), *at = text;

	at = stpcpy(at, begin);
	for (size_t i = 0; i < n; i++)
		at = stpcpy(at, what);
	strcpy(at, end);
	return text;
}

static void test_bounds(void **state)
{
	char problem[REGISTRY_PROBLEM_SIZE];
	struct registry_files files;
	char *text = repeated(HEAD, "<x>", 40, "");

	refused(text, "elements in elements");
	free(text);
	text = repeated(HEAD "<file name='x'>" HASH "<url>https://a.example/", "a", 3000,
			"</url></file>" TAIL);
	refused(text, "a value of more than 2048 bytes");
	free(text);
	text = repeated(HEAD "<file name='", "a", 256, "'>" HASH URL "</file>" TAIL);
	refused(text, "more than 255 bytes");
	free(text);
	text = repeated("", "a", REGISTRY_METALINK_MAX + 1, "");
	assert_int_equal(registry_metalink_parse(text, strlen(text), &files, problem), -EFBIG);
	expect_problem(problem, "larger than 8 MiB");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),	   cmocka_unit_test(test_places),
		cmocka_unit_test(test_priorities), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_case),	   cmocka_unit_test(test_entities),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
