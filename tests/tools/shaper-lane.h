/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a connection through the shaper: bytes go in when the sender has them, and come
 * out when a link of a given rate and delay would have carried them. The link is busy with one byte
 * after the other at its rate; each then takes the delay to arrive.
 *
 * A ring of bytes and, beside it, a queue of marks, which say until where the stream has arrived by
 * when. Positions count bytes of the stream: sent <= arrived <= received. One thread.
 */
#ifndef TESTS_TOOLS_SHAPER_LANE_H
#define TESTS_TOOLS_SHAPER_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/cleanup.h"

#define LANE_MARKS 512

struct lane_mark {
	uint64_t end;
	int64_t due; /* ns of CLOCK_MONOTONIC, as all times here */
};

struct lane {
	int from, to;  /* sockets that do not block; the caller's */
	uint64_t rate; /* bytes a second */
	int64_t delay;
	int64_t free_at; /* when the link can take the next byte */
	char *ring;
	size_t room;
	uint64_t received, arrived, sent;
	struct lane_mark marks[LANE_MARKS];
	unsigned first_mark, marks_used;
	bool readable; /* FROM may have something; cleared by lane_receive() */
	bool blocked;  /* TO took no more; the caller clears it when it does again */
	bool ended;    /* FROM has sent everything */
	bool closed;   /* and TO was told so */
};

/* OPEN_AT: when the link takes its first byte. 0 or -ENOMEM. */
int must_check lane_init(struct lane *lane, uint64_t rate, int64_t delay, int64_t open_at);
void lane_free(struct lane *lane);

/* Takes what FROM has, as far as there is room. 0, or -errno of a connection that broke. */
int must_check lane_receive(struct lane *lane, int64_t now);
/* Gives TO what has arrived by NOW, and the end after the last byte. 0 or -errno. */
int must_check lane_send(struct lane *lane, int64_t now);
/* When something will arrive; INT64_MAX if there is nothing on the way or TO takes nothing. */
int64_t lane_next(const struct lane *lane);

#endif
