/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that asks for catalogs when it is time, one after the other, and who else asks for them. */
#include "catalogs/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "common/clock.h"
#include "common/log.h"

#define RETRY_MS     ((int64_t)10 * 1000) /* after the first failure; then twice as long each time */
#define RETRY_MAX_MS ((int64_t)60 * 60 * 1000)
#define LEAST_MS     ((int64_t)1000)

/* Between three quarters of MS and all of it: machines that were started together shall not ask together. */
static int64_t with_jitter(int64_t ms)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return ms;
	return ms - (int64_t)((double)ms / 4 * random / UINT32_MAX);
}

int64_t catalog_next_due(const struct configured *configured, int r)
{
	int64_t refresh = configured->config->refresh_ms, delay = RETRY_MS;

	if (refresh == 0)
		return INT64_MAX;
	if (refresh < LEAST_MS)
		refresh = LEAST_MS;
	for (unsigned int i = 1; i < configured->failures && delay < RETRY_MAX_MS; i++)
		delay *= 2;
	if (delay > RETRY_MAX_MS)
		delay = RETRY_MAX_MS;
	if (r >= 0 || delay > refresh)
		delay = refresh;
	return clock_ms() + with_jitter(delay);
}

/* At the start: at once, unless it was asked for not long ago. */
static int64_t first_due(const struct configured *configured)
{
	int64_t refresh = configured->config->refresh_ms;
	int64_t ago = ((int64_t)time(NULL) - configured->state.asked) * 1000;

	if (refresh == 0)
		return INT64_MAX;
	if (!configured->part || ago < 0 || ago >= refresh)
		return clock_ms();
	return clock_ms() + with_jitter(refresh - ago);
}

/* ---- expiry ---- */

/* Milliseconds until CONFIGURED has expired; INT64_MAX: it has, or is not here. With the lock held. */
static int64_t until_expiry(const struct configured *configured)
{
	int64_t left;

	if (!configured->part || configured->warned)
		return INT64_MAX;
	left = verify_catalog_info(configured->part->catalog.entries)->expires - (int64_t)time(NULL);
	return left < 0 ? 0 : left > INT32_MAX ? INT64_MAX : left * 1000;
}

static void warn_of_expired(struct catalogs *catalogs)
{
	for (size_t i = 0; i < catalogs->config->n_catalogs; i++) {
		struct configured *configured = &catalogs->configured[i];
		bool expired;

		pthread_mutex_lock(&catalogs->lock);
		expired = until_expiry(configured) == 0;
		if (expired)
			configured->warned = true;
		pthread_mutex_unlock(&catalogs->lock);
		if (expired)
			log_warning("catalog %s has expired: what is here by its words stays, and nothing new comes",
				    configured->config->name);
	}
}

/* ---- the thread ---- */

/* The first one that is due; NULL: none yet. With the lock held. UNTIL: when something will be to do (clock_ms()). */
static struct configured *find_due(struct catalogs *catalogs, int64_t *until)
{
	int64_t now = clock_ms();

	*until = INT64_MAX;
	for (size_t i = 0; i < catalogs->config->n_catalogs; i++) {
		struct configured *configured = &catalogs->configured[i];
		int64_t expiry = until_expiry(configured);

		if (configured->due_ms <= now && !configured->refreshing)
			return configured;
		if (configured->due_ms < *until)
			*until = configured->due_ms;
		if (expiry < *until - now)
			*until = now + expiry;
	}
	return NULL;
}

/* With the lock held. */
static void wait_until(struct catalogs *catalogs, int64_t until)
{
	struct timespec ts = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};

	if (until == INT64_MAX)
		pthread_cond_wait(&catalogs->woken, &catalogs->lock);
	else
		pthread_cond_timedwait(&catalogs->woken, &catalogs->lock, &ts);
}

static void *run(void *arg)
{
	struct catalogs *catalogs = arg;
	char reason[CATALOG_REASON_SIZE];

	pthread_setname_np(pthread_self(), "catalogs");
	while (!atomic_load(&catalogs->stop)) {
		struct configured *due;
		int64_t until;

		catalogs_compare(catalogs);
		warn_of_expired(catalogs);
		pthread_mutex_lock(&catalogs->lock);
		due = find_due(catalogs, &until);
		if (!due && catalogs->compared == catalogs->changes && !atomic_load(&catalogs->stop))
			wait_until(catalogs, until);
		pthread_mutex_unlock(&catalogs->lock);
		if (due && catalog_refresh(catalogs, due, reason) < 0)
			log_debug("catalog %s: %s", due->config->name, reason);
	}
	return NULL;
}

int catalogs_follow(struct catalogs *catalogs, void (*changed)(void *arg, bool configured), void *arg)
{
	int r;

	catalogs->changed = changed;
	catalogs->arg = arg;
	for (size_t i = 0; i < catalogs->config->n_catalogs; i++) {
		struct configured *configured = &catalogs->configured[i];

		configured->due_ms = catalogs->config->fetch.offline ? INT64_MAX : first_due(configured);
	}
	if (catalogs->config->n_catalogs == 0)
		return 0;
	r = -pthread_create(&catalogs->thread, NULL, run, catalogs);
	catalogs->followed = r == 0;
	return r;
}

void catalogs_unfollow(struct catalogs *catalogs)
{
	if (!catalogs)
		return;
	pthread_mutex_lock(&catalogs->lock);
	atomic_store(&catalogs->stop, true);
	pthread_cond_broadcast(&catalogs->woken);
	pthread_mutex_unlock(&catalogs->lock);
	if (catalogs->followed)
		pthread_join(catalogs->thread, NULL);
	catalogs->followed = false;
}

/* ---- on demand ---- */

int catalogs_refresh(struct catalogs *catalogs, const char *name, char message[CATALOG_MESSAGE_SIZE])
{
	char reason[CATALOG_REASON_SIZE];
	bool found = !name;
	int r = 0;

	if (catalogs->config->fetch.offline) {
		snprintf(message, CATALOG_MESSAGE_SIZE, "offline: no catalog is asked for");
		return -ENETDOWN;
	}
	for (size_t i = 0; i < catalogs->config->n_catalogs; i++) {
		struct configured *configured = &catalogs->configured[i];
		int one;

		if (name && strcmp(name, configured->config->name) != 0)
			continue;
		found = true;
		one = catalog_refresh(catalogs, configured, reason);
		if (one == 0)
			continue;
		r = one;
		snprintf(message, CATALOG_MESSAGE_SIZE, "catalog %s: %s", configured->config->name, reason);
	}
	if (!found) {
		snprintf(message, CATALOG_MESSAGE_SIZE, "no catalog is called %.64s", name);
		return -ENOENT;
	}
	return r;
}
