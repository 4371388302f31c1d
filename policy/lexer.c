/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines and words, and what is said when one is wrong.
 *
 * A word is a run of bytes between blanks (space and tab); a `#` where a word would begin makes the
 * rest of the line a comment, elsewhere it is part of the word. Lines end with a newline, the last
 * one also with the file. A carriage return, a NUL, any other control character and what is not
 * UTF-8 is refused, in comments too: such a file is not what its author sees on the screen.
 */
#include "policy/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORD_SHOWN 64

/* The length of the UTF-8 sequence at TEXT (RFC 3629), 0 if there is none. */
static size_t utf8_length(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (len < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* At most LIMIT bytes of TEXT, no character cut in two. */
static size_t utf8_cut(const char *text, size_t len, size_t limit)
{
	if (len <= limit)
		return len;
	while (limit > 0 && ((unsigned char)text[limit] & 0xc0) == 0x80)
		limit--;
	return limit;
}

int policy_word_shown(const struct word *word)
{
	return (int)utf8_cut(word->text, word->len, WORD_SHOWN);
}

int policy_fail(struct policy_error *error, const struct place *place, const char *text, ...)
{
	char message[2 * sizeof(error->message)];
	va_list args;
	size_t cut;

	va_start(args, text);
	vsnprintf(message, sizeof(message), text, args);
	va_end(args);
	cut = utf8_cut(message, strlen(message), sizeof(error->message) - 1);
	memcpy(error->message, message, cut);
	error->message[cut] = '\0';
	cut = utf8_cut(place->file, strlen(place->file), sizeof(error->file) - 1);
	memcpy(error->file, place->file, cut);
	error->file[cut] = '\0';
	error->unread[0] = '\0';
	error->line = place->line;
	error->column = place->column;
	return -EINVAL;
}

void policy_error_format(const struct policy_error *error, char *out, size_t size)
{
	if (error->line && error->column)
		snprintf(out, size, "%s:%u:%u: %s", error->file, error->line, error->column,
			 error->message);
	else if (error->line)
		snprintf(out, size, "%s:%u: %s", error->file, error->line, error->message);
	else
		snprintf(out, size, "%s: %s", error->file, error->message);
}

void policy_lexer_init(struct lexer *lexer, const char *file, const char *text, size_t len)
{
	if (!text)
		text = "";
	*lexer = (struct lexer){
		.next = text,
		.end = text + len,
		.start = text,
		.stop = text,
		.at = text,
		.place = {.file = file},
	};
}

/* What is wrong with the bytes of a line, or NULL. BAD is where. */
static const char *check_line(const char *start, const char *stop, const char **bad)
{
	for (const char *c = start; c < stop;) {
		size_t n = utf8_length(c, (size_t)(stop - c));

		*bad = c;
		if (n == 0)
			return "not UTF-8";
		if (*c == '\0')
			return "a NUL byte";
		if (*c == '\r')
			return "a carriage return: lines must end with a newline alone";
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return "a control character";
		c += n;
	}
	return NULL;
}

int policy_lexer_line(struct lexer *lexer, struct policy_error *error)
{
	const char *newline, *wrong, *bad = lexer->next;
	struct place place;

	if (lexer->next == lexer->end)
		return 0;
	newline = memchr(lexer->next, '\n', (size_t)(lexer->end - lexer->next));
	lexer->start = lexer->next;
	lexer->at = lexer->next;
	lexer->stop = newline ? newline : lexer->end;
	lexer->next = newline ? newline + 1 : lexer->end;
	lexer->place.line++;
	wrong = check_line(lexer->start, lexer->stop, &bad);
	if (!wrong)
		return 1;
	place = lexer->place;
	place.column = (unsigned int)(bad - lexer->start) + 1;
	return policy_fail(error, &place, "%s", wrong);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct word policy_lexer_word(struct lexer *lexer)
{
	struct word word = {.place = lexer->place};

	while (lexer->at < lexer->stop && is_blank(*lexer->at))
		lexer->at++;
	word.text = lexer->at;
	word.place.column = (unsigned int)(lexer->at - lexer->start) + 1;
	if (lexer->at < lexer->stop && *lexer->at == '#')
		return word;
	while (lexer->at < lexer->stop && !is_blank(*lexer->at))
		lexer->at++;
	word.len = (size_t)(lexer->at - word.text);
	return word;
}

bool policy_word_is(const struct word *word, const char *text)
{
	return word->len == strlen(text) && memcmp(word->text, text, word->len) == 0;
}

bool policy_word_copy(const struct word *word, char *out, size_t size)
{
	if (word->len >= size)
		return false;
	memcpy(out, word->text, word->len);
	out[word->len] = '\0';
	return true;
}
