/* SPDX-License-Identifier: Apache-2.0 */
/* What a catalog may say, what comes out of it, and that nothing comes out of one that is not signed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include "tests/unit/catalog-testing.h"

#define A HEX("a", "0001")
#define B HEX("b", "0002")
#define C HEX("c", "0003")
#define D HEX("d", "0004")

#define FULL                                                                                       \
	"{\"sha256\":\"" A "\",\"size\":1503300328,\"fsverity\":\"" B "\","                        \
	"\"urls\":[\"https://models.example/blobs/" A "\",\"blobs/q/model.safetensors?x=1\"],"     \
	"\"tree\":\"https://models.example/blobs/" A ".vtree\","                                   \
	"\"names\":[\"q/model.safetensors\",\"tags/q/m\xc3\xbcsli\"]}\n"
#define FLAT   "{\"sha256\":\"" C "\",\"size\":0}\n"
#define VERITY "{\"fsverity\":\"" D "\",\"size\":4611686018427387904,\"names\":[]}\n"

static struct verify_problem problem;

static void assert_url(const struct verify_catalog *catalog, const struct verify_object *object,
		       unsigned int i, const char *expected)
{
	char url[VERIFY_URL_MAX + 1];

	assert_string_equal(verify_object_url(catalog, object, i, url), expected);
}

static void test_what_comes_out(void **state)
{
	struct digest_name a = sha256_of(A), b = fsverity_of(B), c = sha256_of(C),
			   d = fsverity_of(D);
	struct digest_name wrong_kind = {DIGEST_FSVERITY, a.digest};
	const struct verify_catalog_info *info;
	struct verify_catalog *catalog;
	struct verify_object object;
	char tree[VERIFY_URL_MAX + 1];

	assert_int_equal(load_text(HEADER FULL FLAT VERITY, NULL, &catalog, &problem), 0);
	info = verify_catalog_info(catalog);
	assert_string_equal(info->name, "hub");
	assert_int_equal(info->serial, 42);
	assert_int_equal(info->expires, 1798761600); /* date -d 2027-01-01Z +%s */
	assert_int_equal(info->n_objects, 3);
	assert_int_equal(info->n_names, 2);
	assert_null(info->trusted_comment);

	for (int by = 0; by < 2; by++) {
		assert_int_equal(verify_catalog_find(catalog, by ? &b : &a, &object), 0);
		assert_int_equal(object.index, 0);
		assert_int_equal(object.size, 1503300328);
		assert_true(object.digests.has_sha256 && object.digests.has_fsverity);
		assert_memory_equal(&object.digests.sha256, &a.digest, DIGEST_SIZE);
		assert_memory_equal(&object.digests.fsverity, &b.digest, DIGEST_SIZE);
		assert_int_equal(object.n_names, 2);
		assert_int_equal(object.n_urls, 2);
		assert_true(object.has_tree);
	}
	assert_string_equal(verify_object_name(catalog, &object, 0), "q/model.safetensors");
	assert_string_equal(verify_object_name(catalog, &object, 1), "tags/q/m\xc3\xbcsli");
	assert_url(catalog, &object, 0, "https://models.example/blobs/" A);
	assert_url(catalog, &object, 1, "blobs/q/model.safetensors?x=1");
	assert_string_equal(verify_object_tree(catalog, &object, tree),
			    "https://models.example/blobs/" A ".vtree");

	assert_int_equal(verify_catalog_find(catalog, &c, &object), 0);
	assert_int_equal(object.index, 1);
	assert_int_equal(object.size, 0);
	assert_false(object.digests.has_fsverity || object.has_tree || object.n_names ||
		     object.n_urls);
	assert_int_equal(verify_catalog_find(catalog, &d, &object), 0);
	assert_int_equal(object.size, (uint64_t)1 << 62);
	assert_false(object.digests.has_sha256);
	assert_int_equal(verify_catalog_find(catalog, &wrong_kind, &object), -ENOENT);
	verify_catalog_unref(verify_catalog_ref(catalog));
	verify_catalog_object(catalog, 1, &object);
	assert_memory_equal(&object.digests.sha256, &c.digest, DIGEST_SIZE);
	verify_catalog_unref(catalog);
	verify_catalog_unref(NULL);
}

