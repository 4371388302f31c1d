/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting bytes from untrusted sources over HTTP.
 *
 * One thread owns curl_multi and every easy handle; callers queue requests from any thread and are
 * answered by callbacks on the fetch thread, which must not block. Nothing here knows what right
 * bytes look like: whoever asked checks them and says fetch_blame() when they were wrong.
 *
 * What a reply must be (RFC 9110): status 206 with exactly the Content-Range that was asked for and
 * the object's size as its complete length, or 200 when the whole object was asked for; no content
 * coding; a body of exactly the expected length, cut off at the first byte too many. Redirects (at
 * most 3) are followed here, each hop under the same scheme and address rules; headers from
 * header-file go to the source's own host only.
 * Addresses: loopback, private, link-local, multicast and otherwise special ones are refused after
 * name resolution, for every connection, unless the source allows them. No proxy from the environment.
 *
 * Failures of a source are of two kinds. Transient (no connection, timeout, stall, reset, early close,
 * 408, 425, 429, 5xx): tried again with exponential backoff and jitter, Retry-After honoured up to a
 * cap, for as long as wanted() says so. Final for this request (404 and other statuses, wrong or
 * missing Content-Range, content coding, blocked address, redirect loop, TLS verification, size
 * mismatch; also 5 transient failures in a row of a source that did answer but brought no further chunk):
 * the source is out. Another source is tried at once; when all are out the request ends.
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/chunk.h"
#include "common/cleanup.h"
#include "common/digest.h"
#include "common/pool.h"

#define FETCH_SOURCES_MAX   64                                 /* excluded is a 64-bit set */
#define FETCH_CHUNKS_MAX    ((uint64_t)(16 << 20) / CHUNK_SIZE) /* of one request: 16 MiB */
#define FETCH_MESSAGE_SIZE  256
#define FETCH_NAME_SIZE     256
#define FETCH_FRONT_MAX     ((uint64_t)16 << 20) /* of objects of 256 GiB */

/* One [source NAME] of the configuration. Strings are copied by fetch_new(). */
struct fetch_source {
	const char *name;
	const char *url;         /* template: {sha256}, {sha256:2}, {fsverity}, {fsverity:2} */
	const char *tree;        /* the same for the tree or its front; NULL: has none */
	const char *ca_file;     /* PEM, instead of the system's; NULL: the system's */
	const char *header_file; /* a header a line, read when the source is set up; NULL: none */
	int priority;            /* higher is asked first; equal ones in the order of the file */
	bool allow_http;
	bool allow_private;
};

struct fetch_options {
	const struct fetch_source *sources;
	size_t n_sources;           /* may be 0: every request ends with -ENOENT */
	unsigned int connections;   /* transfers at once, at most, of all sources together */
	int64_t connect_timeout_ms; /* also covers TLS */
	int64_t stall_timeout_ms;   /* below 1 KiB/s for that long is a stall; also until the first byte */
	struct pool *pool;          /* buffers of CHUNK_SIZE; borrowed; its pool_on_freed is taken */
};

/*
 * Does TEMPLATE parse: scheme https, or http with ALLOW_HTTP; an absolute URL; only known variables?
 * 0, or -EINVAL with the reason in MESSAGE. What the configuration parser calls.
 */
int must_check fetch_template_check(const char *template, bool allow_http,
				    char message[FETCH_MESSAGE_SIZE]);

struct fetch;

/* ---- places: where single objects are said to be, beside what the templates of sources give ---- */

/*
 * How places that came together may be asked: those of a catalog, or of what a user imported. Each (group, scheme, host and
 * port) is a source of its own, made when it is first needed, with its own pace, errors and lies; of these there are at
 * most what FETCH_SOURCES_MAX leaves, and the one that was not used for longest gives its place to a new one.
 */
struct fetch_group_options {
	const char *name; /* for people: "catalog hub" */
	int priority;	  /* among sources, as theirs */
	bool allow_http, allow_private;
	const char *ca_file;	   /* as in struct fetch_source */
	const char *authorization; /* value of an Authorization header, for a place's own host only; NULL: none */
	/*
	 * Answer a 401 with `WWW-Authenticate: Bearer realm=…,service=…,scope=…` (the OCI distribution specification's
	 * token flow): the realm is asked once, with AUTHORIZATION if it is the place's own host that names it and it
	 * is https, and the token is sent to that host until it is refused.
	 */
	bool token_challenge;
};
struct fetch_group;

