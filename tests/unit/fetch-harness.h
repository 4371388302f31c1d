/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of fetch/ share: the hostile server as a child process, a fetch with sources that
 * point at it, and a request that collects what comes. Everything waits with a deadline.
 */
#ifndef TESTS_UNIT_FETCH_HARNESS_H
#define TESTS_UNIT_FETCH_HARNESS_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <cmocka.h>
#include "fetch/fetch.h"

#define OBJECT_CHUNKS 6
#define OBJECT_SIZE   (5 * CHUNK_SIZE + 12345)
#define TREE_SIZE     ((uint64_t)9000)
#define DEADLINE_MS   30000

struct server {
	pid_t pid;
	int in, out;   /* its standard input and output */
	char base[64]; /* http://127.0.0.1:PORT */
};

/* The folder with the served files: `object` and `object.tree`; and the digests that name them. */
struct world {
	char root[64];
	char *object, *tree;
	struct digest_pair digests;
	struct server server, tls;
};

extern struct world world;

/* Arguments behind --root, ended by NULL. */
void server_start(struct server *server, const char *const args[]);
void server_stop(struct server *server);
/* The server's log, to be freed; and reset. */
char *server_log(const struct server *server);
/* How often is WHAT in it? */
unsigned int server_count(const struct server *server, const char *what);
void server_reset(const struct server *server);

int world_set_up(void **state);
/* With world.tls, whose certificate is for 127.0.0.1 and from the CA in ca.pem. */
int world_set_up_tls(void **state);
int world_tear_down(void **state);

struct bed {
	struct pool *pool;
	struct fetch *fetch;
	size_t n;
	char urls[8][512], trees[8][512];
	struct fetch_source sources[8];
	struct fetch_options options;
};

/* Short timeouts, 4 connections, POOL buffers. */
void bed_init(struct bed *bed, size_t pool);
/* A source at MANNER of SERVER, http and private addresses allowed; change it before bed_start().
 */
struct fetch_source *bed_add(struct bed *bed, const struct server *server, const char *manner);
void bed_start(struct bed *bed);
void bed_end(struct bed *bed);

struct sink {
	struct fetch_request request;
	struct bed *bed;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool keep;	    /* chunk buffers are not put back but by sink_release() */
	bool unwanted;	    /* what wanted() denies */
	unsigned int asked; /* how often */
	bool done;
	char *bytes; /* of the object, from the first chunk on */
	unsigned int chunks, wrong, per_source[FETCH_SOURCES_MAX];
	void *kept[64];
	unsigned int n_kept;
	bool front_right;
	struct fetch_result result;
	char message[FETCH_MESSAGE_SIZE];
};

void sink_init(struct sink *sink, struct bed *bed, enum fetch_kind kind);
void sink_chunks(struct sink *sink, struct bed *bed, uint64_t first, uint64_t count);
/* Until done(), or the test fails. */
void sink_wait(struct sink *sink);
void sink_wait_chunks(struct sink *sink, unsigned int chunks);
void sink_release(struct sink *sink);
void sink_run(struct sink *sink);
/* It ended well, with every chunk that was asked for. */
void sink_assert_good(const struct sink *sink);
void sink_destroy(struct sink *sink);
/* Gets the whole object through BED; returns the error. All bytes must be right if it is 0. */
int bed_get(struct bed *bed, char message[FETCH_MESSAGE_SIZE]);
/* N requests at once, of three chunks each that others ask for, too. All bytes of all must be right. */
void bed_get_parts(struct bed *bed, size_t n);
int bed_ask(struct bed *bed, enum fetch_kind kind, struct sink *sink);

#endif