/* Each kind of what is made short, and what looks like it. */
static void test_urls_come_back(void **state)
{
	static const char *const urls[] = {
		"http://a/" A A "/" B,
		"x/y.bin",
		"https://h/x/y.bin/x/y.bin/" A "/x/y.bi",
		"http://a/" A A "/" B "http://a/" A A "/" B,
		"/abs",
		"?q",
		"#f",
		"./a:b",
		"a/b:c",
		"https://[::1]:8443/x",
	};
	char line[8192], url[VERIFY_URL_MAX + 1];
	struct verify_catalog *catalog;
	struct verify_object object;
	size_t used = (size_t)snprintf(line, sizeof(line),
				       HEADER "{\"sha256\":\"" A "\",\"fsverity\":\"" B
					      "\",\"size\":1,\"names\":[\"x/y.bin\"],\"urls\":[");

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s\"%s\"", i ? "," : "",
					 urls[i]);
	snprintf(line + used, sizeof(line) - used, "],\"tree\":\"%s\"}", urls[2]);
	assert_int_equal(load_text(line, NULL, &catalog, &problem), 0);
	verify_catalog_object(catalog, 0, &object);
	assert_int_equal(object.n_urls, ARRAY_SIZE(urls));
	for (unsigned int i = 0; i < ARRAY_SIZE(urls); i++)
		assert_url(catalog, &object, i, urls[i]);
	assert_string_equal(verify_object_tree(catalog, &object, url), urls[2]);
	verify_catalog_unref(catalog);
}

/* The newest line is refused with LINE and TEXT, whatever comes before and behind it. */
static void assert_refused(const char *text, unsigned int line, const char *said)
{
	struct verify_catalog *catalog = (struct verify_catalog *)-1;

	problem = (struct verify_problem){0};
	assert_int_equal(load_text(text, NULL, &catalog, &problem), -EINVAL);
	assert_string_equal(problem.text, said);
	assert_int_equal(problem.line, line);
	assert_ptr_equal(catalog, (void *)-1);
	assert_int_equal(load_text(text, NULL, &catalog, NULL), -EINVAL);
}

static void test_headers(void **state)
{
#define H(version, name, serial, expires)                                                          \
	"{\"weightfs-catalog\":" version ",\"name\":" name ",\"serial\":" serial                   \
	",\"expires\":" expires "}\n"
#define DATE	 "\"2027-01-01T00:00:00Z\""
#define NO_LABEL "is not a lowercase letter and up to 63 of a-z, 0-9, \".\", \"_\", \"-\""
#define NO_DATE	 "is not a time like 2027-01-01T00:00:00Z"
	struct verify_catalog *catalog;

	assert_refused("", 1, "the header is missing");
	assert_refused("\n" HEADER, 1, "byte 1: an object is expected");
	assert_refused("[]", 1, "byte 1: an object is expected");
	assert_refused(FULL HEADER, 1, "the key \"weightfs-catalog\" is missing");
	assert_refused(H("2", "\"hub\"", "1", DATE), 1,
		       "a catalog of version 2, this program knows 1");
	assert_refused(H("1.0", "\"hub\"", "1", DATE), 1, "byte 24: an integer is expected");
	assert_refused(H("1", "\"\"", "1", DATE), 1, "name: \"\" " NO_LABEL);
	assert_refused(H("1", "\"../x\"", "1", DATE), 1, "name: \"../x\" " NO_LABEL);
	assert_refused(H("1", "\"Hub\"", "1", DATE), 1, "name: \"Hub\" " NO_LABEL);
	assert_refused(H("1", "\"h\\u0301\"", "1", DATE), 1, "name: \"h??\" " NO_LABEL);
	assert_refused(H("1", "3", "1", DATE), 1, "byte 30: a string is expected");
	assert_refused(H("1", "\"hub\"", "-1", DATE), 1, "byte 47: the number is negative");
	assert_refused(H("1", "\"hub\"", "9223372036854775808", DATE), 1,
		       "byte 64: the number is too large");
	assert_refused(H("1", "\"hub\"", "99999999999999999999999999", DATE), 1,
		       "byte 71: the number is too large");
	assert_refused(H("1", "\"hub\"", "1", "\"2027-02-29T00:00:00Z\""), 1,
		       "expires: \"2027-02-29T00:00:00Z\" " NO_DATE);
	assert_refused(H("1", "\"hub\"", "1", "\"2027-01-01 00:00:00Z\""), 1,
		       "expires: \"2027-01-01 00:00:00Z\" " NO_DATE);
	assert_refused(H("1", "\"hub\"", "1", "\"2027-01-01T00:00:00+\""), 1,
		       "expires: \"2027-01-01T00:00:00+\" " NO_DATE);
	assert_refused(H("1", "\"hub\"", "1", "\"2027-01-01T24:00:00Z\""), 1,
		       "expires: \"2027-01-01T24:00:00Z\" " NO_DATE);
	assert_refused(HEADER HEADER, 2, "the key \"size\" is missing");
	assert_refused("{\"name\":\"hub\",\"name\":\"hub\"}", 1, "key: \"name\" is there twice");

	assert_int_equal(
		load_text(H("1", "\"hub\"", "9223372036854775807", DATE), NULL, &catalog, &problem),
		0);
	assert_int_equal(verify_catalog_info(catalog)->serial, INT64_MAX);
	assert_int_equal(verify_catalog_info(catalog)->n_objects, 0);
	verify_catalog_unref(catalog);
}

