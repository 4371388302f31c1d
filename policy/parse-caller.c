/* SPDX-License-Identifier: Apache-2.0 */
/* `caller` and `broker` lines: who it is about, and which origin a caller is. */
#include "policy/internal.h"

#include <string.h>

#define CALLERS "'uid', 'user', 'gid', 'cgroup', 'unit' or 'any'"
#define BROKERS "'uid', 'user', 'gid', 'cgroup' or 'unit'"
#define UNIT_MAX 255 /* bytes, as systemd has it */

/* Decimal, without sign and leading zeros; (uid_t)-1 means "none" to the kernel. */
static int parse_id(struct parser *parser, const struct word *word, uint32_t *id)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; i < word->len && value <= UINT32_MAX; i++) {
		if (word->text[i] < '0' || word->text[i] > '9')
			break;
		value = 10 * value + (uint64_t)(word->text[i] - '0');
	}
	if (i < word->len || value >= UINT32_MAX || (word->text[0] == '0' && word->len > 1))
		return policy_unexpected(parser, word, "a number from 0 to 4294967294");
	*id = (uint32_t)value;
	return 0;
}

static int parse_user(struct parser *parser, const struct word *word, uint32_t *id)
{
	char name[256];
	uid_t uid = 0;
	int r = -ENOENT;

	if (policy_word_copy(word, name, sizeof(name)))
		r = parser->system->user(parser->system->arg, name, &uid);
	if (r == -ENOENT)
		return policy_fail(parser->error, &word->place, "no user is called '%.*s'",
				   policy_word_shown(word), word->text);
	if (r < 0) {
		errno = -r;
		(void)policy_fail(parser->error, &word->place,
				  "user '%.*s' cannot be looked up: %m", policy_word_shown(word),
				  word->text);
		return r;
	}
	*id = uid;
	return 0;
}

/* As the kernel writes it. */
static bool cgroup_valid(const char *path)
{
	return path[0] == '/' && (!path[1] || policy_components_valid(path + 1));
}

/* Of a unit that can have processes or start them; a template itself never runs. */
static bool unit_valid(const char *name)
{
	static const char *const types[] = {"service", "scope", "slice", "socket", "mount",
					    "automount", "swap", "timer", "path", "target",
					    "device"};
	const char *dot = strrchr(name, '.');
	size_t len = strlen(name);

	if (!dot || dot == name || dot[-1] == '@' || name[0] == '@' || len > UNIT_MAX ||
	    name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			      "0123456789:-_.\\@")])
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(dot + 1, types[i]) == 0)
			return true;
	}
	return false;
}

static int parse_text(struct parser *parser, const struct word *word, struct caller *caller)
{
	bool cgroup = caller->kind == CALLER_CGROUP;
	_cleanup_free_ char *text = strndup(word->text, word->len);

	if (!text)
		return policy_out_of_memory(parser);
	if (cgroup ? !cgroup_valid(text) : !unit_valid(text))
		return policy_unexpected(parser, word,
					 cgroup ? "a cgroup's path such as /system.slice"
						: "a unit's name such as app.service");
	caller->text = steal_pointer(text);
	return 0;
}

static const struct {
	const char *keyword, *expected;
	enum caller_kind kind;
} kinds[] = {
	{"uid", "a number", CALLER_UID},
	{"user", "a user's name", CALLER_UID},
	{"gid", "a number", CALLER_GID},
	{"cgroup", "a cgroup's path such as /system.slice", CALLER_CGROUP},
	{"unit", "a unit's name such as app.service", CALLER_UNIT},
};

/* Who, but `any`: KIND is the word that says how. */
static int parse_who(struct parser *parser, const struct word *kind, const char *expected,
		     struct caller *caller)
{
	struct word word;
	size_t i = 0;
	int r;

	while (i < ARRAY_SIZE(kinds) && !policy_word_is(kind, kinds[i].keyword))
		i++;
	if (i == ARRAY_SIZE(kinds))
		return policy_unexpected(parser, kind, expected);
	caller->kind = kinds[i].kind;
	r = policy_take(parser, kinds[i].expected, &word);
	if (r < 0)
		return r;
	if (caller->kind == CALLER_CGROUP || caller->kind == CALLER_UNIT)
		return parse_text(parser, &word, caller);
	if (policy_word_is(kind, "user"))
		return parse_user(parser, &word, &caller->id);
	return parse_id(parser, &word, &caller->id);
}

static void clear_caller(struct caller *caller)
{
	free(caller->text);
}

int policy_parse_caller(struct parser *parser, const struct word *keyword)
{
	_cleanup_(clear_caller) struct caller caller = {.kind = CALLER_ANY};
	char origin[POLICY_ORIGIN_SIZE];
	struct word word;
	int r;

	r = policy_take(parser, CALLERS, &word);
	if (r == 0 && !policy_word_is(&word, "any"))
		r = parse_who(parser, &word, CALLERS, &caller);
	if (r == 0)
		r = policy_take_keyword(parser, "is");
	if (r == 0)
		r = policy_take(parser, "an origin", &word);
	if (r == 0)
		r = policy_take_origin(parser, &word, origin);
	if (r == 0)
		r = policy_take_end(parser);
	if (r < 0)
		return r;
	caller.origin = origin;
	return policy_draft_caller(parser->draft, &caller, &keyword->place) < 0
		       ? policy_out_of_memory(parser)
		       : 0;
}

int policy_parse_broker(struct parser *parser, const struct word *keyword)
{
	_cleanup_(clear_caller) struct caller caller = {.kind = CALLER_ANY};
	struct word word;
	int r;

	r = policy_take(parser, BROKERS, &word);
	if (r == 0 && policy_word_is(&word, "any"))
		return policy_fail(parser->error, &word.place,
				   "'any' is no broker: then everybody could be every origin");
	if (r == 0)
		r = parse_who(parser, &word, BROKERS, &caller);
	if (r == 0)
		r = policy_take_end(parser);
	if (r < 0)
		return r;
	return policy_draft_caller(parser->draft, &caller, &keyword->place) < 0
		       ? policy_out_of_memory(parser)
		       : 0;
}
