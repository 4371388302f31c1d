/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side. One thread accepts; each conversation has a thread of its own, at most CLIENTS_MAX, and
 * an idle one is closed after CONVERSATION_SECONDS, so that nobody can occupy the socket.
 */
#include "fs/control/control.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "common/log.h"
#include "fs/control/protocol.h"
#include "fs/operations/operations.h"
#include "fs/origins/caller.h"

#define CLIENTS_MAX     48
#define CLIENTS_KEPT    8 /* of these, for root and the owner of the store, whoever else comes */
#define CLIENTS_PER_UID 4 /* of users who are not root and do not own the store */
#define BUSY_MS         100 /* before accepting again when there are no descriptors */

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

/* A conversation, and the thread that holds it. */
struct client {
	struct conversation conversation;
	struct control *control;
	unsigned int slot;
};

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
	if (!operation_is_privileged(uid) &&
	    (of_uid >= CLIENTS_PER_UID || control->n_clients >= CLIENTS_MAX - CLIENTS_KEPT))
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
static void end(struct client *client)
{
	struct control *control = client->control;

	pthread_mutex_lock(&control->lock);
	control->clients[client->slot].fd = -1;
	close(client->conversation.fd);
	control->n_clients--;
	pthread_cond_signal(&control->ended);
	pthread_mutex_unlock(&control->lock);
	free(client);
}

static void *converse(void *arg)
{
	struct client *client = arg;
	const char *line;
	size_t len;
	int passed;

	pthread_setname_np(pthread_self(), "control-client");
	while (conversation_receive(&client->conversation, &line, &len, &passed) == 0) {
		conversation_serve(&client->conversation, line, len, passed);
		cleanup_close(&passed);
	}
	end(client);
	return NULL;
}

/* Takes over FD. */
static void begin(struct control *control, int fd)
{
	const struct timeval idle = { .tv_sec = CONVERSATION_SECONDS };
	struct client *client = calloc(1, sizeof(*client));
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);
	pthread_t thread;
	unsigned int slot = CLIENTS_MAX;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof(idle));
	if (client && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		slot = take_slot(control, fd, peer.uid);
	if (slot == CLIENTS_MAX) {
		free(client);
		close(fd);
		return;
	}
	client->control = control;
	client->slot = slot;
	client->conversation.fs = control->fs;
	client->conversation.fd = fd;
	client->conversation.accepted = caller_now();
	if (pthread_create(&thread, NULL, converse, client) == 0)
		pthread_detach(thread);
	else
		end(client);
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
