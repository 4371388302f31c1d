/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user of one view answered to rules that ask, in memory, as decisions need it: no I/O, no allocation, any number
 * of readers at once.
 *
 * An answer about the object itself goes before one about a set that holds it; of two that contradict each other, no
 * holds. While a digest of a kind is not known of the object, any refusal that names one of that kind might be about it, so
 * that no grant of a set applies, as with the policy's deny lines. One with a time is over when the wall clock says so, or when that much time has passed since it was
 * loaded, whichever comes first; what is over stays so, wherever the clock is set. So is a grant
 * that would have been given in the future: nobody knows how late it is. A refusal counts all the same.
 */
#ifndef FS_ORIGINS_GRANTS_H
#define FS_ORIGINS_GRANTS_H

#include <stdbool.h>
#include <stdint.h>
#include "common/cleanup.h"
#include "policy/policy.h"
#include "store/store.h"

struct grants;

/* The time, in seconds: since the epoch, and since boot. */
struct grants_time {
	int64_t wall, boot;
};
struct grants_time grants_now(void);

enum grants_answer {
	GRANTS_NONE,
	GRANTS_YES,
	GRANTS_NO,
};

int must_check grants_new(struct grants **out); /* nothing is answered */
void grants_free(struct grants *grants);	 /* NULL is allowed */

/* From now on it is what the store has for UID and ORIGIN; NOW: the time. 0 or -errno, then nothing is answered. */
int must_check grants_load(struct grants *grants, struct store *store, uid_t uid, const char *origin,
			   struct grants_time now);
struct grants_said {
	enum grants_answer answer;
	int64_t seconds;	    /* GRANTS_YES: for how long at most; 0: for ever */
	struct store_grant expired; /* found to be over for the first time: but for its uid and origin; until 0: none */
};

/* What holds for DIGESTS; sets are POLICY's. */
struct grants_said grants_ask(struct grants *grants, const struct policy *policy,
			      const struct digest_pair *digests, struct grants_time now);

/* Is GRANT over, or not to be believed, at NOW, by the wall clock alone? */
bool grants_is_over(const struct store_grant *grant, int64_t wall);

#endif
