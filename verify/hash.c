/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 with OpenSSL, made cheap for small blocks.
 *
 * A lookup of "SHA256" for every 4096-byte block makes checking a chunk 15 % dearer than one plain
 * pass over it. So the algorithm is fetched once for the process and bound to each context once;
 * beginning a hash then only makes a new state, and the same check costs 5 %.
 */
#include "verify/merkle.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>

/* Set once and never freed; threads that race for it agree on the first. */
static _Atomic(EVP_MD *) sha256;

static pthread_once_t mine_once = PTHREAD_ONCE_INIT;
static pthread_key_t mine;
static int mine_error;

/* Leaves nothing in this thread's error queue, where libssl would find it and blame a connection.
 */
int verify_ssl_error(void)
{
	/* The first is the cause; what follows says where it was noticed. */
	bool memory = ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE;

	ERR_clear_error();
	return memory ? -ENOMEM : -EIO;
}

static const EVP_MD *algorithm(void)
{
	EVP_MD *fetched = atomic_load(&sha256), *first = NULL;

	if (fetched)
		return fetched;
	fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!fetched || atomic_compare_exchange_strong(&sha256, &first, fetched))
		return fetched;
	EVP_MD_free(fetched);
	return first;
}

int verify_hasher_new(EVP_MD_CTX **out)
{
	_cleanup_(verify_cleanup_hasher) EVP_MD_CTX *hasher = NULL;
	const EVP_MD *md = algorithm();

	if (!md)
		return verify_ssl_error();
	hasher = EVP_MD_CTX_new();
	if (!hasher || EVP_DigestInit_ex2(hasher, md, NULL) != 1)
		return verify_ssl_error();
	*out = steal_pointer(hasher);
	return 0;
}

static void free_mine(void *hasher)
{
	EVP_MD_CTX_free(hasher);
}

static void make_mine(void)
{
	mine_error = -pthread_key_create(&mine, free_mine);
}

int verify_hasher_mine(EVP_MD_CTX **out)
{
	_cleanup_(verify_cleanup_hasher) EVP_MD_CTX *hasher = NULL;
	EVP_MD_CTX *known;
	int r;

	pthread_once(&mine_once, make_mine);
	if (mine_error)
		return mine_error;
	known = pthread_getspecific(mine);
	if (known) {
		*out = known;
		return 0;
	}
	r = verify_hasher_new(&hasher);
	if (r < 0)
		return r;
	r = -pthread_setspecific(mine, hasher);
	if (r < 0)
		return r;
	*out = steal_pointer(hasher);
	return 0;
}

int verify_hash_begin(EVP_MD_CTX *hasher)
{
	/* No type: the one that the context is bound to. */
	return EVP_DigestInit_ex2(hasher, NULL, NULL) == 1 ? 0 : verify_ssl_error();
}

int verify_hash_add(EVP_MD_CTX *hasher, const void *data, size_t len)
{
	return EVP_DigestUpdate(hasher, data, len) == 1 ? 0 : verify_ssl_error();
}

int verify_hash_add_zeros(EVP_MD_CTX *hasher, size_t len)
{
	static const uint8_t zeros[VERIFY_BLOCK_SIZE];

	return verify_hash_add(hasher, zeros, len);
}

int verify_hash_end(EVP_MD_CTX *hasher, struct digest *out)
{
	struct digest digest;

	if (EVP_DigestFinal_ex(hasher, digest.bytes, NULL) != 1)
		return verify_ssl_error();
	*out = digest;
	return 0;
}

int verify_hash_block(EVP_MD_CTX *hasher, const void *data, size_t len, struct digest *out)
{
	int r = verify_hash_begin(hasher);

	if (r == 0)
		r = verify_hash_add(hasher, data, len);
	if (r == 0 && len < VERIFY_BLOCK_SIZE)
		r = verify_hash_add_zeros(hasher, VERIFY_BLOCK_SIZE - len);
	if (r == 0)
		r = verify_hash_end(hasher, out);
	return r;
}
