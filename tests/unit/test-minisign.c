/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures that minisign made, each of their bytes changed, and ours held against the real tool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/wait.h>
#include "tests/unit/signing-testing.h"
#include "tests/unit/verify-reference.h"

static uint8_t data[1000];
static struct verify_problem problem;

static int setup(void **state)
{
	fill_yes(data, sizeof(data));
	return 0;
}

/* KNOWN_KEY's signature over N bytes of DATA. */
static int check(const uint8_t *bytes, size_t n, const char *signature, size_t len,
		 struct verify_signed *out)
{
	const struct verify_key keys[] = {key_of(OTHER_KEY), key_of(KNOWN_KEY)};
	_cleanup_close_ int fd = file_of(bytes, n);

	problem.text[0] = '\0';
	return verify_minisign_check(fd, signature, len, keys, 2, out, &problem);
}

static void test_known_signatures(void **state)
{
	struct verify_signed result;
	uint8_t hash[64];

	assert_int_equal(check(data, sizeof(data), KNOWN_HASHED, strlen(KNOWN_HASHED), &result), 0);
	assert_int_equal(result.key, 1);
	assert_true(result.hashed);
	assert_int_equal(result.size, sizeof(data));
	assert_string_equal(result.trusted_comment, KNOWN_HASHED_COMMENT);
	assert_int_equal(EVP_Digest(data, sizeof(data), hash, NULL, EVP_blake2b512(), NULL), 1);
	assert_memory_equal(result.hash, hash, sizeof(hash));

	assert_int_equal(check(data, sizeof(data), KNOWN_LEGACY, strlen(KNOWN_LEGACY), &result), 0);
	assert_false(result.hashed);
	assert_string_equal(result.trusted_comment, "the older algorithm");
	assert_memory_equal(result.hash, hash, sizeof(hash));
	/* Without the newline at its end. */
	assert_int_equal(check(data, sizeof(data), KNOWN_LEGACY, strlen(KNOWN_LEGACY) - 1, &result),
			 0);
}

/* Whatever bit of a signature file is another one: refused, but in its untrusted comment. */
static void test_every_bit_of_a_signature(void **state)
{
	static const char *const known[] = {KNOWN_HASHED, KNOWN_LEGACY};

	for (size_t k = 0; k < 2; k++) {
		size_t len = strlen(known[k]), begin = (size_t)(strchr(known[k], '\n') - known[k]);
		struct verify_signed result = {.key = 77};

		for (size_t i = begin * 8; i < len * 8; i++) {
			char changed[512];
			int r;

			memcpy(changed, known[k], len);
			changed[i / 8] ^= (char)(1 << i % 8);
			r = check(data, sizeof(data), changed, len, &result);
			assert_true(r == -EINVAL || r == -EBADMSG || r == -ENOKEY);
			assert_true(problem.text[0] != '\0');
		}
		assert_int_equal(result.key, 77);
		for (size_t n = 0; n < len - 1; n++)
			assert_int_equal(check(data, sizeof(data), known[k], n, &result), -EINVAL);
	}
}

static void test_every_byte_of_the_file(void **state)
{
	static const char *const known[] = {KNOWN_HASHED, KNOWN_LEGACY};
	struct verify_signed result;
	uint8_t changed[1001] = {0};

	for (size_t k = 0; k < 2; k++) {
		size_t len = strlen(known[k]);

		memcpy(changed, data, sizeof(data));
		for (size_t i = 0; i < sizeof(data); i += 37) {
			changed[i] ^= 0x10;
			assert_int_equal(check(changed, sizeof(data), known[k], len, &result),
					 -EBADMSG);
			assert_string_equal(problem.text, "the signature is not that of this file");
			changed[i] ^= 0x10;
		}
		assert_int_equal(check(changed, 999, known[k], len, &result), -EBADMSG);
		assert_int_equal(check(changed, 1001, known[k], len, &result), -EBADMSG);
		assert_int_equal(check(changed, 0, known[k], len, &result), -EBADMSG);
	}
}

/* KNOWN_HASHED with a piece of it replaced. */
static int check_edited(const char *old, const char *new)
{
	struct verify_signed result;
	const char *at = strstr(KNOWN_HASHED, old);
	_cleanup_free_ char *text = NULL;

	assert_non_null(at);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - KNOWN_HASHED), KNOWN_HASHED, new,
			     at + strlen(old)) > 0);
	return check(data, sizeof(data), text, strlen(text), &result);
}

