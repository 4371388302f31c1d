/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A long link, imitated: a TCP proxy on a loopback port with a delay each way and a rate for each
 * connection and direction.
 *
 *	shaper PORT RATE DELAY		to 127.0.0.1:PORT; bytes a second; milliseconds one way
 *
 * Prints `port N` when it listens, ends when stdin ends, and then prints a JSON object of what it
 * has seen. What the first request of a connection would wait for the handshake, a round trip, is
 * added to it: loopback's own takes no time. Slow start, loss and queues shared between connections
 * are not imitated. One thread; sockets are edge-triggered.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include "common/log.h"
#include "tests/tools/shaper-lane.h"

/* Bytes that arrive within one are sent together: a wakeup for each would cost more than the copy. */
#define TICK   INT64_C(500000)
#define EVENTS 128

struct connection {
	struct lane up, down; /* client → server, server → client */
	struct connection *next;
};

struct shaper {
	uint16_t port;
	uint64_t rate;
	int64_t delay;
	int epoll, listener;
	struct connection *connections;
	unsigned open, most_open, accepted;
	uint64_t bytes; /* from the server */
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* The API's own way to pass any kind of address by one pointer. */
union address {
	struct sockaddr any;
	struct sockaddr_in in;
};

static union address loopback(uint16_t port)
{
	return (union address){.in = {.sin_family = AF_INET,
				      .sin_port = htons(port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
}

static int watch(struct shaper *shaper, int fd, uint32_t events, void *data)
{
	struct epoll_event event = {.events = events, .data.ptr = data};

	return epoll_ctl(shaper->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int listen_on(struct shaper *shaper, uint16_t *port)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	union address address = loopback(0);
	socklen_t len = sizeof(address);

	if (fd < 0 || bind(fd, &address.any, sizeof(address)) < 0 || listen(fd, 1024) < 0 ||
	    getsockname(fd, &address.any, &len) < 0)
		return -errno;
	*port = ntohs(address.in.sin_port);
	shaper->listener = steal_fd(&fd);
	return 0;
}

/* Blocks, but not for long: it is this machine. */
static int connect_to(uint16_t port)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	union address address = loopback(port);
	int on = 1;

	if (fd < 0 || connect(fd, &address.any, sizeof(address)) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* ---- connections ---------------------------------------------------------------------------- */

/* Takes CLIENT and SERVER over, in any case. */
static int add_connection(struct shaper *shaper, int client, int server)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
	int64_t open_at = now_ns() + 2 * shaper->delay; /* the handshake */
	int r = connection ? 0 : -ENOMEM;

	if (r == 0) {
		connection->up = (struct lane){.from = client, .to = server};
		connection->down = (struct lane){.from = server, .to = client};
		r = lane_init(&connection->up, shaper->rate, shaper->delay, open_at);
	}
	if (r == 0)
		r = lane_init(&connection->down, shaper->rate, shaper->delay, open_at);
	if (r == 0)
		r = watch(shaper, client, events, connection);
	if (r == 0)
		r = watch(shaper, server, events, connection);
	if (r < 0) {
		if (connection) {
			lane_free(&connection->up);
			lane_free(&connection->down);
		}
		free(connection);
		close(client);
		close(server);
		return r;
	}
	connection->next = shaper->connections;
	shaper->connections = connection;
	shaper->accepted++;
	if (++shaper->open > shaper->most_open)
		shaper->most_open = shaper->open;
	return 0;
}

static void accept_all(struct shaper *shaper)
{
	int client, server, on = 1;

	while ((client = accept4(shaper->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >=
	       0) {
		server = connect_to(shaper->port);
		if (server < 0) {
			log_error_errno(server, "port %u", shaper->port);
			close(client);
			continue;
		}
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (add_connection(shaper, client, server) < 0)
			log_error("a connection is refused: no memory");
	}
}

static void close_connection(struct shaper *shaper, struct connection *connection)
{
	shaper->bytes += connection->down.sent;
	shaper->open--;
	close(connection->up.from);
	close(connection->up.to);
	lane_free(&connection->up);
	lane_free(&connection->down);
	free(connection);
}

/* False when the connection has ended, one way or the other. */
static bool carry(struct connection *connection, int64_t now)
{
	struct lane *lanes[] = {&connection->up, &connection->down};

	for (size_t i = 0; i < ARRAY_SIZE(lanes); i++) {
		/* Twice: sending makes room, and an edge that found none does not come again. */
		if (lane_receive(lanes[i], now) < 0 || lane_send(lanes[i], now) < 0 ||
		    lane_receive(lanes[i], now) < 0)
			return false;
	}
	return !connection->up.closed || !connection->down.closed;
}

/* Moves everything that is due. Returns when there will be more of it. */
static int64_t carry_all(struct shaper *shaper)
{
	struct connection **link = &shaper->connections;
	int64_t now = now_ns(), next = INT64_MAX;

	while (*link) {
		struct connection *connection = *link;

		if (carry(connection, now)) {
			int64_t up = lane_next(&connection->up),
				down = lane_next(&connection->down);

			next = up < next ? up : next;
			next = down < next ? down : next;
			link = &connection->next;
		} else {
			*link = connection->next;
			close_connection(shaper, connection);
		}
	}
	return next;
}

/* ---- the loop ------------------------------------------------------------------------------- */

static int wait_for_events(struct shaper *shaper, struct epoll_event *events, int64_t until)
{
	int64_t left = until - now_ns();
	struct timespec ts;
	int n;

	if (until != INT64_MAX)
		left = (left > 0 ? (left + TICK - 1) / TICK : 0) * TICK;
	ts = (struct timespec){.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
	n = epoll_pwait2(shaper->epoll, events, EVENTS, until == INT64_MAX ? NULL : &ts, NULL);
	return n < 0 ? -errno : n;
}

/* Until stdin ends. Connections are freed only between two batches of events, which name them. */
static int run(struct shaper *shaper)
{
	struct epoll_event events[EVENTS];
	int64_t next = INT64_MAX;

	for (;;) {
		int n = wait_for_events(shaper, events, next);

		if (n < 0 && n != -EINTR)
			return n;
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			char c;

			if (events[i].data.ptr == shaper) {
				accept_all(shaper);
			} else if (connection) {
				connection->up.readable = connection->down.readable = true;
				connection->up.blocked = connection->down.blocked = false;
			} else if (read(STDIN_FILENO, &c, 1) <= 0) {
				return 0;
			}
		}
		next = carry_all(shaper);
	}
}

static void report(struct shaper *shaper)
{
	struct rusage usage;
	double cpu;

	while (shaper->connections) {
		struct connection *connection = shaper->connections;

		shaper->connections = connection->next;
		close_connection(shaper, connection);
	}
	getrusage(RUSAGE_SELF, &usage);
	cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	printf("{\"connections\":%u,\"at_once\":%u,\"bytes\":%" PRIu64 ",\"cpu_seconds\":%.3f}\n",
	       shaper->accepted, shaper->most_open, shaper->bytes, cpu);
}

int main(int argc, char **argv)
{
	struct shaper shaper = {.listener = -1};
	uint16_t port = 0;
	int r;

	if (argc == 4) {
		shaper.port = (uint16_t)strtoul(argv[1], NULL, 10);
		shaper.rate = strtoull(argv[2], NULL, 10);
		shaper.delay = (int64_t)(strtod(argv[3], NULL) * 1e6);
	}
	if (shaper.port == 0 || shaper.rate == 0 || shaper.delay < 0) {
		fprintf(stderr, "usage: %s PORT RATE DELAY\n", argv[0]);
		return 2;
	}
	shaper.epoll = epoll_create1(EPOLL_CLOEXEC);
	r = shaper.epoll < 0 ? -errno : listen_on(&shaper, &port);
	if (r == 0)
		r = watch(&shaper, shaper.listener, EPOLLIN, &shaper);
	if (r == 0)
		r = watch(&shaper, STDIN_FILENO, EPOLLIN, NULL);
	if (r == 0) {
		printf("port %u\n", port);
		fflush(stdout);
		r = run(&shaper);
	}
	if (r < 0)
		return log_error_errno(r, "shaper") < 0;
	report(&shaper);
	return 0;
}
