/* SPDX-License-Identifier: Apache-2.0 */
/* Content identifiers. One that is taken has a spelling, which means the same. */
#include <string.h>
#include "registry/cid.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	char problem[REGISTRY_PROBLEM_SIZE] = "", text[REGISTRY_CID_TEXT_SIZE];
	struct registry_cid cid, again;

	if (registry_cid_parse((const char *)input, len, &cid, problem) < 0) {
		require(problem[0]);
		for (const char *c = problem; *c; c++)
			require(*c >= ' ' && *c <= '~');
		return 0;
	}
	require(cid.codec == REGISTRY_CID_RAW || cid.codec == REGISTRY_CID_DAG_PB);
	registry_cid_format(&cid, text);
	require(strlen(text) == sizeof(text) - 1 && text[0] == 'b');
	require(registry_cid_parse(text, strlen(text), &again, problem) == 0);
	require(again.codec == cid.codec && digest_equal(&again.digest, &cid.digest));
	/* In this base it has no other. */
	require(input[0] != 'b' || (len == strlen(text) && !memcmp(input, text, len)));
	return 0;
}
