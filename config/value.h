/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of weightfs.conf. Pure functions: 0, -EINVAL for what is no such value, -ERANGE for
 * one that is too large to hold. No sign, no blank and no fraction is taken, and each value has one
 * spelling.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "config/config.h"

/* As number_size(). */
int must_check config_value_size(const char *text, uint64_t *out);
/* A size or "5%": 1 to 100, without a fraction; "0%" is 0 bytes. */
int must_check config_value_amount(const char *text, struct config_amount *out);
/* "250ms", "30s", "5m", "1h", "1d" in milliseconds. Without a unit only "0" is a time. */
int must_check config_value_time(const char *text, int64_t *out);
/* "yes" or "no". */
int must_check config_value_bool(const char *text, bool *out);
/* Decimal, with a '-' where it is below 0. */
int must_check config_value_int(const char *text, int *out);

#endif