#define LINE(text)  HEADER FLAT text "\n" FULL
#define SIZED(rest) LINE("{\"sha256\":\"" D "\",\"size\":1," rest "}")

static void test_entries(void **state)
{
	assert_refused(LINE(""), 3, "byte 1: an object is expected");
	assert_refused(LINE("{}"), 3, "the key \"size\" is missing");
	assert_refused(LINE("{\"size\":1}"), 3, "neither of the keys \"sha256\" and \"fsverity\"");
	assert_refused(LINE("{\"size\":1} x"), 3, "byte 12: something follows the object");
	assert_refused(LINE("{\"size\":1"), 3, "byte 10: \",\" or \"}\" is expected");
	assert_refused(LINE("{\"sha256\":\"\xff\"}"), 3, "byte 12: not UTF-8");
	assert_refused(LINE("{\"size\":01}"), 3, "byte 10: bad number");
	assert_refused(LINE("{\"size\":-1}"), 3, "byte 11: the number is negative");
	assert_refused(LINE("{\"size\":1e3}"), 3, "byte 12: an integer is expected");
	assert_refused(LINE("{\"size\":4611686018427387905}"), 3,
		       "byte 28: the number is too large");
	assert_refused(LINE("{\"size\":\"1\"}"), 3, "byte 9: a number is expected");
	assert_refused(LINE("{\"sha256\":\"abc\"}"), 3,
		       "sha256: \"abc\" is not 64 lowercase hex digits");
	assert_refused(LINE("{\"fsverity\":\"" HEX("A", "0000") "\"}"), 3,
		       "fsverity: \"" HEX("A", "0000") "\" is not 64 lowercase hex digits");
	assert_refused(LINE("{\"sha256\":\"" A "0\"}"), 3,
		       "sha256: \"" A "0\" is not 64 lowercase hex digits");
	assert_refused(LINE("{\"size\":1,\"size\":1}"), 3, "key: \"size\" is there twice");
	assert_refused(LINE("{\"size\":1,\"siz\\u0065\":1}"), 3, "key: \"size\" is there twice");
	assert_refused(LINE("{\"x\":1,\"y\":2,\"x\":1}"), 3, "key: \"x\" is there twice");
	assert_refused(SIZED("\"tree\":\"t\""), 3, "\"tree\" without \"fsverity\"");
	assert_refused(SIZED("\"names\":\"a\""), 3, "byte 95: an array is expected");
	assert_refused(SIZED("\"names\":[\"a\",]"), 3, "byte 100: a string is expected");
	assert_refused(SIZED("\"x\":\"\\udc00\\udc00\""), 3, "byte 92: half a surrogate pair");
	assert_refused(SIZED("\"x\":\"\\ud800\\u0041\""), 3, "byte 92: half a surrogate pair");
	assert_refused(SIZED("\"x\":\"\\ud800"), 3, "byte 92: half a surrogate pair");
	assert_refused(SIZED("\"x\":\"\\u00g0\""), 3, "byte 92: bad \\u escape");
	assert_refused(SIZED("\"x\":\"\\x\""), 3, "byte 92: bad escape in a string");
	assert_refused(SIZED("\"x\":tru"), 3, "byte 91: a value is expected");
	assert_refused(SIZED("\"x\":-"), 3, "byte 92: bad number");
	assert_refused(SIZED("\"x\":1.e"), 3, "byte 93: bad number");
	assert_refused(SIZED("\"x\":[1 2]"), 3, "byte 94: \",\" or \"]\" is expected");
	assert_refused(SIZED("\"x\":{1:2}"), 3, "byte 92: a string is expected");
	assert_refused(
		SIZED("\"critical-encryption\":null"), 3,
		"key: \"critical-encryption\" has to be understood, and is not known to this "
		"version");
	assert_refused(HEADER FULL FLAT FULL, 4, "the SHA-256 digest is that of line 2, too");
	assert_refused(HEADER VERITY "{\"fsverity\":\"" D "\",\"sha256\":\"" A "\",\"size\":1}", 3,
		       "the fs-verity digest is that of line 2, too");
}

