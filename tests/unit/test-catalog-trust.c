/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures, serials, prefixes, bounds of catalogs, and two that do not agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include "tests/unit/catalog-testing.h"

#define A HEX("a", "0001")
#define B HEX("b", "0002")
#define C HEX("c", "0003")

#define NAMED(digest, name) "{\"sha256\":\"" digest "\",\"size\":1,\"names\":[\"" name "\"]}\n"
#define GOOD		    HEADER NAMED(A, "Qwen/a") NAMED(B, "Qwen/b/c")

static struct verify_problem problem;

static int load_signed(const char *text, size_t len, const char *signature,
		       const struct verify_catalog_rules *rules, struct verify_catalog **out)
{
	const struct verify_key keys[] = {key_of(OTHER_KEY), key_of(KNOWN_KEY)};
	_cleanup_close_ int fd = file_of(text, len);

	problem = (struct verify_problem){0};
	return verify_catalog_load(fd, signature, strlen(signature), keys, 2, rules, out, &problem);
}

static char *sign_text(const char *text)
{
	_cleanup_close_ int fd = file_of(text, strlen(text));

	return signature_of(fd, "serial 42");
}

static void test_signed(void **state)
{
	_cleanup_free_ char *signature = sign_text(GOOD);
	const struct verify_key key = key_of(KNOWN_KEY);
	const struct verify_catalog_info *info;
	struct verify_catalog *catalog;
	uint8_t hash[64];

	assert_int_equal(load_signed(GOOD, strlen(GOOD), signature, &any_rules, &catalog), 0);
	info = verify_catalog_info(catalog);
	assert_int_equal(info->n_objects, 2);
	assert_string_equal(info->trusted_comment, "serial 42");
	assert_memory_equal(&info->key, &key, sizeof(key));
	assert_int_equal(EVP_Digest(GOOD, strlen(GOOD), hash, NULL, EVP_blake2b512(), NULL), 1);
	assert_memory_equal(info->hash, hash, sizeof(hash));
	verify_catalog_unref(catalog);
}

/* Whichever byte of it is another one, or is missing: the signature is what says so, before anything is parsed. */
static void test_every_byte_is_signed(void **state)
{
	_cleanup_free_ char *signature = sign_text(GOOD), *text = strdup(GOOD);
	struct verify_catalog *catalog = NULL;
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		text[i] ^= 1;
		assert_int_equal(load_signed(text, len, signature, &any_rules, &catalog), -EBADMSG);
		assert_string_equal(problem.text, "the signature is not that of this file");
		assert_int_equal(problem.line, 0);
		text[i] ^= 1;
		assert_int_equal(load_signed(text, i, signature, &any_rules, &catalog), -EBADMSG);
	}
	assert_null(catalog);
	/* Unsigned, so to say. */
	assert_int_equal(load_signed(GOOD, len, "", &any_rules, &catalog), -EINVAL);
	assert_string_equal(problem.text, "the signature, line 1: the line is missing");
}

static void test_keys(void **state)
{
	_cleanup_free_ char *signature = sign_text(GOOD);
	const struct verify_key other = key_of(OTHER_KEY);
	struct verify_key forged = key_of(OTHER_KEY), known = key_of(KNOWN_KEY);
	_cleanup_close_ int fd = file_of(GOOD, strlen(GOOD));
	struct verify_catalog *catalog = NULL;

	assert_int_equal(verify_catalog_load(fd, signature, strlen(signature), &other, 1,
					     &any_rules, &catalog, &problem),
			 -ENOKEY);
	assert_string_equal(problem.text, "signed with the key " KNOWN_KEY_ID
					  ", which is not the one that may");
	/* Another key with the same id. */
	memcpy(forged.id, known.id, sizeof(forged.id));
	assert_int_equal(verify_catalog_load(fd, signature, strlen(signature), &forged, 1,
					     &any_rules, &catalog, &problem),
			 -EBADMSG);
	assert_null(catalog);
}

static void test_serials(void **state)
{
	_cleanup_free_ char *signature = sign_text(GOOD);
	struct verify_catalog_rules rules = any_rules;
	struct verify_catalog *catalog = NULL;

	rules.min_serial = 43;
	assert_int_equal(load_signed(GOOD, strlen(GOOD), signature, &rules, &catalog), -ESTALE);
	assert_string_equal(problem.text, "its serial is 42, but 43 was seen before");
	assert_int_equal(problem.line, 1);
	assert_null(catalog);
	rules.min_serial = 42;
	assert_int_equal(load_signed(GOOD, strlen(GOOD), signature, &rules, &catalog), 0);
	verify_catalog_unref(catalog);
}

