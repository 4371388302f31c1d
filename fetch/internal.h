/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of fetch/ share. Nobody else includes this.
 *
 *	template.c  URL templates
 *	places.c    groups, and the places of objects
 *	dynamic.c   sources that places make
 *	source.c    setting sources up, and the record of each: backoff, lies, counters
 *	token.c     tokens that registries want
 *	transfer.c  one HTTP exchange on a curl easy handle
 *	body.c      body bytes into pool buffers, and the pause when there is none
 *	outcome.c   what the end of an exchange means
 *	job.c       a request on its way: which source next, when, and the end
 *	pace.c      how many transfers at once a source is worth, and how long; pure
 *	schedule.c  which request gets the next connection
 *	loop.c      the thread
 *
 * Below them, without a struct fetch (exchange.h, document.h):
 *
 *	url.c       URLs: scheme rules, where a Location leads, who may see a source's headers
 *	address.c   which addresses may be connected to
 *	reply.c     header lines -> struct reply -> verdict; pure
 *	headers.c   header files
 *	challenge.c what a registry says of its tokens; pure
 *	exchange.c  what is common to every HTTP exchange
 *	document.c  one document, on the caller's thread
 *
 * Threads: fetch->lock guards the queue of submissions, and of every source what its comment says.
 * All the rest belongs to the fetch thread.
 */
#ifndef FETCH_INTERNAL_H
#define FETCH_INTERNAL_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include "fetch/exchange.h"
#include "fetch/fetch.h"

#define FETCH_BACKOFF_BASE   200		/* ms */
#define FETCH_BACKOFF_MAX    10000		/* ms */
#define FETCH_BARREN_MAX     5			/* broken answers in a row without a chunk */
#define FETCH_CHALLENGES_MAX 3 /* without a token, with one that has run out, with a new one */
#define FETCH_LIES_MAX	     3
#define FETCH_ALONE_MS	     (10 * 60 * 1000) /* how long a liar is left alone */
#define FETCH_DEMOTED_MS     10000	      /* how long a source that failed for good comes later */
#define FETCH_REDIRECTS_KEPT 64 /* a source */

/* --- template.c --- */

struct template {
	char *text; /* NULL: the source has none */
	bool sha256, fsverity; /* needs that digest */
};

/* 0, -EINVAL with the reason in MESSAGE, -ENOMEM. */
int must_check template_parse(const char *text, bool allow_http, struct template *out,
			      char message[FETCH_MESSAGE_SIZE]);
/* Does DIGESTS hold all that the template needs? */
bool template_applies(const struct template *template, const struct digest_pair *digests);
/* The URL, for the caller to free; NULL without memory. The template must apply. */
char *must_check template_expand(const struct template *template,
				 const struct digest_pair *digests);

/* --- places.c --- */

/* How some sources may be asked: a configured one has a group of its own. Immutable. */
struct fetch_group {
	atomic_uint refs;
	char *name;
	int priority;
	struct terms terms;
	bool token_challenge;
};

/* Would a source of A be the same as one of B? */
bool group_same(const struct fetch_group *a, const struct fetch_group *b);

/* Of a source's number: see dynamic.c. */
struct lease {
	atomic_uint refs;
	unsigned int source;
};

struct lease *lease_ref(struct lease *lease);
void lease_unref(struct lease *lease); /* NULL is allowed */

/* What fetch_places_new() copied. */
struct place {
	struct fetch_group *group;
	uint32_t owner;
	struct target {
		char *url;	     /* NULL: none */
		struct lease *lease; /* NULL: was not asked yet; the fetch thread's */
	} object, tree;
};

struct fetch_places {
	atomic_uint refs;
	size_t n;
	struct place list[];
};

int must_check group_of_source(const struct fetch_source *from, struct fetch_group **out);

/* --- pace.c --- */

/* A source as it is now. Times are in microseconds, of any clock that only goes forward. */
struct pace_sample {
	int64_t now;
	uint64_t bytes;	      /* of bodies, received so far */
	unsigned int active;  /* transfers running */
	unsigned int flowing; /* of those, the ones whose body comes */
	bool starved;	      /* one of them waits for a buffer */
};

enum pace_step { PACE_BASE, PACE_DOUBLE, PACE_RAISE, PACE_HALVE, PACE_LOWER, PACE_HOLD };

struct pace_measure {
	double rate;   /* bytes a second, of all transfers together */
	double active; /* how many there were in the mean */
};

