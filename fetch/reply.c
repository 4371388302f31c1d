/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a reply what was asked for (RFC 9110)? Pure: header lines in, a verdict out.
 *
 * Nothing that a server sent gets into a message but numbers and what was parsed from it, so that
 * logs stay readable whatever it sends.
 */
#include "fetch/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Digits at *TEXT, moved past: a number below 2^63, and that with nothing near the edge. */
static int parse_number(const char **text, uint64_t *out)
{
	const char *p = *text;
	uint64_t value = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (value > (INT64_MAX - 9) / 10)
			return -ERANGE;
		value = value * 10 + (uint64_t)(*p - '0');
	}
	*text = p;
	*out = value;
	return 0;
}

/* RFC 9110 section 14.4: "bytes 0-499/1234", "bytes 0-499/∗", "bytes ∗/1234". */
int content_range_parse(const char *value, struct content_range *out)
{
	struct content_range range = {.satisfied = true, .complete_known = true};

	if (strncasecmp(value, "bytes ", 6) != 0)
		return -EINVAL;
	value += 6;
	if (*value == '*') {
		range.satisfied = false;
		value++;
	} else if (parse_number(&value, &range.first) || *value++ != '-' ||
		   parse_number(&value, &range.last) || range.last < range.first) {
		return -EINVAL;
	}
	if (*value++ != '/')
		return -EINVAL;
	if (*value == '*' && range.satisfied) {
		range.complete_known = false;
		value++;
	} else if (parse_number(&value, &range.complete) ||
		   (range.satisfied && range.last >= range.complete)) {
		return -EINVAL;
	}
	if (*value)
		return -EINVAL;
	*out = range;
	return 0;
}

/* RFC 9110 section 10.2.3. */
int64_t retry_after_parse(const char *value, int64_t now)
{
	const char *end = value;
	uint64_t seconds;
	int64_t date;
	int r = parse_number(&end, &seconds);

	if (r == -ERANGE)
		return FETCH_RETRY_MAX;
	if (r == 0 && !*end)
		return seconds < FETCH_RETRY_MAX / 1000 ? (int64_t)seconds * 1000 : FETCH_RETRY_MAX;
	date = curl_getdate(value, NULL);
	if (date < 0 || date <= now)
		return 0;
	return date - now < FETCH_RETRY_MAX / 1000 ? (date - now) * 1000 : FETCH_RETRY_MAX;
}

static void on_length(struct reply *reply, const char *value)
{
	uint64_t length;

	if (parse_number(&value, &length) || *value)
		reply->malformed = "Content-Length";
	else if (reply->has_length && reply->length != length)
		reply->malformed = "Content-Length (there are two)";
	reply->has_length = true;
	if (!reply->malformed)
		reply->length = length;
}

static void on_range(struct reply *reply, const char *value)
{
	if (reply->has_range)
		reply->malformed = "Content-Range (there are two)";
	else if (content_range_parse(value, &reply->range))
		reply->malformed = "Content-Range";
	reply->has_range = true;
}

static void on_content_coding(struct reply *reply, const char *value)
{
	reply->coded |= *value && strcasecmp(value, "identity") != 0;
}

static void on_transfer_coding(struct reply *reply, const char *value)
{
	reply->coded |= strcasecmp(value, "chunked") != 0 && strcasecmp(value, "identity") != 0;
}

static void on_location(struct reply *reply, const char *value)
{
	if (reply->has_location)
		reply->malformed = "Location (there are two)";
	reply->has_location = true;
	snprintf(reply->location, sizeof(reply->location), "%s", value);
}

static void on_retry_after(struct reply *reply, const char *value)
{
	reply->retry_after = retry_after_parse(value, time(NULL));
}

/* The first of each. Without memory it is as if it were not there. */
static void keep(struct reply *reply, enum reply_text text, const char *value)
{
	if (reply->keep >> text & 1 && !reply->texts[text])
		reply->texts[text] = strdup(value);
}

static void on_etag(struct reply *reply, const char *value)
{
	keep(reply, REPLY_ETAG, value);
}

static void on_content_type(struct reply *reply, const char *value)
{
	keep(reply, REPLY_CONTENT_TYPE, value);
}

static void on_link(struct reply *reply, const char *value)
{
	keep(reply, REPLY_LINK, value);
}

