/* SPDX-License-Identifier: Apache-2.0 */
/* What both tests of weightfs.conf begin with. */
#ifndef TESTS_UNIT_CONFIG_HELPER_H
#define TESTS_UNIT_CONFIG_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "config/config.h"

#define FILE_NAME "/etc/weightfs/weightfs.conf"
#define LAB	  "[source lab]\nurl = https://models.example/{sha256}\n"

static inline struct config parse_ok(const char *text)
{
	struct config config;
	struct config_error error;
	int r = config_parse(FILE_NAME, text, strlen(text), &config, &error);

	if (r != 0)
		fail_msg("refused in line %u: %s\n%s", error.line, error.message, text);
	return config;
}

#endif
