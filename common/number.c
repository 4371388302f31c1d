/* SPDX-License-Identifier: Apache-2.0 */
#include "common/number.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* strtoull() is not used: it takes a sign and leading blanks, and turns "-1" into a huge number. */
int number_digits(const char **text, uint64_t *out)
{
	const char *at = *text;
	uint64_t value = 0;

	if (*at < '0' || *at > '9')
		return -EINVAL;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return -ERANGE;
	}
	*text = at;
	*out = value;
	return 0;
}

int number_scaled(const char *text, const struct number_unit *units, uint64_t max, uint64_t *out)
{
	uint64_t value;
	int r = number_digits(&text, &value);

	if (r < 0)
		return r;
	for (; units->name; units++) {
		if (strcmp(text, units->name) != 0)
			continue;
		if (value > max / units->factor)
			return -ERANGE;
		*out = value * units->factor;
		return 0;
	}
	return -EINVAL;
}

/* Ascending, for number_scaled() and format() alike. */
static const struct number_unit sizes[] = {
	{"", 1},
	{"K", (uint64_t)1 << 10},
	{"M", (uint64_t)1 << 20},
	{"G", (uint64_t)1 << 30},
	{"T", (uint64_t)1 << 40},
	{NULL, 0},
};

static const struct number_unit times[] = {
	{"ms", 1},
	{"s", 1000},
	{"m", 60 * 1000},
	{"h", 60 * 60 * 1000},
	{"d", 24 * 60 * 60 * 1000},
	{NULL, 0},
};

int number_size(const char *text, uint64_t *out)
{
	return number_scaled(text, sizes, NUMBER_SIZE_MAX, out);
}

int number_time(const char *text, int64_t *out)
{
	uint64_t value = 0;
	int r = 0;

	if (strcmp(text, "0") != 0)
		r = number_scaled(text, times, INT64_MAX, &value);
	if (r < 0)
		return r;
	*out = (int64_t)value;
	return 0;
}

static void format(uint64_t value, const struct number_unit *units, char out[NUMBER_TEXT_SIZE])
{
	const struct number_unit *best = units;

	if (value == 0) {
		strcpy(out, "0");
		return;
	}
	for (; units->name; units++) {
		if (value % units->factor == 0)
			best = units;
	}
	snprintf(out, NUMBER_TEXT_SIZE, "%" PRIu64 "%s", value / best->factor, best->name);
}

void number_size_format(uint64_t size, char out[NUMBER_TEXT_SIZE])
{
	format(size, sizes, out);
}

void number_time_format(int64_t ms, char out[NUMBER_TEXT_SIZE])
{
	format((uint64_t)ms, times, out);
}
