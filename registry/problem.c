/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/internal.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int registry_refuse(char problem[REGISTRY_PROBLEM_SIZE], int error, const char *format, ...)
{
	va_list args;

	if (!problem)
		return error;
	va_start(args, format);
	vsnprintf(problem, REGISTRY_PROBLEM_SIZE, format, args);
	va_end(args);
	for (char *c = problem; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return error;
}

const char *registry_shown(const char *text, size_t len, char out[REGISTRY_SHOWN_SIZE])
{
	const size_t room = REGISTRY_SHOWN_SIZE - sizeof("...");
	size_t n = len < room ? len : room;

	for (size_t i = 0; i < n; i++)
		out[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
	strcpy(out + n, n < len ? "..." : "");
	return out;
}

int registry_sha256(const void *data, size_t len, struct digest *out)
{
	return EVP_Digest(data, len, out->bytes, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}
