/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands do to a store: the same code in the daemon, for a client on the control socket, and
 * in the command's own process when no daemon has the store.
 */
#ifndef FS_OPERATIONS_OPERATIONS_H
#define FS_OPERATIONS_OPERATIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>
#include "fs/fs.h"
#include "fs/origins/access.h"
#include "store/store.h"

/* One call of an operation. */
struct operation {
	struct store *store;
	struct weightfs *fs;   /* NULL: in process */
	struct policy *policy; /* in force */
	struct catalogs_later *catalogs; /* in process; see operation_catalogs() */
	json_t *request;       /* arguments */
	int fd;                /* passed along; -1: none */
	struct policy_caller caller;
	pid_t pid;             /* the caller's, to be told; 0: not known */
	bool privileged;       /* root, or who owns the store */
	/* Sends one line to the caller. Other than 0: it is gone, stop. Takes over LINE. */
	int (*emit)(struct operation *operation, json_t *line);
	/* NULL: always. Does the caller still wait? Asked where there may be nothing to send for long. */
	bool (*listens)(struct operation *operation);
	void *arg;
	char message[512];     /* the reason of an error, if there is more to say than its errno */
};

/*
 * Run the operation that the request's "op" names: ls, add, pin, unpin, rm, gc, verify, explain, status, pull, import, imports,
 * import-remove, locate, reload, metrics, catalogs, catalog-refresh, pending, grant, deny, revoke, grants. 0 or -errno; message
 * may say more.
 */
int must_check operation_run(struct operation *operation);

/* What an operation cannot do without, when it is not in a daemon. Also of one that does not exist. */
enum operation_need {
	NEEDS_STORE,   /* as it is: nothing makes room because of it */
	NEEDS_ROOM,    /* the store keeps to its size */
	NEEDS_SOURCES, /* all of a daemon but the mount */
	NEEDS_DAEMON,  /* it is about one */
};
enum operation_need operation_needs(const char *name);

/* ---- one file each ---- */
int operation_ls(struct operation *operation);
int operation_add(struct operation *operation);
int operation_verify(struct operation *operation);
int operation_pin(struct operation *operation);
int operation_unpin(struct operation *operation);
int operation_rm(struct operation *operation);
int operation_gc(struct operation *operation);
int operation_explain(struct operation *operation);
int operation_pull(struct operation *operation);
int operation_list_catalogs(struct operation *operation);
int operation_refresh_catalogs(struct operation *operation);
int operation_import(struct operation *operation);
int operation_imports(struct operation *operation);
int operation_import_remove(struct operation *operation);
int operation_reload(struct operation *operation);
int operation_metrics(struct operation *operation);
int operation_status(struct operation *operation);
int operation_pending(struct operation *operation);
int operation_grant(struct operation *operation);
int operation_deny(struct operation *operation);
int operation_revoke(struct operation *operation);
int operation_grants(struct operation *operation);
int operation_locate(struct operation *operation);

/* ---- shared ---- */

/* Root, or who owns the store: the user that this process is. A conversation asks for more (fs/control/protocol.c). */
bool operation_is_privileged(uid_t uid);

/* -errno with a message. */
int operation_fail(struct operation *operation, int error, const char *format, ...)
	printf_like(3, 4);
/* The digests of the request's array "digests": calls EACH for every object named, or for all. */
int must_check operation_each_object(struct operation *operation,
				     int (*each)(struct operation *operation,
						 const struct store_info *info));
/* The view of whoever calls, by its own origin; root and the owner have one whatever the policy says. -errno. */
int must_check operation_view(struct operation *operation, uint32_t *number);
/* The daemon's, or those of the store, loaded now. NULL: no memory. */
struct catalogs *operation_catalogs(struct operation *operation);
/*
 * Of an object that a catalog named: what the policy in force by now says, unless OPERATION's own denies it. Catalogs are
 * asked while it runs, and may be newer than its policy.
 */
enum policy_verdict operation_verdict(const struct operation *operation, const char *origin,
				      const struct digest_pair *digests);
/* What an object is called in replies. */
void operation_object_name(const struct store_info *info, char out[DIGEST_NAME_SIZE]);
/* Out of the store; who has it open keeps it, and its name leads nobody else there. */
int must_check operation_remove(struct operation *operation, const struct store_info *info);
/* Bytes: of the pool that chunks are in; and that the process takes, 0 if that cannot be found out. */
uint64_t operation_buffers_used(const struct weightfs *fs);
uint64_t operation_resident_memory(void);
/* views.c: the views, what each uses and may use, for those who may know of all. */
json_t *operation_views(struct weightfs *fs);
/* "complete", "partial" or "known". */
const char *operation_state(const struct store_info *info);

#endif
