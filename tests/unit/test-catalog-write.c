/* SPDX-License-Identifier: Apache-2.0 */
/* Catalogs that are written: held against the loader, and against another reader of JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include "tests/unit/catalog-testing.h"
#include "tests/unit/verify-reference.h"

#define EXPIRES 1798761600 /* 2027-01-01 */

static struct verify_problem problem;

struct written {
	FILE *file;
	char *text;
	size_t len;
};

static void begin(struct written *written)
{
	written->file = open_memstream(&written->text, &written->len);
	assert_non_null(written->file);
	assert_int_equal(
		verify_catalog_write_header(written->file, "hub", 42, EXPIRES, &problem), 0);
}

static void end(struct written *written)
{
	fclose(written->file);
	free(written->text);
}

static struct verify_catalog *load(struct written *written)
{
	struct verify_catalog *catalog;

	fflush(written->file);
	if (load_bytes(written->text, written->len, NULL, &catalog, &problem) < 0)
		fail_msg("line %u: %s", problem.line, problem.text);
	return catalog;
}

static int add(struct written *written, const struct verify_catalog_line *line)
{
	problem.text[0] = '\0';
	return verify_catalog_write_object(written->file, line, &problem);
}

static struct verify_catalog_line some_line(void)
{
	return (struct verify_catalog_line){
		.digests = {true, true, digest_of(HEX("a", "0001")), digest_of(HEX("b", "0001"))},
		.size = 17,
	};
}

static void test_what_is_written(void **state)
{
	static const char *const names[] = {"Qwen/Qwen3@1/a \"b\".gguf", "\xe6\xa8\xa1/\xc3\xa9"};
	static const char *const urls[] = {"objects/aa/x", "https://models.example/y"};
	struct written written;
	struct verify_catalog_line line = some_line();

	begin(&written);
	line.names = names;
	line.n_names = ARRAY_SIZE(names);
	line.urls = urls;
	line.n_urls = ARRAY_SIZE(urls);
	line.tree = "objects/aa/x.vtree";
	assert_int_equal(add(&written, &line), 0);
	line = (struct verify_catalog_line){.digests = {.has_sha256 = true}, .size = 1ULL << 62};
	assert_int_equal(add(&written, &line), 0);
	fflush(written.file);
	assert_string_equal(
		written.text,
		HEADER
		"{\"sha256\":\"" HEX("a", "0001") "\",\"fsverity\":\"" HEX("b", "0001") "\",\"size\":17,"
		"\"urls\":[\"objects/aa/x\",\"https://models.example/y\"],\"tree\":\"objects/aa/x.vtree\","
		"\"names\":[\"Qwen/Qwen3@1/a \\\"b\\\".gguf\",\"\xe6\xa8\xa1/\xc3\xa9\"]}\n"
		"{\"sha256\":\"" HEX("0", "0000") "\",\"size\":4611686018427387904}\n");
	verify_catalog_unref(load(&written));
	end(&written);
}

/* Nothing of what is refused comes to the file. */
static void assert_refused(struct written *written, const struct verify_catalog_line *line, int error,
			   const char *why)
{
	size_t before = (fflush(written->file), written->len);

	assert_int_equal(add(written, line), error);
	assert_string_equal(problem.text, why);
	fflush(written->file);
	assert_int_equal(written->len, before);
}

