/* SPDX-License-Identifier: Apache-2.0 */
/* Inside registry/: what its parsers share. */
#ifndef REGISTRY_INTERNAL_H
#define REGISTRY_INTERNAL_H

#include "registry/registry.h"

/* ---- problem.c ---- */

/* Says what is wrong, printable whatever it quotes, in PROBLEM (may be NULL), and returns ERROR. */
int registry_refuse(char problem[REGISTRY_PROBLEM_SIZE], int error, const char *format, ...)
	printf_like(3, 4);

/* A piece of TEXT to be quoted: cut with "..." when it is long. */
#define REGISTRY_SHOWN_SIZE 84
const char *registry_shown(const char *text, size_t len, char out[REGISTRY_SHOWN_SIZE]);

/* ---- files.c ---- */

/* No two of them have the same path. -EINVAL with PROBLEM, -ENOMEM. */
int must_check registry_files_distinct(const struct registry_files *files,
				       char problem[REGISTRY_PROBLEM_SIZE]);

#endif