/* Strings and files are copied and read now. 0 or -errno; a file that cannot be read is logged by name. Reference counted, any thread. */
int must_check fetch_group_new(const struct fetch_group_options *options, struct fetch_group **out);
struct fetch_group *fetch_group_ref(struct fetch_group *group);
void fetch_group_unref(struct fetch_group *group); /* NULL is allowed */

struct fetch_place {
	struct fetch_group *group;
	const char *url;  /* absolute; of the object's bytes; NULL: not known */
	const char *tree; /* absolute; of its tree, or the front of it; NULL: has none */
	/*
	 * Who alone says so; 0: it is said to all. Sources are made for each owner on its own: that what somebody named is
	 * not what is there is not held against the host when others ask it. Owners have a part of the numbers only.
	 */
	uint32_t owner;
};
#define FETCH_OWNER_NUMBERS  16 /* sources of one owner's, at once */
#define FETCH_OWNERS_NUMBERS 32 /* and of all of them */
#define FETCH_PLACES_MAX 32 /* of one object */

/*
 * Immutable, reference counted, any thread; for one struct fetch. Of several places on one source (see above) the first
 * that has what is asked for is asked.
 *
 * The number of a source that they made (in chunk(), in a result, a bit of `excluded`, fetch_blame()) means that
 * one as long as they are held. So hold them from the request until nothing that came of it is to be blamed or
 * excluded any more, and no longer: what is held keeps its sources' numbers from others.
 */
struct fetch_places;

/* PLACES are copied, their groups referenced. -E2BIG: more than FETCH_PLACES_MAX. */
int must_check fetch_places_new(const struct fetch_place *places, size_t n, struct fetch_places **out);
struct fetch_places *fetch_places_ref(struct fetch_places *places); /* NULL is allowed, and returned */
void fetch_places_unref(struct fetch_places *places);		    /* NULL is allowed */

/* ---- fetching ---- */

/*
 * Starts the thread. 0 or -errno; a file that cannot be read or parsed is logged by name and line.
 * curl_global_init() is done here, so call it before other threads exist.
 */
int must_check fetch_new(const struct fetch_options *options, struct fetch **out);
/*
 * Ends every request with -ECANCELED, then the thread. A request that is submitted later is answered so at once, on
 * the thread that submits it. NULL is allowed.
 */
void fetch_stop(struct fetch *fetch);
/* fetch_stop(), and the memory. NULL is allowed. */
void fetch_free(struct fetch *fetch);

enum fetch_kind {
	FETCH_SIZE,   /* how long is the object? One ranged GET of its first byte (HEAD is often not allowed) */
	FETCH_FRONT,  /* the first SIZE bytes of the tree file, or all of it if it is shorter */
	FETCH_CHUNKS, /* chunks FIRST … FIRST + COUNT - 1 of an object of SIZE bytes, in order */
};

struct fetch_result {
	int error;             /* 0; -ENOENT: every source said 404 or 410, or knows no such name;
				  -EIO: no source is left; -ECANCELED: not wanted, or fetch_free() */
	const char *message;   /* "source lab: HTTP 503": the last failure; "" if none. Valid in done() */
	unsigned int source;   /* FETCH_SIZE, FETCH_FRONT: who answered */
	uint64_t size;         /* FETCH_SIZE */
	const void *front;     /* FETCH_FRONT: valid in done(); NULL without a byte */
	size_t front_len;      /* <= request->size */
};

struct fetch_request;

/* All on the fetch thread, none with a lock of fetch held; they must not block. */
struct fetch_ops {
	/*
	 * FETCH_CHUNKS: one whole chunk, unverified. BUFFER is from the pool and now the callee's to put
	 * back. A chunk is delivered at most once per request.
	 */
	void (*chunk)(struct fetch_request *request, uint64_t index, void *buffer, size_t len,
		      unsigned int source);
	/*
	 * Does anybody still wait? Asked before a transfer starts or is retried, and about once a
	 * second while one makes no progress (or, if it is `watched`, always). false ends the request with -ECANCELED.
	 */
	bool (*wanted)(struct fetch_request *request);
	/* The last call; the request is the caller's again and may be freed here. */
	void (*done)(struct fetch_request *request, const struct fetch_result *result);
};

