/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is watched is known only after a load: the files that it read. What changed in between would be missed, so
 * whenever a load led to something that was not watched when it began, there is another one.
 *
 * Until policy_slot_follow() the watch belongs to whoever made the slot, and then to the thread that follows it; other
 * threads that load only wake that one.
 */
#include "fs/origins/policy-slot.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include "common/log.h"
#include "common/stats.h"
#include "fs/origins/watch.h"

#define AGAIN_MAX 8 /* loads because of what was not watched before */

static const char BUILTIN[] = "caller any is local\n"
			      "allow local to any with list\n";

struct policy_slot {
	char *file; /* absolute; NULL: built-in */
	const struct policy_names *names; /* constant once it is followed; before it has any, none is known yet */
	pthread_mutex_t lock;
	struct policy *current; /* protected by lock */
	struct policy *previous; /* protected by lock */
	uint64_t begun, loaded; /* protected by lock: loads: the last one, and the one in force */
	struct policy_error error; /* protected by lock: of the last load; "" if it did not fail */
	struct watch *watch; /* NULL: there is no inotify */
	int wake; /* an eventfd */
	uint64_t (*begins)(void *arg); /* constant while it is followed, like the next three */
	void (*notify)(void *arg, uint64_t begun);
	void *arg;
	pthread_t thread;
	bool followed;
	atomic_bool stop;
};

/* ---- loading ---- */

/*
 * The file may be a symbolic link, which may lead elsewhere by now; what it names is relative to the folder of the file
 * that it leads to.
 */
static int load_file(const char *file, const struct policy_names *names, struct policy **out,
		     struct policy_error *error)
{
	_cleanup_free_ char *real = realpath(file, NULL);
	int r = -errno;

	if (real)
		return policy_load(real, names, out, error);
	*error = (struct policy_error){ 0 };
	snprintf(error->file, sizeof(error->file), "%s", file);
	errno = -r;
	snprintf(error->message, sizeof(error->message), "%m");
	return r;
}

static int load(const char *file, const struct policy_names *names, struct policy **out,
		struct policy_error *error)
{
	return file ? load_file(file, names, out, error) :
		      policy_parse("built-in policy", BUILTIN, sizeof(BUILTIN) - 1, NULL, out, error);
}

static bool is_same(const struct policy_error *a, const struct policy_error *b)
{
	return a->line == b->line && a->column == b->column && !strcmp(a->file, b->file) &&
	       !strcmp(a->message, b->message);
}

static bool is_warned_of(const struct policy *policy, const struct policy_error *warning)
{
	const struct policy_error *other;

	for (size_t i = 0; policy && (other = policy_warning(policy, i)); i++) {
		if (is_same(other, warning))
			return true;
	}
	return false;
}

/* What the one before did not say already. */
static void log_warnings(const struct policy *policy, const struct policy *before)
{
	const struct policy_error *warning;
	char text[POLICY_REASON_SIZE];

	for (size_t i = 0; (warning = policy_warning(policy, i)); i++) {
		if (is_warned_of(before, warning))
			continue;
		policy_error_format(warning, text, sizeof(text));
		log_warning("%s", text);
	}
}

/* An error is logged. */
static int load_first(const char *file, const struct policy_names *names, struct policy **out)
{
	struct policy_error error;
	char reason[POLICY_REASON_SIZE];
	int r = load(file, names, out, &error);

	if (r < 0) {
		policy_error_format(&error, reason, sizeof(reason));
		log_error("%s", reason);
	}
	return r;
}

int policy_load_or_builtin(const char *file, const struct policy_names *names, struct policy **out)
{
	int r = load_first(file, names, out);

	if (r == 0)
		log_warnings(*out, NULL);
	return r;
}

/* One that was logged already is not new; nor is one of a load that was overtaken by one that went well. */
static void note_failure(struct policy_slot *slot, const struct policy_error *error, uint64_t number,
			 const char *reason)
{
	bool news = false;

	pthread_mutex_lock(&slot->lock);
	if (number > slot->loaded) {
		news = !is_same(&slot->error, error);
		slot->error = *error;
	}
	pthread_mutex_unlock(&slot->lock);
	if (news)
		log_error("%s; the old policy stays in force", reason);
}

/*
 * Into force, unless one that began later, and so read what is newer, is it already. Who drops the last reference to a
 * policy frees it, which takes a while: that shall be a thread that loads, and no reader, who holds one for some
 * microseconds. So the one before is kept until the next load.
 */
