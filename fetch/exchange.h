/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is common to everything that is asked over HTTP here, whether on the fetch thread (transfer.c, token.c) or on the
 * caller's (document.c): where one may connect to, what goes out, the lines that come in, and when it is too slow.
 */
#ifndef FETCH_EXCHANGE_H
#define FETCH_EXCHANGE_H

#include <curl/curl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/cleanup.h"
#include "fetch/fetch.h"

struct sockaddr;

#define FETCH_HOPS_MAX	  3
#define FETCH_URL_MAX	  8192
#define FETCH_SIZE_MAX	  ((uint64_t)1 << 62)
#define FETCH_HEADERS_MAX ((size_t)64 << 10) /* of one exchange, in bytes */
#define FETCH_DISCARD_MAX ((size_t)16 << 10) /* of a body nobody needs, read to keep the connection */
#define FETCH_RETRY_MAX	  60000		     /* ms: the cap of Retry-After */
#define FETCH_STALL_RATE  1024		     /* bytes a second */
#define FETCH_TICK_MS	  1000

/* --- url.c --- */

/* May a source ask URL: absolute, an allowed scheme, no credentials? NULL, or why not. */
const char *must_check url_refused(const char *url, bool allow_http);
/* Where LOCATION, found in the reply to BASE, leads; to be freed. NULL: not a URL. */
char *must_check url_resolve(const char *base, const char *location);
/* "https://models.example", with the port if that is not the scheme's; in lower case; to be freed. NULL: no memory, or no URL. */
char *must_check url_origin(const char *url);
/* The same scheme, host and port? */
bool url_same_host(const char *a, const char *b);

/* --- address.c --- */

/* Is this an address of the public Internet? Anything else than IPv4 and IPv6 is not. */
bool address_is_public(const struct sockaddr *address);
/* The same of an address in text, without a zone. */
bool address_text_is_public(const char *text);
void address_format(const struct sockaddr *address, char out[INET6_ADDRSTRLEN]);

/* --- reply.c --- */

/* What an exchange asks for: bytes FIRST … LAST; SIZE as in the request. */
struct ask {
	enum fetch_kind kind;
	uint64_t first, last, size;
};

struct content_range {
	bool satisfied; /* else only the complete length was told: "bytes ∗/N" */
	bool complete_known;
	uint64_t first, last, complete;
};

/* Headers that are kept as they came: the first of each. */
enum reply_text {
	REPLY_ETAG,
	REPLY_CONTENT_TYPE,
	REPLY_LINK,
	REPLY_WWW_AUTHENTICATE,
	REPLY_CONTENT_DIGEST, /* Docker-Content-Digest */
	REPLY_TEXTS,
};

/* A header block as its lines come in. All zero before the first, but for KEEP. */
struct reply {
	int status; /* 0: no status line yet */
	bool ended; /* the block of the final status is complete; later lines are trailers */
	bool coded; /* content coding other than identity, or a transfer coding other than chunked */
	const char *malformed; /* NULL, or what is */
	bool has_length, has_range, has_location;
	uint64_t length;
	struct content_range range;
	int64_t retry_after; /* ms; 0: none */
	size_t bytes;
	/* From here on it is not cleared with each block. */
	unsigned int keep; /* bit N: reply_text N is wanted */
	char *texts[REPLY_TEXTS];
	char location[FETCH_URL_MAX];
};

enum verdict_kind {
	VERDICT_BODY,	   /* read BODY bytes */
	VERDICT_ENOUGH,	   /* all that was asked is known: SIZE, or that there is no body */
	VERDICT_REDIRECT,  /* to reply->location */
	VERDICT_MISSING,   /* 404, 410 */
	VERDICT_TRANSIENT, /* 408, 425, 429, 5xx */
	VERDICT_REFUSED,   /* the source is out for this request */
};

struct verdict {
	enum verdict_kind kind;
	uint64_t size; /* FETCH_SIZE */
	uint64_t body; /* bytes that must come */
	bool close;    /* more may follow BODY and is not wanted */
	bool open;     /* its end tells how many there are, BODY at most */
	char message[FETCH_MESSAGE_SIZE];
};

