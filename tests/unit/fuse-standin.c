/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fuse-standin.h"

#include <pthread.h>
#include <string.h>
#include "common/clock.h"

struct fuse_req {
	struct fuse_ctx ctx;
	struct weightfs *fs;
	struct outcome *outcome;
	pthread_mutex_t lock;	 /* held while `interrupt` runs */
	unsigned int references; /* protected by session_lock, like the rest */
	bool interrupted;
	fuse_interrupt_func_t interrupt;
	void *data;
};

static pthread_mutex_t session_lock = PTHREAD_MUTEX_INITIALIZER;
/* The request, if any, of which this thread is inside fuse_req_interrupt_func(). */
static __thread fuse_req_t registering;

fuse_req_t standin_request(struct weightfs *fs, pid_t caller, struct outcome *outcome)
{
	fuse_req_t request = calloc(1, sizeof(*request));

	if (!request)
		abort();
	*request =
		(struct fuse_req){.ctx.pid = caller, .fs = fs, .outcome = outcome, .references = 1};
	pthread_mutex_init(&request->lock, NULL);
	memset(outcome, 0, sizeof(*outcome));
	outcome->request = request;
	return request;
}

/* With session_lock held, which it drops. */
static void unref(fuse_req_t request)
{
	bool last = --request->references == 0;

	pthread_mutex_unlock(&session_lock);
	if (!last)
		return;
	pthread_mutex_destroy(&request->lock);
	free(request);
}

static int answered(fuse_req_t request, int error)
{
	struct outcome *outcome = request->outcome;

	pthread_mutex_lock(&session_lock);
	/* It is still to be unlocked there: counted, and leaked instead of freed. */
	if (registering == request) {
		atomic_fetch_add(&outcome->harmful, 1);
		request->references++;
	}
	outcome->request = NULL;
	request->interrupt = NULL;
	atomic_store(&outcome->error, error);
	atomic_fetch_add(&outcome->answers, 1);
	unref(request);
	return 0;
}

void standin_interrupt(struct outcome *outcome)
{
	fuse_interrupt_func_t interrupt;
	fuse_req_t request;
	void *data;

	pthread_mutex_lock(&session_lock);
	request = outcome->request;
	if (!request) {
		pthread_mutex_unlock(&session_lock);
		return;
	}
	request->references++;
	pthread_mutex_unlock(&session_lock);
	pthread_mutex_lock(&request->lock);
	pthread_mutex_lock(&session_lock);
	request->interrupted = true;
	interrupt = request->interrupt;
	data = request->data;
	pthread_mutex_unlock(&session_lock);
	if (interrupt)
		interrupt(request, data);
	pthread_mutex_unlock(&request->lock);
	pthread_mutex_lock(&session_lock);
	unref(request);
}

bool standin_wait(struct outcome *outcome)
{
	int64_t deadline = clock_ms() + 20000;

	while (atomic_load(&outcome->answers) == 0) {
		if (clock_ms() >= deadline)
			return false;
		usleep(1000);
	}
	return true;
}

/* ---- libfuse ---- */

const struct fuse_ctx *fuse_req_ctx(fuse_req_t req)
{
	return &req->ctx;
}

void *fuse_req_userdata(fuse_req_t req)
{
	return req->fs;
}

void fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	bool interrupted;

	pthread_mutex_lock(&req->lock);
	pthread_mutex_lock(&session_lock);
	req->interrupt = func;
	req->data = data;
	interrupted = req->interrupted;
	pthread_mutex_unlock(&session_lock);
	registering = req;
	if (interrupted && func)
		func(req, data);
	registering = NULL;
	pthread_mutex_unlock(&req->lock);
}

int fuse_req_interrupted(fuse_req_t req)
{
	int interrupted;

	pthread_mutex_lock(&session_lock);
	interrupted = req->interrupted;
	pthread_mutex_unlock(&session_lock);
	return interrupted;
}

int fuse_reply_err(fuse_req_t req, int err)
{
	return answered(req, err);
}

int fuse_reply_iov(fuse_req_t req, const struct iovec *iov, int count)
{
	struct outcome *outcome = req->outcome;
	size_t size = 0;
	char *data;

	for (int i = 0; i < count; i++)
		size += iov[i].iov_len;
	data = malloc(size ? size : 1);
	if (!data)
		abort();
	for (int i = 0, at = 0; i < count; at += (int)iov[i++].iov_len)
		memcpy(data + at, iov[i].iov_base, iov[i].iov_len);
	/* Twice would be a failure of its own, counted below. */
	free(outcome->data);
	outcome->data = data;
	outcome->length = size;
	return answered(req, 0);
}

int fuse_reply_buf(fuse_req_t req, const char *buf, size_t size)
{
	const struct iovec one = {(void *)(uintptr_t)buf, size};

	return fuse_reply_iov(req, &one, 1);
}
