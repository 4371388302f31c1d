/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content identifiers of IPFS, as far as they are of SHA-256: version 0, and version 1 in the bases that are in use, with
 * the codecs "raw" (the digest is that of the bytes themselves) and "dag-pb" (of a node of a UnixFS graph: it says nothing
 * that could be checked without the graph).
 *
 * As everything of registry/registry.h: pure, strict, any thread.
 */
#ifndef REGISTRY_CID_H
#define REGISTRY_CID_H

#include "registry/registry.h"

#define REGISTRY_CID_TEXT_MAX  128 /* what is read at most */
#define REGISTRY_CID_TEXT_SIZE 60  /* "b", 58 digits and NUL */

enum registry_cid_codec {
	REGISTRY_CID_RAW = 0x55,
	REGISTRY_CID_DAG_PB = 0x70,
};

struct registry_cid {
	enum registry_cid_codec codec;
	struct digest digest;
};

/* All of TEXT. -EINVAL with the reason in PROBLEM. */
int must_check registry_cid_parse(const char *text, size_t len, struct registry_cid *out,
				  char problem[REGISTRY_PROBLEM_SIZE]);
/* The one spelling that is compared and shown: version 1, base32. */
void registry_cid_format(const struct registry_cid *cid, char out[REGISTRY_CID_TEXT_SIZE]);

#endif
