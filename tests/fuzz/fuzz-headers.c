/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a source may send before the body, and what a configuration may hold. The first byte chooses
 * what was asked for; the rest are lines: a reply, and each line also a value, a Location, a
 * template, a challenge, an answer with a token.
 */
#include "fetch/internal.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ask asks[] = {
	{FETCH_SIZE, 0, 0, 0},
	{FETCH_FRONT, 0, 99, 100},
	{FETCH_CHUNKS, 524288, 1048575, 2000000},
	{FETCH_CHUNKS, 0, 299, 300},
};

static void must(bool condition)
{
	if (!condition)
		abort();
}

/* What holds for every reply that is let through. */
static void check_verdict(const struct reply *reply, const struct ask *ask)
{
	struct verdict verdict;

	reply_check(reply, ask, &verdict);
	must(strlen(verdict.message) < sizeof(verdict.message));
	for (const char *p = verdict.message; *p; p++)
		must(*p >= ' ' && *p <= '~');
	if (verdict.kind == VERDICT_BODY || verdict.kind == VERDICT_ENOUGH)
		must(!reply->malformed &&
		     (reply->status == 200 || reply->status == 206 || reply->status == 416));
	if (verdict.kind == VERDICT_BODY)
		must(!reply->coded && verdict.body <= ask->last - ask->first + 1);
	if (verdict.kind == VERDICT_BODY && ask->kind != FETCH_FRONT)
		must(verdict.body == ask->last - ask->first + 1 && !verdict.open);
	if (verdict.kind == VERDICT_BODY && reply->status == 206)
		must(reply->range.first == ask->first &&
		     reply->range.last == ask->first + verdict.body - 1);
	/* Less than what was asked for is all that there is. */
	if (verdict.kind == VERDICT_BODY && verdict.body < ask->last - ask->first + 1)
		must(verdict.body ==
		     (reply->status == 206 ? reply->range.complete : reply->length));
	if (verdict.kind == VERDICT_ENOUGH)
		must(ask->kind != FETCH_CHUNKS && verdict.size <= FETCH_SIZE_MAX);
}

static void try_line(const char *line)
{
	static const struct digest_pair digests = {.has_sha256 = true, .has_fsverity = true};
	struct template template = {0};
	char message[FETCH_MESSAGE_SIZE];
	struct content_range range;
	char *url;

	if (content_range_parse(line, &range) == 0 && range.satisfied)
		must(range.first <= range.last &&
		     (!range.complete_known || range.last < range.complete));
	must(retry_after_parse(line, 784111777) <= FETCH_RETRY_MAX);
	must(retry_after_parse(line, 784111777) >= 0);
	url = url_resolve("https://h.example:8443/a/b?c", line);
	if (url && !url_refused(url, false))
		must(!strncmp(url, "https://", 8));
	free(url);
	url = challenge_url(line);
	must(!url || *url);
	free(url);
	url = challenge_header(line, strlen(line));
	for (const char *p = url; p && *p; p++)
		must(*p >= ' ' && *p <= '~');
	free(url);
	if (template_parse(line, true, &template, message) == 0) {
		url = template_expand(&template, &digests);
		must(url && !strpbrk(url, "{}") && !url_refused(url, true));
		free(url);
		free(template.text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reply reply;
	const struct ask *ask;
	char *text;

	if (size < 1 || size > 16384)
		return 0;
	ask = &asks[data[0] % ARRAY_SIZE(asks)];
	data++, size--;
	text = malloc(size + 1);
	must(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	memset(&reply, 0, sizeof(reply));
	reply.keep = (1U << REPLY_TEXTS) - 1;
	for (size_t at = 0; at < size;) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t len = end ? (size_t)(end - (text + at)) + 1 : size - at;

		/* A copy of exactly its length, so that reading past it is seen. */
		char *line = malloc(len);

		must(line != NULL);
		memcpy(line, text + at, len);
		reply_line(&reply, line, len);
		free(line);
		at += len;
	}
	if (reply.ended)
		check_verdict(&reply, ask);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		try_line(line);
	reply_clear(&reply);
	free(text);
	return 0;
}
