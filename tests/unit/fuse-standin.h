/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for the few functions of libfuse that parked requests use. It frees a request as
 * libfuse does, on its answer, and keeps its lock during the interrupt callback as libfuse does, so
 * that the sanitizers see a request that is touched too late.
 */
#ifndef TESTS_UNIT_FUSE_STANDIN_H
#define TESTS_UNIT_FUSE_STANDIN_H

#include "fs/fs.h"

/* What became of one request. Outlives it. */
struct outcome {
	fuse_req_t request; /* NULL: answered and gone; protected by the stand-in's lock */
	atomic_uint answers;
	atomic_uint
		harmful; /* answers from within fuse_req_interrupt_func(): libfuse frees its lock */
	atomic_int error; /* of the last answer */
	char *data;	  /* the bytes of fuse_reply_buf(), to be freed */
	size_t length;
};

/* A request of thread CALLER. */
fuse_req_t standin_request(struct weightfs *fs, pid_t caller, struct outcome *outcome);
/* The kernel's INTERRUPT, if the request is still there. Once a request. */
void standin_interrupt(struct outcome *outcome);

/* Waits until it was answered: 20 s, then false. */
bool standin_wait(struct outcome *outcome);

#endif
