/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/config-value.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/*
 * The digits at *TEXT, at least one, and step over them. strtoull() is not used: it takes a sign
 * and leading blanks, and turns "-1" into a huge number.
 */
static int digits(const char **text, uint64_t *out)
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

struct unit {
	const char *name;
	uint64_t factor;
};

/* Digits and the name of one of UNITS, of which NULL ends the list, as a number up to MAX. */
static int scaled(const char *text, const struct unit *units, uint64_t max, uint64_t *out)
{
	uint64_t value;
	int r = digits(&text, &value);

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

int config_value_size(const char *text, uint64_t *out)
{
	static const struct unit units[] = {
		{"", 1},
		{"K", (uint64_t)1 << 10},
		{"M", (uint64_t)1 << 20},
		{"G", (uint64_t)1 << 30},
		{"T", (uint64_t)1 << 40},
		{NULL, 0},
	};

	return scaled(text, units, CONFIG_SIZE_MAX, out);
}

int config_value_amount(const char *text, struct config_amount *out)
{
	static const struct unit percent[] = {{"%", 1}, {NULL, 0}};
	struct config_amount amount = {0};
	uint64_t value;
	int r;

	if (strchr(text, '%')) {
		r = scaled(text, percent, 100, &value);
		if (r == 0)
			amount.percent = (unsigned int)value;
	} else {
		r = config_value_size(text, &amount.bytes);
	}
	if (r < 0)
		return r;
	*out = amount;
	return 0;
}

int config_value_time(const char *text, int64_t *out)
{
	static const struct unit units[] = {
		{"ms", 1},
		{"s", 1000},
		{"m", 60 * 1000},
		{"h", 60 * 60 * 1000},
		{"d", 24 * 60 * 60 * 1000},
		{NULL, 0},
	};
	uint64_t value = 0;
	int r = 0;

	if (strcmp(text, "0") != 0)
		r = scaled(text, units, INT64_MAX, &value);
	if (r < 0)
		return r;
	*out = (int64_t)value;
	return 0;
}

int config_value_bool(const char *text, bool *out)
{
	bool yes = strcmp(text, "yes") == 0;

	if (!yes && strcmp(text, "no") != 0)
		return -EINVAL;
	*out = yes;
	return 0;
}

int config_value_int(const char *text, int *out)
{
	bool negative = *text == '-';
	uint64_t value;
	int r;

	text += negative;
	r = digits(&text, &value);
	if (r < 0)
		return r;
	if (*text)
		return -EINVAL;
	if (value > INT_MAX)
		return -ERANGE;
	*out = negative ? -(int)value : (int)value;
	return 0;
}

uint64_t config_amount_of(const struct config_amount *amount, uint64_t total)
{
	if (amount->percent == 0)
		return amount->bytes;
	/* In this order nothing overflows. */
	return total / 100 * amount->percent + total % 100 * amount->percent / 100;
}
