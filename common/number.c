/* SPDX-License-Identifier: Apache-2.0 */
#include "common/number.h"

#include <errno.h>
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

int number_size(const char *text, uint64_t *out)
{
	static const struct number_unit units[] = {
		{"", 1},
		{"K", (uint64_t)1 << 10},
		{"M", (uint64_t)1 << 20},
		{"G", (uint64_t)1 << 30},
		{"T", (uint64_t)1 << 40},
		{NULL, 0},
	};

	return number_scaled(text, units, NUMBER_SIZE_MAX, out);
}
