/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One document: exchanges on an easy handle of its own, one after the other where it is redirected.
 *
 * What a callback finds wrong is kept in `error` and ends the exchange; what curl says of that is not asked.
 */
#include "fetch/document.h"
#include "common/clock.h"
#include "common/io.h"
#include "fetch/exchange.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define REFUSAL_MAX                                                                                \
	((uint64_t)64                                                                              \
	 << 10) /* of the body of another status than 200: it explains itself in less */
#define FIRST_ROOM ((size_t)16 << 10)

struct session {
	const struct fetch_document_request *request;
	struct terms terms;
	struct curl_slist *everywhere; /* what goes to hosts of redirects, too */
	struct exchange exchange;
	char *body; /* in memory */
	size_t room;
	uint64_t taken; /* body bytes */
	bool enough;	/* the rest of the body is not needed */
	bool narrowed;	/* a public address answered: from here on no private one is asked */
	int error;	/* 0 or -errno, with MESSAGE */
	char *message;
};

static int printf_like(3, 4) fail(struct session *session, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(session->message, FETCH_MESSAGE_SIZE, format, args);
	va_end(args);
	session->error = error;
	return error;
}

static bool has_content(const struct session *session)
{
	return session->exchange.reply.status == 200;
}

/* The headers are all here. */
static void check(struct session *session)
{
	const struct reply *reply = &session->exchange.reply;
	uint64_t max = session->request->max;

	if (reply->malformed)
		fail(session, -EPROTO, "malformed %s", reply->malformed);
	else if (has_content(session) && reply->coded)
		fail(session, -EPROTO, "content coding although none was asked for");
	else if (has_content(session) && !session->request->size_only && reply->has_length &&
		 reply->length > max)
		fail(session, -EFBIG, "more than %llu bytes", (unsigned long long)max);
}

static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
	struct session *session = arg;
	struct reply *reply = &session->exchange.reply;

	if (reply->ended)
		return len;
	(void)!exchange_line(&session->exchange, line, len); /* then it is malformed */
	if (reply->ended)
		check(session);
	return session->error ? 0 : len;
}

static int keep_in_memory(struct session *session, const char *data, size_t len)
{
	size_t need = (size_t)session->taken + len + 1,
	       room = session->room ? session->room : FIRST_ROOM;
	char *longer;

	while (room < need)
		room *= 2;
	if (room > session->room) {
		longer = realloc(session->body, room);
		if (!longer)
			return fail(session, -ENOMEM, "no memory");
		session->body = longer;
		session->room = room;
	}
	memcpy(session->body + session->taken, data, len);
	session->body[session->taken + len] = '\0';
	return 0;
}

static int keep(struct session *session, const char *data, size_t len)
{
	int fd = session->request->fd, r;

	if (fd < 0 || !has_content(session))
		return keep_in_memory(session, data, len);
	r = io_pwrite(fd, data, len, session->taken);
	return r < 0 ? fail(session, r, "it cannot be written: %s", strerror(-r)) : 0;
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
	struct session *session = arg;
	const struct reply *reply = &session->exchange.reply;
	uint64_t max = has_content(session) ? session->request->max : REFUSAL_MAX;
	size_t take = len;

	if (!reply->ended || session->error)
		return CURL_WRITEFUNC_ERROR;
	if (session->request->size_only && (reply->status == 200 || reply->status == 206)) {
		session->enough = true;
		return CURL_WRITEFUNC_ERROR;
	}
	if (len > max - session->taken) {
		session->enough = !has_content(session);
		if (!session->enough)
			fail(session, -EFBIG, "more than %llu bytes", (unsigned long long)max);
		take = (size_t)(max - session->taken);
	}
	if (session->error || keep(session, data, take))
		return CURL_WRITEFUNC_ERROR;
	session->taken += take;
	return take == len ? len : CURL_WRITEFUNC_ERROR;
}