static void assert_refused(int r, int error, const char *text)
{
	assert_int_equal(r, error);
	assert_string_equal(problem.text, text);
}

static void test_what_is_wrong_is_said(void **state)
{
	assert_refused(check_edited("file:data", "file:else"), -EBADMSG,
		       "the signature or its trusted comment was changed");
	assert_refused(check_edited("hashed", "hashed\r"), -EINVAL,
		       "the signature, line 3: ends with a carriage return");
	assert_refused(check_edited("hashed", "hash\x01"), -EINVAL,
		       "the signature, line 3: the comment is too long, not UTF-8, or has control "
		       "characters");
	assert_refused(check_edited("hashed", "hash\xc2\x9b"), -EINVAL,
		       "the signature, line 3: the comment is too long, not UTF-8, or has control "
		       "characters");
	assert_refused(check_edited("trusted comment: t", "comment: t"), -EINVAL,
		       "the signature, line 3: does not begin with \"trusted comment: \"");
	assert_refused(check_edited("untrusted", "trusted"), -EINVAL,
		       "the signature, line 1: does not begin with \"untrusted comment: \"");
	assert_refused(check_edited("BQ==\n", "BQ==\n\n"), -EINVAL,
		       "the signature, line 5: something follows the end");
	assert_refused(
		check_edited("BQ==\n", "BQ=\n"), -EINVAL,
		"the signature, line 4: not the base64 of a signature of the trusted comment "
		"(88 characters)");
	/* Bits that no byte has. */
	assert_refused(
		check_edited("BQ==\n", "BR==\n"), -EINVAL,
		"the signature, line 4: not the base64 of a signature of the trusted comment "
		"(88 characters)");
	assert_refused(check_edited("RUR1", "RUV1"), -EINVAL,
		       "the signature, line 2: an algorithm other than Ed and ED");
	assert_refused(check_edited("RUR1LVN7", "RUR1LVN8"), -ENOKEY,
		       "signed with the key 16E4D2287C532D75, which is not one of the 2 that may");
	/* A signature is of one algorithm: "ED" for "Ed" is another one. */
	assert_refused(check_edited("RUR1", "RWR1"), -EBADMSG,
		       "the signature is not that of this file");
}

static void test_bounds(void **state)
{
	_cleanup_free_ char *large = calloc(1, VERIFY_SIGNATURE_MAX + 1), *comment = NULL;
	_cleanup_free_ char *signature = NULL;
	const struct verify_key key = key_of(KNOWN_KEY);
	_cleanup_close_ int fd = file_of("x", 1), pipe_end = -1, other = -1;
	struct verify_signed result;
	struct verify_secret secret;
	int ends[2];

	assert_int_equal(check(data, 1, large, VERIFY_SIGNATURE_MAX + 1, &result), -EFBIG);
	comment = malloc(VERIFY_COMMENT_MAX + 2);
	memset(comment, 'c', VERIFY_COMMENT_MAX + 1);
	comment[VERIFY_COMMENT_MAX + 1] = '\0';
	assert_int_equal(verify_secret_parse(KNOWN_SECRET, strlen(KNOWN_SECRET), &secret, &problem),
			 0);
	assert_int_equal(verify_minisign_sign(&secret, fd, "", comment, &signature, &problem),
			 -EINVAL);
	comment[VERIFY_COMMENT_MAX] = '\0';
	assert_int_equal(verify_minisign_sign(&secret, fd, "", comment, &signature, &problem), 0);
	assert_int_equal(
		verify_minisign_check(fd, signature, strlen(signature), &key, 1, &result, &problem),
		0);
	assert_string_equal(result.trusted_comment, comment);
	/* No key at all. */
	assert_int_equal(
		verify_minisign_check(fd, signature, strlen(signature), &key, 0, &result, NULL),
		-ENOKEY);

	/* A gigabyte and more, of which nothing is there. */
	assert_int_equal(ftruncate(fd, (off_t)VERIFY_SIGNED_MAX + 1), 0);
	assert_int_equal(
		verify_minisign_check(fd, signature, strlen(signature), &key, 1, &result, &problem),
		-EFBIG);
	assert_int_equal(ftruncate(fd, (off_t)VERIFY_SIGNED_OLD_MAX + 1), 0);
	assert_int_equal(verify_minisign_check(fd, KNOWN_LEGACY, strlen(KNOWN_LEGACY), &key, 1,
					       &result, &problem),
			 -EFBIG);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pipe_end = ends[0];
	other = ends[1];
	assert_int_equal(verify_minisign_check(pipe_end, signature, strlen(signature), &key, 1,
					       &result, &problem),
			 -EINVAL);
	assert_string_equal(problem.text, "not a regular file");
	verify_secret_wipe(&secret);
}

