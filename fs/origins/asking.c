/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/asking.h"

#include <pthread.h>
#include <time.h>
#include <utlist.h>
#include "common/clock.h"
#include "fs/objects/parking.h"
#include "fs/origins/pending.h"
#include "fs/requests/ops.h"

/* A look-up that waits. One reference is the list's. */
struct waiter {
	struct parked parked;
	const struct view *view;
	struct digest_name name;
	struct waiter *prev, *next;
};

struct asking {
	pthread_mutex_t lock;
	pthread_cond_t reviewed;
	struct waiter *waiters; /* protected by lock; some may have been answered */
	unsigned int reviews;	/* protected by lock: under way */
	bool stopped;		/* protected by lock */
};

int asking_new(struct asking **out)
{
	struct asking *asking = calloc(1, sizeof(*asking));

	if (!asking)
		return -ENOMEM;
	pthread_mutex_init(&asking->lock, NULL);
	pthread_cond_init(&asking->reviewed, NULL);
	*out = asking;
	return 0;
}

void asking_stop(struct asking *asking)
{
	if (!asking)
		return;
	pthread_mutex_lock(&asking->lock);
	asking->stopped = true;
	while (asking->reviews > 0)
		pthread_cond_wait(&asking->reviewed, &asking->lock);
	pthread_mutex_unlock(&asking->lock);
}

void asking_free(struct asking *asking)
{
	struct waiter *waiter, *next;

	if (!asking)
		return;
	DL_FOREACH_SAFE(asking->waiters, waiter, next) {
		DL_DELETE(asking->waiters, waiter);
		parked_unref(&waiter->parked);
	}
	pthread_cond_destroy(&asking->reviewed);
	pthread_mutex_destroy(&asking->lock);
	free(asking);
}

static void destroy(struct parked *parked)
{
	free(container_of(parked, struct waiter, parked));
}

bool asking_is_open(struct weightfs *fs, const struct view *view, const struct digest_name *name)
{
	struct digest_pair pair = digest_pair_of(name);
	struct policy_decision decision = view_decide(fs, view, &pair);

	return decision.verdict == POLICY_ASK && decision.wait_ms != VIEW_REFUSED;
}

/* If it still waits, and for nothing: it begins anew. It must be referenced. */
static void serve(struct weightfs *fs, struct waiter *waiter)
{
	struct digest_pair pair = digest_pair_of(&waiter->name);
	struct policy_decision decision = view_decide(fs, waiter->view, &pair);
	char text[DIGEST_NAME_SIZE];

	if (decision.verdict == POLICY_ASK && decision.wait_ms > 0)
		return;
	if (!unpark(fs->parking, &waiter->parked))
		return;
	digest_name_format(&waiter->name, text);
	ops_lookup_object(fs, waiter->parked.request, waiter->view->number, text);
}

/* With the lock held: who was answered goes. */
static void clear_away(struct asking *asking)
{
	struct waiter *waiter, *next;

	DL_FOREACH_SAFE(asking->waiters, waiter, next) {
		if (parked_waits(&waiter->parked))
			continue;
		DL_DELETE(asking->waiters, waiter);
		parked_unref(&waiter->parked);
	}
}

/* With the lock held. */
static bool may_wait(const struct asking *asking, const struct view *view)
{
	unsigned int all = 0, of_user = 0, of_view = 0;
	const struct waiter *waiter;

	DL_FOREACH(asking->waiters, waiter) {
		all++;
		of_user += waiter->view->uid == view->uid;
		of_view += waiter->view == view;
	}
	return all < ASKING_MAX && of_user < ASKING_MAX_USER && of_view < ASKING_MAX_VIEW;
}

/* False: too many do. */
static bool enlist(struct asking *asking, struct waiter *waiter)
{
	bool fits;

	pthread_mutex_lock(&asking->lock);
	clear_away(asking);
	fits = may_wait(asking, waiter->view);
	if (fits) {
		(void)parked_ref(&waiter->parked);
		DL_APPEND(asking->waiters, waiter);
	}
	pthread_mutex_unlock(&asking->lock);
	return fits;
}

static void wait_for_answer(struct weightfs *fs, fuse_req_t request, const struct view *view,
			    const struct digest_name *name, int64_t wait_ms)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));

	if (!waiter) {
		fuse_reply_err(request, ENOMEM);
		return;
	}
	parked_init(&waiter->parked, request, PARKED_WAIT, destroy);
	waiter->parked.late = EACCES;
	waiter->view = view;
	waiter->name = *name;
	park(fs->parking, &waiter->parked, clock_ms() + wait_ms);
	if (enlist(fs->asking, waiter))
		serve(fs, waiter); /* who answered before it was on the list did not see it */
	else if (unpark(fs->parking, &waiter->parked))
		fuse_reply_err(request, EACCES);
	parked_unref(&waiter->parked);
}

void asking_lookup(struct weightfs *fs, fuse_req_t request, const struct view *view,
		   const struct digest_name *name, const struct policy_decision *decision)
{
	if (decision->wait_ms != VIEW_REFUSED)
		pending_note(fs->pendings, view->number, view->uid, name, time(NULL));
	if (decision->wait_ms > 0)
		wait_for_answer(fs, request, view, name, decision->wait_ms);
	else
		fuse_reply_err(request, EACCES);
}

static void end_review(struct asking *asking)
{
	pthread_mutex_lock(&asking->lock);
	if (--asking->reviews == 0)
		pthread_cond_broadcast(&asking->reviewed);
	pthread_mutex_unlock(&asking->lock);
}

void asking_review(struct weightfs *fs)
{
	struct waiter *waiters[ASKING_MAX], *waiter;
	struct asking *asking = fs->asking;
	bool stopped;
	size_t n = 0;

	pthread_mutex_lock(&asking->lock);
	stopped = asking->stopped;
	asking->reviews += !stopped;
	if (!stopped)
		clear_away(asking);
	for (waiter = stopped ? NULL : asking->waiters; waiter; waiter = waiter->next) {
		waiters[n++] = waiter;
		(void)parked_ref(&waiter->parked);
	}
	pthread_mutex_unlock(&asking->lock);
	if (stopped)
		return;
	for (size_t i = 0; i < n; i++) {
		serve(fs, waiters[i]);
		parked_unref(&waiters[i]->parked);
	}
	end_review(asking);
}
