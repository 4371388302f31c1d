/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of digests: one a line and `#` comments, or the public hash list of the Cross-Origin Storage proposal
 * (https://wicg.github.io/cross-origin-storage/): bare SHA-256 digests, comments that begin with `//`, and sections that
 * such comments enclose, `===BEGIN SHA-256===` to `===END SHA-256===`. A later version of that list may have sections
 * of another algorithm.
 *
 * What does not begin like a digest may be a comment or a heading; whatever does is one, or the list is bad: a digest
 * that was cut is never passed over.
 */
#include "policy/internal.h"

#include <limits.h>
#include <string.h>

#define BEGIN	  "===BEGIN "
#define END	  "===END "
#define ALGORITHM "SHA-256"

struct list {
	struct parser *parser;
	struct policy_error *error;
	uint32_t set;
	bool shared;
	struct lexer lexer;
	struct place section; /* where the section that we are in began; line 0: in none */
	bool foreign;	      /* it is one of another algorithm */
};

static bool begins(const struct word *word, const char *text)
{
	return word->len >= strlen(text) && memcmp(word->text, text, strlen(text)) == 0;
}

/* From WORD to the end of the line, without blanks at its end. */
static struct word rest_of_line(const struct list *list, const struct word *word)
{
	struct word rest = *word;

	rest.len = (size_t)(list->lexer.stop - word->text);
	while (rest.len && (rest.text[rest.len - 1] == ' ' || rest.text[rest.len - 1] == '\t'))
		rest.len--;
	return rest;
}

/* TEXT is a comment's: does it begin or end a section? */
static int read_mark(struct list *list, struct word text)
{
	size_t algorithm = strlen(ALGORITHM);

	while (text.len && strchr("/# \t", *text.text)) {
		text.text++;
		text.len--;
		text.place.column++;
	}
	if (begins(&text, END)) {
		if (!list->section.line)
			return policy_fail(list->error, &text.place, "no section ends here");
		list->section.line = 0;
		list->foreign = false;
	}
	if (!begins(&text, BEGIN))
		return 0;
	if (list->section.line)
		return policy_fail(list->error, &text.place,
				   "a section within that of line %u", list->section.line);
	list->section = text.place;
	text.text += strlen(BEGIN);
	text.len -= strlen(BEGIN);
	list->foreign = !begins(&text, ALGORITHM) || text.len == algorithm ||
			!strchr(" =", text.text[algorithm]);
	return 0;
}

/* Not `#`, which is no word's beginning: `// …`, `[section]`, `== section ==`. */
static bool is_heading(const struct word *line)
{
	char last = line->text[line->len - 1];

	return begins(line, "//") || (line->text[0] == '[' && last == ']') ||
	       (begins(line, "==") && last == '=');
}

static int read_digest(struct list *list, const struct word *word)
{
	struct digest_name digest;
	char text[DIGEST_NAME_SIZE];
	struct word rest;

	if (!policy_word_copy(word, text, sizeof(text)) || digest_name_parse(text, &digest) < 0)
		return policy_fail(list->error, &word->place, "a digest expected, not '%.*s'",
				   policy_word_shown(word), word->text);
	rest = policy_lexer_word(&list->lexer);
	if (rest.len)
		return policy_fail(list->error, &rest.place, "one digest a line");
	return policy_draft_entry(list->parser->draft, list->set, &digest);
}

static int read_line(struct list *list)
{
	struct word word = policy_lexer_word(&list->lexer);
	struct word line = rest_of_line(list, &word);

	if (line.len == 0)
		return 0;
	/* A comment in our own way has no word. */
	if (word.len == 0 || is_heading(&line))
		return read_mark(list, line);
	if (!list->foreign)
		return read_digest(list, &word);
	/* What an object is called by another algorithm is no use; the list has it as SHA-256, too. */
	if (list->shared)
		return 0;
	return policy_fail(list->error, &word.place, "not in a section of " ALGORITHM " digests");
}

static int read_list(struct list *list)
{
	for (;;) {
		int r = policy_lexer_line(&list->lexer, list->error);

		if (r == 0 && list->section.line)
			return policy_fail(list->error, &list->section,
					   "the list ends in the section that begins here");
		if (r <= 0)
			return r;
		r = read_line(list);
		if (r < 0)
			return r;
	}
}

static int read_file(struct list *list, const struct word *word, const char *path)
{
	const struct policy_system *system = list->parser->system;
	struct policy_text text;
	int r;

	r = system->read(system->arg, path, POLICY_FILE_MAX, &text);
	if (r < 0)
		return policy_file_error(list->error, &word->place, r, path);
	policy_lexer_init(&list->lexer, path, text.text, text.len);
	r = read_list(list);
	free(text.text);
	return r;
}

int policy_set_missing(struct parser *parser, uint32_t set, size_t n_entries,
		       const struct policy_error *why)
{
	struct policy *policy = parser->draft->policy;

	policy_draft_cut(parser->draft, set, n_entries);
	if (policy_draft_warning(parser->draft, why) < 0)
		return -ENOMEM;
	policy->targets[set].missing = (uint32_t)policy->n_warnings;
	return 0;
}

int policy_set_file(struct parser *parser, uint32_t set, const struct word *word, bool shared)
{
	size_t before = parser->draft->policy->n_entries;
	char folder[PATH_MAX], path[PATH_MAX], whole[2 * PATH_MAX];
	struct policy_error why;
	struct list list = {
		.parser = parser,
		.error = shared ? &why : parser->error,
		.set = set,
		.shared = shared,
	};
	int r;

	r = policy_resolve(parser, word, folder, path);
	if (r < 0)
		return r;
	snprintf(whole, sizeof(whole), "%s%s", folder, path);
	if (policy_draft_path(parser->draft, whole) < 0)
		return policy_out_of_memory(parser);
	r = read_file(&list, word, whole);
	if (r == -ENOMEM)
		return policy_out_of_memory(parser);
	if (r == 0 || !shared)
		return r;
	r = policy_set_missing(parser, set, before, &why);
	return r < 0 ? policy_out_of_memory(parser) : 0;
}