static int on_progress(void *arg, curl_off_t total, curl_off_t so_far, curl_off_t up_total,
		       curl_off_t up)
{
	struct session *session = arg;
	const struct fetch_document_request *request = session->request;
	struct exchange *exchange = &session->exchange;
	int64_t now = clock_ms(), timeout = request->stall_timeout_ms;
	int64_t interval = timeout / 4 < FETCH_TICK_MS ? timeout / 4 : FETCH_TICK_MS;
	bool slow;

	if (session->error)
		return 1;
	if (request->wanted && !request->wanted(request->arg, session->taken))
		return fail(session, -ECANCELED, "not wanted any more");
	if (now - exchange->ticked_at >= interval &&
	    exchange_stalled(exchange, session->taken + exchange->reply.bytes, false, now, timeout,
			     &slow))
		return fail(session, -ETIMEDOUT, "stalled");
	return 0;
}

static CURLcode set_up(struct session *session)
{
	struct exchange *exchange = &session->exchange;
	CURL *easy = exchange->easy;
	CURLcode code = exchange_set_up(exchange, session->request->connect_timeout_ms,
					on_header, on_body, session);

	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, session);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	if (session->request->size_only)
		curl_easy_setopt(easy, CURLOPT_RANGE, "0-0");
	if (!url_same_host(exchange->origin_url, exchange->url))
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, session->everywhere);
	return code;
}

static int judge_code(struct session *session, CURLcode code)
{
	bool blocked = exchange_failure(&session->exchange, code, session->message);

	if (blocked && session->narrowed)
		return fail(session, -EACCES, "redirect: from a public address to the private one %s",
			    session->exchange.blocked);
	if (blocked)
		return -EACCES;
	if (code == CURLE_OUT_OF_MEMORY)
		return -ENOMEM;
	return code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY ? -EPROTO
										      : -ENOTCONN;
}

/* Asks exchange->url. 0: there is an answer. */
static int ask(struct session *session)
{
	struct exchange *exchange = &session->exchange;
	CURLcode code;

	session->taken = 0;
	session->enough = false;
	if (session->body)
		session->body[0] = '\0';
	if (set_up(session))
		return fail(session, -ENOMEM, "no memory");
	code = curl_easy_perform(exchange->easy);
	if (session->error)
		return session->error;
	if (exchange->reply.ended &&
	    (code == CURLE_OK || session->enough || reply_redirects(&exchange->reply)))
		return 0;
	return judge_code(session, code);
}

/* Who is known to all must not have us ask what only we can reach. */
static void narrow(struct session *session)
{
	const char *address = NULL;

	if (!session->request->private_by_private || session->narrowed ||
	    curl_easy_getinfo(session->exchange.easy, CURLINFO_PRIMARY_IP, &address) != CURLE_OK ||
	    !address || !address_text_is_public(address))
		return;
	session->narrowed = true;
	session->terms.allow_private = false;
}

static int follow(struct session *session)
{
	struct exchange *exchange = &session->exchange;
	char *url = exchange_redirect(exchange, session->message);

	if (!url)
		return exchange->hops >= FETCH_HOPS_MAX ? -ELOOP : -EACCES;
	if (!strncasecmp(exchange->url, "https:", 6) && strncasecmp(url, "https:", 6) != 0) {
		free(url);
		return fail(session, -EACCES, "redirect: from https to http");
	}
	narrow(session);
	free(exchange->url);
	exchange->url = url;
	exchange->hops++;
	return 0;
}

static int add_header(struct session *session, struct curl_slist **list, const char *line)
{
	const char *reason = headers_add(list, line);

	/* It may be a credential: its value is not told. */
	return reason ? fail(session, -EINVAL, "header %.*s: %s", (int)strcspn(line, ":"), line,
			     reason)
		      : 0;
}

static int prepare_headers(struct session *session)
{
	const struct fetch_document_request *request = session->request;
	_cleanup_free_ char *condition = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < request->n_headers; i++)
		r = add_header(session, &session->terms.headers, request->headers[i]);
	if (r < 0 || !request->etag)
		return r;
	if (asprintf(&condition, "If-None-Match: %s", request->etag) < 0)
		return fail(session, -ENOMEM, "no memory");
	r = add_header(session, &session->terms.headers, condition);
	/* Who answers in the end is who gave the tag. */
	return r < 0 ? r : add_header(session, &session->everywhere, condition);
}