static void put_in_force(struct policy_slot *slot, struct policy *loaded, uint64_t number)
{
	struct policy *old = loaded, *before = policy_slot_get(slot);

	log_warnings(loaded, before);
	policy_unref(before);
	pthread_mutex_lock(&slot->lock);
	if (number > slot->loaded) {
		old = slot->previous;
		slot->previous = slot->current;
		slot->current = loaded;
		slot->loaded = number;
		slot->error = (struct policy_error){ 0 };
	}
	pthread_mutex_unlock(&slot->lock);
	policy_unref(old);
}

static int reload(struct policy_slot *slot, char reason[POLICY_REASON_SIZE])
{
	struct policy_error error = { 0 };
	struct policy *loaded;
	uint64_t number, begun = 0;
	int r;

	pthread_mutex_lock(&slot->lock);
	number = ++slot->begun;
	if (slot->begins)
		begun = slot->begins(slot->arg); /* with the lock: a later load has seen no less */
	pthread_mutex_unlock(&slot->lock);
	r = load(slot->file, slot->names, &loaded, &error);
	stats_add(r < 0 ? STAT_RELOADS_FAILED : STAT_RELOADS, 1);
	if (r < 0) {
		policy_error_format(&error, reason, POLICY_REASON_SIZE);
		note_failure(slot, &error, number, reason);
		return r;
	}
	put_in_force(slot, loaded, number);
	log_info("policy %s loaded", slot->file ? slot->file : "(built-in)");
	if (slot->notify)
		slot->notify(slot->arg, begun);
	return 0;
}

int policy_slot_reload(struct policy_slot *slot, char reason[POLICY_REASON_SIZE])
{
	char unread[POLICY_REASON_SIZE];
	int r = reload(slot, reason ? reason : unread);

	/* It may be made of other files now. */
	if (slot->wake >= 0 && eventfd_write(slot->wake, 1) < 0)
		log_warning_errno(-errno, "the policy's files may be others now, which are not watched");
	return r;
}

/* ---- following ---- */

/* All that the policy in force was made of, and what stopped the last load. True: something of it was not watched yet. */
static bool watch_files(struct policy_slot *slot)
{
	_cleanup_free_ const char **paths = NULL;
	struct policy_error error;
	struct policy *policy;
	size_t n = 0, i = 0;
	bool anew = false;

	if (!slot->watch)
		return false;
	pthread_mutex_lock(&slot->lock);
	policy = policy_ref(slot->current);
	error = slot->error;
	pthread_mutex_unlock(&slot->lock);
	while (policy_path(policy, n))
		n++;
	paths = calloc(n + 3, sizeof(*paths));
	for (; paths && i < n; i++)
		paths[i] = policy_path(policy, i);
	if (paths) {
		paths[i++] = slot->file;
		if (error.file[0])
			paths[i++] = error.file;
		if (error.unread[0])
			paths[i++] = error.unread;
		anew = watch_set(slot->watch, paths, i);
	}
	policy_unref(policy);
	return anew;
}

/*
 * Until what is in force was made of what was watched when it was read. R: how the load before went; how the last one
 * went.
 */
static int catch_up(struct policy_slot *slot, int r)
{
	char reason[POLICY_REASON_SIZE];

	for (unsigned int i = 0; i < AGAIN_MAX && watch_files(slot); i++)
		r = reload(slot, reason);
	return r;
}

static void *follow(void *arg)
{
	struct policy_slot *slot = arg;
	char reason[POLICY_REASON_SIZE];

	pthread_setname_np(pthread_self(), "policy");
	for (;;) {
		enum watch_reason why = watch_wait(slot->watch, slot->wake);
		int r = 0;

		if (atomic_load(&slot->stop))
			return NULL;
		if (why == WATCH_CHANGED)
			r = reload(slot, reason);
		/* Half a line of a list must not keep a revocation back for longer than it takes to write the rest. */
		if (catch_up(slot, r) < 0)
			watch_failed(slot->watch);
	}
}

int policy_slot_follow(struct policy_slot *slot, uint64_t (*begins)(void *arg),
		       void (*loaded)(void *arg, uint64_t begun), void *arg)
{
	int r;

	slot->arg = arg;
	slot->begins = begins;
	slot->notify = loaded;
	if (!slot->watch)
		return 0;
	r = -pthread_create(&slot->thread, NULL, follow, slot);
	slot->followed = r == 0;
	return r;
}

