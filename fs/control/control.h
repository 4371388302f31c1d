/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: a Unix stream socket, mode 0666, one JSON object a line. A request names its operation
 * in "op" and may carry a descriptor (SCM_RIGHTS). The reply is any number of lines, the last
 * of which has "done": true or "error": "…" and "errno".
 * Each operation is authorised by the peer's uid (SO_PEERCRED).
 */
#ifndef FS_CONTROL_CONTROL_H
#define FS_CONTROL_CONTROL_H

#include <jansson.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "config/settings.h"
#include "fs/fs.h"

/* ---- both sides ---- */

union control_address {
	struct sockaddr any;
	struct sockaddr_un local;
};

/*
 * The address of the socket at PATH. Paths of sockets end at 107 bytes, those of stores do not: it is named through
 * FOLDER, its opened folder, which has to stay open while the address is used.
 */
int must_check control_address(const char *path, int *folder, union control_address *out);

/* ---- the daemon's side ---- */

/* Listen at PATH, whose folder is made if absent. 0 or -errno, logged. */
int must_check control_new(struct weightfs *fs, const char *path, struct control **out);
/* Where it listens. */
const char *control_path(const struct control *control);
/* Ends every conversation. NULL is allowed. */
void control_free(struct control *control);

/* ---- the client's ---- */

/*
 * Run REQUEST (taken over) on the store of SETTINGS: through the daemon that has it, or in process, which may take over
 * what is in CONFIG. Calls LINE for each line of the reply but the last. FD -1: none. 0 or -errno, logged.
 */
int must_check control_call(const struct settings *settings, struct config *config,
			    json_t *request, int fd, int (*line)(void *arg, json_t *line),
			    void *arg);

#endif
