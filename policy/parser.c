/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statements. One table a level says which words are known: a word that a later version may
 * honour is named as such, everything else is unknown, and nothing that stands in a line is left
 * unread.
 */
#include "policy/internal.h"

#include <stdio.h>
#include <string.h>

static int out_of_memory(struct parser *parser)
{
	struct place place = {.file = parser->file};

	(void)policy_fail(parser->error, &place, "out of memory");
	return -ENOMEM;
}

/* A draft's result: all it can say without an error is that there is no memory. */
static int drafted(struct parser *parser, int r)
{
	return r < 0 ? out_of_memory(parser) : 0;
}

static int unsupported(struct parser *parser, const struct word *word)
{
	return policy_fail(parser->error, &word->place, "'%.*s' is not supported by this version",
			   policy_word_shown(word), word->text);
}

int policy_unexpected(struct parser *parser, const struct word *word, const char *expected)
{
	if (word->len == 0)
		return policy_fail(parser->error, &word->place, "%s expected", expected);
	return policy_fail(parser->error, &word->place, "%s expected, not '%.*s'", expected,
			   policy_word_shown(word), word->text);
}

static int take_word(struct parser *parser, const char *expected, struct word *word)
{
	*word = policy_lexer_word(&parser->lexer);
	return word->len ? 0 : policy_unexpected(parser, word, expected);
}

static int take_keyword(struct parser *parser, const char *keyword)
{
	struct word word = policy_lexer_word(&parser->lexer);
	char expected[16];

	if (policy_word_is(&word, keyword))
		return 0;
	snprintf(expected, sizeof(expected), "'%s'", keyword);
	return policy_unexpected(parser, &word, expected);
}

static int take_end(struct parser *parser)
{
	struct word word = policy_lexer_word(&parser->lexer);

	return word.len ? policy_unexpected(parser, &word, "the end of the line") : 0;
}

/* ---- origins ---- */

static int bad_origin(struct parser *parser, const struct word *word, int r, const char *reason)
{
	if (r == -ENOMEM)
		return out_of_memory(parser);
	return policy_fail(parser->error, &word->place, "'%.*s' is no origin: %s",
			   policy_word_shown(word), word->text, reason);
}

static int parse_origin(struct parser *parser, const struct word *word,
			char origin[POLICY_ORIGIN_SIZE])
{
	char text[2 * POLICY_ORIGIN_SIZE];
	const char *reason;
	int r;

	if (!policy_word_copy(word, text, sizeof(text)))
		return bad_origin(parser, word, -EINVAL, "it is too long");
	r = policy_origin_explain(text, origin, &reason);
	return r < 0 ? bad_origin(parser, word, r, reason) : 0;
}

static int parse_pattern(struct parser *parser, const struct word *word, uint32_t *pattern)
{
	char text[2 * POLICY_ORIGIN_SIZE], origin[POLICY_ORIGIN_SIZE];
	char kind = PATTERN_EXACT;
	const char *reason;
	int r;

	if (policy_word_is(word, "any"))
		return drafted(parser,
			       policy_draft_pattern(parser->draft, PATTERN_ANY, "", pattern));
	if (policy_word_copy(word, text, sizeof(text)) && strstr(text, "://*.")) {
		kind = PATTERN_BELOW;
		r = policy_origin_below(text, origin, &reason);
		if (r < 0)
			return bad_origin(parser, word, r, reason);
	} else {
		r = parse_origin(parser, word, origin);
		if (r < 0)
			return r;
	}
	return drafted(parser, policy_draft_pattern(parser->draft, kind, origin, pattern));
}

/* ---- caller ---- */

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