/* Filled by the caller, embedded in a structure of its own, constant until done(). */
struct fetch_request {
	enum fetch_kind kind;
	const struct fetch_ops *ops;
	struct digest_pair digests; /* a source whose template needs an unknown one is not asked */
	uint64_t size;              /* FETCH_FRONT: bytes at most, <= FETCH_FRONT_MAX; FETCH_CHUNKS: of the object */
	uint64_t first, count;      /* FETCH_CHUNKS: 1 … FETCH_CHUNKS_MAX of them */
	uint64_t excluded;          /* bit N: do not ask source N */
	struct fetch_places *places; /* the object's own, tried beside the sources by the same rules; NULL: none. The
					request's: it is unref'd by whoever made it, in done() or later */
	bool of_owner;              /* of the places only those that all are told of, and those of OWNER: */
	uint32_t owner;             /* as of a place; 0: nobody's */
	bool watched;               /* wanted() is asked every second, whether it makes progress or not */
	uint32_t party;             /* redirects are kept for each party on its own, so that none notices by the time what
				       another has asked for */
	atomic_bool demanded;       /* a reader is blocked on it: see fetch_demand() */
	struct fetch_request *next; /* fetch's: the queue of submissions, so that submitting cannot fail */
};

/*
 * Queue a request; any thread, also from the callbacks; never fails (no memory: done() with -ENOMEM).
 *
 * Demanded ones start first, then those ahead of their readers, each in the order of submission; FETCH_SIZE and
 * FETCH_FRONT count as demanded. How many run at once is learned for each source: as many as bring more
 * bytes, and fewer than it refuses. A few connections and buffers are kept for demanded ones. A request that
 * ran already is not cut off for another, so it should not be longer than fetch_run_chunks() says.
 */
void fetch_submit(struct fetch *fetch, struct fetch_request *request);

/*
 * A reader is blocked on REQUEST from now on. Any thread, also before it is submitted; takes no lock, so it may be
 * called with one held, and has to be where nothing else keeps REQUEST from being done() with. True if that is
 * new: then fetch_hurry() is due, without a lock held, once for any number of requests.
 */
static inline bool must_check fetch_demand(struct fetch_request *request)
{
	return !atomic_exchange(&request->demanded, true);
}
void fetch_hurry(struct fetch *fetch);

/*
 * How many chunks one request should ask for, 1 … FETCH_CHUNKS_MAX, by somebody who is about to ask for COUNT
 * chunks: so many that a round trip does not weigh, and so few that all connections that are worth
 * using have something to do and no run takes much more than a third of a second (or seven round trips). Any
 * thread, at no cost.
 */
uint64_t fetch_run_chunks(struct fetch *fetch, uint64_t count);
/*
 * How many chunks should be asked for and not yet here, so that the connections that are worth using are not kept
 * waiting by round trips: few on a short link. They need no memory before they come. Any thread, at no cost.
 */
uint64_t fetch_window_chunks(struct fetch *fetch);

/*
 * Source SOURCE served bytes that did not verify. It is tried last from now on, and after 3 lies left
 * alone for ten minutes. Any thread. Logged here, with WHAT (digest and chunk).
 */
void fetch_blame(struct fetch *fetch, unsigned int source, const char *what);

/* For status and explain. Any thread. */
struct fetch_source_state {
	char name[FETCH_NAME_SIZE]; /* "lab"; of one that places made: "catalog hub: models.example" */
	bool configured;           /* else that it is there tells what somebody asked for */
	uint64_t requests, bytes;  /* sent; body bytes received */
	uint64_t errors, lies;
	int64_t alone_ms;          /* for how long it is left alone because of these; 0: it is not */
	unsigned int limit;        /* how many transfers at once it is thought to be worth now */
	uint64_t rate;             /* bytes a second, when it was last in use; 0: never was */
	int64_t rtt_us;            /* from a request to its answer, about the shortest; 0: none yet */
	char last_error[FETCH_MESSAGE_SIZE]; /* "" if none, or if it answered as it should since; a lie stays */
};
/* Those of the configuration first, by their order there, then those that places made; it only grows. */
size_t fetch_source_count(const struct fetch *fetch);
void fetch_source_state(struct fetch *fetch, unsigned int source, struct fetch_source_state *out);

#endif
