/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy in force. It is loaded again when somebody asks (SIGHUP, `weightfs reload`) and, once it is followed, when
 * one of the files changes that it was made of. One that has an error changes nothing. Of two loads at once the one
 * that was begun later wins: it read what is newer.
 *
 * Any thread, but where said otherwise.
 */
#ifndef FS_ORIGINS_POLICY_SLOT_H
#define FS_ORIGINS_POLICY_SLOT_H

#include <jansson.h>
#include "common/cleanup.h"
#include "policy/policy.h"

struct policy_slot;

#define POLICY_REASON_SIZE 1024

/* FILE NULL: the built-in policy (any caller is `local`, which may open and list everything). 0 or -errno, logged. */
int must_check policy_slot_new(const char *file, struct policy_slot **out);
/* Nobody follows it any more. NULL is allowed. */
void policy_slot_free(struct policy_slot *slot);

/*
 * Load it again, with NAMES (valid as long as the slot loads): until now no catalog was known to it. Before it is followed,
 * by whoever made it. 0 or -errno, logged; then the slot is as before.
 */
int must_check policy_slot_begin(struct policy_slot *slot, const struct policy_names *names);
/*
 * From now on a thread loads it again when its files change. Whoever loads it calls BEGINS before anything is read, and
 * LOADED, with the number that this returned, after a policy came into force that was begun no earlier. BEGINS must not call
 * anything of this file: the numbers of loads that begin one after the other are in that order. Where changes cannot be noticed, that is logged, and it is loaded when somebody asks. 0 or -errno.
 */
int must_check policy_slot_follow(struct policy_slot *slot, uint64_t (*begins)(void *arg),
				  void (*loaded)(void *arg, uint64_t begun), void *arg);
/* Ends that thread; LOADED will not be called by it any more. Also of a slot that is not followed. */
void policy_slot_unfollow(struct policy_slot *slot);

/* To be unref'd. What was begun with a policy ends with it. */
struct policy *policy_slot_get(struct policy_slot *slot);
/* Load the file again. On an error it is logged, and said in REASON (may be NULL), and the old policy stays. */
int policy_slot_reload(struct policy_slot *slot, char reason[POLICY_REASON_SIZE]);

/* NULL: the built-in policy. As long as SLOT. */
const char *policy_slot_file(const struct policy_slot *slot);
/* Why the last load failed; false if it did not. */
bool policy_slot_failed(struct policy_slot *slot, char reason[POLICY_REASON_SIZE]);
/* What POLICY took as empty, an array of strings. */
json_t *policy_slot_warnings(const struct policy *policy);

/* Load FILE with NAMES or, for NULL, the built-in policy; an error is logged as FILE:LINE:COLUMN. */
int must_check policy_load_or_builtin(const char *file, const struct policy_names *names,
				      struct policy **out);

#endif
