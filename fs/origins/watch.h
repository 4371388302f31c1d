/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has something changed at these paths? By inotify(7), whichever way a file becomes another one: written in place,
 * replaced by rename(2), reached by another symbolic link, made, removed, its folder renamed away and another put there.
 *
 * For that each folder on the way to a path, through symbolic links, is watched for the one name that the way goes on
 * with; a path that is a folder is watched for all names in it. What changes on another machine that has the same
 * network filesystem is not noticed.
 *
 * One thread at a time.
 */
#ifndef FS_ORIGINS_WATCH_H
#define FS_ORIGINS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include "common/cleanup.h"

struct watch;

/* Watches nothing yet. 0 or -errno: there is no inotify, or no instance of it left. */
int must_check watch_new(struct watch **out);
/* NULL is allowed. A child that was forked in between goes on watching. */
void watch_free(struct watch *watch);

/*
 * Watch PATHS (absolute; N of them) from now on, and nothing else. True: of that, something was not watched before, and so
 * may have changed without notice. What cannot be watched is said in the log, once.
 */
bool must_check watch_set(struct watch *watch, const char *const *paths, size_t n);

enum watch_reason {
	WATCH_CHANGED, /* and then nothing for 20 ms, or it went on for 50 */
	WATCH_WOKEN,   /* somebody wrote to the eventfd, which is read */
};
/*
 * Wait for a change, or for the eventfd WAKE. A file that is being written counts as changed when it is closed, or when
 * nothing was written for a second (or something for 5), so that nobody reads half of it. But it does not keep back what
 * else has changed: that is told at once, and the half of a file is then told again when it is closed.
 */
enum watch_reason watch_wait(struct watch *watch, int wake);
/*
 * What was read after the last WATCH_CHANGED was no good. If files were being written then, that may be why: each
 * further write to one of them is told at once, until the next call of watch_wait() has told of one.
 */
void watch_failed(struct watch *watch);

#endif