#define PACE_WINDOWS 4

struct pace {
	unsigned int max, limit;
	int64_t rtt;	      /* us from a request to its answer, about the shortest; 0: none seen yet */
	double rate;	      /* bytes a second lately, while anything ran */
	double transfer_rate; /* of one transfer while its body comes; 0: not known yet */

	struct pace_sample last;
	struct pace_flow {
		int64_t time, transfer_time;
		uint64_t bytes;
	} flow;

	/* The measurement under way. */
	int64_t settled_at, told_at;
	struct pace_window {
		int64_t time, area; /* area: of the number of transfers over time */
		uint64_t bytes;
	} window;
	struct pace_measure windows[PACE_WINDOWS];
	unsigned int n_windows;

	/* The climb: what holds is the base, limit is what is tried. */
	enum pace_step step;
	struct pace_measure base;
	unsigned int base_limit;
	bool earned;	      /* the base was reached by doubling */
	bool undoubled;	      /* doubling it was not judged yet */
	bool lower_next;      /* the direction of the next probe in HOLD */
	unsigned int strange; /* measurements in a row that do not fit the base */
	int64_t due, hold;    /* end of the probe or of HOLD; how long HOLD lasts */

	unsigned int ceiling; /* more were refused; 0: none was */
	int64_t ceiling_until, ceiling_wait, refused_at;
};

/* MAX: transfers at once, 1 or more. */
void pace_init(struct pace *pace, unsigned int max);
/* To be called whenever something changed, and now and then. */
void pace_sample(struct pace *pace, const struct pace_sample *sample);
/* A request was answered after that many us. */
void pace_round_trip(struct pace *pace, int64_t us);
/* The source sent one away (429, 503, no connection) while OTHERS went on. */
void pace_refused(struct pace *pace, int64_t now, unsigned int others);
/* How many may run; a little more if the next one is demanded. */
unsigned int pace_limit(const struct pace *pace, bool demanded);
/* Chunks that one transfer should bring, 1 … FETCH_CHUNKS_MAX. */
unsigned int pace_run(const struct pace *pace);
/* Chunks that all transfers need ahead of them, so that round trips do not weigh: few where those are short. */
unsigned int pace_window(const struct pace *pace);

/* --- source.c --- */

/* A redirect that worked, kept until it is refused. */
struct redirect;
/* A bearer token for some URLs of a dynamic source. */
struct token;

struct source {
	/* Constant after set-up, but for a dynamic one that makes room for another: that is done under fetch->lock. */
	char *name, *label; /* "lab", and what messages call it: "source lab" */
	struct template url, tree;
	char *origin;	     /* of a dynamic one: see dynamic.c; NULL: it is configured */
	uint32_t owner;      /* the same: as of its places */
	struct lease *lease; /* of a dynamic one: its own */
	struct fetch_group *group;

	/* The fetch thread's. */
	unsigned int active;	  /* transfers running */
	unsigned int streak;	  /* transient failures since the last progress */
	int64_t retry_at;	  /* with a streak: not before, and then one transfer at a time */
	int64_t hold_until;	  /* Retry-After */
	int64_t demoted_until;	  /* failed for good lately: comes after the healthy ones */
	struct token *tokens;	    /* the oldest first */
	struct redirect *redirects; /* the oldest first */
	unsigned int n_redirects;
	uint64_t received; /* body bytes */
	uint64_t used; /* a dynamic one: by which job, lately */
	struct pace pace;
	struct pace_sample sample;
	int64_t moved_at, published_at; /* us: last bytes; when the figures below were set */

	/* Protected by fetch->lock. */
	uint64_t requests, bytes, errors, lies;
	int64_t alone_until; /* left alone for its lies */
	unsigned int limit; /* as the pace last said */
	uint64_t rate;
	int64_t rtt;
	char last_error[FETCH_MESSAGE_SIZE];
	bool error_passes; /* it is over with the next success */
};

/* CONNECTIONS: of all sources together. */
int must_check source_init(struct source *source, const struct fetch_source *from,
			   unsigned int connections);
/* A dynamic one. After an error source_destroy() is still due. */
int must_check source_init_dynamic(struct source *source, struct fetch_group *group,
				   const char *origin, unsigned int number, unsigned int connections);