static void test_which_catalog(void **state)
{
	struct verify_catalog_rules rules = any_rules;
	struct verify_catalog *catalog = NULL;

	rules.name = "hug";
	assert_int_equal(load_text(GOOD, &rules, &catalog, &problem), -EINVAL);
	assert_string_equal(problem.text, "name: \"hub\" is another catalog");
	rules.name = "hub";
	assert_int_equal(load_text(GOOD, &rules, &catalog, &problem), 0);
	verify_catalog_unref(catalog);
}

static void test_stopping(void **state)
{
	_cleanup_free_ char *signature = sign_text(GOOD);
	struct verify_catalog_rules rules = any_rules;
	struct verify_catalog *catalog = NULL;
	atomic_bool stop = true;

	rules.stop = &stop;
	assert_int_equal(load_signed(GOOD, strlen(GOOD), signature, &rules, &catalog), -ECANCELED);
	assert_null(catalog);
	stop = false;
	assert_int_equal(load_signed(GOOD, strlen(GOOD), signature, &rules, &catalog), 0);
	verify_catalog_unref(catalog);
}

static void test_prefixes(void **state)
{
	static const char *const prefixes[] = {"Qwen/b/", "Qwen/a"};
	struct verify_catalog_rules rules = {.prefixes = prefixes, .n_prefixes = 2};
	struct verify_catalog *catalog = NULL;

	assert_int_equal(load_text(GOOD, &rules, &catalog, &problem), 0);
	verify_catalog_unref(catalog);
	rules.n_prefixes = 1;
	assert_int_equal(load_text(GOOD, &rules, &catalog, &problem), -EINVAL);
	assert_string_equal(problem.text,
			    "names: \"Qwen/a\" does not begin with a prefix of this catalog");
	assert_int_equal(problem.line, 2);
	/* None: no name. */
	rules.n_prefixes = 0;
	assert_int_equal(load_text(GOOD, &rules, &catalog, &problem), -EINVAL);
}

/* ---- bounds ---- */

/* A header and a line with N times ITEM (with "%u", if it has one) between BEGIN and END. */
static int load_many(const char *begin, const char *item, unsigned int n, const char *end)
{
	size_t size = 4096 + strlen(begin) + strlen(end) + n * (strlen(item) + 12), used;
	_cleanup_free_ char *text = malloc(size);
	struct verify_catalog *catalog = NULL;
	int r;

	used = (size_t)snprintf(text, size, "%s%s", HEADER, begin);
	for (unsigned int i = 0; i < n; i++) {
		const char *number = strstr(item, "%u");

		used += (size_t)snprintf(text + used, size - used, "%s%.*s", i ? "," : "",
					 number ? (int)(number - item) : (int)strlen(item), item);
		if (number)
			used += (size_t)snprintf(text + used, size - used, "%u%s", i, number + 2);
	}
	snprintf(text + used, size - used, "%s", end);
	problem = (struct verify_problem){0};
	r = load_text(text, NULL, &catalog, &problem);
	assert_int_equal(r == 0, catalog != NULL);
	verify_catalog_unref(catalog);
	return r;
}

#define ENTRY "{\"sha256\":\"" A "\",\"size\":1,"

static void test_bounds_of_an_entry(void **state)
{
	static char long_url[VERIFY_URL_MAX + 2], item[VERIFY_URL_MAX + 8];

	assert_int_equal(load_many(ENTRY "\"names\":[", "\"n%u\"", VERIFY_OBJECT_NAMES, "]}"), 0);
	assert_int_equal(load_many(ENTRY "\"names\":[", "\"n%u\"", VERIFY_OBJECT_NAMES + 1, "]}"),
			 -EINVAL);
	assert_string_equal(problem.text, "names: more than 256");
	assert_int_equal(load_many(ENTRY "\"urls\":[", "\"u\"", VERIFY_OBJECT_URLS, "]}"), 0);
	assert_int_equal(load_many(ENTRY "\"urls\":[", "\"u\"", VERIFY_OBJECT_URLS + 1, "]}"),
			 -EINVAL);
	assert_string_equal(problem.text, "urls: more than 16");

	memset(long_url, 'u', sizeof(long_url) - 1);
	snprintf(item, sizeof(item), "\"%.*s\"", VERIFY_URL_MAX, long_url);
	assert_int_equal(load_many(ENTRY "\"urls\":[", item, 1, "]}"), 0);
	snprintf(item, sizeof(item), "\"%s\"", long_url);
	assert_int_equal(load_many(ENTRY "\"urls\":[", item, 1, "]}"), -EINVAL);
	assert_non_null(strstr(problem.text, "uuu...\" has more than 2048 bytes"));
}

