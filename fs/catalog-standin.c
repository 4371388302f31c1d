/* SPDX-License-Identifier: Apache-2.0 */
/* Until fs/imports.c has them. */
#include "common/cleanup.h"
#include "fs/imports.h"

#define WEAK __attribute__((weak))

WEAK int imports_owners(const char *path, uid_t **out, size_t *n)
{
	*out = NULL;
	*n = 0;
	return 0;
}

WEAK int imports_load(const char *path, uid_t owner, struct import **out, size_t *n)
{
	*out = NULL;
	*n = 0;
	return 0;
}

WEAK void imports_free(struct import *imports, size_t n)
{
}

WEAK bool import_is_gated(const struct import *import, const char *name)
{
	return false;
}
