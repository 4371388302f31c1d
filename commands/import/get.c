/* SPDX-License-Identifier: Apache-2.0 */
#include "commands/import/get.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "common/log.h"
#include "registry/registry.h"

#define TRIES	     6
#define WAIT_MS	     1000  /* before the second try, twice as long before the next */
#define WAIT_MAX_MS  60000 /* who wants to be left alone for that long, which is all that fetch/ tells, is not waited for */
#define HOST_SIZE    256
#define HEADERS_MAX  2

int import_fail(struct import_talk *talk, int error, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		text = NULL;
	progress_end(&talk->progress);
	log_error("%s: %s", talk->spec, text ? text : strerror(-error));
	return error;
}

/* "huggingface.co:8443", of a URL that was parsed before. */
static const char *host_of(const char *url, char out[HOST_SIZE])
{
	const char *begin = strstr(url, "://");

	begin = begin ? begin + 3 : url;
	snprintf(out, HOST_SIZE, "%.*s", (int)strcspn(begin, "/?#"), begin);
	return out;
}

static bool show(void *arg, uint64_t received)
{
	struct import_talk *talk = arg;

	if (!talk->silent)
		progress_show(&talk->progress, received);
	return true;
}

static int get_once(struct import_talk *talk, const struct import_get *get,
		    struct fetch_document *out)
{
	_cleanup_free_ char *authorization = NULL, *accept = NULL;
	const char *headers[HEADERS_MAX];
	char message[FETCH_MESSAGE_SIZE], host[HOST_SIZE];
	struct fetch_document_request request = {
		.url = get->url,
		.allow_http = get->users_own,
		.allow_private = get->users_own || talk->allow_private,
		.private_by_private = !talk->allow_private,
		.ca_file = talk->ca_file,
		.headers = headers,
		.max = get->max ? get->max : IMPORT_REPLY_MAX,
		.size_only = get->size_only,
		.fd = -1,
		.connect_timeout_ms = talk->config->fetch.connect_timeout_ms,
		.stall_timeout_ms = talk->config->fetch.stall_timeout_ms,
		.wanted = show,
		.arg = talk,
	};
	int r;

	if (get->authorization) {
		if (asprintf(&authorization, "Authorization: %s", get->authorization) < 0)
			return -ENOMEM;
		headers[request.n_headers++] = authorization;
	}
	if (get->accept) {
		if (asprintf(&accept, "Accept: %s", get->accept) < 0)
			return -ENOMEM;
		headers[request.n_headers++] = accept;
	}
	talk->progress.what = get->what;
	r = fetch_document_get(&request, out, message);
	if (authorization)
		explicit_bzero(authorization, strlen(authorization));
	if (r == -EFBIG)
		return import_fail(talk, r, "%s is larger than %llu bytes: %s", get->what,
				   (unsigned long long)request.max, get->url);
	if (r < 0)
		return import_fail(talk, r, "%s cannot be had from %s: %s", get->what,
				   host_of(get->url, host), message);
	return 0;
}

/* ---- those who are busy ---- */

static bool is_busy(unsigned int status)
{
	return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

static void wait_ms(int64_t ms)
{
	struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

int import_ask(struct import_talk *talk, const struct import_get *get, struct fetch_document *out)
{
	int64_t wait = WAIT_MS;
	char host[HOST_SIZE];

	host_of(get->url, host);
	for (unsigned int tries = 1;; tries++, wait *= 2) {
		struct fetch_document document;
		int64_t due;
		int r;

		r = get_once(talk, get, &document);
		if (r < 0)
			return r;
		if (!is_busy(document.status)) {
			*out = document;
			return 0;
		}
		due = document.retry_after_ms > 0 ? document.retry_after_ms : wait;
		if (tries == TRIES || due >= WAIT_MAX_MS) {
			r = import_fail(talk, -EBUSY,
					"%s is busy (HTTP %u); try again in %lld seconds or later", host,
					document.status, (long long)(due + 999) / 1000);
			fetch_document_release(&document);
			return r;
		}
		progress_end(&talk->progress);
		log_info("%s is busy (HTTP %u); asking again in %lld s", host, document.status,
			 (long long)(due + 999) / 1000);
		fetch_document_release(&document);
		wait_ms(due);
	}
}

/* ---- those who refuse ---- */

int import_refused(struct import_talk *talk, const struct import_get *get,
		   const struct import_advice *advice, const struct fetch_document *document)
{
	unsigned int status = document->status;
	const char *what = status == 401 && get->authorization ? advice->refused :
			   status == 401		       ? advice->unauthorized :
			   status == 403		       ? advice->forbidden :
			   status == 404 || status == 410      ? advice->missing :
								 NULL;
	int error = status == 401 || status == 403 ? -EACCES :
		    status == 404 || status == 410 ? -ENOENT :
						     -EPROTO;
	char said[REGISTRY_PROBLEM_SIZE] = "", host[HOST_SIZE];
	bool told = document->body && registry_error_text(document->body, document->len, said);

	host_of(document->url ? document->url : get->url, host);
	if (what)
		return import_fail(talk, error, "%s (%s: HTTP %u%s%s)", what, host, status,
				   told ? ": " : "", said);
	return import_fail(talk, error, "%s cannot be had from %s: HTTP %u%s%s", get->what, host,
			   status, told ? ": " : "", said);
}

int import_get(struct import_talk *talk, const struct import_get *get,
	       const struct import_advice *advice, struct fetch_document *out)
{
	struct fetch_document document;
	int r;

	r = import_ask(talk, get, &document);
	if (r < 0)
		return r;
	if (document.status != 200) {
		r = import_refused(talk, get, advice, &document);
		fetch_document_release(&document);
		return r;
	}
	*out = document;
	return 0;
}
