/* SPDX-License-Identifier: Apache-2.0 */
/* BLAKE2b-512 of whole files: what "ED" signatures are made of. */
#include "verify/signing.h"

#include <string.h>
#include <sys/stat.h>
#include "common/io.h"
#include "verify/merkle.h"

#define PIECE ((size_t)1 << 20)

int verify_blake2b_new(EVP_MD_CTX **out)
{
	_cleanup_(verify_cleanup_md) EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (!md || EVP_DigestInit_ex2(md, EVP_blake2b512(), NULL) != 1)
		return verify_ssl_error();
	*out = steal_pointer(md);
	return 0;
}

int verify_blake2b_end(EVP_MD_CTX *md, uint8_t out[VERIFY_SIGNED_HASH_SIZE])
{
	uint8_t hash[EVP_MAX_MD_SIZE];

	if (EVP_DigestFinal_ex(md, hash, NULL) != 1)
		return verify_ssl_error();
	memcpy(out, hash, VERIFY_SIGNED_HASH_SIZE);
	return 0;
}

/* A size that does not change while the file is read: whoever writes to it is noticed. */
static int hash_bytes(int fd, uint64_t size, char *buffer, bool whole, EVP_MD_CTX *md)
{
	for (uint64_t done = 0; done < size;) {
		size_t n = size - done < PIECE ? (size_t)(size - done) : PIECE;
		char *piece = whole ? buffer + done : buffer;
		int r = io_pread(fd, piece, n, done);

		if (r == 0)
			r = verify_hash_add(md, piece, n);
		if (r < 0)
			return r;
		done += n;
	}
	return 0;
}

int verify_blake2b_file(int fd, uint64_t limit, uint8_t out[VERIFY_SIGNED_HASH_SIZE],
			uint64_t *size, char **whole, struct verify_problem *problem)
{
	_cleanup_(verify_cleanup_md) EVP_MD_CTX *md = NULL;
	_cleanup_free_ char *buffer = NULL;
	struct stat st;
	uint64_t n;
	int r;

	if (fstat(fd, &st) < 0)
		return verify_refuse_errno(problem, -errno, "the file");
	if (!S_ISREG(st.st_mode))
		return verify_refuse(problem, -EINVAL, 0, "not a regular file");
	n = (uint64_t)st.st_size;
	if (n > limit)
		return verify_refuse(problem, -EFBIG, 0, "%llu bytes, more than %llu%s",
				     (unsigned long long)n, (unsigned long long)limit,
				     whole ? ", the most for a signature without hash (minisign -l)"
					   : "");
	buffer = malloc(whole && n > 0 ? (size_t)n : PIECE);
	r = buffer ? verify_blake2b_new(&md) : -ENOMEM;
	if (r == 0)
		r = hash_bytes(fd, n, buffer, whole, md);
	if (r == 0)
		r = verify_blake2b_end(md, out);
	if (r < 0)
		return verify_refuse_errno(problem, r, "the file");
	*size = n;
	if (whole)
		*whole = steal_pointer(buffer);
	return 0;
}
