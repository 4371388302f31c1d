/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations pending, grant, deny, revoke and grants share. */
#ifndef FS_ORIGINS_ANSWERS_H
#define FS_ORIGINS_ANSWERS_H

#include "fs/operations/operations.h"

/* What a UID stands for that none was named. */
#define ANSWERS_ANYBODY ((uid_t)-1)

/*
 * May the caller see and answer what is asked, and of whom? A web origin may not: it would answer for itself. Nor may, but
 * for root and the owner of the store, who has no origin, cannot be identified, or has its origin by a `cgroup` or `unit`
 * line: what is confined would free itself. UID: whom the request's "uid" names, or the caller; for root and the owner
 * ANSWERS_ANYBODY, if it names none and ANYBODY is true.
 * 0, -EPERM or -EINVAL with a message.
 */
int must_check answers_authorise(struct operation *operation, bool anybody, uid_t *uid);

/* Adds what ABOUT is about to LINE. */
void answers_about(json_t *line, const struct store_about *about);

#endif
