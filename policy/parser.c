/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statements. A table says which words are known; everything else is unknown, and nothing that
 * stands in a line is left unread.
 */
#include "policy/internal.h"

#include <stdio.h>
#include <string.h>

int policy_out_of_memory(struct parser *parser)
{
	struct place place = {.file = parser->file};

	(void)policy_fail(parser->error, &place, "out of memory");
	return -ENOMEM;
}

/* A draft's result: all it can say without an error is that there is no memory. */
static int drafted(struct parser *parser, int r)
{
	return r < 0 ? policy_out_of_memory(parser) : 0;
}

int policy_unexpected(struct parser *parser, const struct word *word, const char *expected)
{
	if (word->len == 0)
		return policy_fail(parser->error, &word->place, "%s expected", expected);
	return policy_fail(parser->error, &word->place, "%s expected, not '%.*s'", expected,
			   policy_word_shown(word), word->text);
}

int policy_take(struct parser *parser, const char *expected, struct word *word)
{
	*word = policy_lexer_word(&parser->lexer);
	return word->len ? 0 : policy_unexpected(parser, word, expected);
}

int policy_take_keyword(struct parser *parser, const char *keyword)
{
	struct word word = policy_lexer_word(&parser->lexer);
	char expected[16];

	if (policy_word_is(&word, keyword))
		return 0;
	snprintf(expected, sizeof(expected), "'%s'", keyword);
	return policy_unexpected(parser, &word, expected);
}

int policy_take_end(struct parser *parser)
{
	struct word word = policy_lexer_word(&parser->lexer);

	return word.len ? policy_unexpected(parser, &word, "the end of the line") : 0;
}

