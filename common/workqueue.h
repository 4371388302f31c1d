/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small pool of threads that run work items in the order they were submitted.
 *
 * Items are part of their owner's structure, so submitting allocates nothing and cannot fail; what
 * bounds the queue is the number of owners (for chunks: the buffer pool). Any thread may submit,
 * also from within an item.
 */
#ifndef COMMON_WORKQUEUE_H
#define COMMON_WORKQUEUE_H

#include "common/cleanup.h"

struct workqueue;

struct work {
	/* Runs once per submission, on a worker. The item belongs to it: it may free it. */
	void (*run)(struct work *work);
	struct work *next; /* the queue's */
};

/* THREADS workers, named NAME (at most 15 bytes). Returns 0 or -errno. */
int must_check workqueue_new(unsigned int threads, const char *name, struct workqueue **out);
/* Runs all that was submitted, also what that submits, then ends the threads. NULL is allowed. */
void workqueue_free(struct workqueue *queue);

void workqueue_submit(struct workqueue *queue, struct work *work);

#endif
