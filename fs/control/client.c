/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "catalogs/catalogs.h"
#include "common/clock.h"
#include "common/log.h"
#include "fs/control/control.h"
#include "fs/control/protocol.h"
#include "fs/daemon.h"
#include "fs/objects/rebuild.h"
#include "fs/operations/operations.h"
#include "fs/origins/caller.h"

struct call {
	int (*line)(void *arg, json_t *line);
	void *arg;
	int64_t next_progress_ms;
};

/* ---- no daemon: in process ---- */

/* As often as a daemon would tell it. */
static int emit_here(struct operation *operation, json_t *line)
{
	struct call *call = operation->arg;
	int64_t now = clock_ms();
	bool is_progress = json_object_get(line, "progress");
	int r = 0;

	if (!line)
		return -ENOMEM;
	if (is_progress && now >= call->next_progress_ms)
		call->next_progress_ms = now + CONVERSATION_PROGRESS_MS;
	else if (is_progress)
		call = NULL;
	if (call)
		r = call->line(call->arg, line);
	json_decref(line);
	return r;
}

static int run_on_store(const struct settings *settings, const struct config *config,
			enum operation_need need, struct operation *operation)
{
	struct store_options options;
	struct catalogs_later catalogs;
	struct caller caller;
	int r;

	catalogs_later_init(&catalogs, config, settings->store);
	operation->catalogs = &catalogs;
	r = policy_load_or_builtin(settings->policy, &catalogs.names, &operation->policy);
	if (r < 0)
		return r;
	caller_of_self(operation->policy, &caller);
	operation->caller = caller.who;
	r = settings_store_options(settings, config, &options);
	options.keep_all = need == NEEDS_STORE;
	if (r == 0)
		r = store_open(&options, &operation->store);
	if (r == 0)
		r = rebuild_if_due(operation->store, NULL);
	if (r == 0) {
		r = operation_run(operation);
		if (r < 0)
			log_error("%s", operation->message[0] ? operation->message : strerror(-r));
	}
	store_close(operation->store);
	policy_unref(operation->policy);
	catalogs_later_release(&catalogs);
	return r;
}

/* What fetches needs all of a daemon but the mount: as long as it takes, this process is the store's daemon. */
static int run_as_daemon(const struct settings *settings, struct config *config,
			 struct operation *operation)
{
	struct policy_slot *policy;
	struct caller caller;
	struct weightfs fs;
	sigset_t pipes;
	int r;

	/* Of sockets; a closed standard output is an error of write(2) then, too. */
	sigemptyset(&pipes);
	sigaddset(&pipes, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipes, NULL);
	r = policy_slot_new(settings->policy, &policy);
	if (r < 0)
		return r;
	r = daemon_start(&fs, settings, config, policy);
	if (r == 0) {
		operation->fs = &fs;
		operation->store = fs.store;
		operation->policy = policy_slot_get(policy);
		caller_of_self(operation->policy, &caller);
		operation->caller = caller.who;
		r = operation_run(operation);
		if (r < 0)
			log_error("%s", operation->message[0] ? operation->message : strerror(-r));
		policy_unref(operation->policy);
	}
	daemon_stop(&fs);
	return r;
}

static int run_here(const struct settings *settings, struct config *config, json_t *request, int fd,
		    struct call *call)
{
	const char *name = json_string_value(json_object_get(request, "op"));
	struct operation operation = {
		.request = request,
		.fd = fd,
		.privileged = true,
		.pid = getpid(),
		.emit = emit_here,
		.arg = call,
	};
	enum operation_need need = operation_needs(name);

	/* Only what brings something makes a store; a misspelt one is not an empty one. */
	if (fd < 0 && need != NEEDS_SOURCES && access(settings->store, F_OK) < 0)
		return log_error_errno(-errno, "%s: no store there (--store, --conf)",
				       settings->store);
	if (settings->default_store && access(settings->store, F_OK) < 0)
		log_info("%s: a new store, as none is named (--store, --conf)", settings->store);
	if (need == NEEDS_DAEMON) {
		log_error("no daemon has the store %s (--store, --conf)", settings->store);
		return -ENOTCONN;
	}
	return need == NEEDS_SOURCES ? run_as_daemon(settings, config, &operation) :
			 run_on_store(settings, config, need, &operation);
}

