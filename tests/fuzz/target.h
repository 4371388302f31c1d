/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzz target begins with. */
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

/* Unlike assert(3) whatever the build says. */
static inline void require(bool holds)
{
	if (!holds)
		abort();
}

#endif