static void test_what_is_refused(void **state)
{
	static const char *const dots[] = {"good", "a/../b"};
	static const char *const blank[] = {"https://a b"};
	static const char *const good[] = {"x"};
	const char *many[VERIFY_OBJECT_NAMES + 1];
	struct written written;
	struct verify_catalog_line line = some_line();

	begin(&written);
	line.names = dots;
	line.n_names = 2;
	assert_refused(&written, &line, -EINVAL,
		       "names: \"a/../b\" has a component \".\" or \"..\"");
	line = some_line();
	line.urls = blank;
	line.n_urls = 1;
	assert_refused(&written, &line, -EINVAL,
		       "urls: \"https://a b\" has blanks, backslashes or other than ASCII's "
		       "characters");
	line = some_line();
	line.tree = "";
	assert_refused(&written, &line, -EINVAL, "tree: \"\" is empty");
	line.tree = "x";
	line.digests.has_fsverity = false;
	assert_refused(&written, &line, -EINVAL, "a tree without an fs-verity digest");
	line = (struct verify_catalog_line){.names = good, .n_names = 1};
	assert_refused(&written, &line, -EINVAL, "an object without a digest");
	line = some_line();
	line.size = (1ULL << 62) + 1;
	assert_refused(&written, &line, -EFBIG, "an object that is too large");
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = "x";
	line = some_line();
	line.names = many;
	line.n_names = ARRAY_SIZE(many);
	assert_refused(&written, &line, -EINVAL, "more than 256 names of an object");
	line = some_line();
	line.urls = many;
	line.n_urls = VERIFY_OBJECT_URLS + 1;
	assert_refused(&written, &line, -EINVAL, "more than 16 URLs of an object");
	assert_int_equal(verify_catalog_write_header(written.file, "Hub", 1, EXPIRES, &problem),
			 -EINVAL);
	assert_int_equal(verify_catalog_write_header(written.file, "hub", 1ULL << 63, EXPIRES, &problem),
			 -EINVAL);
	assert_int_equal(verify_catalog_write_header(written.file, "hub", 1, 1LL << 40, &problem),
			 -EINVAL);
	end(&written);
}

/* 256 names that are 65536 bytes with all that is around them, and one byte more. */
static void test_the_longest_line(void **state)
{
	static char texts[VERIFY_OBJECT_NAMES][512];
	const char *names[VERIFY_OBJECT_NAMES];
	struct verify_catalog_line line = some_line();
	struct written written;
	size_t rest = VERIFY_CATALOG_LINE;

	begin(&written);
	line.names = names;
	line.n_names = VERIFY_OBJECT_NAMES;
	rest -= strlen("{\"sha256\":\"\",\"fsverity\":\"\",\"size\":17,\"names\":[]}") + 128;
	for (size_t i = 0; i < VERIFY_OBJECT_NAMES; i++) {
		size_t len = rest / (VERIFY_OBJECT_NAMES - i);

		rest -= len;
		len -= i + 1 < VERIFY_OBJECT_NAMES ? 3 : 2; /* quotes and comma */
		sprintf(texts[i], "%03zu/", i);
		memset(texts[i] + 4, 'x', len - 4);
		texts[i][150] = '/';
		names[i] = texts[i];
	}
	assert_int_equal(add(&written, &line), 0);
	verify_catalog_unref(load(&written));
	strcat(texts[7], "y");
	assert_refused(&written, &line, -EFBIG,
		       "the line of an object with 256 names has more than 64 KiB");
	end(&written);
}

static void test_a_full_disk(void **state)
{
	struct verify_catalog_line line = some_line();
	FILE *full = fopen("/dev/full", "w");

	setvbuf(full, NULL, _IONBF, 0);
	assert_int_equal(verify_catalog_write_header(full, "hub", 42, EXPIRES, &problem), -ENOSPC);
	assert_int_equal(verify_catalog_write_object(full, &line, &problem), -ENOSPC);
	assert_string_equal(problem.text, "writing: No space left on device");
	fclose(full);
}

/* ---- random ones ---- */

#define OBJECTS 300

struct random_object {
	struct verify_catalog_line line;
	char texts[8][VERIFY_NAME_MAX + 1];
	const char *names[8];
	char url[64];
	const char *urls[1];
};

/* A component that begins with a number, so that none is there twice, of whatever a name may have. */
static void random_name(uint64_t *seed, unsigned int number, char *out)
{
	static const char *const pieces[] = {
		"a", "Z", "0", ".", " ", "\"", "'", "{", "}", "[", "]", ":", ",", "%", "@", "#", "/x",
		"\xc2\xa0", "\xc3\xa9", "\xdf\xbf", "\xe0\xa0\x80", "\xe2\x80\xa8", "\xe6\xa8\xa1",
		"\xed\x9f\xbf", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf",
	};
	size_t n = next_random(seed) % 60;

	out += sprintf(out, "%u", number);
	while (n-- > 0)
		out += sprintf(out, "%s", pieces[(next_random(seed) >> 20) % ARRAY_SIZE(pieces)]);
}

