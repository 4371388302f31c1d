/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/pending.h"

#include <pthread.h>
#include <time.h>
#include <uthash.h>
#include <utlist.h>
#include "fs/objects/waiting.h"

#define SERIAL_BITS 24 /* requests a second, before a daemon that starts later would give out one twice */

struct key {
	uint32_t view;
	struct digest_name name; /* no padding between these */
};

struct entry {
	struct key key;
	uint64_t serial, count;
	int64_t first, last;
	struct entry *prev, *next;		 /* of all */
	struct entry *prev_of_view, *next_of_view;
	struct of_user *user;
	struct entry *prev_of_user, *next_of_user;
	UT_hash_handle hh;
};

struct of_view {
	uint32_t view;
	unsigned int n;
	struct entry *entries; /* the one asked for longest ago first */
	UT_hash_handle hh;
};

struct of_user {
	uid_t uid;
	unsigned int n;
	struct entry *entries; /* the one asked for longest ago first */
	UT_hash_handle hh;
};

struct pendings {
	pthread_mutex_t lock;
	pthread_cond_t noted;
	struct entry *table;   /* protected by lock, like all of these: by key */
	struct entry *entries; /* the one asked for longest ago first */
	struct of_view *views; /* those that have any */
	struct of_user *users; /* the same */
	uint64_t serial;
};

_Static_assert(sizeof(struct key) == sizeof(uint32_t) + sizeof(struct digest_name), "padding is hashed");
_Static_assert(sizeof(struct digest_name) == sizeof(enum digest_kind) + DIGEST_SIZE, "padding is hashed");

int pendings_new(struct pendings **out)
{
	struct pendings *pendings = calloc(1, sizeof(*pendings));

	if (!pendings)
		return -ENOMEM;
	pthread_mutex_init(&pendings->lock, NULL);
	waiting_init_condition(&pendings->noted);
	pendings->serial = (uint64_t)time(NULL) << SERIAL_BITS;
	*out = pendings;
	return 0;
}

/* ---- with the lock held ---- */

static struct of_view *find_view(struct pendings *pendings, uint32_t view)
{
	struct of_view *of_view;

	HASH_FIND(hh, pendings->views, &view, sizeof(view), of_view);
	return of_view;
}

static struct entry *find(struct pendings *pendings, uint32_t view, const struct digest_name *name)
{
	const struct key key = {view, *name};
	struct entry *entry;

	HASH_FIND(hh, pendings->table, &key, sizeof(key), entry);
	return entry;
}

/* Either may be NULL. */
static void forget_if_empty(struct pendings *pendings, struct of_view *of_view, struct of_user *of_user)
{
	if (of_view && of_view->n == 0) {
		HASH_DEL(pendings->views, of_view);
		free(of_view);
	}
	if (of_user && of_user->n == 0) {
		HASH_DEL(pendings->users, of_user);
		free(of_user);
	}
}

static void remove_entry(struct pendings *pendings, struct entry *entry)
{
	struct of_view *of_view = find_view(pendings, entry->key.view);

	HASH_DEL(pendings->table, entry);
	DL_DELETE(pendings->entries, entry);
	DL_DELETE2(of_view->entries, entry, prev_of_view, next_of_view);
	DL_DELETE2(entry->user->entries, entry, prev_of_user, next_of_user);
	of_view->n--;
	entry->user->n--;
	forget_if_empty(pendings, of_view, entry->user);
	free(entry);
}

static struct of_view *find_or_make_view(struct pendings *pendings, uint32_t view)
{
	struct of_view *of_view = find_view(pendings, view);

	if (of_view)
		return of_view;
	of_view = calloc(1, sizeof(*of_view));
	if (of_view) {
		of_view->view = view;
		HASH_ADD(hh, pendings->views, view, sizeof(of_view->view), of_view);
	}
	return of_view;
}

static struct of_user *find_user(struct pendings *pendings, uid_t uid)
{
	struct of_user *of_user;

	HASH_FIND(hh, pendings->users, &uid, sizeof(uid), of_user);
	return of_user;
}

static struct of_user *find_or_make_user(struct pendings *pendings, uid_t uid)
{
	struct of_user *of_user = find_user(pendings, uid);

	if (of_user)
		return of_user;
	of_user = calloc(1, sizeof(*of_user));
	if (of_user) {
		of_user->uid = uid;
		HASH_ADD(hh, pendings->users, uid, sizeof(of_user->uid), of_user);
	}
	return of_user;
}

/* So that nobody's flood pushes out what others asked for, who ask for less. */
static struct of_user *find_greediest(struct pendings *pendings)
{
	struct of_user *of_user, *next, *most = pendings->users;

	HASH_ITER(hh, pendings->users, of_user, next) {
		if (of_user->n > most->n)
			most = of_user;
	}
	return most;
}

