/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	trace    a path into the folders and names that it leads through    ─┐
 *	arm      what is not watched yet; sweep what nobody names any more   ├─ watch_set()
 *	again    until nothing is new: a link may lead elsewhere by then    ─┘
 *	take     events: is one about a name that matters?                  ── watch_wait()
 *
 * A folder is known by its path without links; its watch is of the inode that is there. So when it is replaced,
 * arm finds another one.
 */
#include "fs/origins/watch.h"

#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include "common/clock.h"
#include "common/log.h"
#include "fs/origins/places.h"

#define QUIET_MS    20   /* without an event: whoever changes things is done */
#define GATHER_MS   50   /* since the first change that is finished */
#define UNCLOSED_MS 1000 /* since the last write to a file that is not closed */
#define ENDLESS_MS  5000 /* whoever goes on writing */
#define PASSES_MAX  8

/* What becomes of names and of what they name; and what happens to the bytes. */
#define NAME_EVENTS                                                                             \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | \
	 IN_MOVE_SELF)
#define BYTE_EVENTS (IN_MODIFY | IN_CLOSE_WRITE)

struct watch {
	int fd;
	struct place *places; /* by path */
	int64_t first, last, written; /* ms: of the events not told yet; 0: none */
	int64_t lost; /* ms: there were more events than there was room for; 0: no */
	bool failed;  /* what was read after the last change was no good */
	bool complained;
};

int watch_new(struct watch **out)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch->fd < 0) {
		int r = -errno;

		free(watch);
		return r;
	}
	*out = watch;
	return 0;
}

void watch_free(struct watch *watch)
{
	struct place *place, *next;

	if (!watch)
		return;
	HASH_ITER(hh, watch->places, place, next)
		places_drop(&watch->places, place);
	close(watch->fd); /* and nothing else: the watches are also those of who was forked */
	free(watch);
}

/* ---- arm and sweep ---- */

static void complain(struct watch *watch, int error, const char *path)
{
	if (!watch->complained)
		log_warning_errno(error, "%s: changes are not noticed there", path);
	watch->complained = true;
}

/* True: it is a folder that was not watched. (Of a file its folder tells, too: a new one is no reason to read again.) */
static bool arm(struct watch *watch, struct place *place)
{
	uint32_t mask = place->folder ? NAME_EVENTS | IN_ONLYDIR : IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;
	int wd;

	if (!place->folder || place->bytes)
		mask |= BYTE_EVENTS;
	/* One inode may be at two paths. */
	wd = inotify_add_watch(watch->fd, place->path, mask | IN_MASK_ADD);
	if (wd < 0 && errno != ENOENT && errno != ENOTDIR && (place->bytes || errno != EACCES))
		complain(watch, -errno, place->path);
	if (wd == place->wd)
		return false;
	place->wd = wd;
	return wd >= 0 && place->folder;
}

static bool is_used(const struct watch *watch, int wd)
{
	for (const struct place *place = watch->places; place; place = place->hh.next) {
		if (place->wd == wd)
			return true;
	}
	return false;
}

static void sweep(struct watch *watch)
{
	struct place *place, *next;

	HASH_ITER(hh, watch->places, place, next) {
		int wd = place->wd;

		places_drop_names(place);
		if (place->seen)
			continue;
		places_drop(&watch->places, place);
		if (wd >= 0 && !is_used(watch, wd))
			inotify_rm_watch(watch->fd, wd);
	}
}

bool watch_set(struct watch *watch, const char *const *paths, size_t n)
{
	bool anew = false, more = true;

	for (unsigned int pass = 0; more && pass < PASSES_MAX; pass++) {
		size_t before = places_count(watch->places);

		places_forget_marks(watch->places);
		for (size_t i = 0; i < n; i++) {
			int r = places_trace(&watch->places, paths[i]);

			if (r < 0)
				complain(watch, r, paths[i]);
		}
		/* What is noted now and was not before is more; what is not any more is swept away below. */
		more = places_count(watch->places) > before;
		for (struct place *place = watch->places; place; place = place->hh.next)
			more |= place->seen && arm(watch, place);
		anew |= more;
		sweep(watch);
	}
	return anew;
}

/* ---- take ---- */

/* A file that is made is written next; a link, a folder, or another name of a file is whole at once. */
static bool is_begun(const struct place *place, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s/%s", place->path, name);

	return (size_t)n < sizeof(path) && lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_nlink == 1;
}

/* Its bytes are not all there yet: it is not finished any more, if it was. */
static void begin_writing(struct watch *watch, struct change *change)
{
	int64_t now = clock_ms();

	watch->written = now;
	change->writing = true;
	change->finished = change->half && watch->failed ? now : 0;
}

static void finish(struct change *change)
{
	change->writing = false;
	if (!change->finished)
		change->finished = clock_ms();
}