void source_destroy(struct source *source);
/* 0 … what backoff after FAILURES in a row may be at most, in ms. */
int64_t backoff_limit(unsigned int failures);
/* A random delay up to that: "full jitter". */
int64_t backoff_delay(unsigned int failures);
/* The source answered as it should. */
void source_progress(struct source *source);
/* It failed in passing. True if this begins a streak. */
bool source_stumble(struct source *source, int64_t now, int64_t retry_after);
void source_lied(struct source *source, int64_t now);
/* When may the source be asked (now or earlier: at once)? INT64_MAX: when a transfer of it ends. */
int64_t source_ready_at(const struct source *source, int64_t now);
/* Is A to be asked before B, both being ready? Equal ones: the one that stands first. */
bool source_before(const struct source *a, const struct source *b, int64_t now);

/*
 * dynamic.c: the number of the source that TARGET, of PLACE, belongs to; TARGET has a lease of it from then on. -errno with MESSAGE: it
 * has none.
 */
int must_check dynamic_source(struct fetch *fetch, const struct place *place, struct target *target,
			      char message[FETCH_MESSAGE_SIZE]);

/* redirect.c: where URL led PARTY last time, valid until the next call; NULL: not known. */
const char *redirect_find(const struct source *source, uint32_t party, const char *url);
void redirect_keep(struct source *source, uint32_t party, const char *url, const char *target);
void redirect_forget(struct source *source, uint32_t party, const char *url);
void redirect_forget_all(struct source *source);

/* --- token.c --- */

struct transfer;
struct outcome;

/* The header with the token that PARTY has for URL; valid until the next call. NULL: none. */
const char *token_find(const struct source *source, uint32_t party, const char *url);
/*
 * TRANSFER ended with a challenge: its job may go on at once, or has a ticket to wait with; else OUTCOME becomes that of
 * its failure.
 */
void token_seek(struct transfer *transfer, struct outcome *outcome);
void token_tick(struct fetch *fetch, int64_t now);
/* Nobody waits any more for those of source NUMBER; -1: of all. */
void token_abandon(struct fetch *fetch, int number);
void token_forget_all(struct source *source);

/* --- job.c: a request on its way --- */

/* How one source did for one request. */
struct attempt {
	const char *url;       /* a place's; NULL: what the source's template gives */
	unsigned int failures; /* transient ones since the last chunk */
	unsigned int barren;   /* of those, the ones that had an answer */
	unsigned int challenges; /* without a chunk since */
	uint64_t ticket;	 /* a token that the realm is asked for; 0: none */
	int64_t retry_at;
};

struct job {
	struct fetch_request *request;
	struct job *prev, *next; /* in fetch->demanded or fetch->ahead, oldest request first */
	uint64_t sequence;
	bool demanded;	    /* a reader is blocked on it */
	bool tried;	    /* had a transfer */
	uint64_t delivered; /* chunks */
	uint64_t out;	    /* bit N: source N is out */
	uint64_t failed;    /* of those, the ones for which -ENOENT would be a lie */
	bool unusable;	    /* the same of a place that has no source */
	uint64_t size;	    /* FETCH_SIZE: the answer */
	void *front;	    /* FETCH_FRONT */
	size_t front_len;
	char message[FETCH_MESSAGE_SIZE];
	struct attempt attempts[]; /* one a source; without places, one a configured source */
};

enum outcome_kind {
	OUTCOME_DONE,
	OUTCOME_REDIRECT,
	OUTCOME_CHALLENGE,
	OUTCOME_MISSING,
	OUTCOME_TRANSIENT,
	OUTCOME_FINAL,
	OUTCOME_NO_MEMORY,
};

struct outcome {
	enum outcome_kind kind;
	bool answered;	     /* transient: after an answer that began well */
	bool sent_away;	     /* transient: by a source that may have been asked too much at once */
	bool flawed;	     /* done, and yet something was wrong: MESSAGE */
	int64_t retry_after; /* ms; 0: none */
	char message[FETCH_MESSAGE_SIZE];
};

struct job *must_check job_new(struct fetch *fetch, struct fetch_request *request, uint64_t sequence);
/* The source to ask now; or -EAGAIN and the time to look again; or -ENOENT: all are out. */
int must_check job_choose(struct fetch *fetch, struct job *job, int64_t now, int64_t *when);
/* Ends and frees the job. */
void job_end(struct fetch *fetch, struct job *job, int error, unsigned int source);
/* No source is left: which error is that? */
int job_verdict(const struct job *job);
/* Books a transfer's end, OUTCOME not being a redirect. True: the job is over, with *ERROR. */
bool must_check job_book(struct fetch *fetch, struct job *job, unsigned int source, bool progress,
			 const struct outcome *outcome, int *error);

