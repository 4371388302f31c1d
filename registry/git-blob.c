/* SPDX-License-Identifier: Apache-2.0 */
/* What git calls files, worked out from their bytes. */
#include "registry/internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int registry_from_hex(const char *text, uint8_t *out, size_t len)
{
	if (strnlen(text, 2 * len + 1) != 2 * len)
		return -EINVAL;
	for (size_t i = 0; i < 2 * len; i++)
		if (hex_digit(text[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
	return 0;
}

/* gitformat-objects: SHA-1 of "blob SIZE", a NUL, and the bytes. */
int registry_git_blob(const void *bytes, size_t len, uint8_t out[REGISTRY_GIT_BLOB_SIZE])
{
	char header[32];
	int header_len = snprintf(header, sizeof(header), "blob %zu", len) + 1;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool done = md && EVP_DigestInit_ex(md, EVP_sha1(), NULL) &&
		    EVP_DigestUpdate(md, header, (size_t)header_len) &&
		    EVP_DigestUpdate(md, bytes, len) && EVP_DigestFinal_ex(md, out, NULL);

	EVP_MD_CTX_free(md);
	return done ? 0 : -ENOMEM;
}

int registry_file_hash(struct registry_file *file, const void *bytes, size_t len,
		       char problem[REGISTRY_PROBLEM_SIZE])
{
	uint8_t blob[REGISTRY_GIT_BLOB_SIZE];
	struct digest sha256;

	if (registry_git_blob(bytes, len, blob) < 0 || registry_sha256(bytes, len, &sha256) < 0)
		return registry_refuse(problem, -ENOMEM, "%s: no memory", file->path);
	if (file->has_size && file->size != len)
		return registry_refuse(problem, -EBADMSG, "%s: %zu bytes came instead of %llu",
				       file->path, len, (unsigned long long)file->size);
	if (file->has_git_blob && memcmp(blob, file->git_blob, sizeof(blob)) != 0)
		return registry_refuse(problem, -EBADMSG,
				       "%s: what came has another git blob id than the list says",
				       file->path);
	if (file->has_sha256 && !digest_equal(&sha256, &file->sha256))
		return registry_refuse(problem, -EBADMSG,
				       "%s: what came has another SHA-256 than the list says", file->path);
	file->has_size = file->has_sha256 = true;
	file->size = len;
	file->sha256 = sha256;
	return 0;
}
