/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On whose behalf is an object fetched that several users wait for? Each may have imported it, from a server of his own, too, which
 * may be as slow as it likes; and nobody can tell a slow server from a slow link. So they take turns: in each what one user's
 * imports say is asked, and what all are told of. What came in one turn stays for the next, and who has left has no turn.
 *
 * One who imported nothing has a turn, too, without what others imported. Where all are like that, or one is alone, there are no turns.
 */
#include <string.h>
#include "catalogs/catalogs.h"
#include "common/clock.h"
#include "fs/objects/whole.h"

#define TURN_MS	    4000  /* the first one; each is twice as long as the one before */
#define TURN_MAX_MS 60000

/* With the object's lock held: those who wait, the first to come if they are too many. */
static unsigned int who_waits(const struct whole *whole, uid_t users[WHOLE_USERS_MAX])
{
	unsigned int n = 0;

	/* The last to come is the first in the list. */
	for (const struct parked *waiter = whole->waiters; waiter; waiter = waiter->next) {
		bool known = !parked_waits(waiter);

		for (unsigned int i = 0; i < n && !known; i++)
			known = users[i] == waiter->uid;
		if (known)
			continue;
		if (n == WHOLE_USERS_MAX)
			memmove(users, users + 1, --n * sizeof(users[0]));
		users[n++] = waiter->uid;
	}
	return n;
}

static int64_t turn_length(const struct whole *whole)
{
	int64_t deadline = whole->object->fs->config.fetch.read_deadline_ms, most = TURN_MAX_MS;

	/* Whose turn it is not waits no longer than he may, though nothing comes meanwhile. */
	if (deadline && whole->n_users > 0 && deadline / (2 * whole->n_users) < most)
		most = deadline / (2 * whole->n_users);
	return whole->turn_ms < most ? whole->turn_ms : most;
}

static void begin_turn(struct whole *whole, unsigned int number)
{
	whole->turn = number;
	whole->turn_user = whole->users[number];
	whole->all = false;
	whole->turn_ends = clock_ms() + turn_length(whole);
}

bool turns_begin(struct whole *whole)
{
	struct object *object = whole->object;
	uid_t users[WHOLE_USERS_MAX];
	unsigned int n, number = 0;
	bool same;

	pthread_mutex_lock(&object->lock);
	n = who_waits(whole, users);
	same = whole->turn_ms > 0 &&
	       (n == 0 || (n == whole->n_users && memcmp(users, whole->users, n * sizeof(users[0])) == 0));
	if (!same) {
		if (whole->turn_ms == 0)
			whole->turn_ms = TURN_MS;
		memcpy(whole->users, users, n * sizeof(users[0]));
		whole->n_users = n;
		whole->joined = false;
		for (unsigned int i = 0; i < n; i++)
			number = users[i] == whole->turn_user ? i : number;
		begin_turn(whole, number);
	}
	pthread_mutex_unlock(&object->lock);
	if (same)
		return false;
	/* Numbers of sources are those of places that are held: they mean others from now on. */
	fetch_places_unref(whole->places);
	whole->places = object_places_of(object, users, n);
	whole->lied = whole->suspects = whole->sized = 0;
	whole->goes_on = false;
	return true;
}

bool turns_over(const struct whole *whole)
{
	return !whole->alone && (whole->n_users > 1 || whole->joined) && clock_ms() >= whole->turn_ends;
}

bool turns_again(struct whole *whole, int error)
{
	struct object *object = whole->object;
	bool again = false;

	pthread_mutex_lock(&object->lock);
	if (error == -ECANCELED && turns_over(whole)) {
		again = whole_waits(whole) && !atomic_load(&object->fs->stopping);
		whole->turn_ms *= whole->turn_ms < TURN_MAX_MS ? 2 : 1;
		if (whole->n_users > 0)
			begin_turn(whole, (whole->turn + 1) % whole->n_users);
	} else if ((error == -EIO || error == -ENOENT) && whole->n_users > 1 && !whole->all && !whole->alone) {
		again = whole->all = true; /* those of the others may have it */
	}
	pthread_mutex_unlock(&object->lock);
	whole->goes_on |= again;
	return again;
}

void turns_address(const struct whole *whole, struct fetch_request *request)
{
	request->places = whole->places;
	request->party = whole->object->view;
	request->watched = true;
	request->of_owner = whole->n_users > 1 && !whole->all && !whole->alone;
	request->owner = catalog_place_owner(whole->turn_user);
}

void turns_join(struct whole *whole, const struct parked *waiter)
{
	bool known = whole->n_users == WHOLE_USERS_MAX;

	for (unsigned int i = 0; i < whole->n_users && !known; i++)
		known = whole->users[i] == waiter->uid;
	whole->joined |= !known;
}