static void random_object(uint64_t *seed, unsigned int number, struct random_object *out)
{
	*out = (struct random_object){.line.digests = {next_random(seed) >> 62 > 0, true}};
	if (out->line.digests.has_sha256)
		fill_random(out->line.digests.sha256.bytes, DIGEST_SIZE, next_random(seed));
	fill_random(out->line.digests.fsverity.bytes, DIGEST_SIZE, next_random(seed));
	out->line.size = next_random(seed) >> (2 + next_random(seed) % 60);
	out->line.n_names = next_random(seed) % ARRAY_SIZE(out->names);
	for (unsigned int i = 0; i < out->line.n_names; i++) {
		random_name(seed, number * 8 + i, out->texts[i]);
		out->names[i] = out->texts[i];
	}
	sprintf(out->url, "objects/%u?%%20\"'", number);
	out->urls[0] = out->url;
	out->line.names = out->names;
	out->line.urls = out->urls;
	out->line.n_urls = number % 2;
	out->line.tree = number % 3 ? out->url : NULL;
}

static void check_object(const struct verify_catalog *catalog, size_t index,
			 const struct verify_catalog_line *line)
{
	char url[VERIFY_URL_MAX + 1];
	struct verify_object object;

	verify_catalog_object(catalog, index, &object);
	assert_memory_equal(&object.digests, &line->digests, sizeof(line->digests));
	assert_int_equal(object.size, line->size);
	assert_int_equal(object.n_names, line->n_names);
	assert_int_equal(object.n_urls, line->n_urls);
	assert_int_equal(object.has_tree, line->tree != NULL);
	for (unsigned int i = 0; i < object.n_names; i++)
		assert_string_equal(verify_object_name(catalog, &object, i), line->names[i]);
	for (unsigned int i = 0; i < object.n_urls; i++)
		assert_string_equal(verify_object_url(catalog, &object, i, url), line->urls[i]);
	if (line->tree)
		assert_string_equal(verify_object_tree(catalog, &object, url), line->tree);
}

/* Jansson reads the same names in TEXT, a line, as were written. */
static void check_json(const char *text, const struct verify_catalog_line *line)
{
	json_t *json = json_loadb(text, strcspn(text, "\n"), JSON_REJECT_DUPLICATES, NULL);
	const json_t *names = json_object_get(json, "names");

	assert_non_null(json);
	assert_int_equal(json_array_size(names), line->n_names);
	for (size_t i = 0; i < line->n_names; i++)
		assert_string_equal(json_string_value(json_array_get(names, i)), line->names[i]);
	json_decref(json);
}

static void test_random_catalogs(void **state)
{
	static struct random_object objects[OBJECTS];

	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t random = seed;
		struct written written;
		struct verify_catalog *catalog;

		begin(&written);
		for (unsigned int i = 0; i < OBJECTS; i++) {
			size_t before = (fflush(written.file), written.len);

			random_object(&random, i, &objects[i]);
			assert_int_equal(add(&written, &objects[i].line), 0);
			fflush(written.file);
			check_json(written.text + before, &objects[i].line);
		}
		catalog = load(&written);
		assert_int_equal(verify_catalog_info(catalog)->serial, 42);
		assert_int_equal(verify_catalog_info(catalog)->expires, EXPIRES);
		for (unsigned int i = 0; i < OBJECTS; i++)
			check_object(catalog, i, &objects[i].line);
		verify_catalog_unref(catalog);
		end(&written);
	}
}

static void test_dates(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} good[] = {{0, "1970-01-01T00:00:00Z"}, {EXPIRES, "2027-01-01T00:00:00Z"},
		    {253402300799, "9999-12-31T23:59:59Z"}};
	char text[VERIFY_DATE_SIZE];
	int64_t seconds;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(verify_date_format(good[i].seconds, text), 0);
		assert_string_equal(text, good[i].text);
		assert_int_equal(verify_date_parse(text, strlen(text), &seconds), 0);
		assert_int_equal(seconds, good[i].seconds);
	}
	assert_int_equal(verify_date_format(253402300800, text), -EINVAL);
	assert_int_equal(verify_date_format(INT64_MIN, text), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written), cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_the_longest_line), cmocka_unit_test(test_a_full_disk),
		cmocka_unit_test(test_random_catalogs), cmocka_unit_test(test_dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