void policy_slot_unfollow(struct policy_slot *slot)
{
	if (!slot->followed)
		return;
	atomic_store(&slot->stop, true);
	while (eventfd_write(slot->wake, 1) < 0 && errno == EINTR)
		;
	pthread_join(slot->thread, NULL);
	slot->followed = false;
}

/* ---- the slot ---- */

/* Without, SIGHUP and `weightfs reload` do the same. */
static void begin_watch(struct policy_slot *slot)
{
	int r = watch_new(&slot->watch);

	if (r == 0 && (slot->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
		r = -errno;
		watch_free(steal_pointer(slot->watch));
	}
	if (r < 0)
		log_warning_errno(r, "changes of the policy are not noticed, only SIGHUP and reload");
}

static int make_absolute(const char *file, char **out)
{
	_cleanup_free_ char *cwd = NULL;

	if (*file == '/') {
		*out = strdup(file);
		return *out ? 0 : -ENOMEM;
	}
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return -errno;
	return asprintf(out, "%s/%s", cwd, file) < 0 ? -ENOMEM : 0;
}

static int none_known(void *arg, const char *catalog, const char *pattern,
		      int (*found)(void *found_arg, const struct digest_name *name), void *found_arg)
{
	return -EAGAIN;
}

static const struct policy_names unknown = { none_known, NULL };

/* The first load, and what it is made of watched since it began. What is taken as empty is said when the catalogs are there. */
static int begin(struct policy_slot *slot)
{
	if (slot->file) {
		begin_watch(slot);
		if (slot->watch && !watch_set(slot->watch, (const char *const *)&slot->file, 1))
			log_debug("nothing of %s can be watched", slot->file);
	}
	return load_first(slot->file, slot->names, &slot->current);
}

int policy_slot_begin(struct policy_slot *slot, const struct policy_names *names)
{
	struct policy *loaded;
	int r;

	r = policy_load_or_builtin(slot->file, names, &loaded);
	if (r < 0)
		return r;
	slot->names = names;
	policy_unref(slot->current);
	slot->current = loaded;
	if (slot->file)
		(void)catch_up(slot, 0); /* one that fails has said so; the first one stays */
	return 0;
}

int policy_slot_new(const char *file, struct policy_slot **out)
{
	struct policy_slot *slot = calloc(1, sizeof(*slot));
	int r = 0;

	if (!slot)
		return -ENOMEM;
	slot->wake = -1;
	slot->names = &unknown;
	pthread_mutex_init(&slot->lock, NULL);
	/* A daemon changes to the root directory, and reads it again. */
	if (file && (r = make_absolute(file, &slot->file)) < 0)
		log_error_errno(r, "%s", file);
	if (r == 0)
		r = begin(slot);
	if (r < 0) {
		policy_slot_free(slot);
		return r;
	}
	*out = slot;
	return 0;
}

void policy_slot_free(struct policy_slot *slot)
{
	if (!slot)
		return;
	watch_free(slot->watch);
	cleanup_close(&slot->wake);
	policy_unref(slot->current);
	policy_unref(slot->previous);
	pthread_mutex_destroy(&slot->lock);
	free(slot->file);
	free(slot);
}

struct policy *policy_slot_get(struct policy_slot *slot)
{
	struct policy *policy;

	pthread_mutex_lock(&slot->lock);
	policy = policy_ref(slot->current);
	pthread_mutex_unlock(&slot->lock);
	return policy;
}

const char *policy_slot_file(const struct policy_slot *slot)
{
	return slot->file;
}

bool policy_slot_failed(struct policy_slot *slot, char reason[POLICY_REASON_SIZE])
{
	struct policy_error error;

	pthread_mutex_lock(&slot->lock);
	error = slot->error;
	pthread_mutex_unlock(&slot->lock);
	policy_error_format(&error, reason, POLICY_REASON_SIZE);
	return error.message[0];
}

json_t *policy_slot_warnings(const struct policy *policy)
{
	const struct policy_error *warning;
	json_t *list = json_array();
	char text[POLICY_REASON_SIZE];

	for (size_t i = 0; (warning = policy_warning(policy, i)); i++) {
		policy_error_format(warning, text, sizeof(text));
		json_array_append_new(list, json_string(text));
	}
	return list;
}