static void test_unknown_keys_are_passed_over(void **state)
{
	char line[4096];
	size_t used =
		(size_t)snprintf(line, sizeof(line), HEADER "{\"size\":0,\"sha256\":\"" A "\"");
	struct verify_catalog *catalog;

	assert_int_equal(
		load_text("{\"weightfs-catalog\":1,\"x\":{\"a\":[1,-2.5e+7,true,{}],\"b\":null},"
			  "\"name\":\"hub\",\"serial\":42,\"expires\":\"2027-01-01T00:00:00Z\"}\r\n"
			  " {\t\"license\" : \"MIT\", \"size\":0 , \"sha256\":\"" A
			  "\",\"y\":[[],[\"\\ud83d\\ude00\"]]}",
			  NULL, &catalog, &problem),
		0);
	assert_int_equal(verify_catalog_info(catalog)->n_objects, 1);
	verify_catalog_unref(catalog);
	for (unsigned int i = 0; i < 32; i++)
		used += (size_t)snprintf(line + used, sizeof(line) - used, ",\"x%u\":0", i);
	snprintf(line + used, sizeof(line) - used, "}");
	assert_int_equal(load_text(line, NULL, &catalog, &problem), 0);
	verify_catalog_unref(catalog);
	snprintf(line + used, sizeof(line) - used, ",\"x32\":0}");
	assert_refused(line, 2, "more than 32 unknown keys");
}

static void assert_url_refused(const char *json, const char *shown, const char *why)
{
	char text[1024], said[256];

	snprintf(text, sizeof(text), HEADER "{\"sha256\":\"" A "\",\"size\":1,\"urls\":[\"%s\"]}",
		 json);
	snprintf(said, sizeof(said), "urls: \"%s\" %s", shown, why);
	assert_refused(text, 2, said);
	snprintf(text, sizeof(text), HEADER "{\"fsverity\":\"" A "\",\"size\":1,\"tree\":\"%s\"}",
		 json);
	snprintf(said, sizeof(said), "tree: \"%s\" %s", shown, why);
	assert_refused(text, 2, said);
}

static void test_urls(void **state)
{
	static const char scheme[] = "is neither relative nor one of https://, http:// or ipfs://";
	static const char bytes[] = "has blanks, backslashes or other than ASCII's characters";

	assert_url_refused("", "", "is empty");
	assert_url_refused("file:///etc/passwd", "file:///etc/passwd", scheme);
	assert_url_refused("HTTP:x", "HTTP:x", scheme);
	assert_url_refused("javascript:x", "javascript:x", scheme);
	assert_url_refused("https:/x", "https:/x", scheme);
	assert_url_refused("https://", "https://", scheme);
	assert_url_refused("https:///x", "https:///x", "has no host");
	assert_url_refused("ipfs://", "ipfs://", scheme);
	assert_url_refused("ipfs:///x", "ipfs:///x", "has no CID behind ipfs://");
	assert_url_refused("ipfs://a.b/x", "ipfs://a.b/x", "has no CID behind ipfs://");
	assert_url_refused("IPFS://abc", "IPFS://abc", scheme);
	assert_url_refused("//host/x", "//host/x", "has a host without a scheme");
	assert_url_refused("a b", "a b", bytes);
	assert_url_refused("a\\\\b", "a\\b", bytes);
	assert_url_refused("a\\u0001b", "a?b", bytes);
	assert_url_refused("a\\u000d\\u000aHost: x", "a??Host: x", bytes);
	assert_url_refused("\\u00fc", "??", bytes);
	assert_url_refused("a\\u007f", "a?", bytes);
}

