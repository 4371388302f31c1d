/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What origins asked for and nobody has answered. "after" (a serial): only what came later; "wait": if there is nothing,
 * not before there is, or WAIT_MS are over. So who watches asks again and again, and holds nothing while it does
 * something about what it was told.
 */
#include <pthread.h>
#include <time.h>
#include "catalogs/catalogs.h"
#include "common/clock.h"
#include "fs/origins/answers.h"
#include "fs/origins/asking.h"
#include "fs/origins/pending.h"

#define NAMES_MAX	8
#define WAIT_MS		20000
#define LOOK_MS		100 /* between two looks at whether somebody listens */
#define LULL_NS		20000000 /* after what was noted for others */
#define WATCHERS_MAX	16  /* conversations that wait */
#define WATCHERS_KEPT	4   /* of these, for root and the owner of the store */
#define WATCHERS_OF_UID 2   /* the same of a user who is not root and does not own the store */

/* ---- how many wait ---- */

static struct {
	pthread_mutex_t lock;
	uid_t uids[WATCHERS_MAX]; /* protected by lock */
	unsigned int n;		  /* protected by lock */
} watchers = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool begin_watching(const struct operation *operation)
{
	uid_t uid = operation->caller.uid;
	unsigned int of_uid = 0;
	bool fits;

	pthread_mutex_lock(&watchers.lock);
	for (unsigned int i = 0; i < watchers.n; i++)
		of_uid += watchers.uids[i] == uid;
	fits = operation->privileged ? watchers.n < WATCHERS_MAX :
				       watchers.n < WATCHERS_MAX - WATCHERS_KEPT && of_uid < WATCHERS_OF_UID;
	if (fits)
		watchers.uids[watchers.n++] = uid;
	pthread_mutex_unlock(&watchers.lock);
	return fits;
}

static void end_watching(const struct operation *operation)
{
	pthread_mutex_lock(&watchers.lock);
	for (unsigned int i = 0; i < watchers.n; i++) {
		if (watchers.uids[i] == operation->caller.uid) {
			watchers.uids[i] = watchers.uids[--watchers.n];
			break;
		}
	}
	pthread_mutex_unlock(&watchers.lock);
}

/* ---- telling ---- */

/* Does a view of UID use the object? Of others' objects it learns nothing here either. */
static bool is_used_by(struct operation *operation, uint64_t id, uid_t uid)
{
	uint32_t number = 0;
	int64_t last_open;

	while (store_next_user(operation->store, id, number, &number, &last_open) == 0) {
		const struct view *view = view_get(operation->fs->views, number);

		if (view && view->uid == uid)
			return true;
	}
	return false;
}

/* That of the store, if it may be told, else what the user's catalogs say; null. */
static json_t *size_of(struct operation *operation, const struct catalog_set *set, const struct view *view,
		       const struct digest_name *name)
{
	struct store_info info;
	struct known known;

	if (store_lookup(operation->store, name, &info) == 0 &&
	    (operation->privileged || is_used_by(operation, info.id, view->uid)))
		return json_integer((json_int_t)info.size);
	return catalog_set_find(set, view->uid, name, &known) == 0 ? json_integer((json_int_t)known.size) :
								     json_null();
}

/* What the user of VIEW finds it under in name/: "CATALOG/PATH", NAMES_MAX of them at most. */
static json_t *names_of(const struct catalog_set *set, const struct view *view, const struct digest_name *name)
{
	json_t *names = json_array();

	for (size_t i = 0; i < catalog_set_count(set); i++) {
		const struct catalog *catalog = catalog_set_get(set, i);
		struct verify_object object;

		if (!catalog_is_for(catalog, view->uid) ||
		    verify_catalog_find(catalog->entries, name, &object) < 0 ||
		    catalog_set_contradicts(set, catalog, &object))
			continue;
		for (unsigned int j = 0; j < object.n_names && json_array_size(names) < NAMES_MAX; j++)
			json_array_append_new(names,
					      json_sprintf("%s/%s", catalog->name,
							   verify_object_name(catalog->entries, &object, j)));
	}
	return names;
}

static int tell(struct operation *operation, const struct view *view, const struct pending *pending)
{
	struct catalog_set *set = catalogs_get(operation->fs->catalogs);
	char text[DIGEST_NAME_SIZE];
	json_t *line;

	digest_name_format(&pending->name, text);
	line = json_pack("{s:I, s:I, s:s, s:s, s:o, s:o, s:I, s:I, s:I}", "serial", (json_int_t)pending->serial,
			 "uid", (json_int_t)view->uid, "origin", view->origin, "digest", text, "names",
			 names_of(set, view, &pending->name), "size", size_of(operation, set, view, &pending->name),
			 "first", (json_int_t)pending->first, "last", (json_int_t)pending->last, "count",
			 (json_int_t)pending->count);
	catalog_set_unref(set);
	return operation->emit(operation, line);
}

/* What is pending for UID and came after AFTER; TOLD: something was. */
static int tell_all(struct operation *operation, uid_t uid, uint64_t after, bool *told)
{
	struct weightfs *fs = operation->fs;
	_cleanup_free_ struct pending *list = NULL;
	size_t n = 0;
	int r;

	r = pending_list(fs->pendings, after, &list, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct view *view = view_get(fs->views, list[i].view);

		if (!view || (uid != ANSWERS_ANYBODY && view->uid != uid))
			continue;
		if (!asking_is_open(fs, view, &list[i].name)) {
			pending_forget(fs->pendings, list[i].view, &list[i].name);
			continue;
		}
		r = tell(operation, view, &list[i]);
		*told = true;
	}
	return r;
}

static int tell_next(struct operation *operation, uid_t uid, uint64_t after)
{
	int64_t until = clock_ms() + WAIT_MS;
	uint64_t seen = after;
	bool told = false, listens = true;
	int r = 0;

	if (!begin_watching(operation))
		return operation_fail(operation, -EBUSY, "too many watch already");
	while (r == 0 && !told && listens && clock_ms() < until) {
		uint64_t serial = pending_wait(operation->fs->pendings, seen, LOOK_MS);

		if (serial > seen)
			r = tell_all(operation, uid, seen, &told);
		if (r == 0 && !told && serial > seen)
			nanosleep(&(struct timespec){.tv_nsec = LULL_NS}, NULL);
		seen = serial;
		listens = !operation->listens || operation->listens(operation);
	}
	end_watching(operation);
	return r;
}

int operation_pending(struct operation *operation)
{
	json_t *after = json_object_get(operation->request, "after");
	bool told = false;
	uid_t uid;
	int r;

	r = answers_authorise(operation, true, &uid);
	if (r < 0)
		return r;
	if (!operation->fs)
		return operation_fail(operation, -ENOTCONN, "no daemon has the store %s: nothing is pending",
				      store_path(operation->store));
	if (after && (!json_is_integer(after) || json_integer_value(after) < 0))
		return operation_fail(operation, -EINVAL, "\"after\" is not a serial");
	r = tell_all(operation, uid, (uint64_t)json_integer_value(after), &told);
	if (r == 0 && !told && json_is_true(json_object_get(operation->request, "wait")))
		r = tell_next(operation, uid, (uint64_t)json_integer_value(after));
	return r;
}
