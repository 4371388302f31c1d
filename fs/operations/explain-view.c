/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include "fs/operations/explaining.h"
#include "fs/origins/budget.h"
#include "fs/origins/view.h"

/* ---- whose fetches it shares ---- */

bool explain_owns(const struct explaining *explaining)
{
	const struct view view = {
		.number = explaining->account.view,
		.uid = explaining->caller.uid,
		.web = policy_origin_is_web(explaining->origin),
	};
	uint64_t id;

	return (view.number || !view.web) &&
	       view_own(explaining->operation->store, &view, &explaining->name, &id) == 0;
}

int explain_sharing(struct explaining *explaining)
{
	struct operation *operation = explaining->operation;
	const struct view view = { .web = policy_origin_is_web(explaining->origin) };

	if (!view_is_apart(&view, &explaining->decision, explain_is_gated(explaining)))
		return 0;
	explaining->apart = !explain_owns(explaining);
	return explain_say(operation, "sharing", json_pack("{s:b}", "apart", explaining->apart),
			   explaining->apart ? "none: the view fetches it itself, as if it were not here" :
					       "none: the view has fetched it itself");
}

/* ---- what it uses, and may ---- */

static int say_quota(struct explaining *explaining)
{
	struct operation *operation = explaining->operation;
	uint64_t quota = policy_quota(operation->policy, explaining->origin);
	const struct store_account *account = &explaining->account;
	char limit[32] = "none";

	/* An open has the quota of the line that decides. */
	if (explaining->has_name && explaining->decision.verdict == POLICY_ALLOW)
		quota = explaining->decision.quota;
	if (quota)
		snprintf(limit, sizeof(limit), "%" PRIu64 " bytes", quota);
	return explain_say(operation, "quota",
			   json_pack("{s:I, s:I, s:o}", "used", (json_int_t)account->used, "objects",
				     (json_int_t)account->objects, "quota",
				     quota ? json_integer((json_int_t)quota) : json_null()),
			   "%s; %" PRIu64 " bytes in use", limit, account->used);
}

/* To the view itself that is hidden: it would tell which objects it has. */
static bool is_spent(const struct explaining *explaining)
{
	struct weightfs *fs = explaining->operation->fs;
	const struct view *view = NULL;

	if (fs && explaining->operation->privileged && explaining->account.view)
		view = view_get(fs->views, explaining->account.view);
	return view && budget_is_spent(fs, view);
}

int explain_limits(struct explaining *explaining)
{
	struct operation *operation = explaining->operation;
	struct policy_probes probes = policy_probes(operation->policy, explaining->origin);
	int r = say_quota(explaining);

	if (r == 0 && probes.count)
		r = explain_say(operation, "probes",
				json_pack("{s:i, s:I}", "probes", (int)probes.count, "window_ms",
					  (json_int_t)probes.window_ms),
				"%u in %.3g s%s", probes.count, (double)probes.window_ms / 1000,
				is_spent(explaining) ? "; used up for now" : "");
	if (r == 0 && operation->fs && operation->fs->offline)
		r = explain_say(operation, "offline", NULL, "nothing is fetched");
	return r;
}