static void on_www_authenticate(struct reply *reply, const char *value)
{
	keep(reply, REPLY_WWW_AUTHENTICATE, value);
}

static void on_content_digest(struct reply *reply, const char *value)
{
	keep(reply, REPLY_CONTENT_DIGEST, value);
}

static const struct field {
	const char *name;
	void (*take)(struct reply *reply, const char *value);
} fields[] = {
	{"Content-Length", on_length},
	{"Content-Range", on_range},
	{"Content-Encoding", on_content_coding},
	{"Transfer-Encoding", on_transfer_coding},
	{"Location", on_location},
	{"Retry-After", on_retry_after},
	{"ETag", on_etag},
	{"Content-Type", on_content_type},
	{"Link", on_link},
	{"WWW-Authenticate", on_www_authenticate},
	{"Docker-Content-Digest", on_content_digest},
};

/* "HTTP/1.1 206 Partial Content", "HTTP/2 206": three digits, and a space or nothing behind. */
static int parse_status(const char *line)
{
	const char *p = line + strcspn(line, " ");
	int status = 0;

	if (strncmp(line, "HTTP/", 5) != 0)
		return -1;
	p += strspn(p, " ");
	for (int i = 0; i < 3; i++, p++) {
		if (*p < '0' || *p > '9')
			return -1;
		status = status * 10 + (*p - '0');
	}
	return (*p && *p != ' ') || status < 100 ? -1 : status;
}

void reply_clear(struct reply *reply)
{
	memset(reply, 0, offsetof(struct reply, keep));
	for (size_t i = 0; i < REPLY_TEXTS; i++)
		free(steal_pointer(reply->texts[i]));
	reply->location[0] = '\0';
}

static void begin_block(struct reply *reply, const char *line)
{
	size_t bytes = reply->bytes;

	reply_clear(reply);
	reply->bytes = bytes;
	reply->status = parse_status(line);
	if (reply->status < 0)
		reply->malformed = "status line";
}

static void take_field(struct reply *reply, char *line)
{
	char *value = strchr(line, ':');

	/* A continuation or nonsense. What it might have continued is then judged as it stands. */
	if (!value)
		return;
	*value++ = '\0';
	value += strspn(value, " \t");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcasecmp(line, fields[i].name))
			fields[i].take(reply, value);
}

void reply_line(struct reply *reply, const char *line, size_t len)
{
	char text[FETCH_URL_MAX];

	if (reply->ended)
		return; /* a trailer: RFC 9110 section 6.5 lets us ignore it */
	reply->bytes += len;
	while (len > 0 && strchr("\r\n \t", line[len - 1]))
		len--;
	if (len == 0) {
		/* 1xx: the real one follows (RFC 9110 section 15.2). */
		if (reply->status >= 100 && reply->status < 200)
			reply->status = 0;
		else
			reply->ended = true;
		return;
	}
	/* Cut off: none of the fields that count may be so long. */
	if (len >= sizeof(text)) {
		if (!strncasecmp(line, "Location:", 9))
			reply->malformed = "Location (too long)";
		return;
	}
	memcpy(text, line, len);
	text[len] = '\0';
	if (memchr(text, '\0', len)) {
		reply->malformed = "header (a NUL in it)";
		return;
	}
	if (reply->status == 0)
		begin_block(reply, text);
	else
		take_field(reply, text);
}

static void printf_like(3, 4)
	say(struct verdict *verdict, enum verdict_kind kind, const char *format, ...)
{
	va_list args;

	verdict->kind = kind;
	va_start(args, format);
	vsnprintf(verdict->message, sizeof(verdict->message), format, args);
	va_end(args);
}

static void check_size(const struct reply *reply, struct verdict *out)
{
	uint64_t size;

	if (reply->status == 206) {
		if (!reply->range.satisfied || reply->range.first != 0 || reply->range.last != 0) {
			say(out, VERDICT_REFUSED, "another Content-Range than asked for");
			return;
		}
		if (!reply->range.complete_known) {
			say(out, VERDICT_REFUSED, "does not tell the size");
			return;
		}
		size = reply->range.complete;
	} else if (!reply->has_length) {
		say(out, VERDICT_REFUSED, "does not tell the size");
		return;
	} else {
		size = reply->length;
	}
	if (size > FETCH_SIZE_MAX) {
		say(out, VERDICT_REFUSED, "a size of %" PRIu64 " bytes", size);
		return;
	}
	out->kind = VERDICT_ENOUGH;
	out->size = size;
	out->close = reply->status == 200 && size > 0;
}

