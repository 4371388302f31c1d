/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that the linker puts in front of the real ones: what hashes fails when the test's blown() says so, which has to be
 * defined before this is included.
 */
#ifndef TESTS_UNIT_VERIFY_FAILING_H
#define TESTS_UNIT_VERIFY_FAILING_H

#include <openssl/evp.h>

#define WRAPPED(type, name, parameters)                                                            \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters

WRAPPED(EVP_MD_CTX *, EVP_MD_CTX_new, (void))
{
	return blown() ? NULL : __real_EVP_MD_CTX_new();
}

WRAPPED(int, EVP_DigestInit_ex2, (EVP_MD_CTX * ctx, const EVP_MD *md, const OSSL_PARAM *params))
{
	return blown() ? 0 : __real_EVP_DigestInit_ex2(ctx, md, params);
}

WRAPPED(int, EVP_DigestUpdate, (EVP_MD_CTX * ctx, const void *data, size_t len))
{
	return blown() ? 0 : __real_EVP_DigestUpdate(ctx, data, len);
}

WRAPPED(int, EVP_DigestFinal_ex, (EVP_MD_CTX * ctx, unsigned char *out, unsigned int *len))
{
	return blown() ? 0 : __real_EVP_DigestFinal_ex(ctx, out, len);
}

#endif
