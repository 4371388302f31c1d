/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/control/protocol.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "common/clock.h"
#include "fs/operations/operations.h"
#include "fs/origins/caller.h"

/* ---- requests ---- */

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

/* More bytes behind those that are there. */
static int receive_more(struct conversation *conversation, int *passed)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} ancillary;
	struct iovec iov = { conversation->buffer + conversation->used,
			     sizeof(conversation->buffer) - conversation->used };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &ancillary,
		.msg_controllen = sizeof(ancillary),
	};
	ssize_t n = recvmsg(conversation->fd, &message, MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return n < 0 ? -errno : -ENODATA;
	take_descriptors(CMSG_FIRSTHDR(&message), passed);
	conversation->used += (size_t)n;
	return 0;
}

int conversation_receive(struct conversation *conversation, const char **line, size_t *len,
			 int *passed)
{
	int64_t deadline = clock_ms() + CONVERSATION_SECONDS * 1000;
	_cleanup_close_ int descriptor = -1;
	char *buffer = conversation->buffer, *end;
	size_t searched = 0;
	int r;

	if (conversation->broken)
		return -EPIPE;
	conversation->used -= conversation->taken;
	memmove(buffer, buffer + conversation->taken, conversation->used);
	conversation->taken = 0;
	while (!(end = memchr(buffer + searched, '\n', conversation->used - searched))) {
		searched = conversation->used;
		if (searched == sizeof(conversation->buffer))
			return -EMSGSIZE;
		if (clock_ms() >= deadline)
			return -ETIMEDOUT;
		r = receive_more(conversation, &descriptor);
		if (r < 0)
			return r;
	}
	conversation->taken = (size_t)(end - buffer) + 1;
	*line = buffer;
	*len = conversation->taken - 1;
	*passed = steal_fd(&descriptor);
	return 0;
}

/* ---- replies ---- */

/* The peer is gone, or does not read any more. */
static bool is_gone(int fd)
{
	struct pollfd peer = { .fd = fd };

	return poll(&peer, 1, 0) == 1 && peer.revents & (POLLHUP | POLLERR);
}

static int send_all(int fd, const char *data, size_t len)
{
	int64_t deadline = clock_ms() + CONVERSATION_SECONDS * 1000;

	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || clock_ms() > deadline)
			return -EPIPE;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_line(struct conversation *conversation, const json_t *line)
{
	size_t len = json_dumpb(line, NULL, 0, JSON_COMPACT);
	_cleanup_free_ char *text = len ? malloc(len + 1) : NULL;
	int r;

	if (!text || json_dumpb(line, text, len, JSON_COMPACT) != len)
		return -ENOMEM;
	text[len] = '\n';
	r = send_all(conversation->fd, text, len + 1);
	conversation->broken = r < 0;
	return r;
}

/*
 * Progress may be told as often as somebody likes: too often, only whether there is still somebody to be told is
 * looked at, so that the work for one who died ends at once.
 */
static int emit(struct operation *operation, json_t *line)
{
	struct conversation *conversation = operation->arg;
	int64_t now = clock_ms();
	int r;

	if (!line)
		return -ENOMEM;
	if (atomic_load(&conversation->fs->stopping)) {
		r = -ECANCELED;
	} else if (conversation->broken) {
		r = -EPIPE;
	} else if (!json_object_get(line, "progress")) {
		r = send_line(conversation, line);
	} else if (now < conversation->next_progress_ms) {
		r = is_gone(conversation->fd) ? -EPIPE : 0;
	} else {
		conversation->next_progress_ms = now + CONVERSATION_PROGRESS_MS;
		r = send_line(conversation, line);
	}
	json_decref(line);
	return r;
}

/* Who will send nothing more is not waited with. */
static bool listens(struct operation *operation)
{
	struct conversation *conversation = operation->arg;
	struct pollfd peer = { .fd = conversation->fd, .events = POLLRDHUP };

	return !atomic_load(&conversation->fs->stopping) && !conversation->broken &&
	       poll(&peer, 1, 0) == 0;
}

/*
 * Root always is. The owner of the store is not as a web origin, which speaks for no user; nor if it cannot be identified: it
 * could be one.
 */
static bool is_privileged(const struct policy *policy, const struct policy_caller *caller)
{
	const char *origin = policy_origin_of(policy, caller, NULL);

	if (!operation_is_privileged(caller->uid))
		return false;
	return caller->uid == 0 || (caller->identified && !(origin && policy_origin_is_web(origin)));
}

static json_t *last_line(const struct operation *operation, int r)
{
	json_t *line = NULL;

	if (r >= 0)
		return json_pack("{s:b}", "done", 1);
	line = json_pack("{s:s, s:i}", "error",
			 operation->message[0] ? operation->message : strerror(-r), "errno", -r);
	/* A message that is no UTF-8 makes no JSON, but there is always an answer. */
	return line ? line : json_pack("{s:s, s:i}", "error", "it failed", "errno", -r);
}

void conversation_serve(struct conversation *conversation, const char *line, size_t len,
			int passed)
{
	struct weightfs *fs = conversation->fs;
	struct operation operation = {
		.store = fs->store,
		.fs = fs,
		.fd = passed,
		.emit = emit,
		.listens = listens,
		.arg = conversation,
	};
	struct caller caller;
	int r;

	operation.policy = policy_slot_get(fs->policy);
	caller_of_peer(fs->callers, operation.policy, conversation->fd, conversation->accepted,
		       &caller);
	operation.caller = caller.who;
	operation.pid = caller.pid;
	operation.privileged = is_privileged(operation.policy, &caller.who);
	operation.request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(operation.request))
		r = operation_run(&operation);
	else
		r = operation_fail(&operation, -EINVAL, "the request is not a JSON object");
	emit(&operation, last_line(&operation, r));
	json_decref(operation.request);
	policy_unref(operation.policy);
}
