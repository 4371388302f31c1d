/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side. One thread accepts; each conversation has a thread of its own, at most CLIENTS_MAX, and
 * an idle one is closed after IDLE_SECONDS, so that nobody can occupy the socket.
 */
#include "fs/control.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "common/clock.h"
#include "common/log.h"
#include "fs/operations.h"

#define CLIENTS_MAX     16
#define CLIENTS_PER_UID 4 /* of users who are not root and do not own the store */
#define IDLE_SECONDS    10
#define BUSY_MS         100 /* before accepting again when there are no descriptors */
#define REQUEST_MAX     65536

struct control {
	struct weightfs *fs;
	char *path;
	int listener, stop; /* stop: an eventfd */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	struct {
		int fd; /* -1: free */
		uid_t uid;
	} clients[CLIENTS_MAX];   /* protected by lock: conversations */
	unsigned int n_clients;   /* protected by lock */
};

struct conversation {
	struct control *control;
	int fd;
	unsigned int slot;
	FILE *out;
};

static bool is_privileged(uid_t uid)
{
	return uid == 0 || uid == getuid();
}

/* ---- one conversation ---- */

static int emit(struct operation *operation, json_t *line)
{
	struct conversation *conversation = operation->arg;
	int r;

	if (!line)
		return -ENOMEM;
	if (atomic_load(&conversation->control->fs->stopping)) {
		json_decref(line);
		return -ECANCELED;
	}
	r = json_dumpf(line, conversation->out, JSON_COMPACT);
	json_decref(line);
	if (r < 0 || fputc('\n', conversation->out) == EOF || fflush(conversation->out) == EOF)
		return -EPIPE;
	return 0;
}

/* The last descriptor of HEADER into *PASSED; however many came, no other stays open. */
static void take_descriptors(struct cmsghdr *header, int *passed)
{
	size_t count;

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
		return;
	count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (size_t i = 0; i < count; i++) {
		cleanup_close(passed);
		memcpy(passed, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
	}
}

/*
 * One line, without its newline; the descriptor that came with it, or -1. 0, -ENODATA at the end of
 * the stream, or -errno: all of it has to come within IDLE_SECONDS.
 */
static int receive(int fd, char *line, size_t size, int *passed)
{
	int64_t deadline = clock_ms() + IDLE_SECONDS * 1000;
	size_t used = 0;

	*passed = -1;
	while (used < size && clock_ms() < deadline) {
		union {
			struct cmsghdr header;
			char space[CMSG_SPACE(sizeof(int))];
		} ancillary;
		struct iovec iov = { line + used, size - used };
		struct msghdr message = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &ancillary,
			.msg_controllen = sizeof(ancillary),
		};
		ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
		char *end;

		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		take_descriptors(CMSG_FIRSTHDR(&message), passed);
		end = memchr(line + used, '\n', (size_t)n);
		used += (size_t)n;
		if (end) {
			*end = '\0';
			return 0;
		}
	}
	return used < size ? -ETIMEDOUT : -EMSGSIZE;
}

/* GROUPS has room for ACCESS_GROUPS_MAX. */
static void identify(int fd, struct operation *operation, gid_t *groups)
{
	struct ucred peer;
	socklen_t len = sizeof(peer), groups_size = ACCESS_GROUPS_MAX * sizeof(gid_t);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &groups_size) < 0)
		groups_size = 0;
	operation->caller = (struct policy_caller){
		.identified = peer.pid != 0,
		.uid = peer.uid,
		.gid = peer.gid,
		.groups = groups,
		.n_groups = groups_size / sizeof(gid_t),
	};
	operation->privileged = is_privileged(peer.uid);
}

static void serve(struct conversation *conversation, const char *line, int passed)
{
	struct weightfs *fs = conversation->control->fs;
	struct operation operation = {
		.store = fs->store,
		.fs = fs,
		.fd = passed,
		.emit = emit,
		.arg = conversation,
	};
	gid_t groups[ACCESS_GROUPS_MAX];
	json_t *last;
	int r;

	identify(conversation->fd, &operation, groups);
	operation.policy = policy_slot_get(fs->policy);
	operation.request = json_loads(line, 0, NULL);
	if (json_is_object(operation.request))
		r = operation_run(&operation);
	else
		r = operation_fail(&operation, -EINVAL, "the request is not a JSON object");
	if (r < 0)
		last = json_pack("{s:s, s:i}", "error",
				 operation.message[0] ? operation.message : strerror(-r), "errno",
				 -r);
	else
		last = json_pack("{s:b}", "done", 1);
	/* A message that is no UTF-8 makes no JSON, but there is always an answer. */
	if (!last)
		last = json_pack("{s:s, s:i}", "error", "it failed", "errno", r < 0 ? -r : EIO);
	emit(&operation, last);
	json_decref(operation.request);
	policy_unref(operation.policy);
}

/* ---- accepting ---- */

