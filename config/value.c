/* SPDX-License-Identifier: Apache-2.0 */
#include "config/value.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include "common/number.h"

int config_value_size(const char *text, uint64_t *out)
{
	return number_size(text, out);
}

int config_value_amount(const char *text, struct config_amount *out)
{
	static const struct number_unit percent[] = {{"%", 1}, {NULL, 0}};
	struct config_amount amount = {0};
	uint64_t value;
	int r;

	if (strchr(text, '%')) {
		r = number_scaled(text, percent, 100, &value);
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
	return number_time(text, out);
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
	r = number_digits(&text, &value);
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