/* ---- keys ---- */

static void test_keys(void **state)
{
	struct verify_key key = key_of(KNOWN_KEY), again = key_of(KNOWN_PUB);
	char text[VERIFY_KEY_TEXT_SIZE], id[VERIFY_KEY_ID_SIZE];
	static const char *const bad[] = {
		"",
		"\n",
		KNOWN_KEY " ",
		" " KNOWN_KEY,
		KNOWN_KEY "\n\n",
		KNOWN_KEY "\n" KNOWN_KEY,
		"untrusted comment: x\n",
		"untrusted comment:x\n" KNOWN_KEY,
		"untrusted comment: x\r\n" KNOWN_KEY,
		"RUR1LVN7KNLkFpLq63tEIoWWqIaiOGcvQ2ZSFIwKki7EoDZJhLp9nFfA", /* "ED" */
		"RWR1LVN7KNLkFpLq63tEIoWWqIaiOGcvQ2ZSFIwKki7EoDZJhLp9nFf",
		"RWR1LVN7KNLkFpLq63tEIoWWqIaiOGcvQ2ZSFIwKki7EoDZJhLp9nFf-",
		"RWR1LVN7KNLkFpLq63tEIoWWqIaiOGcvQ2ZSFIwKki7EoDZJhLp9nF==",
	};

	assert_memory_equal(&key, &again, sizeof(key));
	verify_key_format(&key, text);
	assert_string_equal(text, KNOWN_KEY);
	verify_key_id(&key, id);
	assert_string_equal(id, KNOWN_KEY_ID);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		problem.text[0] = '\0';
		assert_int_equal(verify_key_parse(bad[i], strlen(bad[i]), &again, &problem),
				 -EINVAL);
		assert_true(strlen(problem.text) > 0);
	}
	assert_memory_equal(&key, &again, sizeof(key));
}

static void test_secret_keys(void **state)
{
	struct verify_key key = key_of(KNOWN_KEY);
	struct verify_secret secret;
	_cleanup_free_ char *text = strdup(KNOWN_SECRET);

	assert_int_equal(verify_secret_parse(text, strlen(text), &secret, &problem), 0);
	assert_memory_equal(&secret.key, &key, sizeof(key));
	verify_secret_wipe(&secret);
	for (size_t i = 0; i < sizeof(secret); i++)
		assert_int_equal(((const uint8_t *)&secret)[i], 0);
	assert_int_equal(verify_secret_parse(KNOWN_LOCKED, strlen(KNOWN_LOCKED), &secret, &problem),
			 -EACCES);
	assert_string_equal(problem.text,
			    "the secret key has a password: sign with minisign, or use a key made "
			    "by minisign -G -W");
	assert_int_equal(verify_secret_parse(KNOWN_PUB, strlen(KNOWN_PUB), &secret, &problem),
			 -EINVAL);
	/* A bit of the seed. */
	*strstr(text, "5BaMlI") = '6';
	assert_int_equal(verify_secret_parse(text, strlen(text), &secret, &problem), 0);
	strstr(text, "aMlIvQ")[3] = 'm';
	assert_int_equal(verify_secret_parse(text, strlen(text), &secret, &problem), -EINVAL);
	assert_string_equal(problem.text, "the secret key, line 2: the key is damaged");
}

static void test_comments_that_cannot_be(void **state)
{
	static const char *const bad[] = {"two\nlines", "return\r", "\x1b[31m", "\xff", "\x7f"};
	_cleanup_close_ int fd = file_of("x", 1);
	struct verify_secret secret;
	char *signature = NULL;

	assert_int_equal(verify_secret_parse(KNOWN_SECRET, strlen(KNOWN_SECRET), &secret, &problem),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(
			verify_minisign_sign(&secret, fd, bad[i], "", &signature, &problem),
			-EINVAL);
		assert_int_equal(
			verify_minisign_sign(&secret, fd, "", bad[i], &signature, &problem),
			-EINVAL);
	}
	assert_null(signature);
}

