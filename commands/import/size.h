/* SPDX-License-Identifier: Apache-2.0 */
/* Files of which it is not said how large they are. */
#ifndef COMMANDS_IMPORT_SIZE_H
#define COMMANDS_IMPORT_SIZE_H

#include "commands/import/sources.h"

/*
 * Ask FILE's URLs for its size, in their order, until one tells. OWN (NULL: none) is a URL that the user named himself: what is
 * on its host may be so, too. ADVICE as for import_get(). 0 or -errno, logged.
 */
int must_check import_size(struct import_talk *talk, struct registry_file *file, const char *own,
			   const struct import_advice *advice);

#endif