/* ---- through the daemon ---- */

int control_address(const char *path, int *folder, union control_address *out)
{
	_cleanup_free_ char *copy = strdup(path);
	const char *name = strrchr(path, '/');
	int n;

	if (!copy || !name)
		return copy ? -EINVAL : -ENOMEM;
	copy[name - path] = '\0';
	*folder = open(copy, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*folder < 0)
		return -errno;
	*out = (union control_address){ .local.sun_family = AF_UNIX };
	n = snprintf(out->local.sun_path, sizeof(out->local.sun_path), "/proc/self/fd/%d%s",
		     *folder, name);
	return (size_t)n < sizeof(out->local.sun_path) ? 0 : -ENAMETOOLONG;
}

static int connect_to(const char *path)
{
	_cleanup_close_ int folder = -1;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	union control_address address;
	int r;

	r = fd < 0 ? -errno : control_address(path, &folder, &address);
	if (r < 0)
		return r;
	if (connect(fd, &address.any, sizeof(address.local)) < 0)
		return -errno;
	return steal_fd(&fd);
}

static int send_request(int sock, json_t *request, int fd)
{
	_cleanup_free_ char *text = json_dumps(request, JSON_COMPACT);
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} ancillary = { 0 };
	char newline = '\n';
	struct iovec iov[2] = { { text, text ? strlen(text) : 0 }, { &newline, 1 } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

	if (!text)
		return -ENOMEM;
	if (fd >= 0) {
		message.msg_control = &ancillary;
		message.msg_controllen = sizeof(ancillary);
		ancillary.header = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(&ancillary.header), &fd, sizeof(fd));
	}
	if (iov[0].iov_len >= CONVERSATION_REQUEST_MAX)
		return -EMSGSIZE;
	/* Requests are small: the socket takes them whole. */
	if (sendmsg(sock, &message, MSG_NOSIGNAL) != (ssize_t)(iov[0].iov_len + 1))
		return -EIO;
	return 0;
}

/* One line of the reply. 1: more to come, 0: done, -errno. */
static int take_line(const char *text, struct call *call)
{
	json_t *line = json_loads(text, 0, NULL);
	const char *error = json_string_value(json_object_get(line, "error"));
	int r = 1;

	if (!line) {
		r = log_error_errno(-EPROTO, "the daemon's reply");
	} else if (error) {
		int number = (int)json_integer_value(json_object_get(line, "errno"));

		log_error("%s", error);
		r = number > 0 ? -number : -EIO;
	} else if (json_is_true(json_object_get(line, "done"))) {
		r = 0;
	} else {
		int stop = call->line(call->arg, line);

		r = stop ? stop : 1;
	}
	json_decref(line);
	return r;
}

static int run_there(int sock, json_t *request, int fd, struct call *call)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *in;
	int r;

	r = send_request(sock, request, fd);
	if (r < 0)
		return log_error_errno(r, r == -EMSGSIZE ? "too many objects at once" :
							   "the daemon does not listen");
	in = fdopen(dup(sock), "r");
	if (!in)
		return -errno;
	r = 1;
	while (r > 0) {
		if (getline(&text, &size, in) < 0)
			r = log_error_errno(-EIO, "the daemon went away");
		else
			r = take_line(text, call);
	}
	fclose(in);
	return r;
}

int control_call(const struct settings *settings, struct config *config, json_t *request, int fd,
		 int (*line)(void *arg, json_t *line), void *arg)
{
	struct call call = { line, arg, 0 };
	_cleanup_close_ int sock = -1;
	int r;

	if (!request)
		return -ENOMEM;
	sock = connect_to(settings->socket);
	if (sock < 0 && settings->daemon_only) {
		json_decref(request);
		return log_error_errno(sock, "%s: the daemon cannot be asked", settings->socket);
	}
	if (sock < 0 && settings->system_socket && store_holder(settings->store) <= 0)
		sock = connect_to(settings->system_socket);
	if (sock >= 0)
		r = run_there(sock, request, fd, &call);
	else
		r = run_here(settings, config, request, fd, &call);
	json_decref(request);
	return r;
}
