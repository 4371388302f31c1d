/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A catalog of many objects: all are found, by each digest and name, and it takes the memory that it may. WEIGHTFS_CATALOG_OBJECTS
 * (100000) says how many; what it takes is what tests/tools/catalog-large measures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include "common/number.h"
#include "tests/unit/catalog-large.h"
#include "tests/unit/catalog-testing.h"

/* 300 MiB for a million, and 16 MiB that do not grow with them. */
#define BYTES_PER_OBJECT ((uint64_t)300 * 1024 * 1024 / 1000000)
#define BYTES_FIXED	 ((uint64_t)16 * 1024 * 1024)

static uint64_t n_objects = 100000;
static char path[] = "/var/tmp/weightfs-catalog-XXXXXX"; /* not in memory, as /tmp may be */
static struct verify_catalog *catalog;
static uint64_t grown;

static uint64_t status_kib(const char *key)
{
	_cleanup_free_ char *text = NULL;
	const char *at;
	uint64_t value;
	size_t len;

	assert_int_equal(io_read_file("/proc/self/status", 65536, &text, &len), 0);
	at = strstr(text, key);
	assert_non_null(at);
	at += strcspn(at, "0123456789");
	assert_int_equal(number_digits(&at, &value), 0);
	return value;
}

/* The peak counts from here on. */
static void reset_peak(void)
{
	_cleanup_close_ int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		assert_int_equal(io_write(fd, "5", 1), 0);
}

static int load_large(void **state)
{
	const char *wanted = getenv("WEIGHTFS_CATALOG_OBJECTS");
	_cleanup_free_ char *signature = NULL;
	const struct verify_key key = key_of(KNOWN_KEY);
	struct verify_problem problem = {0};
	_cleanup_close_ int fd = mkostemp(path, O_CLOEXEC);
	uint64_t before;
	FILE *file;
	int r;

	if (wanted && number_digits(&wanted, &n_objects) < 0)
		return -1;
	file = fd < 0 ? NULL : fdopen(dup(fd), "w");
	if (!file || large_write(file, n_objects) < 0 || fclose(file) == EOF)
		return -1;
	signature = signature_of(fd, "large");
	before = status_kib("VmRSS:");
	reset_peak();
	r = verify_catalog_load(fd, signature, strlen(signature), &key, 1, &any_rules, &catalog,
				&problem);
	if (r < 0)
		print_message("line %u: %s\n", problem.line, problem.text);
	grown = (status_kib("VmHWM:") - before) * 1024;
	return r;
}

static int unload(void **state)
{
	verify_catalog_unref(catalog);
	return unlink(path);
}

static void test_memory(void **state)
{
	print_message("%llu objects took %llu KiB\n", (unsigned long long)n_objects,
		      (unsigned long long)grown / 1024);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	print_message("a sanitizer takes more: no bound\n");
#else
	assert_true(grown <= n_objects * BYTES_PER_OBJECT + BYTES_FIXED);
#endif
}

static void check_object(uint64_t i)
{
	struct digest_name sha256 = {DIGEST_SHA256, large_digest(i, DIGEST_SHA256)};
	struct digest_name fsverity = {DIGEST_FSVERITY, large_digest(i, DIGEST_FSVERITY)};
	struct verify_object by_sha256, by_fsverity;
	struct verify_place place;
	char name[128], tag[140];

	assert_int_equal(verify_catalog_find(catalog, &sha256, &by_sha256), 0);
	assert_int_equal(verify_catalog_find(catalog, &fsverity, &by_fsverity), 0);
	assert_int_equal(by_sha256.index, by_fsverity.index);
	assert_int_equal(by_sha256.size, i * 4096 + 1);
	large_name(i, name);
	assert_int_equal(verify_catalog_lookup(catalog, name, &place), 0);
	assert_int_equal(place.object.index, by_sha256.index);
	snprintf(tag, sizeof(tag), "tags/%s", name);
	assert_int_equal(verify_catalog_lookup(catalog, tag, &place), i % 2 ? 0 : -ENOENT);
}

static void *check_part(void *arg)
{
	for (uint64_t i = *(uint64_t *)arg; i < n_objects; i += 2)
		check_object(i);
	return NULL;
}

/* By two threads at once. */
static void test_all_are_found(void **state)
{
	uint64_t first = 0, second = 1;
	pthread_t thread;

	assert_int_equal(verify_catalog_info(catalog)->n_objects, n_objects);
	assert_int_equal(pthread_create(&thread, NULL, check_part, &second), 0);
	check_part(&first);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static int count(void *arg, const struct verify_place *place)
{
	(*(uint64_t *)arg)++;
	return 0;
}

static void test_top(void **state)
{
	uint64_t places = 0, models = (n_objects + 9) / 10;

	assert_int_equal(verify_catalog_list(catalog, "", NULL, count, &places), 0);
	assert_int_equal(places, 1 + (models < LARGE_ORGS ? models : LARGE_ORGS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_all_are_found),
		cmocka_unit_test(test_top),
	};

	return cmocka_run_group_tests(tests, load_large, unload);
}
