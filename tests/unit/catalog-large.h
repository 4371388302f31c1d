/* SPDX-License-Identifier: Apache-2.0 */
/* Large catalogs, which tests/tools/catalog-large writes to a file and a unit test loads. */
#ifndef TESTS_UNIT_CATALOG_LARGE_H
#define TESTS_UNIT_CATALOG_LARGE_H

#include <stdio.h>
#include "common/digest.h"
#include "verify/catalog.h"

#define LARGE_ORGS 1000U

/* Digest KIND of object I: splitmix64, so that they are in no order. */
static inline struct digest large_digest(uint64_t i, enum digest_kind kind)
{
	struct digest digest;
	uint64_t state = i * 8 + (kind == DIGEST_FSVERITY ? 4 : 0);

	for (unsigned int word = 0; word < 4; word++) {
		uint64_t z = (++state) * 0x9e3779b97f4a7c15;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		z ^= z >> 31;
		memcpy(digest.bytes + 8 * word, &z, 8);
	}
	return digest;
}

/* The first name of object I, of about 60 bytes: ten files a model. */
static inline int large_name(uint64_t i, char out[128])
{
	uint64_t model = i / 10;

	return snprintf(out, 128, "org-%03u/model-%06u-instruct/model-%05u-of-00010.safetensors",
			(unsigned int)(model % LARGE_ORGS), (unsigned int)(model / LARGE_ORGS),
			(unsigned int)(i % 10));
}

/* Two digests, a size, a URL and a tree; every second one has a second name. */
static inline void large_line(FILE *file, uint64_t i)
{
	struct digest sha256 = large_digest(i, DIGEST_SHA256);
	struct digest fsverity = large_digest(i, DIGEST_FSVERITY);
	char hex[DIGEST_HEX_SIZE], verity_hex[DIGEST_HEX_SIZE], name[128];

	digest_to_hex(&sha256, hex);
	digest_to_hex(&fsverity, verity_hex);
	large_name(i, name);
	fprintf(file,
		"{\"sha256\":\"%s\",\"size\":%llu,\"fsverity\":\"%s\","
		"\"urls\":[\"https://models.example/blobs/%s\"],"
		"\"tree\":\"https://models.example/blobs/%s.vtree\",\"names\":[\"%s\"",
		hex, (unsigned long long)(i * 4096 + 1), verity_hex, hex, hex, name);
	if (i % 2)
		fprintf(file, ",\"tags/%s\"", name);
	fputs("]}\n", file);
}

/* N objects, scattered: names and digests come in no order. */
static inline int large_write(FILE *file, uint64_t n)
{
	const uint64_t stride =
		611953; /* a prime: all numbers below N are met unless it divides N */

	fputs("{\"weightfs-catalog\":1,\"name\":\"large\",\"serial\":42,"
	      "\"expires\":\"2099-01-01T00:00:00Z\"}\n",
	      file);
	for (uint64_t i = 0; i < n; i++)
		large_line(file, i * stride % n);
	return ferror(file) || fflush(file) ? -EIO : 0;
}

#endif