bool policy_components_valid(const char *path)
{
	for (;;) {
		size_t len = strcspn(path, "/");

		if (len == 0 || (len == 1 && path[0] == '.') ||
		    (len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (!path[len])
			return true;
		path += len + 1;
	}
}

/* ---- origins ---- */

static int bad_origin(struct parser *parser, const struct word *word, int r, const char *reason)
{
	if (r == -ENOMEM)
		return policy_out_of_memory(parser);
	return policy_fail(parser->error, &word->place, "'%.*s' is no origin: %s",
			   policy_word_shown(word), word->text, reason);
}

int policy_take_origin(struct parser *parser, const struct word *word,
		       char origin[POLICY_ORIGIN_SIZE])
{
	char text[POLICY_ORIGIN_TEXT_SIZE];
	const char *reason;
	int r;

	if (!policy_word_copy(word, text, sizeof(text)))
		return bad_origin(parser, word, -EINVAL, "it is too long");
	r = policy_origin_explain(text, origin, &reason);
	return r < 0 ? bad_origin(parser, word, r, reason) : 0;
}

/* A pattern that covers all of a public suffix covers the sites of people who have nothing to do
 * with each other. */
static int parse_below(struct parser *parser, const struct word *word, const char *text,
		       char apex[POLICY_ORIGIN_SIZE])
{
	char host[POLICY_HOST_SIZE];
	const char *reason;
	int r;

	r = policy_origin_below(text, apex, &reason);
	if (r < 0)
		return bad_origin(parser, word, r, reason);
	if (policy_host(apex, host) && policy_is_suffix(host))
		return policy_fail(parser->error, &word->place,
				   "'%.*s' would cover the whole public suffix '%s'",
				   policy_word_shown(word), word->text, host);
	return 0;
}

static int parse_site(struct parser *parser, const struct word *word, const char *text,
		      char site[POLICY_ORIGIN_SIZE])
{
	char host[POLICY_HOST_SIZE];
	const char *reason, *domain;
	int r;

	r = policy_origin_explain(text, site, &reason);
	if (r < 0)
		return bad_origin(parser, word, r, reason);
	reason = "it is not https:// or http:// and a domain that somebody registered";
	if (!policy_host(site, host))
		return bad_origin(parser, word, -EINVAL, reason);
	domain = policy_registrable(host);
	if (domain && strcmp(domain, host) != 0)
		return policy_fail(parser->error, &word->place,
				   "'%.*s' is no site: '%s' is part of '%s'",
				   policy_word_shown(word), word->text, host, domain);
	if (!domain)
		return policy_fail(parser->error, &word->place,
				   "'%.*s' is no site: '%s' is a public suffix or a single label",
				   policy_word_shown(word), word->text, host);
	if (strlen(site) != strcspn(site, ":") + strlen("://") + strlen(host))
		return policy_fail(parser->error, &word->place,
				   "'%.*s': a site has no port, it is all of them",
				   policy_word_shown(word), word->text);
	return 0;
}

static int parse_pattern(struct parser *parser, const struct word *word, uint32_t *pattern)
{
	char text[POLICY_ORIGIN_TEXT_SIZE], origin[POLICY_ORIGIN_SIZE] = "";
	char kind = PATTERN_EXACT;
	int r = 0;

	if (!policy_word_copy(word, text, sizeof(text)))
		return bad_origin(parser, word, -EINVAL, "it is too long");
	if (policy_word_is(word, "any")) {
		kind = PATTERN_ANY;
	} else if (!strncmp(text, "site:", 5)) {
		kind = PATTERN_SITE;
		r = parse_site(parser, word, text + 5, origin);
	} else if (strstr(text, "://*.")) {
		kind = PATTERN_BELOW;
		r = parse_below(parser, word, text, origin);
	} else {
		r = policy_take_origin(parser, word, origin);
	}
	if (r < 0)
		return r;
	return drafted(parser, policy_draft_pattern(parser->draft, kind, origin, pattern));
}

/* ---- include ---- */

static int parse_include(struct parser *parser, const struct word *keyword)
{
	struct word word;
	int r;

	r = policy_take(parser, "a path", &word);
	if (r == 0)
		r = policy_take_end(parser);
	return r < 0 ? r : policy_include(parser, &word);
}

/* ---- allow, ask, deny ---- */

struct word policy_split(struct word *list)
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

static int parse_target(struct parser *parser, const struct word *word, enum policy_verdict verdict)
{
	struct draft *draft = parser->draft;
	char name[DIGEST_NAME_SIZE];
	struct digest_name digest;
	struct target *target;
	uint32_t id;
	bool literal;

	if (policy_word_is(word, "any")) {
		policy_draft_pair_any(draft);
		return 0;
	}
	if (!policy_word_copy(word, name, sizeof(name)))
		return policy_unexpected(parser, word, "'any', a set or a digest");
	literal = digest_name_parse(name, &digest) == 0;
	if (literal)
		digest_name_format(&digest, name);
	else if (!policy_set_name_valid(name))
		return policy_unexpected(parser, word, "'any', a set or a digest");
	if (policy_draft_target(draft, name, &word->place, &id) < 0)
		return policy_out_of_memory(parser);
	target = &draft->policy->targets[id];
	if (verdict == POLICY_DENY && !target->denied.line)
		target->denied = word->place;
	if (literal && !target->defined) {
		target->defined = true;
		target->literal = true;
		if (policy_draft_entry(draft, id, &digest) < 0)
			return policy_out_of_memory(parser);
	}
	return drafted(parser, policy_draft_pair(draft, id));
}

/* `with` and what follows, if it is there. */
static int parse_with(struct parser *parser, struct rule *rule)
{
	bool deny = rule->decision.verdict == POLICY_DENY;
	struct word word = policy_lexer_word(&parser->lexer);
	int r;

	if (word.len == 0)
		return 0;
	if (!policy_word_is(&word, "with"))
		return policy_unexpected(parser, &word,
					 deny ? "the end of the line"
					      : "'with' or the end of the line");
	if (deny)
		return policy_fail(parser->error, &word.place, "'deny' takes no 'with'");
	r = policy_take(parser, POLICY_OPTIONS, &word);
	if (r < 0)
		return r;
	while (word.text) {
		struct word part = policy_split(&word);

		r = policy_option(parser, &part, rule);
		if (r < 0)
			return r;
	}
	return policy_take_end(parser);
}

static int parse_rule(struct parser *parser, const struct word *keyword)
{
	struct rule rule = {
		.decision.verdict = policy_word_is(keyword, "allow") ? POLICY_ALLOW
				    : policy_word_is(keyword, "ask") ? POLICY_ASK
								     : POLICY_DENY,
	};
	struct word word, targets;
	int r;

	r = policy_take(parser, "'any' or an origin", &word);
	if (r == 0)
		r = parse_pattern(parser, &word, &rule.pattern);
	if (r == 0)
		r = policy_take_keyword(parser, "to");
	if (r == 0)
		r = policy_take(parser, "'any', a set or a digest", &targets);
	if (r < 0)
		return r;
	/* The rule first, because pairs name it; what follows the targets is still to come. */
	if (policy_draft_rule(parser->draft, rule.decision.verdict, rule.pattern,
			      &keyword->place) < 0)
		return policy_out_of_memory(parser);
	while (targets.text) {
		word = policy_split(&targets);
		r = parse_target(parser, &word, rule.decision.verdict);
		if (r < 0)
			return r;
	}
	r = parse_with(parser, &rule);
	if (r < 0)
		return r;
	policy_draft_options(parser->draft, &rule);
	return 0;
}

/* ---- all ---- */

static const struct statement {
	const char *keyword;
	int (*parse)(struct parser *parser, const struct word *keyword);
} statements[] = {
	{"caller", policy_parse_caller}, {"broker", policy_parse_broker},
	{"set", policy_parse_set},	 {"include", parse_include},
	{"allow", parse_rule},		 {"ask", parse_rule},
	{"deny", parse_rule},
};

static int parse_statement(struct parser *parser, const struct word *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		if (policy_word_is(word, statements[i].keyword))
			return statements[i].parse(parser, word);
	}
	return policy_unexpected(
		parser, word, "'caller', 'broker', 'set', 'include', 'allow', 'ask' or 'deny'");
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
