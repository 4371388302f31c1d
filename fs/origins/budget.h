/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probe budgets: how many objects that it does not have yet a view may look for in a while (`probes=16/1m` of the policy). A
 * site that asks for all models in turn, to find out by the time which are here, runs out of it; then everything that it does
 * not have is absent to it until the time has passed. In memory only; of each view on its own. Any thread.
 */
#ifndef FS_ORIGINS_BUDGET_H
#define FS_ORIGINS_BUDGET_H

#include "fs/origins/view.h"

/* VIEW looks for NAME, which it does not have. False: that is too much. The same name again costs nothing. */
bool must_check budget_spend(struct weightfs *fs, const struct view *view,
			     const struct digest_name *name);
/* It was too much, and the time has not passed. */
bool budget_is_spent(struct weightfs *fs, const struct view *view);
/* VIEW has one. */
bool budget_is_kept(struct weightfs *fs, const struct view *view);

/* The daemon ends. */
void budgets_free(void);

#endif
