/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys, and checking a signature file. */
#include "verify/minisign.h"

#include <string.h>
#include "verify/signing.h"

/* What the base64 of a public key and of a signature holds. */
struct raw_key {
	uint8_t algorithm[2], id[8], bytes[32];
};

struct raw_signature {
	uint8_t algorithm[2], id[8], bytes[64];
};

_Static_assert(sizeof(struct raw_key) == 42 && sizeof(struct raw_signature) == 74, "no padding");

struct signature {
	struct raw_signature raw;
	uint8_t global[64]; /* of the signature's bytes and the trusted comment */
	const char *comment;
	size_t comment_len;
};

static int accept_key(const struct raw_key *raw, const struct verify_text *text,
		      struct verify_key *out)
{
	if (memcmp(raw->algorithm, "Ed", 2) != 0)
		return verify_text_refuse(text, "not a public key of minisign");
	memcpy(out->id, raw->id, sizeof(out->id));
	memcpy(out->bytes, raw->bytes, sizeof(out->bytes));
	return 0;
}

int verify_key_parse(const char *text, size_t len, struct verify_key *out,
		     struct verify_problem *problem)
{
	static const char begin[] = "untrusted comment:";
	struct verify_text lines = verify_text_of("the key", text, len, problem);
	const char *comment;
	size_t comment_len;
	struct raw_key raw;
	int r = 0;

	if (len >= strlen(begin) && !memcmp(text, begin, strlen(begin)))
		r = verify_text_comment(&lines, "untrusted comment: ", &comment, &comment_len);
	if (r == 0)
		r = verify_text_bytes(&lines, "a public key", &raw, sizeof(raw));
	if (r == 0)
		r = verify_text_end(&lines);
	return r < 0 ? r : accept_key(&raw, &lines, out);
}

void verify_key_format(const struct verify_key *key, char out[VERIFY_KEY_TEXT_SIZE])
{
	struct raw_key raw = {.algorithm = {'E', 'd'}};

	memcpy(raw.id, key->id, sizeof(raw.id));
	memcpy(raw.bytes, key->bytes, sizeof(raw.bytes));
	verify_base64_encode(&raw, sizeof(raw), out);
}

/* As a little-endian number. */
static void id_format(const uint8_t id[8], char out[VERIFY_KEY_ID_SIZE])
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < 8; i++) {
		*out++ = digits[id[7 - i] >> 4];
		*out++ = digits[id[7 - i] & 15];
	}
	*out = '\0';
}

void verify_key_id(const struct verify_key *key, char out[VERIFY_KEY_ID_SIZE])
{
	id_format(key->id, out);
}

static int parse_signature(const char *text, size_t len, struct signature *out,
			   struct verify_problem *problem)
{
	struct verify_text lines = verify_text_of("the signature", text, len, problem);
	const char *ignored;
	size_t ignored_len;
	int r;

	if (len > VERIFY_SIGNATURE_MAX)
		return verify_refuse(problem, -EFBIG, 0, "the signature is larger than %zu bytes",
				     VERIFY_SIGNATURE_MAX);
	r = verify_text_comment(&lines, "untrusted comment: ", &ignored, &ignored_len);
	if (r == 0)
		r = verify_text_bytes(&lines, "a signature", &out->raw, sizeof(out->raw));
	if (r == 0 && memcmp(out->raw.algorithm, "Ed", 2) && memcmp(out->raw.algorithm, "ED", 2))
		r = verify_text_refuse(&lines, "an algorithm other than Ed and ED");
	if (r == 0)
		r = verify_text_comment(&lines, "trusted comment: ", &out->comment,
					&out->comment_len);
	if (r == 0)
		r = verify_text_bytes(&lines, "a signature of the trusted comment", out->global,
				      sizeof(out->global));
	return r < 0 ? r : verify_text_end(&lines);
}

static int check_file(int fd, const struct verify_key *key, const struct signature *signature,
		      struct verify_signed *out, struct verify_problem *problem)
{
	const uint8_t *bytes = signature->raw.bytes;
	_cleanup_free_ char *whole = NULL;
	int r;

	out->hashed = signature->raw.algorithm[1] == 'D';
	r = verify_blake2b_file(fd, out->hashed ? VERIFY_SIGNED_MAX : VERIFY_SIGNED_OLD_MAX,
				out->hash, &out->size, out->hashed ? NULL : &whole, problem);
	if (r < 0)
		return r;
	if (out->hashed)
		r = verify_ed25519_check(key->bytes, bytes, out->hash, sizeof(out->hash));
	else
		r = verify_ed25519_check(key->bytes, bytes, whole, (size_t)out->size);
	if (r == -EBADMSG)
		return verify_refuse(problem, r, 0, "the signature is not that of this file");
	return r < 0 ? verify_refuse_errno(problem, r, "the signature") : 0;
}

static int check_comment(const struct verify_key *key, const struct signature *signature,
			 struct verify_signed *out, struct verify_problem *problem)
{
	uint8_t data[sizeof(signature->raw.bytes) + VERIFY_COMMENT_MAX];
	int r;

	memcpy(data, signature->raw.bytes, sizeof(signature->raw.bytes));
	memcpy(data + sizeof(signature->raw.bytes), signature->comment, signature->comment_len);
	r = verify_ed25519_check(key->bytes, signature->global, data,
				 sizeof(signature->raw.bytes) + signature->comment_len);
	if (r == -EBADMSG)
		return verify_refuse(problem, r, 0, "the signature or its trusted comment was changed");
	if (r < 0)
		return verify_refuse_errno(problem, r, "the signature");
	memcpy(out->trusted_comment, signature->comment, signature->comment_len);
	out->trusted_comment[signature->comment_len] = '\0';
	return 0;
}

int verify_minisign_check(int fd, const char *signature, size_t len, const struct verify_key *keys,
			  size_t n_keys, struct verify_signed *out, struct verify_problem *problem)
{
	struct signature parsed;
	struct verify_signed result = {0};
	char id[VERIFY_KEY_ID_SIZE];
	int r = parse_signature(signature, len, &parsed, problem);

	if (r < 0)
		return r;
	while (result.key < n_keys &&
	       memcmp(keys[result.key].id, parsed.raw.id, sizeof(parsed.raw.id)) != 0)
		result.key++;
	if (result.key == n_keys) {
		id_format(parsed.raw.id, id);
		return verify_refuse(problem, -ENOKEY, 0,
				     n_keys == 1 ? "signed with the key %s, which is not the one that may" :
						   "signed with the key %s, which is not one of the %zu that may",
				     id, n_keys);
	}
	/* The comment first: it is short, and tells whether the key is the right one at all. */
	r = check_comment(&keys[result.key], &parsed, &result, problem);
	if (r == 0)
		r = check_file(fd, &keys[result.key], &parsed, &result, problem);
	if (r == 0)
		*out = result;
	return r;
}
