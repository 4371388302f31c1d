/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files: what `fh` stands for, a small number. A handle holds a reference on its object.
 */
#ifndef FS_REQUESTS_HANDLE_H
#define FS_REQUESTS_HANDLE_H

#include "fs/objects/object.h"
#include "fs/objects/prefetch.h"

struct handle {
	struct object *object;
	uint64_t node; /* that was opened, set by whoever opened it */
	struct prefetch *prefetch; /* protected by the object's lock; NULL: nothing cold was read yet */
	/* fs/origins/quota.c's, set at the open: */
	uint32_t view;
	uid_t uid;      /* the view's */
	uint64_t quota; /* 0: none */
	bool charged;   /* the view uses it in the store */
	enum {
		HANDLE_UNCOUNTED,
		HANDLE_KEEPS,  /* what is fetched for it may be stored */
		HANDLE_PASSES, /* it may not */
	} share;
	uint32_t next_free;
};

/* A handle on OBJECT, whose reference it takes over in success. 0 or -ENFILE, -ENOMEM. Any thread. */
int must_check handle_open(struct object *object, uint64_t *fh);
/* FH must be open; lock-free. */
struct handle *handle_get(uint64_t fh);
void handle_close(uint64_t fh);
/* The session is over: files that are still open will see no RELEASE. */
void handle_close_all(void);

#endif
