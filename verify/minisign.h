/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of minisign (https://jedisct1.github.io/minisign/): who signed a file, and signing one.
 *
 * A signature file is four lines: an untrusted comment, base64 of (algorithm, key id, Ed25519 signature of the
 * file), a trusted comment, base64 of the Ed25519 signature of (that signature, trusted comment). Algorithm "ED" signs
 * the BLAKE2b-512 hash of the file; "Ed", which older programs write, the file itself.
 *
 * Parsing is strict: exact lengths, canonical base64, lines that end with "\n" (the last may lack it), nothing behind
 * the last; comments are UTF-8 without control characters but tabs.
 *
 * Everything returns 0 or -errno, sets outputs on success only, logs nothing, and may be called by any thread. Where a
 * `struct verify_problem` is taken (NULL is allowed) it says in one line what is wrong; it is set on every error.
 *
 *	-EINVAL   not what the format says
 *	-ENOKEY   signed with a key that is not among those given
 *	-EBADMSG  the signature is not that of these bytes, or of this trusted comment
 *	-EFBIG    larger than the bounds here
 *	-ENOMEM, -EIO and what pread(2) returns
 */
#ifndef VERIFY_MINISIGN_H
#define VERIFY_MINISIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/cleanup.h"

/* Printable text: what is quoted in it is cut, and other bytes than ASCII's printable ones are "?". */
struct verify_problem {
	/* Of the file that is read, from 1; 0: the file as a whole, or its signature. */
	unsigned int line;
	char text[240];
};

#define VERIFY_KEY_TEXT_SIZE	57   /* base64 of a public key, and NUL */
#define VERIFY_KEY_ID_SIZE	17   /* 16 uppercase hex digits, as minisign prints it, and NUL */
#define VERIFY_COMMENT_MAX	8192 /* bytes of a comment, without NUL */
#define VERIFY_SIGNED_HASH_SIZE 64
/* Bytes of a signature file: what to read at most. */
#define VERIFY_SIGNATURE_MAX ((size_t)32 * 1024)
/* Bytes of a signed file; and of one that is signed with "Ed", which has to be in memory as a whole. */
#define VERIFY_SIGNED_MAX     ((uint64_t)1 << 30)
#define VERIFY_SIGNED_OLD_MAX ((uint64_t)64 << 20)

/* ---- keys ---- */

struct verify_key {
	uint8_t id[8];
	uint8_t bytes[32];
};

/* TEXT is the base64 word that begins with "RWQ" or the like, or a whole .pub file. -EINVAL. */
int must_check verify_key_parse(const char *text, size_t len, struct verify_key *out,
				struct verify_problem *problem);
void verify_key_format(const struct verify_key *key, char out[VERIFY_KEY_TEXT_SIZE]);
void verify_key_id(const struct verify_key *key, char out[VERIFY_KEY_ID_SIZE]);

/* ---- checking ---- */

struct verify_signed {
	size_t key;			       /* which of the keys, from 0 */
	bool hashed;			       /* "ED" */
	uint64_t size;			       /* of the file */
	uint8_t hash[VERIFY_SIGNED_HASH_SIZE]; /* BLAKE2b-512 of the file */
	char trusted_comment[VERIFY_COMMENT_MAX + 1];
};

/*
 * Is SIGNATURE (the text of a .minisig file, LEN bytes) one of KEYS' (several: rotation) over the whole of FD, a regular file
 * that is read from offset 0 without moving its position? Says nothing of what a file contains that somebody changes
 * meanwhile: read it once, or compare `hash`.
 */
int must_check verify_minisign_check(int fd, const char *signature, size_t len,
				     const struct verify_key *keys, size_t n_keys,
				     struct verify_signed *out, struct verify_problem *problem);

/* ---- signing ---- */

#define VERIFY_SECRET_MAX 4000 /* bytes of a secret key's file */

struct verify_secret {
	struct verify_key key; /* the public half */
	uint8_t seed[32];
};

/*
 * TEXT is a secret key file without a password (`minisign -G -W`). -EACCES for one with a password; -EINVAL, also for one
 * whose two halves do not belong together. To be wiped after use.
 */
int must_check verify_secret_parse(const char *text, size_t len, struct verify_secret *out,
				   struct verify_problem *problem);
void verify_secret_wipe(struct verify_secret *secret);

/*
 * The text of a signature file ("ED") over the whole of FD, for `minisign -V` and verify_minisign_check(); the caller frees
 * it. The comments are without their "untrusted comment: " and "trusted comment: "; -EINVAL for what cannot be one.
 */
int must_check verify_minisign_sign(const struct verify_secret *secret, int fd,
				    const char *untrusted_comment, const char *trusted_comment,
				    char **out, struct verify_problem *problem);

#endif
