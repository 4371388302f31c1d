/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 (RFC 8032) with OpenSSL, which does it in one shot only. */
#include "verify/signing.h"

#include "verify/merkle.h"

static void cleanup_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

int verify_ed25519_check(const uint8_t key[32], const uint8_t signature[64], const void *data,
			 size_t len)
{
	_cleanup_(verify_cleanup_md) EVP_MD_CTX *md = EVP_MD_CTX_new();
	_cleanup_(cleanup_key) EVP_PKEY *pkey =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, 32);

	if (!md || !pkey || EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) != 1)
		return verify_ssl_error();
	if (EVP_DigestVerify(md, signature, 64, data, len) == 1)
		return 0;
	/* A bad signature and a failure inside are both "not 1"; neither makes a good one. */
	return verify_ssl_error() == -ENOMEM ? -ENOMEM : -EBADMSG;
}

int verify_ed25519_sign(const uint8_t seed[32], const void *data, size_t len, uint8_t signature[64])
{
	_cleanup_(verify_cleanup_md) EVP_MD_CTX *md = EVP_MD_CTX_new();
	_cleanup_(cleanup_key) EVP_PKEY *pkey =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	size_t n = 64;

	if (!md || !pkey || EVP_DigestSignInit(md, NULL, NULL, NULL, pkey) != 1 ||
	    EVP_DigestSign(md, signature, &n, data, len) != 1)
		return verify_ssl_error();
	return n == 64 ? 0 : -EIO;
}

int verify_ed25519_public(const uint8_t seed[32], uint8_t out[32])
{
	_cleanup_(cleanup_key) EVP_PKEY *pkey =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	size_t n = 32;

	if (!pkey || EVP_PKEY_get_raw_public_key(pkey, out, &n) != 1)
		return verify_ssl_error();
	return n == 32 ? 0 : -EIO;
}
