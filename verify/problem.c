/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/signing.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int verify_refuse(struct verify_problem *problem, int error, unsigned int line, const char *format,
		  ...)
{
	va_list args;

	if (!problem)
		return error;
	problem->line = line;
	va_start(args, format);
	vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
	return error;
}

int verify_refuse_errno(struct verify_problem *problem, int error, const char *what)
{
	return verify_refuse(problem, error, 0, "%s: %s", what, strerror(-error));
}

const char *verify_shown(const char *text, size_t len, char out[VERIFY_SHOWN_SIZE])
{
	const size_t room = VERIFY_SHOWN_SIZE - sizeof("...");
	size_t n = len < room ? len : room;

	for (size_t i = 0; i < n; i++)
		out[i] = text[i];
	for (size_t i = 0; i < n; i++)
		if (text[i] < ' ' || text[i] > '~')
			out[i] = '?';
	strcpy(out + n, n < len ? "..." : "");
	return out;
}
