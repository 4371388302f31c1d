/* SPDX-License-Identifier: Apache-2.0 */
/* Files whose registry does not say their SHA-256: small ones, which are fetched right away. */
#ifndef COMMANDS_IMPORT_BYTES_H
#define COMMANDS_IMPORT_BYTES_H

#include "commands/import/sources.h"

#define IMPORT_BYTES_MAX ((uint64_t)64 << 20) /* of one */

/*
 * Fetch each of FOUND's files that has no SHA-256 from its first URL, several at once, check it against what is known of it,
 * and hash it. LIKE is how they are asked for. One that cannot be had is logged, left out of FOUND, and counted there;
 * -errno if none is left.
 */
int must_check import_hash_files(struct import_talk *talk, const struct import_get *like,
				 const struct import_advice *advice, struct import_found *found);

#endif
