/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/names/interned.h"

#include <pthread.h>
#include <string.h>
#include <uthash.h>

struct interned {
	uint64_t number;
	UT_hash_handle hh;
	char path[];
};

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct interned *by_path; /* protected by lock; what is in there stays */
/* protected by lock: by number, from 1 */
static struct interned **numbered;
static size_t used, capacity;

struct owner {
	uid_t uid;
	uint64_t used;
	UT_hash_handle hh;
};
static struct owner *owners; /* protected by lock */
static uint64_t owned;	     /* protected by lock: of all of them */

/* With the lock held to write. NULL: no memory. */
static struct interned *add(const char *path)
{
	size_t len = strlen(path);
	struct interned *made;

	if (used == capacity) {
		size_t larger = capacity ? 2 * capacity : 64;
		struct interned **array = realloc(numbered, larger * sizeof(*array));

		if (!array)
			return NULL;
		numbered = array;
		capacity = larger;
	}
	made = malloc(sizeof(*made) + len + 1);
	if (!made)
		return NULL;
	memcpy(made->path, path, len + 1);
	numbered[used++] = made;
	made->number = used;
	HASH_ADD_STR(by_path, path, made);
	return made;
}

/* With the lock held to write: one more of UID's. 0, -ENOMEM or -ENOSPC. */
static int charge(uid_t uid)
{
	struct owner *owner;

	if (used >= INTERNED_MAX)
		return -ENOSPC;
	if (uid == (uid_t)-1)
		return 0;
	HASH_FIND(hh, owners, &uid, sizeof(uid), owner);
	if (owned >= INTERNED_OWNERS_MAX || (owner && owner->used >= INTERNED_OWNER_MAX))
		return -ENOSPC;
	if (!owner) {
		owner = calloc(1, sizeof(*owner));
		if (!owner)
			return -ENOMEM;
		owner->uid = uid;
		HASH_ADD(hh, owners, uid, sizeof(owner->uid), owner);
	}
	owner->used++;
	owned++;
	return 0;
}

/* With the lock held to write. */
static bool add_roots(void)
{
	return used >= INTERNED_HUB || (add("name") && add("hub"));
}

int interned_number(const char *path, uid_t owner, uint64_t *out)
{
	struct interned *found;
	int r = 0;

	pthread_rwlock_rdlock(&lock);
	HASH_FIND_STR(by_path, path, found);
	pthread_rwlock_unlock(&lock);
	if (found) {
		*out = found->number;
		return 0;
	}
	pthread_rwlock_wrlock(&lock);
	if (!add_roots())
		r = -ENOMEM;
	HASH_FIND_STR(by_path, path, found);
	if (r == 0 && !found) {
		r = charge(owner);
		if (r == 0 && !(found = add(path)))
			r = -ENOMEM;
	}
	pthread_rwlock_unlock(&lock);
	if (r == 0)
		*out = found->number;
	return r;
}

const char *interned_path(uint64_t number)
{
	const char *path = NULL;

	if (number == INTERNED_NAME)
		return "name";
	if (number == INTERNED_HUB)
		return "hub";
	pthread_rwlock_rdlock(&lock);
	if (number > 0 && number <= used)
		path = numbered[number - 1]->path;
	pthread_rwlock_unlock(&lock);
	return path;
}

/* FNV-1a (Fowler, Noll, Vo): spread enough, and nobody is harmed by two that are alike. */
uint64_t interned_inode(const char *path)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *path; path++)
		hash = (hash ^ (unsigned char)*path) * 0x100000001b3;
	return hash > 1 ? hash : 2;
}

void interned_free(void)
{
	struct owner *owner, *next;

	HASH_ITER(hh, owners, owner, next) {
		HASH_DELETE(hh, owners, owner);
		free(owner);
	}
	owned = 0;
	HASH_CLEAR(hh, by_path);
	for (size_t i = 0; i < used; i++)
		free(numbered[i]);
	free(numbered);
	numbered = NULL;
	used = capacity = 0;
}