/* ---- the real tool ---- */

static char folder[64];

static void write_file(const char *name, const void *bytes, size_t len)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, bytes, len), 0);
}

static char *read_back(const char *name)
{
	_cleanup_free_ char *path = NULL;
	char *text;
	size_t len;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	assert_int_equal(io_read_file(path, VERIFY_SIGNATURE_MAX, &text, &len), 0);
	return text;
}

static int run(const char *command)
{
	_cleanup_free_ char *whole = NULL;
	int status;

	assert_true(asprintf(&whole, "cd %s && { %s; } </dev/null >/dev/null 2>&1", folder,
			     command) > 0);
	status = system(whole);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int make_folder(void **state)
{
	strcpy(folder, "/tmp/weightfs-minisign-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	return run("rm -rf \"$PWD\"");
}

static void need_minisign(void)
{
	if (run("minisign -v") != 0) {
		print_message("minisign is not installed\n");
		skip();
	}
}

static void test_the_tool_signs(void **state)
{
	static const char *const commands[] = {"minisign -S -s key -m data",
					       "minisign -S -l -s key -m data",
					       "minisign -S -H -s key -m data -t 'a comment'"};
	_cleanup_free_ char *pub = NULL;
	struct verify_key key;
	uint8_t other[sizeof(data)];

	need_minisign();
	memcpy(other, data, sizeof(data));
	other[500] ^= 1;
	assert_int_equal(run("minisign -G -f -W -p pub -s key"), 0);
	write_file("data", data, sizeof(data));
	pub = read_back("pub");
	key = key_of(pub);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		_cleanup_close_ int good = file_of(data, sizeof(data)),
				    bad = file_of(other, sizeof(other));
		_cleanup_free_ char *signature = NULL;
		struct verify_signed result;

		assert_int_equal(run(commands[i]), 0);
		signature = read_back("data.minisig");
		assert_int_equal(verify_minisign_check(good, signature, strlen(signature), &key, 1,
						       &result, &problem),
				 0);
		assert_int_equal(result.hashed, i != 1);
		assert_int_equal(verify_minisign_check(bad, signature, strlen(signature), &key, 1,
						       &result, &problem),
				 -EBADMSG);
	}
}

static void test_the_tool_accepts_ours(void **state)
{
	_cleanup_free_ char *secret_text = NULL, *signature = NULL;
	_cleanup_close_ int fd = file_of(data, sizeof(data));
	struct verify_secret secret;
	char key[VERIFY_KEY_TEXT_SIZE];
	_cleanup_free_ char *command = NULL;

	need_minisign();
	assert_int_equal(run("minisign -G -f -W -p pub -s key"), 0);
	write_file("data", data, sizeof(data));
	secret_text = read_back("key");
	assert_int_equal(verify_secret_parse(secret_text, strlen(secret_text), &secret, &problem),
			 0);
	assert_int_equal(verify_minisign_sign(&secret, fd, "ours", "timestamp:1\tfile:data",
					      &signature, &problem),
			 0);
	write_file("data.minisig", signature, strlen(signature));
	assert_int_equal(run("minisign -V -p pub -m data"), 0);
	assert_int_equal(run("minisign -V -Q -p pub -m data >comment"), 0);
	verify_key_format(&secret.key, key);
	assert_true(asprintf(&command, "minisign -V -P %s -m data", key) > 0);
	assert_int_equal(run(command), 0);
	/* The test itself can fail: not what was signed. */
	write_file("data", data, sizeof(data) - 1);
	assert_int_not_equal(run("minisign -V -p pub -m data"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_signatures),
		cmocka_unit_test(test_every_bit_of_a_signature),
		cmocka_unit_test(test_every_byte_of_the_file),
		cmocka_unit_test(test_what_is_wrong_is_said),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_secret_keys),
		cmocka_unit_test(test_comments_that_cannot_be),
		cmocka_unit_test_setup_teardown(test_the_tool_signs, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_the_tool_accepts_ours, make_folder,
						remove_folder),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
