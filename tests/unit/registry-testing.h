/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of registries' replies share. */
#ifndef TESTS_UNIT_REGISTRY_TESTING_H
#define TESTS_UNIT_REGISTRY_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "registry/registry.h"

/* One printable line, in which WHAT is said. */
static inline void expect_problem(const char *problem, const char *what)
{
	if (!strstr(problem, what))
		fail_msg("\"%s\" does not say \"%s\"", problem, what);
	for (const char *c = problem; *c; c++)
		assert_true(*c >= ' ' && *c <= '~');
}

static inline void expect_hex(const struct digest *digest, const char *hex)
{
	char text[DIGEST_HEX_SIZE];

	digest_to_hex(digest, text);
	assert_string_equal(text, hex);
}

/* A file with these, in the order of its URLs, which NULL ends. */
static inline void expect_file(const struct registry_file *file, const char *path, int64_t size,
			       const char *hex, const char *const *urls)
{
	size_t n = 0;

	assert_string_equal(file->path, path);
	assert_int_equal(file->has_size, size >= 0);
	if (size >= 0)
		assert_int_equal(file->size, size);
	assert_true(file->has_sha256);
	expect_hex(&file->sha256, hex);
	for (; urls[n]; n++) {
		assert_true(n < file->n_urls);
		assert_string_equal(file->urls[n], urls[n]);
	}
	assert_int_equal(file->n_urls, n);
}

#endif