/* Does EVENT, which is about PLACE, matter? */
static bool take(struct watch *watch, struct place *place, const struct inotify_event *event)
{
	struct change *change = &place->change;
	struct name *name = NULL;

	if (event->mask & IN_IGNORED) {
		place->wd = -1;
		if (place->folder)
			finish(change);
		return place->folder;
	}
	if (event->len > 0) {
		HASH_FIND_STR(place->names, event->name, name);
		/* Of what else is in a folder, it matters that it is there, and that it is closed. */
		if (!name && (!place->all || event->mask & IN_MODIFY))
			return false;
		if (name)
			change = &name->change;
	}
	if (event->mask & IN_MODIFY ||
	    (event->mask & IN_CREATE && is_begun(place, event->name))) {
		/* What is unnamed shares this: a new one does not undo that another is finished. */
		if (event->len == 0 || name || !change->finished)
			begin_writing(watch, change);
	} else if (!change->writing || !(event->mask & (IN_ATTRIB | IN_MOVE_SELF))) {
		finish(change);
	}
	return true;
}

static void take_events(struct watch *watch)
{
	_Alignas(struct inotify_event) char buffer[16384];
	ssize_t n;

	while ((n = read(watch->fd, buffer, sizeof(buffer))) > 0) {
		const struct inotify_event *event;
		bool matters = false;

		for (char *at = buffer; at < buffer + n; at += sizeof(*event) + event->len) {
			event = (const struct inotify_event *)(void *)at;
			if (event->mask & IN_Q_OVERFLOW)
				watch->lost = clock_ms();
			matters |= event->mask & IN_Q_OVERFLOW;
			for (struct place *place = watch->places; place; place = place->hh.next) {
				if (place->wd == event->wd && event->wd >= 0)
					matters |= take(watch, place, event);
			}
		}
		if (matters)
			watch->last = clock_ms();
		if (matters && !watch->first)
			watch->first = watch->last;
	}
}

/* Is it a file whose name stands for another one by now, which is being written? */
static bool is_made_anew(const struct watch *watch, const struct place *place)
{
	const char *slash = strrchr(place->path, '/');
	size_t len = slash == place->path ? 1 : (size_t)(slash - place->path);
	struct place *folder;
	struct name *name = NULL;

	if (place->folder)
		return false;
	HASH_FIND(hh, watch->places, place->path, len, folder);
	if (folder)
		HASH_FIND_STR(folder->names, slash + 1, name);
	return name && name->change.writing;
}

/* When the first change was finished that is not told yet; 0: none is. */
static int64_t finished(const struct watch *watch)
{
	int64_t first = watch->lost;

	for (const struct place *place = watch->places; place; place = place->hh.next) {
		int64_t at = is_made_anew(watch, place) ? 0 : place->change.finished;

		if (at && (!first || at < first))
			first = at;
		for (const struct name *name = place->names; name; name = name->hh.next) {
			at = name->change.finished;
			if (at && (!first || at < first))
				first = at;
		}
	}
	return first;
}

/* EARLY: what is still being written is read as it is, because of something else. */
static void note_told(struct change *change, bool early)
{
	*change = (struct change){ .half = early && change->writing };
}

/* What is not closed by now will not be waited for: its close is another change. */
static void tell(struct watch *watch)
{
	bool early = finished(watch);

	watch->first = watch->lost = 0;
	watch->failed = false;
	for (struct place *place = watch->places; place; place = place->hh.next) {
		note_told(&place->change, early);
		for (struct name *name = place->names; name; name = name->hh.next)
			note_told(&name->change, early);
	}
}

/* When what has changed is to be told; 0: nothing has. Whatever is still being written keeps nothing else back. */
static int64_t due(const struct watch *watch)
{
	int64_t begun, quiet, end;

	if (!watch->first)
		return 0;
	begun = finished(watch);
	quiet = begun ? watch->last + QUIET_MS : watch->written + UNCLOSED_MS;
	end = begun ? begun + GATHER_MS : watch->first + ENDLESS_MS;
	return quiet < end ? quiet : end;
}

void watch_failed(struct watch *watch)
{
	watch->failed = true;
}

enum watch_reason watch_wait(struct watch *watch, int wake)
{
	struct pollfd fds[2] = { { watch->fd, POLLIN, 0 }, { wake, POLLIN, 0 } };
	uint64_t value;

	for (;;) {
		int64_t at = due(watch), now = clock_ms();

		if (at && at <= now) {
			tell(watch);
			return WATCH_CHANGED;
		}
		if (poll(fds, ARRAY_SIZE(fds), at ? (int)(at - now) : -1) < 0)
			continue;
		if (fds[1].revents && read(wake, &value, sizeof(value)) == sizeof(value))
			return WATCH_WOKEN;
		if (fds[0].revents)
			take_events(watch);
	}
}
