/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens for dynamic sources that answer 401 with a challenge. The realm that it names is asked once, on the same
 * multi handle; whoever needs the same token meanwhile waits for it (attempt.ticket). A token is sent with requests
 * for URLs of the folder that the challenge was for: of one repository, as registries have it. It is kept until it is refused.
 *
 * They are kept for each party on its own, as redirects are: a challenge less would tell that others were there.
 * The credential of the group goes to the realm that the source's own host named, over https wherever that is: registries
 * have theirs on other hosts, and could ask for the credential themselves. Nobody else's challenge is worth one.
 */
#include "fetch/internal.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#define TOKENS_KEPT 16 /* a source */
#define ANSWER_MAX  ((size_t)64 << 10)

struct token {
	uint64_t id;
	uint32_t party;
	char *url;    /* of the realm, with the query: what it is a token for */
	char *folder; /* of those that it is sent to */
	char *header; /* NULL: the realm is being asked */
	struct token *prev, *next;
};

struct inquiry {
	struct fetch *fetch;
	unsigned int source;
	uint64_t id; /* the token's */
	struct exchange exchange;
	size_t len;
	bool too_long;
	struct inquiry *prev, *next;
	char body[ANSWER_MAX];
};

static void destroy(struct token *token)
{
	free(token->url);
	free(token->folder);
	free(token->header);
	free(token);
}

static void drop(struct source *source, struct token *token)
{
	DL_DELETE(source->tokens, token);
	destroy(token);
}

static size_t folder_length(const char *url)
{
	size_t path = strcspn(url, "?#");

	while (path > 0 && url[path - 1] != '/')
		path--;
	return path;
}

const char *token_find(const struct source *source, uint32_t party, const char *url)
{
	size_t len = folder_length(url);
	const struct token *token;

	DL_FOREACH (source->tokens, token)
		if (token->header && token->party == party && strlen(token->folder) == len &&
		    !strncmp(token->folder, url, len))
			return token->header;
	return NULL;
}

/* Room for one more: the oldest goes that is not being asked for. */
static bool make_room(struct source *source)
{
	struct token *token, *next, *oldest = NULL;
	unsigned int n = 0;

	DL_FOREACH_SAFE (source->tokens, token, next) {
		n++;
		if (!oldest && token->header)
			oldest = token;
	}
	if (n < TOKENS_KEPT)
		return true;
	if (oldest)
		drop(source, oldest);
	return oldest != NULL;
}

/* A copy of HEADER, or what will be one. NULL: no memory, or no room. */
static struct token *add(struct fetch *fetch, struct source *source, uint32_t party,
			 const char *url, const char *for_url, const char *header)
{
	struct token *token = make_room(source) ? calloc(1, sizeof(*token)) : NULL;

	if (!token)
		return NULL;
	token->id = ++fetch->tickets;
	token->party = party;
	token->url = strdup(url);
	token->folder = strndup(for_url, folder_length(for_url));
	token->header = header ? strdup(header) : NULL;
	if (!token->url || !token->folder || (header && !token->header)) {
		destroy(token);
		return NULL;
	}
	DL_APPEND(source->tokens, token);
	return token;
}

/* ---- asking the realm ---- */

static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
	struct inquiry *inquiry = arg;

	return exchange_line(&inquiry->exchange, line, len) ? len : 0;
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
	struct inquiry *inquiry = arg;

	inquiry->too_long = len > ANSWER_MAX - inquiry->len;
	if (inquiry->too_long)
		return CURL_WRITEFUNC_ERROR;
	memcpy(inquiry->body + inquiry->len, data, len);
	inquiry->len += len;
	return len;
}

static void inquiry_free(struct inquiry *inquiry)
{
	curl_multi_remove_handle(inquiry->fetch->multi, inquiry->exchange.easy);
	DL_DELETE(inquiry->fetch->inquiries, inquiry);
	curl_easy_cleanup(inquiry->exchange.easy);
	exchange_clear(&inquiry->exchange);
	free(inquiry);
}

