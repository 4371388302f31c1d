/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One document by its URL, on the thread that asks: catalogs, their signatures, replies of registries' APIs. Nothing of
 * `struct fetch` is needed, so that commands can do it, too.
 *
 * https, http where it is allowed; addresses as in fetch.h; redirects (at most 3) are followed here, each by the same
 * rules, and never from https to http. The caller's headers go to the scheme, host and port of its own URL alone. No
 * content coding is asked for, and none is taken. One User-Agent, no Referer, no proxy from the environment.
 */
#ifndef FETCH_DOCUMENT_H
#define FETCH_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/cleanup.h"
#include "fetch/fetch.h"

struct fetch_document_request {
	const char *url; /* absolute */
	bool allow_http, allow_private;
	bool private_by_private; /* a public address does not redirect to a private one, although those are allowed */
	const char *ca_file;	    /* PEM, instead of the system's; NULL: the system's */
	const char *const *headers; /* "Name: value" each, N_HEADERS of them */
	size_t n_headers;
	const char *etag; /* of what is here already: If-None-Match; NULL */
	uint64_t max;	  /* bytes of the body; one more is -EFBIG */
	bool size_only;	  /* ask for the first byte, to be told how many there are; of a success no body is taken */
	/*
	 * Where the body goes: written from offset 0 on, FD being empty; of a status other than 200 nothing is written
	 * there. -1: to memory.
	 */
	int fd;
	int64_t connect_timeout_ms, stall_timeout_ms; /* as in struct fetch_options */
	/* Asked about once a second, and whenever something comes; false ends it with -ECANCELED. NULL: it is wanted. */
	bool (*wanted)(void *arg, uint64_t received);
	void *arg;
};

/* What was answered. Strings are NULL where the header was not there; those that may be a list are the first one. */
struct fetch_document {
	unsigned int status; /* of the last hop: 200, 304, 401, 404, … */
	char *url;	     /* the last hop's */
	char *body;	     /* with a NUL behind it; NULL if it went to a file */
	size_t len;	     /* bytes of the body, wherever it went */
	char *etag, *content_type, *link, *www_authenticate;
	char *content_digest; /* Docker-Content-Digest, as registries of images send it */
	bool has_size;
	uint64_t size; /* of all that is at the URL, as the headers tell it */
	int64_t retry_after_ms; /* 0: nothing was said of it */
};

/*
 * GET it once. 0 when there was a whole answer, whatever its status; OUT is to be released. Else -errno, with one line for
 * people in MESSAGE, in any case: -ENOTCONN (no connection, name not found, TLS), -ETIMEDOUT (stall), -EACCES (an address or
 * a scheme that is not allowed), -ELOOP (redirects), -EFBIG, -EPROTO, -ECANCELED, -EINVAL (no URL), -ENOMEM, or what writing
 * to FD said.
 */
int must_check fetch_document_get(const struct fetch_document_request *request,
				  struct fetch_document *out, char message[FETCH_MESSAGE_SIZE]);
void fetch_document_release(struct fetch_document *document);

/*
 * REFERENCE, as a catalog has it, seen from BASE (RFC 3986, section 5). OUT is to be freed. -EINVAL: one of them is no URL, or
 * what comes out is neither http nor https.
 */
int must_check fetch_url_resolve(const char *base, const char *reference, char **out);

#endif