static void check_whole(const struct reply *reply, const struct ask *ask, struct verdict *out)
{
	uint64_t wanted = ask->last - ask->first + 1;

	if (ask->kind == FETCH_FRONT) {
		/* A server that cannot cut gives the whole file: what was asked for comes first. */
		out->open = !reply->has_length;
		out->close = !reply->has_length || reply->length > wanted;
		if (reply->has_length && reply->length < wanted)
			out->body = reply->length;
		return;
	}
	if (ask->first != 0 || ask->last != ask->size - 1)
		say(out, VERDICT_REFUSED, "ignores Range");
	else if (!reply->has_length)
		say(out, VERDICT_REFUSED, "HTTP 200 without Content-Length");
	else if (reply->length != wanted)
		say(out, VERDICT_REFUSED,
		    "the object has %" PRIu64 " bytes there instead of %" PRIu64, reply->length,
		    wanted);
}

/* Where a 206 has to end: with the file, if that is a tree file shorter than it might have been. */
static uint64_t last_of(const struct reply *reply, const struct ask *ask)
{
	const struct content_range *range = &reply->range;

	if (ask->kind == FETCH_FRONT && range->complete_known && range->complete > 0 &&
	    range->complete <= ask->last)
		return range->complete - 1;
	return ask->last;
}

static void check_part(const struct reply *reply, const struct ask *ask, struct verdict *out)
{
	const struct content_range *range = &reply->range;

	if (!range->satisfied || range->first != ask->first || range->last != last_of(reply, ask))
		say(out, VERDICT_REFUSED, "another Content-Range than asked for");
	else if (ask->kind == FETCH_CHUNKS && !range->complete_known)
		say(out, VERDICT_REFUSED, "Content-Range does not tell the size");
	else if (ask->kind == FETCH_CHUNKS && range->complete != ask->size)
		say(out, VERDICT_REFUSED,
		    "the object has %" PRIu64 " bytes there instead of %" PRIu64, range->complete,
		    ask->size);
}

static void check_success(const struct reply *reply, const struct ask *ask, struct verdict *out)
{
	out->kind = VERDICT_BODY;
	out->body = (reply->status == 206 ? last_of(reply, ask) : ask->last) - ask->first + 1;
	if (reply->coded) {
		say(out, VERDICT_REFUSED, "content coding although none was asked for");
		return;
	}
	if (reply->status == 206 && !reply->has_range) {
		say(out, VERDICT_REFUSED, "HTTP 206 without Content-Range");
		return;
	}
	if (reply->status == 206 && reply->has_length && reply->length != out->body) {
		say(out, VERDICT_REFUSED, "Content-Length is not that of the range");
		return;
	}
	if (ask->kind == FETCH_SIZE)
		check_size(reply, out);
	else if (reply->status == 206)
		check_part(reply, ask, out);
	else
		check_whole(reply, ask, out);
}

bool reply_redirects(const struct reply *reply)
{
	int status = reply->status;

	return reply->has_location && (status == 301 || status == 302 || status == 303 ||
				       status == 307 || status == 308);
}

bool reply_is_transient(const struct reply *reply)
{
	int status = reply->status;

	return status == 408 || status == 425 || status == 429 || status / 100 == 5;
}

void reply_check(const struct reply *reply, const struct ask *ask, struct verdict *out)
{
	int status = reply->status;

	memset(out, 0, sizeof(*out));
	if (reply->malformed)
		say(out, VERDICT_REFUSED, "malformed %s", reply->malformed);
	else if (status == 200 || status == 206)
		check_success(reply, ask, out);
	else if (reply_redirects(reply))
		out->kind = VERDICT_REDIRECT;
	else if (status == 404 || status == 410)
		say(out, VERDICT_MISSING, "HTTP %d", status);
	else if (reply_is_transient(reply))
		say(out, VERDICT_TRANSIENT, "HTTP %d", status);
	else if (status == 416 && ask->kind != FETCH_CHUNKS && reply->has_range &&
		 !reply->range.satisfied && reply->range.complete == 0)
		out->kind = VERDICT_ENOUGH; /* no first byte: an empty object or file */
	else
		say(out, VERDICT_REFUSED, "HTTP %d", status);
}
