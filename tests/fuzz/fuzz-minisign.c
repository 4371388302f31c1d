/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and signature files from nowhere.
 *
 * Input: what it is (1 byte), then its text. No fuzzer finds an Ed25519 signature, so some kinds are helped: the text
 * is a comment, of which a signature is made, and a bit of that is flipped.
 */
#include <stdio.h>
#include "tests/unit/signing-testing.h"
#include "tests/fuzz/target.h"

enum {
	PUBLIC_KEY,
	SECRET_KEY,
	SIGNATURE,
	COMMENT, /* sign with it; the two bytes before it say which bit to flip */
	KINDS,
};

static struct verify_key key;
static struct verify_secret secret;
static int file = -1;

static void prepare(void)
{
	if (file >= 0)
		return;
	file = file_of("weightfs\n", 9);
	key = key_of(KNOWN_KEY);
	require(verify_secret_parse(KNOWN_SECRET, strlen(KNOWN_SECRET), &secret, NULL) == 0);
}

/* One line, printable, wherever there is an error. */
static void require_reason(int r, const struct verify_problem *problem)
{
	require(r == -EINVAL || r == -ENOKEY || r == -EACCES || r == -EBADMSG || r == -EFBIG);
	require(problem->text[0] != '\0' && strlen(problem->text) < sizeof(problem->text));
	for (const char *c = problem->text; *c; c++)
		require(*c >= ' ' && *c <= '~');
}

/* A key has two spellings: the word, and a file; both give it back. */
static void try_key(const char *text, size_t len)
{
	char word[VERIFY_KEY_TEXT_SIZE], id[VERIFY_KEY_ID_SIZE];
	struct verify_problem problem = {0};
	struct verify_key parsed, again;
	int r = verify_key_parse(text, len, &parsed, &problem);

	if (r < 0) {
		require_reason(r, &problem);
		return;
	}
	verify_key_format(&parsed, word);
	verify_key_id(&parsed, id);
	require(strlen(word) == 56 && strlen(id) == 16);
	require(memmem(text, len, word, 56) != NULL);
	require(verify_key_parse(word, 56, &again, NULL) == 0);
	require(!memcmp(&parsed, &again, sizeof(again)));
}

static void try_secret(const char *text, size_t len)
{
	struct verify_problem problem = {0};
	struct verify_secret parsed;
	int r = verify_secret_parse(text, len, &parsed, &problem);

	if (r < 0)
		require_reason(r, &problem);
}

static int check(const char *text, size_t len, struct verify_signed *out)
{
	struct verify_problem problem = {0};
	int r = verify_minisign_check(file, text, len, &key, 1, out, &problem);

	if (r < 0)
		require_reason(r, &problem);
	return r;
}

/* Only this test has the key, and it signs nothing but in try_comment(). */
static void try_signature(const char *text, size_t len)
{
	struct verify_signed result;

	require(check(text, len, &result) < 0);
}

static void try_comment(const char *input, size_t len)
{
	char comment[512], *signature;
	size_t n = len - 2 < sizeof(comment) - 1 ? len - 2 : sizeof(comment) - 1, begin, bit;
	struct verify_signed result;

	memcpy(comment, input + 2, n);
	comment[n] = '\0';
	if (verify_minisign_sign(&secret, file, comment, comment, &signature, NULL) < 0)
		return;
	require(check(signature, strlen(signature), &result) == 0);
	require(!strcmp(result.trusted_comment, comment));
	begin = (size_t)(strchr(signature, '\n') - signature);
	bit = ((size_t)(uint8_t)input[0] << 8 | (uint8_t)input[1]) %
	      ((strlen(signature) - begin) * 8);
	signature[begin + bit / 8] ^= (char)(1 << bit % 8);
	require(check(signature, strlen(signature), &result) < 0);
	free(signature);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	const char *text = (const char *)input + 1;

	if (len < 3)
		return 0;
	prepare();
	switch (input[0] % KINDS) {
	case PUBLIC_KEY:
		try_key(text, len - 1);
		break;
	case SECRET_KEY:
		try_secret(text, len - 1);
		break;
	case SIGNATURE:
		try_signature(text, len - 1);
		break;
	default:
		try_comment(text, len - 1);
		break;
	}
	return 0;
}