static void judge_answer(const struct inquiry *inquiry, CURLcode code, struct outcome *out)
{
	const struct reply *reply = &inquiry->exchange.reply;
	char text[FETCH_MESSAGE_SIZE] = "";
	bool transient = false;

	if (!reply->ended || (code && !inquiry->too_long)) {
		transient = !exchange_failure(&inquiry->exchange, code, text) &&
			    exchange_is_transient(code);
	} else if (reply->malformed) {
		snprintf(text, sizeof(text), "malformed %s", reply->malformed);
	} else if (reply->status != 200) {
		transient = reply_is_transient(reply);
		snprintf(text, sizeof(text), "HTTP %d", reply->status);
	} else {
		snprintf(text, sizeof(text), "no token in the answer");
	}
	*out = (struct outcome){
		.kind = transient ? OUTCOME_TRANSIENT : OUTCOME_FINAL,
		.answered = reply->bytes > 0,
		.retry_after = reply->retry_after,
	};
	snprintf(out->message, sizeof(out->message), "asking for a token: %.200s", text);
}

/* Whoever waits for the token ID of SOURCE goes on, or fails with OUTCOME. */
static void tell(struct fetch *fetch, struct job *job, unsigned int source, uint64_t id,
		 const struct outcome *outcome)
{
	int error;

	if (!job || !job->request->places || job->attempts[source].ticket != id)
		return;
	job->attempts[source].ticket = 0;
	if (!outcome)
		return;
	job->attempts[source].challenges--; /* it brought no token to be refused */
	(void)!job_book(fetch, job, source, false, outcome, &error); /* it does not end by that */
}

static void tell_all(struct fetch *fetch, unsigned int source, uint64_t id,
		     const struct outcome *outcome)
{
	struct job *job;

	DL_FOREACH (fetch->demanded, job)
		tell(fetch, job, source, id, outcome);
	DL_FOREACH (fetch->ahead, job)
		tell(fetch, job, source, id, outcome);
	for (unsigned int i = 0; i < fetch->n_transfers; i++)
		tell(fetch, fetch->transfers[i].job, source, id, outcome);
	fetch->schedule_at = 0;
}

static void end(struct inquiry *inquiry, CURLcode code, const struct outcome *other)
{
	const struct reply *reply = &inquiry->exchange.reply;
	struct fetch *fetch = inquiry->fetch;
	struct source *source = &fetch->sources[inquiry->source];
	unsigned int number = inquiry->source;
	uint64_t id = inquiry->id;
	struct outcome outcome = {0};
	struct token *token;

	DL_FOREACH (source->tokens, token)
		if (token->id == id)
			break;
	if (!other && reply->ended && code == CURLE_OK && !reply->malformed && reply->status == 200)
		token->header = challenge_header(inquiry->body, inquiry->len);
	if (other)
		outcome = *other;
	else if (!token->header)
		judge_answer(inquiry, code, &outcome);
	inquiry_free(inquiry);
	if (token->header) {
		tell_all(fetch, number, id, NULL);
		return;
	}
	drop(source, token);
	tell_all(fetch, number, id, &outcome);
}

static void on_end(struct exchange *exchange, CURLcode code)
{
	end(container_of(exchange, struct inquiry, exchange), code, NULL);
}

static int begin(struct inquiry *inquiry)
{
	struct exchange *exchange = &inquiry->exchange;
	CURL *easy = exchange->easy;
	CURLcode code = exchange_set_up(exchange, inquiry->fetch->connect_timeout,
					on_header, on_body, inquiry);

	return code || curl_multi_add_handle(inquiry->fetch->multi, easy) ? -ENOMEM : 0;
}

/* May the realm of TOKEN have the credential of SOURCE? */
static bool is_trusted(const struct source *source, const struct token *token)
{
	return !strncasecmp(token->url, "https:", 6) && url_same_host(token->folder, source->origin);
}

