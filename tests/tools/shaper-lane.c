/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/tools/shaper-lane.h"

#include <sys/socket.h>

#define NS_PER_S INT64_C(1000000000)
/* What a router on the way would hold, on top of what is in flight. */
#define QUEUE (512 << 10)
/* At most so much is looked at as one piece: 2.6 ms of a link of 25 MB/s. */
#define PIECE (64 << 10)

int lane_init(struct lane *lane, uint64_t rate, int64_t delay, int64_t open_at)
{
	lane->rate = rate;
	lane->delay = delay;
	lane->free_at = open_at;
	lane->room = (size_t)(rate * (uint64_t)delay / NS_PER_S) + QUEUE;
	lane->ring = malloc(lane->room);
	return lane->ring ? 0 : -ENOMEM;
}

void lane_free(struct lane *lane)
{
	free(lane->ring);
	lane->ring = NULL;
}

/* LEN more bytes, or none at the end of the stream, were put on the link. */
static void set_out(struct lane *lane, size_t len, int64_t now)
{
	int64_t begin = now > lane->free_at ? now : lane->free_at;
	struct lane_mark *mark;

	lane->free_at = begin + (int64_t)(len * (uint64_t)NS_PER_S / lane->rate);
	lane->received += len;
	/* Out of marks, bytes arrive with those that were sent after them. */
	if (lane->marks_used < LANE_MARKS)
		lane->marks_used++;
	mark = &lane->marks[(lane->first_mark + lane->marks_used - 1) % LANE_MARKS];
	*mark = (struct lane_mark){.end = lane->received, .due = lane->free_at + lane->delay};
}

int lane_receive(struct lane *lane, int64_t now)
{
	while (lane->readable && !lane->ended) {
		size_t at = lane->received % lane->room;
		size_t space = lane->room - (size_t)(lane->received - lane->sent);
		size_t len = lane->room - at;
		ssize_t n;

		len = len < space ? len : space;
		len = len < PIECE ? len : PIECE;
		if (len == 0)
			return 0;
		n = recv(lane->from, lane->ring + at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n < 0) {
			lane->readable = false;
			return 0;
		}
		lane->ended = n == 0;
		set_out(lane, (size_t)n, now);
	}
	return 0;
}

int lane_send(struct lane *lane, int64_t now)
{
	while (lane->marks_used > 0 && lane->marks[lane->first_mark].due <= now) {
		lane->arrived = lane->marks[lane->first_mark].end;
		lane->first_mark = (lane->first_mark + 1) % LANE_MARKS;
		lane->marks_used--;
	}
	while (lane->sent < lane->arrived && !lane->blocked) {
		size_t at = lane->sent % lane->room;
		size_t len = lane->room - at;
		ssize_t n;

		if (len > lane->arrived - lane->sent)
			len = (size_t)(lane->arrived - lane->sent);
		n = send(lane->to, lane->ring + at, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n < 0)
			lane->blocked = true;
		else
			lane->sent += (uint64_t)n;
	}
	if (lane->ended && !lane->closed && lane->marks_used == 0 && lane->sent == lane->received) {
		shutdown(lane->to, SHUT_WR);
		lane->closed = true;
	}
	return 0;
}

int64_t lane_next(const struct lane *lane)
{
	return lane->marks_used == 0 || lane->blocked ? INT64_MAX
						      : lane->marks[lane->first_mark].due;
}
