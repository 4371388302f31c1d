/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metalink documents (RFC 5854): files with their SHA-256 and where they are.
 *
 * As everything of registry/registry.h: pure, strict, any thread.
 */
#ifndef REGISTRY_METALINK_H
#define REGISTRY_METALINK_H

#include "registry/registry.h"

#define REGISTRY_METALINK_MAX ((size_t)8 << 20) /* bytes of a document */

/*
 * All files of TEXT, at least one. Each has a path, a SHA-256 and at least one URL (http or https, absolute, by their
 * priority, of more than REGISTRY_URLS_MAX the first ones); its size is not always there. OUT is to be cleared. -EINVAL,
 * -E2BIG or -EFBIG with the reason in PROBLEM, -ENOMEM.
 */
int must_check registry_metalink_parse(const char *text, size_t len, struct registry_files *out,
				       char problem[REGISTRY_PROBLEM_SIZE]);

#endif
