/* SPDX-License-Identifier: Apache-2.0 */
/* Names of files as catalogs and registries give them, and as they are seen below name/. Pure functions, any thread. */
#ifndef COMMON_NAME_H
#define COMMON_NAME_H

#include <stddef.h>

#define NAME_BYTES_MAX	   1024 /* of a name ... */
#define NAME_COMPONENT_MAX 255	/* ... and of one component of it */

/* Components with "/" between them, none of them "." or "..", in plain UTF-8. What is wrong with it, or NULL. */
const char *name_refused(const char *name, size_t len);

#endif
