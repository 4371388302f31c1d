/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory, OpenSSL and reads that fail, each at every point where they are used (the linker puts the functions below in front
 * of the real ones): an error comes back with a reason, nothing leaks (the sanitizers tell), and never is a catalog or a signature
 * taken because something failed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include "tests/unit/catalog-testing.h"

/* Fail the call that counts this down to 0; off while negative. */
static long fuse = -1;

static bool blown(void)
{
	return fuse >= 0 && fuse-- == 0;
}

#include "tests/unit/verify-failing.h"

WRAPPED(void *, malloc, (size_t size))
{
	return blown() ? NULL : __real_malloc(size);
}

WRAPPED(void *, calloc, (size_t n, size_t size))
{
	return blown() ? NULL : __real_calloc(n, size);
}

WRAPPED(void *, reallocarray, (void *p, size_t n, size_t size))
{
	return blown() ? NULL : __real_reallocarray(p, n, size);
}

WRAPPED(char *, strdup, (const char *text))
{
	return blown() ? NULL : __real_strdup(text);
}

WRAPPED(EVP_PKEY *, EVP_PKEY_new_raw_public_key,
	(int type, ENGINE *e, const unsigned char *key, size_t len))
{
	return blown() ? NULL : __real_EVP_PKEY_new_raw_public_key(type, e, key, len);
}

WRAPPED(EVP_PKEY *, EVP_PKEY_new_raw_private_key,
	(int type, ENGINE *e, const unsigned char *key, size_t len))
{
	return blown() ? NULL : __real_EVP_PKEY_new_raw_private_key(type, e, key, len);
}

WRAPPED(int, EVP_DigestVerifyInit,
	(EVP_MD_CTX * ctx, EVP_PKEY_CTX **pctx, const EVP_MD *type, ENGINE *e, EVP_PKEY *pkey))
{
	return blown() ? 0 : __real_EVP_DigestVerifyInit(ctx, pctx, type, e, pkey);
}

/* A failure inside, as OpenSSL shows it: negative, and no error in the queue. */
WRAPPED(int, EVP_DigestVerify,
	(EVP_MD_CTX * ctx, const unsigned char *signature, size_t len, const unsigned char *data,
	 size_t data_len))
{
	return blown() ? -1 : __real_EVP_DigestVerify(ctx, signature, len, data, data_len);
}

WRAPPED(int, EVP_DigestSign,
	(EVP_MD_CTX * ctx, unsigned char *out, size_t *len, const unsigned char *data,
	 size_t data_len))
{
	return blown() ? 0 : __real_EVP_DigestSign(ctx, out, len, data, data_len);
}

/* Runs once a read, with the file: who writes to it meanwhile. */
static void (*meddle)(int fd);

WRAPPED(ssize_t, pread, (int fd, void *buf, size_t len, off_t offset))
{
	if (meddle)
		meddle(fd);
	if (!blown())
		return __real_pread(fd, buf, len, offset);
	errno = EIO;
	return -1;
}

#define LINES_MAX 300

static char text[LINES_MAX * 256];
static struct verify_problem problem;

/* Lines enough for every array to grow. */
static int setup(void **state)
{
	size_t used = (size_t)sprintf(text, HEADER);

	for (int i = 0; i < LINES_MAX; i++)
		used += (size_t)sprintf(text + used,
					"{\"sha256\":\"%064x\",\"size\":1,\"names\":[\"n/%d\"]}\n",
					i, i);
	return 0;
}

static int load_with(int fd, const char *signature, struct verify_catalog **out)
{
	const struct verify_key key = key_of(KNOWN_KEY);

	problem = (struct verify_problem){0};
	return verify_catalog_load(fd, signature, strlen(signature), &key, 1, &any_rules, out,
				   &problem);
}

static void test_loading(void **state)
{
	_cleanup_close_ int fd = file_of(text, strlen(text));
	_cleanup_free_ char *signature = signature_of(fd, "x");
	long point;

	for (point = 0;; point++) {
		struct verify_catalog *catalog = NULL;
		int r;

		fuse = point;
		r = load_with(fd, signature, &catalog);
		if (fuse >= 0) {
			assert_int_equal(r, 0);
			verify_catalog_unref(catalog);
			break;
		}
		/* -EBADMSG: a verification that says no more than that it failed. */
		assert_true(r == -ENOMEM || r == -EIO || r == -EBADMSG);
		assert_true(problem.text[0] != '\0');
		assert_null(catalog);
	}
	fuse = -1;
	assert_true(point > 30);
}

static void test_signing(void **state)
{
	_cleanup_close_ int fd = file_of(text, strlen(text));
	long point;

	for (point = 0;; point++) {
		struct verify_secret secret;
		char *signature = NULL;
		int r;

		fuse = point;
		r = verify_secret_parse(KNOWN_SECRET, strlen(KNOWN_SECRET), &secret, &problem);
		if (r == 0)
			r = verify_minisign_sign(&secret, fd, "", "", &signature, &problem);
		if (fuse >= 0) {
			assert_int_equal(r, 0);
			free(signature);
			break;
		}
		assert_true(r == -ENOMEM || r == -EIO);
		assert_null(signature);
	}
	fuse = -1;
	assert_true(point > 8);
}

/* ---- whoever writes to the file while it is read ---- */

static unsigned int reads, meddle_at;
static bool append;

static void change_it(int fd)
{
	static const char more[] = "{\"size\":1,\"sha256\":\"" HEX("f", "ffff") "\"}\n";
	void (*again)(int) = meddle;

	meddle = NULL;
	if (reads++ == meddle_at && append)
		assert_int_equal(io_pwrite(fd, more, strlen(more), strlen(text)), 0);
	else if (reads == meddle_at + 1)
		/* The size of the first object: a good catalog, but not the signed one. */
		assert_int_equal(
			io_pwrite(fd, "2", 1, (uint64_t)(strstr(text, "\"size\":1") - text) + 7),
			0);
	meddle = again;
}

static void test_another_file_between_the_two_readings(void **state)
{
	unsigned int refused = 0;

	append = *(bool *)*state;
	for (meddle_at = 0; meddle_at < 10; meddle_at++) {
		_cleanup_close_ int fd = file_of(text, strlen(text));
		_cleanup_free_ char *signature = signature_of(fd, "x");
		struct verify_catalog *catalog = NULL;
		int r;

		reads = 0;
		meddle = change_it;
		r = load_with(fd, signature, &catalog);
		meddle = NULL;
		if (r == 0) {
			struct verify_object object;

			assert_int_equal(verify_catalog_info(catalog)->n_objects, LINES_MAX);
			verify_catalog_object(catalog, 0, &object);
			assert_int_equal(object.size, 1);
			verify_catalog_unref(catalog);
			continue;
		}
		assert_true(r == -EAGAIN || r == -EBADMSG);
		assert_null(catalog);
		refused += r == -EAGAIN;
		if (r == -EAGAIN)
			assert_string_equal(problem.text, "somebody wrote to it while it was read");
	}
	assert_true(refused > 0);
}

int main(void)
{
	bool change = false, longer = true;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loading),
		cmocka_unit_test(test_signing),
		cmocka_unit_test_prestate(test_another_file_between_the_two_readings, &change),
		cmocka_unit_test_prestate(test_another_file_between_the_two_readings, &longer),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
