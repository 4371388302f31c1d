/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of catalogs share. */
#ifndef TESTS_UNIT_CATALOG_TESTING_H
#define TESTS_UNIT_CATALOG_TESTING_H

#include "tests/unit/signing-testing.h"
#include "verify/catalog.h"

/* 64 hex digits: 60 times C, then N. */
#define HEX60(c)  c c c c c c c c c c
#define HEX(c, n) HEX60(c c c c c c) n

#define HEADER                                                                                     \
	"{\"weightfs-catalog\":1,\"name\":\"hub\",\"serial\":42,\"expires\":\"2027-01-01T00:00:"   \
	"00Z\"}\n"

static const char *const any_prefix[] = {""};
static const struct verify_catalog_rules any_rules = {.prefixes = any_prefix, .n_prefixes = 1};

static inline int load_bytes(const char *text, size_t len, const struct verify_catalog_rules *rules,
			     struct verify_catalog **out, struct verify_problem *problem)
{
	_cleanup_close_ int fd = file_of(text, len);

	return verify_catalog_load_unsigned(fd, rules ? rules : &any_rules, out, problem);
}

static inline int load_text(const char *text, const struct verify_catalog_rules *rules,
			    struct verify_catalog **out, struct verify_problem *problem)
{
	return load_bytes(text, strlen(text), rules, out, problem);
}

static inline struct digest digest_of(const char *hex)
{
	struct digest digest;

	if (strlen(hex) != 64 || digest_from_hex(hex, &digest) < 0)
		abort();
	return digest;
}

static inline struct digest_name sha256_of(const char *hex)
{
	return (struct digest_name){DIGEST_SHA256, digest_of(hex)};
}

static inline struct digest_name fsverity_of(const char *hex)
{
	return (struct digest_name){DIGEST_FSVERITY, digest_of(hex)};
}

#endif
