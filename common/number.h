/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as configuration and policy spell them: decimal, without sign, blank or fraction, then a unit. Each value
 * has one spelling. Pure functions: 0, -EINVAL for what is no such number, -ERANGE for one that is too large.
 */
#ifndef COMMON_NUMBER_H
#define COMMON_NUMBER_H

#include <stdint.h>
#include "common/cleanup.h"

/* The largest size: a file offset, which is signed, can reach it. */
#define NUMBER_SIZE_MAX ((uint64_t)INT64_MAX)

struct number_unit {
	const char *name;
	uint64_t factor;
};

/* The digits at *TEXT, at least one, and step over them. */
int must_check number_digits(const char **text, uint64_t *out);
/* Digits and the name of one of UNITS, of which one without a name ends the list, as a number up to MAX. */
int must_check number_scaled(const char *text, const struct number_unit *units, uint64_t max,
			     uint64_t *out);
/* "65536", "64M": K, M, G and T are powers of 1024. */
int must_check number_size(const char *text, uint64_t *out);
/* "500ms", "30s", "5m", "1h", "3d", or "0": a time in milliseconds. */
int must_check number_time(const char *text, int64_t *out);

#define NUMBER_TEXT_SIZE 24 /* the longest number with its unit, and NUL */
/* The shortest spelling, in the largest unit that leaves no fraction: what the two above read back. */
void number_size_format(uint64_t size, char out[NUMBER_TEXT_SIZE]);
void number_time_format(int64_t ms, char out[NUMBER_TEXT_SIZE]);

#endif
