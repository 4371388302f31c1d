/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE session: mounting, what is agreed on in INIT, the loop, signals.
 */
#ifndef FS_SESSION_H
#define FS_SESSION_H

#include <sys/types.h>
#include "fs/fs.h"

struct session_options {
	const char *source;     /* shown as the device in /proc/mounts */
	const char *mountpoint;
	const char *options;    /* for the kernel, comma-separated; may be "" */
	/* The mount answers. Called once, on a FUSE thread. */
	void (*ready)(void *arg);
	void *arg;
};

/*
 * Block the signals that session_run() waits for. Before any thread is made: they inherit it.
 */
void session_block_signals(void);
/* Has one of them come that ends the daemon, while it was starting? */
bool session_asked_to_stop(void);

/* Mount FS, which has everything but a session. 0 or -errno, logged. */
int must_check session_mount(struct weightfs *fs, const struct session_options *options);
/*
 * Serve until unmounted, or until SIGTERM or SIGINT; SIGHUP reloads the policy and opens the audit's file
 * again. On the main thread.
 * 0 or -errno.
 */
int must_check session_run(struct weightfs *fs);
/* Unmount, if still mounted, and forget the session. NULL session is allowed. */
void session_end(struct weightfs *fs);

/* The mount's device number, 0 if there is none: whoever must not wait for files of the own mount asks. */
dev_t session_device(void);

/* Where it is mounted, canonical; NULL: not yet. Any thread. */
const char *session_mountpoint(void);

/* The operation `init`. */
void session_init(void *userdata, struct fuse_conn_info *conn);

/*
 * A new policy is in force, an answer of a user is another, or an object left the store because it is damaged: the kernel
 * must not answer from what it learned before, and who waits for an answer may have one. Any thread.
 */
void session_forget_names(struct weightfs *fs);

#endif