/* Asks the realm for TOKEN of source NUMBER. 0 or -ENOMEM. */
static int ask(struct fetch *fetch, unsigned int number, const struct token *token)
{
	const struct source *source = &fetch->sources[number];
	struct inquiry *inquiry = calloc(1, sizeof(*inquiry));
	struct exchange *exchange;

	if (!inquiry)
		return -ENOMEM;
	inquiry->fetch = fetch;
	inquiry->source = number;
	inquiry->id = token->id;
	exchange = &inquiry->exchange;
	exchange->terms = &source->group->terms;
	exchange->ended = on_end;
	exchange->easy = curl_easy_init();
	exchange->origin_url = strdup(is_trusted(source, token) ? token->url : source->origin);
	exchange->url = strdup(token->url);
	DL_APPEND(fetch->inquiries, inquiry);
	if (!exchange->easy || !exchange->origin_url || !exchange->url || begin(inquiry)) {
		inquiry_free(inquiry);
		return -ENOMEM;
	}
	return 0;
}

/* ---- what a transfer does ---- */

/* A token that was refused is none. */
static void forget_refused(struct source *source, const struct curl_slist *sent)
{
	struct token *token, *next;

	if (!sent)
		return;
	DL_FOREACH_SAFE (source->tokens, token, next)
		if (token->header && !strcmp(token->header, sent->data))
			drop(source, token);
}

static struct token *find_same(const struct source *source, uint32_t party, const char *url)
{
	struct token *token;

	DL_FOREACH (source->tokens, token)
		if (token->party == party && !strcmp(token->url, url))
			return token;
	return NULL;
}

static void fail(struct outcome *outcome, enum outcome_kind kind, const char *why)
{
	outcome->kind = kind;
	snprintf(outcome->message, sizeof(outcome->message), "HTTP 401: %s", why);
}

void token_seek(struct transfer *transfer, struct outcome *outcome)
{
	struct fetch *fetch = transfer->fetch;
	struct source *source = &fetch->sources[transfer->source];
	struct attempt *attempt = &transfer->job->attempts[transfer->source];
	const char *for_url = transfer->exchange.url, *reason;
	uint32_t party = transfer->job->request->party;
	_cleanup_free_ char *url =
		challenge_url(transfer->exchange.reply.texts[REPLY_WWW_AUTHENTICATE]);
	struct token *token;

	reason = url ? url_refused(url, source->group->terms.allow_http)
		     : "its challenge cannot be understood";
	if (reason) {
		fail(outcome, OUTCOME_FINAL, reason);
		return;
	}
	forget_refused(source, transfer->token);
	token = find_same(source, party, url);
	if (token && !token->header) {
		attempt->ticket = token->id;
		return;
	}
	token = add(fetch, source, party, url, for_url, token ? token->header : NULL);
	if (token && token->header)
		return;
	if (!token || ask(fetch, transfer->source, token)) {
		if (token)
			drop(source, token);
		fail(outcome, OUTCOME_TRANSIENT, "no token could be asked for now");
		return;
	}
	attempt->ticket = token->id;
}

void token_tick(struct fetch *fetch, int64_t now)
{
	static const struct outcome stall = {
		.kind = OUTCOME_TRANSIENT,
		.message = "asking for a token: stalled",
	};
	struct inquiry *inquiry, *next;
	bool slow;

	DL_FOREACH_SAFE (fetch->inquiries, inquiry, next) {
		uint64_t bytes = inquiry->len + inquiry->exchange.reply.bytes;

		if (exchange_stalled(&inquiry->exchange, bytes, false, now, fetch->stall_timeout,
				     &slow))
			end(inquiry, CURLE_OK, &stall);
	}
}

void token_abandon(struct fetch *fetch, int number)
{
	struct inquiry *inquiry, *next;

	DL_FOREACH_SAFE (fetch->inquiries, inquiry, next)
		if (number < 0 || inquiry->source == (unsigned int)number)
			inquiry_free(inquiry);
}

void token_forget_all(struct source *source)
{
	while (source->tokens)
		drop(source, source->tokens);
}