static void make_room(struct pendings *pendings, uint32_t view, uid_t uid)
{
	struct of_view *of_view = find_view(pendings, view);
	struct of_user *of_user;

	if (of_view && of_view->n >= PENDING_MAX_VIEW)
		remove_entry(pendings, of_view->entries);
	of_user = find_user(pendings, uid);
	if (of_user && of_user->n >= PENDING_MAX_USER)
		remove_entry(pendings, of_user->entries);
	of_user = HASH_COUNT(pendings->table) >= PENDING_MAX ? find_greediest(pendings) : NULL;
	if (of_user)
		remove_entry(pendings, of_user->entries);
}

static struct entry *add(struct pendings *pendings, uint32_t view, uid_t uid,
			 const struct digest_name *name, int64_t now)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	struct of_view *of_view;
	struct of_user *of_user;

	if (!entry)
		return NULL;
	make_room(pendings, view, uid);
	of_view = find_or_make_view(pendings, view);
	of_user = find_or_make_user(pendings, uid);
	if (!of_view || !of_user) {
		forget_if_empty(pendings, of_view, of_user);
		free(entry);
		return NULL;
	}
	entry->user = of_user;
	entry->key = (struct key){view, *name};
	entry->serial = ++pendings->serial;
	entry->first = now;
	HASH_ADD(hh, pendings->table, key, sizeof(entry->key), entry);
	DL_APPEND(pendings->entries, entry);
	DL_APPEND2(of_view->entries, entry, prev_of_view, next_of_view);
	DL_APPEND2(of_user->entries, entry, prev_of_user, next_of_user);
	of_view->n++;
	of_user->n++;
	pthread_cond_broadcast(&pendings->noted);
	return entry;
}

/* It is the one that was asked for last. */
static void move_back(struct pendings *pendings, struct entry *entry)
{
	struct of_view *of_view = find_view(pendings, entry->key.view);

	DL_DELETE(pendings->entries, entry);
	DL_APPEND(pendings->entries, entry);
	DL_DELETE2(of_view->entries, entry, prev_of_view, next_of_view);
	DL_APPEND2(of_view->entries, entry, prev_of_view, next_of_view);
	DL_DELETE2(entry->user->entries, entry, prev_of_user, next_of_user);
	DL_APPEND2(entry->user->entries, entry, prev_of_user, next_of_user);
}

/* ---- any thread ---- */

void pendings_free(struct pendings *pendings)
{
	if (!pendings)
		return;
	while (pendings->entries)
		remove_entry(pendings, pendings->entries);
	pthread_cond_destroy(&pendings->noted);
	pthread_mutex_destroy(&pendings->lock);
	free(pendings);
}

void pending_note(struct pendings *pendings, uint32_t view, uid_t uid, const struct digest_name *name,
		  int64_t now)
{
	struct entry *entry;

	pthread_mutex_lock(&pendings->lock);
	entry = find(pendings, view, name);
	if (entry)
		move_back(pendings, entry);
	else
		entry = add(pendings, view, uid, name, now);
	if (entry) {
		entry->last = now;
		entry->count++;
	}
	pthread_mutex_unlock(&pendings->lock);
}

void pending_forget(struct pendings *pendings, uint32_t view, const struct digest_name *name)
{
	struct entry *entry;

	pthread_mutex_lock(&pendings->lock);
	entry = find(pendings, view, name);
	if (entry)
		remove_entry(pendings, entry);
	pthread_mutex_unlock(&pendings->lock);
}

static int by_serial(const void *left, const void *right)
{
	const struct pending *a = left, *b = right;

	return a->serial < b->serial ? -1 : a->serial > b->serial;
}

int pending_list(struct pendings *pendings, uint64_t after, struct pending **out, size_t *n)
{
	struct pending *list = calloc(PENDING_MAX, sizeof(*list));
	const struct entry *entry;
	size_t count = 0;

	if (!list)
		return -ENOMEM;
	pthread_mutex_lock(&pendings->lock);
	DL_FOREACH(pendings->entries, entry) {
		if (entry->serial > after)
			list[count++] = (struct pending){
				entry->key.view, entry->key.name, entry->serial,
				entry->first,	 entry->last,	  entry->count,
			};
	}
	pthread_mutex_unlock(&pendings->lock);
	qsort(list, count, sizeof(*list), by_serial);
	*n = count;
	*out = list;
	return 0;
}

uint64_t pending_wait(struct pendings *pendings, uint64_t after, int ms)
{
	struct timespec until = waiting_until(ms);
	uint64_t serial;

	pthread_mutex_lock(&pendings->lock);
	while (pendings->serial <= after &&
	       pthread_cond_timedwait(&pendings->noted, &pendings->lock, &until) == 0)
		; /* woken for nothing */
	serial = pendings->serial;
	pthread_mutex_unlock(&pendings->lock);
	return serial;
}