static int parse_caller(struct parser *parser, const struct word *keyword)
{
	enum caller_kind kind = CALLER_ANY;
	char origin[POLICY_ORIGIN_SIZE];
	struct word word;
	uint32_t id = 0;
	int r;

	r = take_word(parser, "'uid', 'user', 'gid' or 'any'", &word);
	if (r < 0)
		return r;
	if (policy_word_is(&word, "uid") || policy_word_is(&word, "gid")) {
		kind = word.text[0] == 'u' ? CALLER_UID : CALLER_GID;
		r = take_word(parser, "a number", &word);
		if (r == 0)
			r = parse_id(parser, &word, &id);
	} else if (policy_word_is(&word, "user")) {
		kind = CALLER_UID;
		r = take_word(parser, "a user's name", &word);
		if (r == 0)
			r = parse_user(parser, &word, &id);
	} else if (policy_word_is(&word, "cgroup") || policy_word_is(&word, "unit")) {
		r = unsupported(parser, &word);
	} else if (!policy_word_is(&word, "any")) {
		r = policy_unexpected(parser, &word, "'uid', 'user', 'gid' or 'any'");
	}
	if (r == 0)
		r = take_keyword(parser, "is");
	if (r == 0)
		r = take_word(parser, "an origin", &word);
	if (r == 0)
		r = parse_origin(parser, &word, origin);
	if (r == 0)
		r = take_end(parser);
	if (r < 0)
		return r;
	return drafted(parser,
		       policy_draft_caller(parser->draft, kind, id, origin, &keyword->place));
}

/* ---- set ---- */

/* Names that would make a mistyped digest look like a set are no names of sets. */
static bool set_name_valid(const char *name)
{
	struct digest_name digest;

	return policy_name_valid(name) && strncmp(name, "sha256-", 7) &&
	       strncmp(name, "fsverity-", 9) && digest_name_parse(name, &digest) < 0;
}

static int parse_set_name(struct parser *parser, const struct word *word, uint32_t *set)
{
	char name[POLICY_NAME_MAX + 1];
	struct target *target;
	int r;

	if (!policy_word_copy(word, name, sizeof(name)) || !set_name_valid(name))
		return policy_unexpected(parser, word, "a set's name ([a-z][a-z0-9._-]*)");
	r = policy_draft_target(parser->draft, name, &word->place, set);
	if (r < 0)
		return out_of_memory(parser);
	target = &parser->draft->targets[*set];
	if (target->defined)
		return policy_fail(parser->error, &word->place,
				   "set '%s' was defined before, at %s:%u", name,
				   target->place.file, target->place.line);
	target->defined = true;
	target->place = word->place;
	return 0;
}

static int parse_digests(struct parser *parser, uint32_t set, struct word word)
{
	for (; word.len; word = policy_lexer_word(&parser->lexer)) {
		struct digest_name digest;
		char text[DIGEST_NAME_SIZE];

		if (!policy_word_copy(&word, text, sizeof(text)) ||
		    digest_name_parse(text, &digest) < 0)
			return policy_unexpected(parser, &word, "a digest");
		if (policy_draft_entry(parser->draft, set, &digest) < 0)
			return out_of_memory(parser);
	}
	return 0;
}

static int parse_set(struct parser *parser, const struct word *keyword)
{
	struct word word;
	uint32_t set;
	int r;

	r = take_word(parser, "a set's name", &word);
	if (r == 0)
		r = parse_set_name(parser, &word, &set);
	if (r == 0)
		r = take_word(parser, "'file' or a digest", &word);
	if (r < 0)
		return r;
	if (policy_word_is(&word, "name"))
		return unsupported(parser, &word);
	if (!policy_word_is(&word, "file"))
		return parse_digests(parser, set, word);
	r = take_word(parser, "a path", &word);
	if (r == 0) {
		struct word rest = policy_lexer_word(&parser->lexer);

		if (policy_word_is(&rest, "shared"))
			r = unsupported(parser, &rest);
		else if (rest.len)
			r = policy_unexpected(parser, &rest, "the end of the line");
	}
	return r < 0 ? r : policy_set_file(parser, set, &word);
}

/* ---- include ---- */

static int parse_include(struct parser *parser, const struct word *keyword)
{
	struct word word;
	int r;

	r = take_word(parser, "a path", &word);
	if (r == 0)
		r = take_end(parser);
	return r < 0 ? r : policy_include(parser, &word);
}

/* ---- allow, deny ---- */

/* The part of LIST up to the next comma; LIST goes on behind it, with a NULL text after the last
 * part. */
static struct word split(struct word *list)
{
	const char *comma = memchr(list->text, ',', list->len);
	struct word part = *list;

	if (!comma) {
		list->text = NULL;
		return part;
	}
	part.len = (size_t)(comma - list->text);
	list->text += part.len + 1;
	list->len -= part.len + 1;
	list->place.column += (unsigned int)part.len + 1;
	return part;
}