/* A free slot for a client of UID, now FD's; CLIENTS_MAX if there is none, or it has enough. */
static unsigned int take_slot(struct control *control, int fd, uid_t uid)
{
	unsigned int slot = CLIENTS_MAX, of_uid = 0;

	pthread_mutex_lock(&control->lock);
	for (unsigned int i = 0; i < CLIENTS_MAX; i++) {
		if (control->clients[i].fd < 0)
			slot = i;
		else if (control->clients[i].uid == uid)
			of_uid++;
	}
	if (!is_privileged(uid) && of_uid >= CLIENTS_PER_UID)
		slot = CLIENTS_MAX;
	if (slot < CLIENTS_MAX) {
		control->clients[slot].fd = fd;
		control->clients[slot].uid = uid;
		control->n_clients++;
	}
	pthread_mutex_unlock(&control->lock);
	return slot;
}

/* The conversation is over: its slot is free, its socket closed, and it is gone. */
static void end(struct conversation *conversation)
{
	struct control *control = conversation->control;

	pthread_mutex_lock(&control->lock);
	control->clients[conversation->slot].fd = -1;
	if (conversation->out)
		fclose(conversation->out);
	else
		close(conversation->fd);
	control->n_clients--;
	pthread_cond_signal(&control->ended);
	pthread_mutex_unlock(&control->lock);
	free(conversation);
}

static void *converse(void *arg)
{
	struct conversation *conversation = arg;
	char *line = malloc(REQUEST_MAX);

	pthread_setname_np(pthread_self(), "control-client");
	while (line && conversation->out) {
		_cleanup_close_ int passed = -1;

		if (receive(conversation->fd, line, REQUEST_MAX, &passed) < 0)
			break;
		serve(conversation, line, passed);
	}
	free(line);
	end(conversation);
	return NULL;
}

/* Takes over FD. */
static void begin(struct control *control, int fd)
{
	const struct timeval idle = { .tv_sec = IDLE_SECONDS };
	struct conversation *conversation = calloc(1, sizeof(*conversation));
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);
	pthread_t thread;
	unsigned int slot = CLIENTS_MAX;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof(idle));
	if (conversation && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		slot = take_slot(control, fd, peer.uid);
	if (slot == CLIENTS_MAX) {
		free(conversation);
		close(fd);
		return;
	}
	*conversation = (struct conversation){ control, fd, slot, fdopen(fd, "w") };
	if (pthread_create(&thread, NULL, converse, conversation) == 0)
		pthread_detach(thread);
	else
		end(conversation);
}

static void *accept_loop(void *arg)
{
	struct control *control = arg;
	struct pollfd polls[] = {
		{ .fd = control->listener, .events = POLLIN },
		{ .fd = control->stop, .events = POLLIN },
	};

	pthread_setname_np(pthread_self(), "control");
	for (;;) {
		int fd;

		if (poll(polls, ARRAY_SIZE(polls), -1) < 0 && errno != EINTR)
			return NULL;
		if (polls[1].revents)
			return NULL;
		fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			begin(control, fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			poll(&polls[1], 1, BUSY_MS); /* the client waits, and so does this thread */
	}
}

/* The folder of the socket, for all to enter. */
static int make_folder(const char *path)
{
	_cleanup_free_ char *folder = strdup(path);

	if (!folder)
		return -ENOMEM;
	*strrchr(folder, '/') = '\0';
	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int listen_at(const char *path)
{
	_cleanup_close_ int folder = -1;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	union control_address address;
	int r;

	r = fd < 0 ? -errno : control_address(path, &folder, &address);
	if (r < 0)
		return r;
	/* A live daemon answers; what a dead one left behind refuses, and is in the way. */
	if (connect(fd, &address.any, sizeof(address.local)) == 0 ||
	    (errno != ECONNREFUSED && errno != ENOENT))
		return -EADDRINUSE;
	unlink(path);
	if (bind(fd, &address.any, sizeof(address.local)) < 0 || chmod(path, 0666) < 0 ||
	    listen(fd, 16) < 0)
		return -errno;
	return steal_fd(&fd);
}

int control_new(struct weightfs *fs, const char *path, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return -ENOMEM;
	control->fs = fs;
	control->listener = control->stop = -1;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		control->clients[i].fd = -1;
	pthread_mutex_init(&control->lock, NULL);
	pthread_cond_init(&control->ended, NULL);
	control->path = strdup(path);
	r = control->path ? make_folder(path) : -ENOMEM;
	if (r == 0)
		r = control->listener = listen_at(path);
	if (r >= 0)
		r = control->stop = eventfd(0, EFD_CLOEXEC);
	if (r >= 0)
		r = -pthread_create(&control->thread, NULL, accept_loop, control);
	control->started = r == 0;
	if (r < 0) {
		log_error_errno(r, "%s: the control socket cannot be made", path);
		control_free(control);
		return r;
	}
	*out = control;
	return 0;
}

const char *control_path(const struct control *control)
{
	return control->path;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	if (control->started) {
		if (eventfd_write(control->stop, 1) < 0)
			abort();
		pthread_join(control->thread, NULL);
		unlink(control->path);
	}
	pthread_mutex_lock(&control->lock);
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (control->clients[i].fd >= 0)
			shutdown(control->clients[i].fd, SHUT_RDWR);
	}
	while (control->n_clients > 0)
		pthread_cond_wait(&control->ended, &control->lock);
	pthread_mutex_unlock(&control->lock);
	if (control->listener >= 0)
		close(control->listener);
	if (control->stop >= 0)
		close(control->stop);
	pthread_mutex_destroy(&control->lock);
	pthread_cond_destroy(&control->ended);
	free(control->path);
	free(control);
}