/* The example of the manual page is one. */
static void test_manual(void **state)
{
	static const char begin[] = ".Bd -literal\n", end[] = "\n.Ed";
	const char *const prefixes[] = {"Qwen/"};
	const struct verify_catalog_rules rules = {"hub", prefixes, 1, 42, NULL};
	struct verify_catalog *catalog;
	struct verify_object object;
	struct verify_place place;
	_cleanup_free_ char *page = NULL;
	size_t len;
	char *at;

	assert_int_equal(io_read_file(MANUAL, 65536, &page, &len), 0);
	at = strstr(page, begin);
	assert_non_null(at);
	at += strlen(begin);
	assert_non_null(strstr(at, end));
	*strstr(at, end) = '\0';
	assert_int_equal(load_text(at, &rules, &catalog, &problem), 0);
	assert_int_equal(verify_catalog_info(catalog)->n_objects, 2);
	verify_catalog_object(catalog, 0, &object);
	assert_true(object.digests.has_fsverity && object.has_tree);
	assert_url(catalog, &object, 1, "https://mirror.example/qwen3.safetensors");
	assert_int_equal(
		verify_catalog_lookup(catalog, "Qwen/Qwen3-0.6B@2f4a1c/config.json", &place), 0);
	assert_int_equal(place.object.size, 726);
	verify_catalog_unref(catalog);
}

/* ---- names of places ---- */

struct matches {
	char text[512];
	unsigned int n, stop;
};

static int add_match(void *arg, const char *name, const struct verify_object *object)
{
	struct matches *matches = arg;

	strcat(strcat(matches->text, name), " ");
	return ++matches->n == matches->stop ? 77 : 0;
}

/* What is in PLACE (a path), as it is known where it was found. */
static void assert_each(const struct verify_catalog *catalog, const char *path, const char *expected)
{
	struct matches matches = {{0}, 0, 0};
	struct verify_place place;

	assert_int_equal(verify_catalog_lookup(catalog, path, &place), 0);
	assert_int_equal(verify_catalog_each(catalog, &place.names, add_match, &matches), 0);
	assert_string_equal(matches.text, expected);
}

static int assert_listed_each(void *arg, const struct verify_place *place)
{
	const struct verify_catalog *catalog = arg;
	char path[300];
	struct verify_place same;

	snprintf(path, sizeof(path), "Qwen/%s", place->name);
	assert_int_equal(verify_catalog_lookup(catalog, path, &same), 0);
	assert_memory_equal(&place->names, &same.names, sizeof(same.names));
	return 0;
}

static void test_names_of_places(void **state)
{
	static const char text[] = HEADER "{\"sha256\":\"" HEX("a", "0001") "\",\"size\":1,\"names\":[\"Qwen/Q3/a.bin\",\"Qwen/R\"]}\n"
		"{\"sha256\":\"" HEX("a", "0002") "\",\"size\":1,\"names\":[\"Qwen/Q3/b.txt\",\"a.bin\",\"Qwen/Q3-x/a.bin\"]}\n";
	struct matches matches = {{0}, 0, 2};
	struct verify_catalog *catalog;
	struct verify_place top;

	assert_int_equal(load_text(text, NULL, &catalog, NULL), 0);
	assert_each(catalog, "", "Qwen/Q3/a.bin Qwen/Q3/b.txt Qwen/Q3-x/a.bin Qwen/R a.bin ");
	assert_each(catalog, "Qwen/Q3", "Qwen/Q3/a.bin Qwen/Q3/b.txt ");
	assert_each(catalog, "Qwen/Q3-x", "Qwen/Q3-x/a.bin ");
	assert_each(catalog, "Qwen/R", "Qwen/R ");
	assert_int_equal(verify_catalog_list(catalog, "Qwen", NULL, assert_listed_each, catalog), 0);
	assert_int_equal(verify_catalog_lookup(catalog, "", &top), 0);
	assert_int_equal(verify_catalog_each(catalog, &top.names, add_match, &matches), 77);
	verify_catalog_unref(catalog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_comes_out),
		cmocka_unit_test(test_urls_come_back),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_unknown_keys_are_passed_over),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_names_of_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
