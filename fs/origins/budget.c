/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/budget.h"

#include <pthread.h>
#include <string.h>
#include <uthash.h>
#include "common/clock.h"
#include "common/log.h"

struct looked_for {
	struct digest_name name;
	int64_t when_ms;
};

struct budget {
	uint32_t view;
	struct looked_for *names; /* in the order of time */
	size_t n, capacity;
	int64_t spent_until_ms; /* 0: it is not spent */
	UT_hash_handle hh;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct budget *budgets; /* protected by lock: by view */

/* With the lock held. NULL: no memory, or, if not MAKE, none. */
static struct budget *budget_of(uint32_t view, bool make)
{
	struct budget *budget;

	HASH_FIND(hh, budgets, &view, sizeof(view), budget);
	if (budget || !make)
		return budget;
	budget = calloc(1, sizeof(*budget));
	if (budget) {
		budget->view = view;
		HASH_ADD(hh, budgets, view, sizeof(budget->view), budget);
	}
	return budget;
}

/* With the lock held: what is too long ago. */
static void forget(struct budget *budget, int64_t before_ms)
{
	size_t old = 0;

	while (old < budget->n && budget->names[old].when_ms < before_ms)
		old++;
	if (old == 0)
		return; /* there may be no array yet */
	budget->n -= old;
	memmove(budget->names, budget->names + old, budget->n * sizeof(*budget->names));
}

static bool is_known(const struct budget *budget, const struct digest_name *name)
{
	for (size_t i = 0; i < budget->n; i++) {
		if (!memcmp(&budget->names[i].name, name, sizeof(*name)))
			return true;
	}
	return false;
}

/* With the lock held. */
static bool add(struct budget *budget, const struct digest_name *name, int64_t now)
{
	struct looked_for *names = budget->names;

	if (budget->n == budget->capacity) {
		size_t capacity = 2 * budget->capacity + 8;

		names = reallocarray(names, capacity, sizeof(*names));
		if (!names)
			return false;
		budget->names = names;
		budget->capacity = capacity;
	}
	names[budget->n++] = (struct looked_for){*name, now};
	return true;
}

/* With the lock held. */
static bool is_spent(struct budget *budget, int64_t now)
{
	if (budget->spent_until_ms && budget->spent_until_ms <= now) {
		budget->spent_until_ms = 0;
		budget->n = 0;
	}
	return budget->spent_until_ms;
}

/* With the lock held, of one that is not spent. */
static bool spend(struct budget *budget, const struct policy_probes *probes,
		  const struct digest_name *name, int64_t now)
{
	forget(budget, now - probes->window_ms);
	if (is_known(budget, name))
		return true;
	if (budget->n >= probes->count) {
		budget->spent_until_ms = now + probes->window_ms;
		return false;
	}
	return add(budget, name, now);
}

bool budget_spend(struct weightfs *fs, const struct view *view, const struct digest_name *name)
{
	struct policy_probes probes = view_probes(fs, view);
	int64_t now = clock_ms();
	struct budget *budget;
	bool was_spent, enough;

	if (probes.count == 0)
		return true;
	pthread_mutex_lock(&lock);
	budget = budget_of(view->number, true);
	was_spent = budget && is_spent(budget, now);
	enough = budget && !was_spent && spend(budget, &probes, name, now);
	pthread_mutex_unlock(&lock);
	if (!enough && !was_spent)
		log_warning("%s (uid %u) looked for more than %u objects within %lld s: until that has passed "
			    "there is nothing for it but what it has", view_label(view), view->uid,
			    probes.count, (long long)probes.window_ms / 1000);
	return enough;
}

bool budget_is_kept(struct weightfs *fs, const struct view *view)
{
	return view_probes(fs, view).count > 0;
}

bool budget_is_spent(struct weightfs *fs, const struct view *view)
{
	struct budget *budget;
	bool spent;

	if (!budget_is_kept(fs, view))
		return false;
	pthread_mutex_lock(&lock);
	budget = budget_of(view->number, false);
	spent = budget && is_spent(budget, clock_ms());
	pthread_mutex_unlock(&lock);
	return spent;
}

void budgets_free(void)
{
	struct budget *budget, *next;

	HASH_ITER (hh, budgets, budget, next) {
		HASH_DEL(budgets, budget);
		free(budget->names);
		free(budget);
	}
}
