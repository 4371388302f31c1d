/* SPDX-License-Identifier: Apache-2.0 */
/* Inside verify/: what the files about signatures and catalogs share. */
#ifndef VERIFY_SIGNING_H
#define VERIFY_SIGNING_H

#include <openssl/evp.h>
#include "verify/minisign.h"

/* ---- problem.c ---- */

/* Fills in PROBLEM (may be NULL) and returns ERROR: whoever notices something says it in one statement. */
int verify_refuse(struct verify_problem *problem, int error, unsigned int line, const char *format,
		  ...) printf_like(4, 5);
/* The text of -ERROR behind WHAT: for files that cannot be read, and when memory or OpenSSL fails. */
int verify_refuse_errno(struct verify_problem *problem, int error, const char *what);

/* A piece of TEXT to be quoted: printable, and cut with "..." when it is long. */
#define VERIFY_SHOWN_SIZE 84
const char *verify_shown(const char *text, size_t len, char out[VERIFY_SHOWN_SIZE]);

/* ---- base64.c: canonical, of exactly the length that SIZE bytes have ---- */

#define VERIFY_BASE64_LENGTH(size) (((size) + 2) / 3 * 4)

int must_check verify_base64_decode(const char *text, size_t len, void *out, size_t size);
/* Writes VERIFY_BASE64_LENGTH(SIZE) digits and a NUL. */
void verify_base64_encode(const void *data, size_t size, char *out);

/* ---- minisign-text.c: the lines of minisign's files ---- */

struct verify_text {
	const char *at, *end;
	unsigned int line; /* the one that was taken last */
	const char *file;  /* what it is, for problems: "the signature" */
	struct verify_problem *problem;
};

struct verify_text verify_text_of(const char *file, const char *text, size_t len,
				  struct verify_problem *problem);
/* -EINVAL with the line and "FILE: WHAT". */
int verify_text_refuse(const struct verify_text *text, const char *what);
/* The next line is PREFIX and a comment, which is valid as long as the text. */
int must_check verify_text_comment(struct verify_text *text, const char *prefix,
				   const char **comment, size_t *len);
/* The next line is the base64 of SIZE bytes. */
int must_check verify_text_bytes(struct verify_text *text, const char *what, void *out,
				 size_t size);
/* That was all. */
int must_check verify_text_end(struct verify_text *text);
/* UTF-8 without control characters but tabs, and not too long. */
bool verify_comment_valid(const char *comment, size_t len);

/* ---- blake2b.c ---- */

static inline void verify_cleanup_md(EVP_MD_CTX **md)
{
	EVP_MD_CTX_free(*md);
}

int must_check verify_blake2b_new(EVP_MD_CTX **out);
int must_check verify_blake2b_end(EVP_MD_CTX *md, uint8_t out[VERIFY_SIGNED_HASH_SIZE]);
/*
 * The hash of the whole of FD, a regular file of at most LIMIT bytes. WHOLE (may be NULL) gets all of it, SIZE bytes, to be
 * freed; what is hashed is what is in there.
 */
int must_check verify_blake2b_file(int fd, uint64_t limit, uint8_t out[VERIFY_SIGNED_HASH_SIZE],
				   uint64_t *size, char **whole, struct verify_problem *problem);

/* ---- ed25519.c: -EBADMSG when SIGNATURE is not KEY's; -ENOMEM, -EIO ---- */

int must_check verify_ed25519_check(const uint8_t key[32], const uint8_t signature[64],
				    const void *data, size_t len);
int must_check verify_ed25519_sign(const uint8_t seed[32], const void *data, size_t len,
				   uint8_t signature[64]);
int must_check verify_ed25519_public(const uint8_t seed[32], uint8_t out[32]);

#endif