static int parse_target(struct parser *parser, const struct word *word, uint32_t pattern)
{
	char name[DIGEST_NAME_SIZE];
	struct digest_name digest;
	uint32_t target;
	bool literal;

	if (policy_word_is(word, "any")) {
		policy_draft_pair_any(parser->draft, pattern);
		return 0;
	}
	if (!policy_word_copy(word, name, sizeof(name)))
		return policy_unexpected(parser, word, "'any', a set or a digest");
	literal = digest_name_parse(name, &digest) == 0;
	if (literal)
		digest_name_format(&digest, name);
	else if (!set_name_valid(name))
		return policy_unexpected(parser, word, "'any', a set or a digest");
	if (policy_draft_target(parser->draft, name, &word->place, &target) < 0)
		return out_of_memory(parser);
	if (literal && !parser->draft->targets[target].defined) {
		parser->draft->targets[target].defined = true;
		if (policy_draft_entry(parser->draft, target, &digest) < 0)
			return out_of_memory(parser);
	}
	return drafted(parser, policy_draft_pair(parser->draft, pattern, target));
}

/* `with` and what follows, if it is there. */
static int parse_with(struct parser *parser, struct policy_decision *rule)
{
	struct word word = policy_lexer_word(&parser->lexer);
	int r;

	if (word.len == 0)
		return 0;
	if (!policy_word_is(&word, "with"))
		return policy_unexpected(parser, &word,
				  rule->verdict == POLICY_ALLOW ? "'with' or the end of the line"
					      : "the end of the line");
	if (rule->verdict == POLICY_DENY)
		return policy_fail(parser->error, &word.place, "'deny' takes no 'with'");
	r = take_word(parser, POLICY_OPTIONS, &word);
	if (r < 0)
		return r;
	while (word.text) {
		struct word part = split(&word);

		r = policy_option(parser, &part, rule);
		if (r < 0)
			return r;
	}
	return take_end(parser);
}

static int parse_rule(struct parser *parser, const struct word *keyword)
{
	struct policy_decision rule = {
		.verdict = keyword->text[0] == 'a' ? POLICY_ALLOW : POLICY_DENY,
	};
	struct word word, targets;
	uint32_t pattern;
	int r;

	r = take_word(parser, "'any' or an origin", &word);
	if (r == 0)
		r = parse_pattern(parser, &word, &pattern);
	if (r == 0)
		r = take_keyword(parser, "to");
	if (r == 0)
		r = take_word(parser, "'any', a set or a digest", &targets);
	if (r < 0)
		return r;
	/* The rule first, because pairs name it; what follows the targets is still to come. */
	if (policy_draft_rule(parser->draft, rule, &keyword->place) < 0)
		return out_of_memory(parser);
	while (targets.text) {
		word = split(&targets);
		r = parse_target(parser, &word, pattern);
		if (r < 0)
			return r;
	}
	r = parse_with(parser, &rule);
	if (r < 0)
		return r;
	policy_draft_options(parser->draft, pattern, &rule);
	return 0;
}

/* ---- all ---- */

static const struct statement {
	const char *keyword;
	int (*parse)(struct parser *parser,
		     const struct word *keyword); /* NULL: a later version's */
} statements[] = {
	{"caller", parse_caller}, {"set", parse_set},	{"include", parse_include},
	{"allow", parse_rule},	  {"deny", parse_rule}, {"ask", NULL},
	{"broker", NULL},
};

static int parse_statement(struct parser *parser, const struct word *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		if (!policy_word_is(word, statements[i].keyword))
			continue;
		if (!statements[i].parse)
			return unsupported(parser, word);
		return statements[i].parse(parser, word);
	}
	return policy_unexpected(parser, word, "'caller', 'set', 'include', 'allow' or 'deny'");
}

int policy_parser_run(struct parser *parser)
{
	for (;;) {
		int r = policy_lexer_line(&parser->lexer, parser->error);
		struct word word;

		if (r <= 0)
			return r;
		word = policy_lexer_word(&parser->lexer);
		if (word.len)
			r = parse_statement(parser, &word);
		if (r < 0)
			return r;
	}
}