/* --- transfer.c, body.c, outcome.c: one connection's worth of work --- */

struct transfer {
	struct fetch *fetch;
	struct exchange exchange; /* its origin_url: what the template gave */
	struct job *job; /* NULL: idle */
	unsigned int source;

	bool remembered; /* the URL is a kept redirect */
	struct curl_slist *token; /* what is sent instead of the group's credential; NULL */
	struct ask ask;
	struct verdict verdict; /* valid once the reply has ended */

	uint64_t taken;	  /* body bytes that went where they belong */
	uint64_t counted; /* of those, the ones in source->bytes */
	uint64_t surplus; /* body bytes of a reply whose body nobody needs */
	void *buffer;	  /* the chunk being assembled, or NULL */
	size_t filled;	  /* of it */
	size_t skip;	  /* bytes that curl will bring again and that were taken before the pause */
	bool paused;
	bool excess;	/* more came than was announced */
	bool no_memory;
	uint64_t paused_since; /* order of pausing, for fairness */
	unsigned int chunks;   /* delivered */
};

/* Starts on an idle slot. 0, or -ENOMEM and nothing happened. */
int must_check transfer_start(struct transfer *transfer, struct job *job, unsigned int source);
/* Goes on with the redirect in the reply, or from the beginning when a kept one was refused. */
int must_check transfer_follow(struct transfer *transfer);
/* Takes the handle out of the multi; the slot is idle again. The job is left to the caller. */
void transfer_stop(struct transfer *transfer);
/* Does its body come, as fast as it can? */
bool transfer_flows(const struct transfer *transfer);
/* Is there a buffer that it may have? Those ahead of their readers leave some to the others. */
bool transfer_may_fill(const struct transfer *transfer);
/* exchange.ended of a transfer. */
void transfer_ended(struct exchange *exchange, CURLcode code);
/* What has the end of the exchange brought? */
void transfer_outcome(struct transfer *transfer, CURLcode code, struct outcome *out);
/* Is it too slow? To be called about every FETCH_TICK_MS. *SLOW: less than the stall rate came. */
bool must_check transfer_stalled(struct transfer *transfer, int64_t now, bool *slow);
/* The write callback, and the bytes it took added to the source's count. */
size_t body_write(char *data, size_t one, size_t len, void *arg);
void body_count(struct transfer *transfer);

/* --- schedule.c --- */

/* A job waits for a connection. */
void schedule_add(struct fetch *fetch, struct job *job);
/* Moves those forward that a reader is blocked on since the last look. */
void schedule_promote(struct fetch *fetch);
/* Starts what can be started. */
void schedule_start(struct fetch *fetch);
/* Is there a job that fetch->schedule_at holds for? */
bool schedule_waits(struct fetch *fetch);
/* Ends those that nobody wants any more; or all. */
void schedule_tick(struct fetch *fetch);
void schedule_cancel(struct fetch *fetch);
/* Tells the paces how their sources do. */
void schedule_sample(struct fetch *fetch);

/* --- loop.c --- */

struct fetch {
	/* Constant. */
	struct pool *pool;
	int64_t connect_timeout, stall_timeout;
	unsigned int n_configured, n_transfers;
	size_t buffers_kept; /* for what is demanded */
	CURLM *multi;
	pthread_t thread;

	pthread_mutex_t lock;
	struct fetch_request *first, **last; /* submissions; protected by lock */
	bool stopping;			     /* protected by lock */
	bool blamed;			     /* a source lied since the last look; protected by lock */
	unsigned int n_sources;		     /* the configured ones first; written by the fetch thread, with lock */

	atomic_bool starved; /* a transfer waits for a buffer: wake the thread when one is freed */
	atomic_bool hurried; /* a request may have become demanded */
	/* For fetch_run_chunks(): of the source that was asked last, and chunks that were asked for. */
	atomic_uint run, limit, window;
	atomic_uint_fast64_t outstanding;

	/* The fetch thread's. */
	struct inquiry *inquiries; /* token.c */
	uint64_t tickets;
	struct job *demanded, *ahead; /* those without a transfer */
	uint64_t sequence, pauses;
	int64_t schedule_at; /* when there is something to start again */
	struct transfer *transfers;
	struct source *sources; /* see there; room for FETCH_SOURCES_MAX */
};

void *loop_run(void *arg);

#endif
