/* SPDX-License-Identifier: Apache-2.0 */
/* `set` lines: digests, a file of them, or the objects that a catalog calls so. */
#include "policy/internal.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

/* Names that would make a mistyped digest look like a set are no names of sets. */
bool policy_set_name_valid(const char *name)
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

	if (!policy_word_copy(word, name, sizeof(name)) || !policy_set_name_valid(name))
		return policy_unexpected(parser, word, "a set's name ([a-z][a-z0-9._-]*)");
	r = policy_draft_target(parser->draft, name, &word->place, set);
	if (r < 0)
		return policy_out_of_memory(parser);
	target = &parser->draft->policy->targets[*set];
	if (target->defined)
		return policy_fail(parser->error, &word->place,
				   "set '%s' was defined before, at %s:%u", name,
				   target->place.file, target->place.line);
	target->defined = true;
	target->place = word->place;
	return 0;
}

static void set_shared(struct parser *parser, uint32_t set)
{
	parser->draft->policy->targets[set].shared = true;
}

static int parse_digests(struct parser *parser, uint32_t set, struct word word)
{
	for (; word.len; word = policy_lexer_word(&parser->lexer)) {
		struct digest_name digest;
		char text[DIGEST_NAME_SIZE];

		if (policy_word_is(&word, "shared")) {
			set_shared(parser, set);
			return policy_take_end(parser);
		}
		if (!policy_word_copy(&word, text, sizeof(text)) ||
		    digest_name_parse(text, &digest) < 0)
			return policy_unexpected(parser, &word, "a digest or 'shared'");
		if (policy_draft_entry(parser->draft, set, &digest) < 0)
			return policy_out_of_memory(parser);
	}
	return 0;
}

/* What may stand behind a path or a pattern. */
static int parse_shared(struct parser *parser, uint32_t set, bool *shared)
{
	struct word word = policy_lexer_word(&parser->lexer);

	*shared = word.len;
	if (word.len == 0)
		return 0;
	if (!policy_word_is(&word, "shared"))
		return policy_unexpected(parser, &word, "'shared' or the end of the line");
	set_shared(parser, set);
	return policy_take_end(parser);
}

/* ---- sets by name ---- */

bool policy_name_matches(const char *pattern, const char *name)
{
	char front[PATH_MAX], begin[PATH_MAX];
	size_t len = strlen(pattern);
	const char *end = name;

	if (strcmp(pattern, "*") == 0)
		return *name;
	if (len < 2 || strcmp(pattern + len - 2, "/*") != 0)
		return fnmatch(pattern, name, FNM_PATHNAME) == 0;
	/* As many components of the name as stand in front of the last `*`, and at least one more. */
	for (const char *c = pattern; c < pattern + len - 1; c++) {
		if (*c != '/')
			continue;
		end = strchr(end, '/');
		if (!end || !*++end)
			return false;
	}
	if (len > sizeof(front) || (size_t)(end - name) > sizeof(begin))
		return false;
	snprintf(front, sizeof(front), "%.*s", (int)(len - 2), pattern);
	snprintf(begin, sizeof(begin), "%.*s", (int)(end - 1 - name), name);
	return fnmatch(front, begin, FNM_PATHNAME) == 0;
}

struct filling {
	struct draft *draft;
	uint32_t set;
};

static int fill(void *arg, const struct digest_name *name)
{
	const struct filling *filling = arg;

	return policy_draft_entry(filling->draft, filling->set, name);
}

/* Not a mistake: the set is empty, and it is said why. */
static int leave_empty(struct parser *parser, uint32_t set, size_t before, const struct policy_error *why)
{
	return policy_set_missing(parser, set, before, why) < 0 ? policy_out_of_memory(parser) : 0;
}

static int set_of_names(struct parser *parser, uint32_t set, const struct word *word,
			const char *catalog, const char *pattern)
{
	const struct policy_names *names = parser->system->names;
	size_t before = parser->draft->policy->n_entries;
	struct filling filling = {parser->draft, set};
	struct policy_error why;
	int r = -ENOENT;

	if (names)
		r = names->each(names->arg, catalog, pattern, fill, &filling);
	if (r == -ENOMEM)
		return policy_out_of_memory(parser);
	if (r == -ENOENT) {
		(void)policy_fail(&why, &word->place, "no catalog is called '%s'", catalog);
		return leave_empty(parser, set, before, &why);
	}
	if (r == -EAGAIN) {
		(void)policy_fail(&why, &word->place, "what catalog '%s' says is not known yet", catalog);
		parser->draft->policy->targets[set].named = true;
		return leave_empty(parser, set, before, &why);
	}
	if (r >= 0) {
		parser->draft->policy->targets[set].named = true;
		return 0;
	}
	/* No file: nothing to be waited for. */
	errno = -r;
	(void)policy_fail(parser->error, &word->place, "catalog '%s': %m", catalog);
	return r;
}

static int parse_names(struct parser *parser, uint32_t set)
{
	struct word word;
	char text[PATH_MAX];
	char *colon;
	bool shared;
	int r;

	r = policy_take(parser, "CATALOG:PATTERN", &word);
	if (r == 0)
		r = parse_shared(parser, set, &shared);
	if (r < 0)
		return r;
	colon = policy_word_copy(&word, text, sizeof(text)) ? strchr(text, ':') : NULL;
	if (colon)
		*colon = '\0';
	if (!colon || !policy_name_valid(text) || !policy_components_valid(colon + 1))
		return policy_unexpected(parser, &word, "CATALOG:PATTERN such as hub:Qwen/*");
	return set_of_names(parser, set, &word, text, colon + 1);
}

int policy_parse_set(struct parser *parser, const struct word *keyword)
{
	struct word word;
	uint32_t set;
	bool shared;
	int r;

	r = policy_take(parser, "a set's name", &word);
	if (r == 0)
		r = parse_set_name(parser, &word, &set);
	if (r < 0)
		return r;
	word = policy_lexer_word(&parser->lexer);
	if (policy_word_is(&word, "name"))
		return parse_names(parser, set);
	if (!policy_word_is(&word, "file"))
		return parse_digests(parser, set, word);
	r = policy_take(parser, "a path", &word);
	if (r == 0)
		r = parse_shared(parser, set, &shared);
	return r < 0 ? r : policy_set_file(parser, set, &word, shared);
}
