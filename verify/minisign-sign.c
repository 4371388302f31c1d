/* SPDX-License-Identifier: Apache-2.0 */
/* Secret keys without a password, and signing with them. */
#include "verify/minisign.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include "verify/signing.h"

/*
 * What the base64 of a secret key file holds. With a password, everything from ID on is encrypted, and CHECKSUM
 * tells whether the password was right; without one minisign writes zeros there. The two halves of the key check each
 * other, and a damaged id makes signatures that nobody accepts.
 */
struct raw_secret {
	uint8_t algorithm[2], kdf[2], checksum_algorithm[2];
	uint8_t salt[32], kdf_limits[16];
	uint8_t id[8], seed[32], public_half[32];
	uint8_t checksum[32];
};

_Static_assert(sizeof(struct raw_secret) == 158, "no padding");

static int accept_secret(const struct raw_secret *raw, const struct verify_text *text,
			 struct verify_secret *out)
{
	static const uint8_t none[2];
	uint8_t half[32];
	int r;

	if (memcmp(raw->algorithm, "Ed", 2) || memcmp(raw->checksum_algorithm, "B2", 2))
		return verify_text_refuse(text, "not a secret key of minisign");
	if (memcmp(raw->kdf, none, 2) != 0)
		return verify_refuse(text->problem, -EACCES, 0,
				     "the secret key has a password: sign with minisign, or use a "
				     "key made by minisign -G -W");
	r = verify_ed25519_public(raw->seed, half);
	if (r < 0)
		return verify_refuse_errno(text->problem, r, text->file);
	if (memcmp(half, raw->public_half, sizeof(half)) != 0)
		return verify_text_refuse(text, "the key is damaged");
	memcpy(out->key.id, raw->id, sizeof(out->key.id));
	memcpy(out->key.bytes, half, sizeof(out->key.bytes));
	memcpy(out->seed, raw->seed, sizeof(out->seed));
	return 0;
}

int verify_secret_parse(const char *text, size_t len, struct verify_secret *out,
			struct verify_problem *problem)
{
	struct verify_text lines = verify_text_of("the secret key", text, len, problem);
	const char *comment;
	size_t comment_len;
	struct raw_secret raw;
	int r;

	r = verify_text_comment(&lines, "untrusted comment: ", &comment, &comment_len);
	if (r == 0)
		r = verify_text_bytes(&lines, "a secret key", &raw, sizeof(raw));
	if (r == 0)
		r = verify_text_end(&lines);
	if (r == 0)
		r = accept_secret(&raw, &lines, out);
	OPENSSL_cleanse(&raw, sizeof(raw));
	return r;
}

void verify_secret_wipe(struct verify_secret *secret)
{
	OPENSSL_cleanse(secret, sizeof(*secret));
}

struct signing {
	uint8_t raw[2 + 8 + 64]; /* algorithm, key id, signature of the file */
	uint8_t global[64];
};

static int make_signatures(const struct verify_secret *secret, const uint8_t hash[64],
			   const char *comment, struct signing *out)
{
	uint8_t data[64 + VERIFY_COMMENT_MAX];
	int r;

	memcpy(out->raw, "ED", 2);
	memcpy(out->raw + 2, secret->key.id, 8);
	r = verify_ed25519_sign(secret->seed, hash, VERIFY_SIGNED_HASH_SIZE, out->raw + 10);
	if (r < 0)
		return r;
	memcpy(data, out->raw + 10, 64);
	memcpy(data + 64, comment, strlen(comment));
	return verify_ed25519_sign(secret->seed, data, 64 + strlen(comment), out->global);
}

int verify_minisign_sign(const struct verify_secret *secret, int fd, const char *untrusted_comment,
			 const char *trusted_comment, char **out, struct verify_problem *problem)
{
	char signature[VERIFY_BASE64_LENGTH(74) + 1], global[VERIFY_BASE64_LENGTH(64) + 1], *text;
	uint8_t hash[VERIFY_SIGNED_HASH_SIZE];
	struct signing made;
	uint64_t size;
	int r;

	if (!verify_comment_valid(untrusted_comment, strlen(untrusted_comment)) ||
	    !verify_comment_valid(trusted_comment, strlen(trusted_comment)))
		return verify_refuse(problem, -EINVAL, 0,
				     "a comment is too long, not UTF-8, or has control characters");
	r = verify_blake2b_file(fd, VERIFY_SIGNED_MAX, hash, &size, NULL, problem);
	if (r < 0)
		return r;
	r = make_signatures(secret, hash, trusted_comment, &made);
	if (r < 0)
		return verify_refuse_errno(problem, r, "signing");
	verify_base64_encode(made.raw, sizeof(made.raw), signature);
	verify_base64_encode(made.global, sizeof(made.global), global);
	if (asprintf(&text, "untrusted comment: %s\n%s\ntrusted comment: %s\n%s\n",
		     untrusted_comment, signature, trusted_comment, global) < 0)
		return verify_refuse_errno(problem, -ENOMEM, "signing");
	*out = text;
	return 0;
}
