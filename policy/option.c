/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind `with`. */
#include "policy/internal.h"

#include <string.h>
#include "common/number.h"

#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)
#define WAIT_MAX   DAY_MS
#define WINDOW_MAX (365 * DAY_MS)
#define PROBES_MAX 4096

static int twice(struct parser *parser, const struct word *part)
{
	const char *equals = memchr(part->text, '=', part->len);

	return policy_fail(parser->error, &part->place, "'%.*s' stands here twice",
			   (int)(equals ? (size_t)(equals - part->text) : part->len), part->text);
}

/* What stands behind the `=` of PART, or behind the `/` of that. */
static struct word behind(const struct word *part, char mark)
{
	const char *found = memchr(part->text, mark, part->len);
	size_t skip = found ? (size_t)(found - part->text) + 1 : part->len;
	struct word value = *part;

	value.text += skip;
	value.len -= skip;
	value.place.column += (unsigned int)skip;
	return value;
}

static int too_large(struct parser *parser, const struct word *value)
{
	return policy_fail(parser->error, &value->place, "'%.*s' is too large",
			   policy_word_shown(value), value->text);
}

static int parse_quota(struct parser *parser, const struct word *part, struct rule *rule)
{
	struct word value = behind(part, '=');
	char text[32];
	uint64_t quota = 0;
	int r = -EINVAL;

	if (rule->decision.quota)
		return twice(parser, part);
	if (policy_word_copy(&value, text, sizeof(text)))
		r = number_size(text, &quota);
	if (r == -ERANGE)
		return too_large(parser, &value);
	/* Whoever may keep nothing at all is better denied. */
	if (r < 0 || quota == 0)
		return policy_unexpected(parser, &value, "a size such as 20G");
	rule->decision.quota = quota;
	return 0;
}

/* A time of MAX milliseconds at most, but no 0. */
static int parse_time(struct parser *parser, const struct word *value, int64_t max, int64_t *out)
{
	char text[32];
	int64_t time = 0;
	int r = -EINVAL;

	if (policy_word_copy(value, text, sizeof(text)))
		r = number_time(text, &time);
	if (r == -ERANGE || (r == 0 && time > max))
		return too_large(parser, value);
	if (r < 0 || time == 0)
		return policy_unexpected(parser, value, "a time such as 60s");
	*out = time;
	return 0;
}

static int parse_wait(struct parser *parser, const struct word *part, struct rule *rule)
{
	struct word value = behind(part, '=');

	if (rule->decision.verdict != POLICY_ASK)
		return policy_fail(parser->error, &part->place, "'wait' is for 'ask' lines only");
	if (rule->decision.wait_ms)
		return twice(parser, part);
	return parse_time(parser, &value, WAIT_MAX, &rule->decision.wait_ms);
}

static int parse_probes(struct parser *parser, const struct word *part, struct rule *rule)
{
	struct word count = behind(part, '='), window = behind(&count, '/');
	char text[32];
	const char *at = text;
	uint64_t value = 0;
	int r = -EINVAL;

	if (rule->probes.count)
		return twice(parser, part);
	if (policy_word_copy(&count, text, sizeof(text)))
		r = number_digits(&at, &value);
	if (r == -ERANGE || (r == 0 && *at == '/' && value > PROBES_MAX))
		return too_large(parser, &count);
	if (r < 0 || *at != '/' || value == 0)
		return policy_unexpected(parser, &count, "a number and a time such as 16/1m");
	r = parse_time(parser, &window, WINDOW_MAX, &rule->probes.window_ms);
	if (r == 0)
		rule->probes.count = (unsigned int)value;
	return r;
}

static int parse_flag(struct parser *parser, const struct word *part, struct rule *rule)
{
	bool *flag = part->text[0] == 'c' ? &rule->decision.cached : &rule->decision.list;

	if (*flag)
		return twice(parser, part);
	*flag = true;
	return 0;
}

int policy_option(struct parser *parser, const struct word *part, struct rule *rule)
{
	static const struct {
		const char *name; /* with a `=`: in front of a value */
		int (*parse)(struct parser *parser, const struct word *part, struct rule *rule);
	} options[] = {
		{"cached", parse_flag},	 {"list", parse_flag},	{"quota=", parse_quota},
		{"probes=", parse_probes}, {"wait=", parse_wait},
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		size_t len = strlen(options[i].name);
		bool value = options[i].name[len - 1] == '=';

		if ((value ? part->len >= len : part->len == len) &&
		    memcmp(part->text, options[i].name, len) == 0)
			return options[i].parse(parser, part, rule);
	}
	return policy_unexpected(parser, part, POLICY_OPTIONS);
}