static int prepare(struct session *session)
{
	const struct fetch_document_request *request = session->request;
	struct exchange *exchange = &session->exchange;
	const char *reason = url_refused(request->url, request->allow_http);

	if (reason)
		return fail(session, url_refused(request->url, true) ? -EINVAL : -EACCES, "%s",
			    reason);
	session->terms.allow_http = request->allow_http;
	session->terms.allow_private = request->allow_private;
	reason = request->ca_file ? terms_read_ca(&session->terms, request->ca_file) : NULL;
	if (reason)
		return fail(session, -EINVAL, "%s: %s", request->ca_file, reason);
	exchange->terms = &session->terms;
	exchange->reply.keep = (1U << REPLY_TEXTS) - 1;
	exchange->origin_url = strdup(request->url);
	exchange->url = strdup(request->url);
	exchange->easy = curl_easy_init();
	if (!exchange->origin_url || !exchange->url || !exchange->easy)
		return fail(session, -ENOMEM, "no memory");
	return prepare_headers(session);
}

static void tell_size(const struct reply *reply, struct fetch_document *out)
{
	/* An empty file has no first byte: 416, with "bytes ∗/0". */
	if ((reply->status == 206 || reply->status == 416) && reply->has_range) {
		out->has_size = reply->range.complete_known;
		out->size = reply->range.complete;
	} else if (reply->status == 200) {
		out->has_size = reply->has_length;
		out->size = reply->length;
	}
}

static void hand_over(struct session *session, struct fetch_document *out)
{
	struct exchange *exchange = &session->exchange;
	struct reply *reply = &exchange->reply;
	bool in_file = session->request->fd >= 0 && has_content(session);

	*out = (struct fetch_document){
		.status = (unsigned int)reply->status,
		.url = steal_pointer(exchange->url),
		.body = in_file ? NULL : steal_pointer(session->body),
		.len = (size_t)session->taken,
		.etag = steal_pointer(reply->texts[REPLY_ETAG]),
		.content_type = steal_pointer(reply->texts[REPLY_CONTENT_TYPE]),
		.link = steal_pointer(reply->texts[REPLY_LINK]),
		.www_authenticate = steal_pointer(reply->texts[REPLY_WWW_AUTHENTICATE]),
		.content_digest = steal_pointer(reply->texts[REPLY_CONTENT_DIGEST]),
		.retry_after_ms = reply->retry_after,
	};
	tell_size(reply, out);
}

static int get(struct session *session)
{
	struct exchange *exchange = &session->exchange;
	int r = prepare(session);

	if (r == 0)
		r = ask(session);
	while (r == 0 && reply_redirects(&exchange->reply)) {
		r = follow(session);
		if (r == 0)
			r = ask(session);
	}
	/* An empty body is one, too. */
	return r == 0 ? keep(session, "", 0) : r;
}

int fetch_document_get(const struct fetch_document_request *request, struct fetch_document *out,
		       char message[FETCH_MESSAGE_SIZE])
{
	struct session session = {.request = request, .message = message};
	int r;

	message[0] = '\0';
	if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
		snprintf(message, FETCH_MESSAGE_SIZE, "no memory");
		return -ENOMEM;
	}
	r = get(&session);
	if (r == 0)
		hand_over(&session, out);
	curl_easy_cleanup(session.exchange.easy);
	exchange_clear(&session.exchange);
	curl_slist_free_all(session.everywhere);
	terms_destroy(&session.terms);
	free(session.body);
	curl_global_cleanup();
	return r;
}

void fetch_document_release(struct fetch_document *document)
{
	free(document->url);
	free(document->body);
	free(document->etag);
	free(document->content_type);
	free(document->link);
	free(document->www_authenticate);
	free(document->content_digest);
	memset(document, 0, sizeof(*document));
}
