/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind `with`. */
#include "policy/internal.h"

#include <string.h>
#include "common/number.h"

static int twice(struct parser *parser, const struct word *part, size_t len)
{
	return policy_fail(parser->error, &part->place, "'%.*s' stands here twice", (int)len,
			   part->text);
}

static int parse_quota(struct parser *parser, const struct word *part, size_t prefix,
		       uint64_t *quota)
{
	struct word value = *part;
	char text[32];
	int r = -EINVAL;

	if (*quota)
		return twice(parser, part, prefix - 1);
	value.text += prefix;
	value.len -= prefix;
	value.place.column += (unsigned int)prefix;
	if (policy_word_copy(&value, text, sizeof(text)))
		r = number_size(text, quota);
	if (r == -ERANGE)
		return policy_fail(parser->error, &value.place, "'%s' is too large", text);
	/* Whoever may keep nothing at all is better denied. */
	if (r < 0 || *quota == 0)
		return policy_unexpected(parser, &value, "a size such as 20G");
	return 0;
}

int policy_option(struct parser *parser, const struct word *part, struct policy_decision *rule)
{
	static const char quota[] = "quota=";
	const size_t prefix = sizeof(quota) - 1;
	bool *option = policy_word_is(part, "cached") ? &rule->cached
		       : policy_word_is(part, "list") ? &rule->list
						      : NULL;

	if (part->len >= prefix && !memcmp(part->text, quota, prefix))
		return parse_quota(parser, part, prefix, &rule->quota);
	if (!option)
		return policy_unexpected(parser, part, POLICY_OPTIONS);
	if (*option)
		return twice(parser, part, part->len);
	*option = true;
	return 0;
}