static void test_bounds_of_a_line(void **state)
{
	unsigned int n = VERIFY_CATALOG_LINE - (unsigned int)strlen(ENTRY "\"x\":\"\"}");
	_cleanup_free_ char *filling = malloc(VERIFY_CATALOG_LINE + 8), *deep = NULL;

	memset(filling, 'x', n + 1);
	strcpy(filling + n, "\"}");
	assert_int_equal(load_many(ENTRY "\"x\":\"", filling, 1, ""), 0);
	assert_int_equal(load_many(ENTRY "\"x\":\"", filling, 1, "\n"), 0);
	assert_int_equal(load_many(ENTRY "\"x\":\"x", filling, 1, "\n"), -EINVAL);
	assert_string_equal(problem.text, "more than 65536 bytes in a line");
	assert_int_equal(problem.line, 2);
	/* Without end. */
	assert_int_equal(load_many("", filling, 20, ""), -EINVAL);
	assert_string_equal(problem.text, "more than 65536 bytes in a line");

	deep = calloc(1, 20000);
	memset(deep, '[', 10000);
	assert_int_equal(load_many(ENTRY "\"x\":", deep, 1, "]"), -EINVAL);
	assert_non_null(strstr(problem.text, "too many objects within objects"));
	assert_int_equal(load_many(ENTRY "\"x\":",
				   "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"
				   "]]]]]]]]]]]]]]]]",
				   1, "}"),
			 0);
}

/* N objects, whose digests are their numbers. */
static int load_numbers(unsigned int n, struct verify_catalog **out)
{
	_cleanup_close_ int fd = memfd_create("numbers", MFD_CLOEXEC);
	FILE *file = fdopen(dup(fd), "w");

	fputs(HEADER, file);
	for (unsigned int i = 0; i < n; i++)
		fprintf(file, "{\"size\":1,\"sha256\":\"%064x\"}\n", i);
	assert_int_equal(fclose(file), 0);
	return verify_catalog_load_unsigned(fd, &any_rules, out, &problem);
}

static void test_a_million_and_no_more(void **state)
{
	struct verify_catalog *catalog = NULL;

	assert_int_equal(load_numbers(VERIFY_CATALOG_OBJECTS, &catalog), 0);
	assert_int_equal(verify_catalog_info(catalog)->n_objects, VERIFY_CATALOG_OBJECTS);
	verify_catalog_unref(catalog);
	assert_int_equal(load_numbers(VERIFY_CATALOG_OBJECTS + 1, &catalog), -EINVAL);
	assert_string_equal(problem.text, "more than 1000000 objects");
	assert_int_equal(problem.line, VERIFY_CATALOG_OBJECTS + 2);
}

/* ---- two objects ---- */

static struct verify_object object_of(const char *sha256, const char *fsverity, uint64_t size)
{
	struct verify_object object = {.size = size};

	object.digests.has_sha256 = sha256 != NULL;
	object.digests.has_fsverity = fsverity != NULL;
	if (sha256)
		object.digests.sha256 = digest_of(sha256);
	if (fsverity)
		object.digests.fsverity = digest_of(fsverity);
	return object;
}

static void test_agreement(void **state)
{
	static const struct {
		const char *a_sha256, *a_fsverity;
		uint64_t a_size;
		const char *b_sha256, *b_fsverity;
		uint64_t b_size;
		bool agree;
	} cases[] = {
		{A, B, 1, A, B, 1, true},	{A, B, 1, A, B, 2, false},
		{A, B, 1, A, C, 1, false},	{A, B, 1, C, B, 1, false},
		{A, B, 1, C, A, 2, true},	{A, NULL, 1, A, B, 1, true},
		{A, NULL, 1, A, B, 2, false},	{NULL, B, 1, A, B, 1, true},
		{NULL, B, 1, A, B, 2, false},	{A, NULL, 1, NULL, B, 2, true},
		{A, NULL, 1, B, NULL, 2, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct verify_object a =
			object_of(cases[i].a_sha256, cases[i].a_fsverity, cases[i].a_size);
		struct verify_object b =
			object_of(cases[i].b_sha256, cases[i].b_fsverity, cases[i].b_size);

		assert_int_equal(verify_objects_agree(&a, &b), cases[i].agree);
		assert_int_equal(verify_objects_agree(&b, &a), cases[i].agree);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_every_byte_is_signed),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_serials),
		cmocka_unit_test(test_which_catalog),
		cmocka_unit_test(test_stopping),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_bounds_of_an_entry),
		cmocka_unit_test(test_bounds_of_a_line),
		cmocka_unit_test(test_a_million_and_no_more),
		cmocka_unit_test(test_agreement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
