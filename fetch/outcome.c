/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the end of an exchange means: done, go elsewhere, try again, or never again.
 */
#include "fetch/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void printf_like(3, 4)
	say(struct outcome *outcome, enum outcome_kind kind, const char *format, ...)
{
	va_list args;

	outcome->kind = kind;
	va_start(args, format);
	vsnprintf(outcome->message, sizeof(outcome->message), format, args);
	va_end(args);
}

static void judge_redirect(const struct transfer *transfer, struct outcome *out)
{
	_cleanup_free_ char *url = exchange_redirect(&transfer->exchange, out->message);

	out->kind = url ? OUTCOME_REDIRECT : OUTCOME_FINAL;
}

/* A place wants to know who asks, or does not like it. */
static void judge_refusal(const struct transfer *transfer, struct outcome *out)
{
	const struct exchange *exchange = &transfer->exchange;
	const struct source *source = &transfer->fetch->sources[transfer->source];
	bool sent = transfer->token || exchange->terms->headers;
	int status = exchange->reply.status;

	if (!source->origin || (status != 401 && status != 403) ||
	    !url_same_host(exchange->origin_url, exchange->url))
		return;
	if (status == 401)
		say(out, OUTCOME_FINAL, "HTTP 401: %s",
		    sent ? "the token is refused" : "a token is needed");
	else
		say(out, OUTCOME_FINAL, "HTTP 403: %s",
		    sent ? "the token gives no access to it"
			 : "access is refused; it may need a token");
	if (status == 401 && exchange->reply.texts[REPLY_WWW_AUTHENTICATE] &&
	    ++transfer->job->attempts[transfer->source].challenges <= FETCH_CHALLENGES_MAX - 1)
		out->kind = OUTCOME_CHALLENGE;
}

/* The headers said it, however the exchange ended after them. */
static void judge_verdict(const struct transfer *transfer, struct outcome *out)
{
	const struct verdict *verdict = &transfer->verdict;

	memcpy(out->message, verdict->message, sizeof(out->message));
	switch (verdict->kind) {
	case VERDICT_ENOUGH:
		out->kind = OUTCOME_DONE;
		break;
	case VERDICT_REDIRECT:
		judge_redirect(transfer, out);
		break;
	case VERDICT_MISSING:
		out->kind = OUTCOME_MISSING;
		break;
	case VERDICT_TRANSIENT:
		out->kind = OUTCOME_TRANSIENT;
		out->sent_away = transfer->exchange.reply.status == 429 ||
				 transfer->exchange.reply.status == 503;
		out->retry_after = transfer->exchange.reply.retry_after;
		break;
	default:
		out->kind = OUTCOME_FINAL;
		judge_refusal(transfer, out);
		break;
	}
}

static void judge_code(const struct transfer *transfer, CURLcode code, struct outcome *out)
{
	const struct exchange *exchange = &transfer->exchange;

	out->answered = exchange->reply.bytes > 0;
	if (transfer->no_memory)
		say(out, OUTCOME_NO_MEMORY, "no memory");
	else if (exchange_failure(exchange, code, out->message) || !exchange_is_transient(code))
		out->kind = OUTCOME_FINAL;
	else
		out->kind = OUTCOME_TRANSIENT;
	/* Closed in its face; a timeout may be the path's. */
	out->sent_away = out->kind == OUTCOME_TRANSIENT && !out->answered &&
			 (code == CURLE_COULDNT_CONNECT || code == CURLE_GOT_NOTHING ||
			  code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
			  code == CURLE_SSL_CONNECT_ERROR);
}

void transfer_outcome(struct transfer *transfer, CURLcode code, struct outcome *out)
{
	const struct verdict *verdict = &transfer->verdict;
	struct source *source = &transfer->fetch->sources[transfer->source];

	memset(out, 0, sizeof(*out));
	if (!transfer->exchange.reply.ended || transfer->no_memory) {
		judge_code(transfer, code, out);
	} else if (verdict->kind != VERDICT_BODY) {
		judge_verdict(transfer, out);
	} else if (transfer->taken < verdict->body && !(verdict->open && code == CURLE_OK)) {
		judge_code(transfer, code, out);
	} else {
		out->kind = OUTCOME_DONE;
		/* All that was asked for is here, so the rest does not matter to the request. */
		out->flawed = transfer->excess;
		if (out->flawed)
			say(out, OUTCOME_DONE, "the reply is longer than announced");
	}

	if (transfer->remembered && out->kind != OUTCOME_DONE) {
		redirect_forget(source, transfer->job->request->party,
				transfer->exchange.origin_url);
		/* A signed URL that has run out says 403: ask for a new one at once. */
		if (out->kind != OUTCOME_TRANSIENT && out->kind != OUTCOME_NO_MEMORY)
			out->kind = OUTCOME_REDIRECT;
	}
	if (transfer->exchange.hops > 0 && out->kind == OUTCOME_DONE)
		redirect_keep(source, transfer->job->request->party, transfer->exchange.origin_url,
			      transfer->exchange.url);
}