int must_check content_range_parse(const char *value, struct content_range *out);
/* Milliseconds from NOW (seconds since the epoch) that "120" or an HTTP date means, capped; 0: none. */
int64_t retry_after_parse(const char *value, int64_t now);
/* One line with or without CRLF. */
void reply_line(struct reply *reply, const char *line, size_t len);
/* All zero again, but for KEEP. */
void reply_clear(struct reply *reply);
bool reply_redirects(const struct reply *reply);
/* Is it an answer that may be another one later? */
bool reply_is_transient(const struct reply *reply);
/* Once reply->ended. */
void reply_check(const struct reply *reply, const struct ask *ask, struct verdict *out);

/* --- headers.c --- */

/* 0 or -errno, logged with name and line. Without headers OUT is NULL. */
int must_check headers_read(const char *path, struct curl_slist **out);
/* Appends "Name: value". NULL, or why not. */
const char *must_check headers_add(struct curl_slist **list, const char *line);

/* --- challenge.c --- */

/* The URL that a "Bearer realm=…" challenge says to ask; to be freed. NULL: it is none, or no memory. */
char *must_check challenge_url(const char *challenge);
/* The "Authorization: Bearer …" that BODY, a realm's answer, gives; to be freed. NULL: none, or no memory. */
char *must_check challenge_header(const char *body, size_t len);

/* --- exchange.c --- */

/* How a host may be asked. */
struct terms {
	bool allow_http, allow_private;
	char *ca; /* PEM text, NULL: the system's */
	size_t ca_len;
	struct curl_slist *headers; /* for the URL's own scheme, host and port */
};

/* The certificates of the file PATH. NULL, or why not. */
const char *must_check terms_read_ca(struct terms *terms, const char *path);
void terms_destroy(struct terms *terms);

/* One request and what comes back, and its successors after redirects. */
struct exchange {
	const struct terms *terms;
	CURL *easy;
	char *origin_url, *url; /* whose the headers are; what is asked now */
	unsigned int hops;
	struct reply reply;

	bool connected; /* the request goes out: from now on it can stall */
	bool tried;	/* an address was allowed */
	char blocked[INET6_ADDRSTRLEN]; /* an address that was not; "" if none */
	int64_t good_at, ticked_at;
	uint64_t ticked;
	int64_t asked_at; /* us */
	char error[CURL_ERROR_SIZE];

	/* On the fetch thread, when curl is done with it. */
	void (*ended)(struct exchange *exchange, CURLcode code);
};

/* CURLOPT_HEADERFUNCTION, CURLOPT_WRITEFUNCTION. */
typedef size_t (*exchange_taken)(char *data, size_t one, size_t len, void *arg);
/* Sets EASY up to ask exchange->url; each header line goes to LINE, the body to BODY, both with ARG. */
CURLcode must_check exchange_set_up(struct exchange *exchange, int64_t connect_timeout_ms, exchange_taken line,
				    exchange_taken body, void *arg);
/* A line of headers, as curl brings it. False: that is too much of them. */
bool must_check exchange_line(struct exchange *exchange, const char *line, size_t len);
/* Where the redirect in the reply leads, to be freed; NULL with the reason in MESSAGE. */
char *must_check exchange_redirect(const struct exchange *exchange, char message[FETCH_MESSAGE_SIZE]);
/* Why it did not come to an answer, CODE being what curl says. True: no address was allowed. */
bool exchange_failure(const struct exchange *exchange, CURLcode code, char message[FETCH_MESSAGE_SIZE]);
/* Can it be different the next time? */
bool exchange_is_transient(CURLcode code);
/*
 * Is it too slow, BYTES having come in all? To be called about every FETCH_TICK_MS. WAITING: it is our own fault. *SLOW: less
 * than the stall rate came.
 */
bool must_check exchange_stalled(struct exchange *exchange, uint64_t bytes, bool waiting, int64_t now,
				 int64_t stall_timeout_ms, bool *slow);
/* Ready for another URL: all but terms, easy and ended. */
void exchange_clear(struct exchange *exchange);

#endif
