/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of a view, by digest: its hash/, and what names in name/ and hub/ lead to. The policy speaks first, and of what it
 * denies nothing is looked at. A view that shares what is in the store finds it there; one that does not (fs/objects/separate.h) finds what it fetched itself.
 */
#include <string.h>
#include "common/log.h"
#include "common/stats.h"
#include "fs/objects/knowledge.h"
#include "fs/objects/probe.h"
#include "fs/objects/separate.h"
#include "fs/origins/asking.h"
#include "fs/origins/budget.h"
#include "fs/origins/refused.h"
#include "fs/requests/ops.h"

/* VIEW looks for NAME, which it does not have. */
static bool may_look(struct weightfs *fs, fuse_req_t request, const struct view *view,
		     const struct digest_name *name)
{
	struct digest_pair pair = digest_pair_of(name);

	if (budget_spend(fs, view, name))
		return true;
	audit_refused(fs, request, view, &pair, NULL, "lookup");
	return false;
}

static void reply_error(fuse_req_t request, int error)
{
	fuse_reply_err(request, error == -ENOENT || error == -EACCES ? -error : EIO);
}

int ops_find_apart(struct weightfs *fs, const struct view *view, const struct digest_name *name,
		   struct store_info *out)
{
	uint64_t id;
	int r;

	r = view_own(fs->store, view, name, &id);
	if (r == 0)
		r = store_get(fs->store, id, out);
	if (r == 0 && out->lacks_front && !out->complete)
		r = -ENOENT; /* it is of no more use than one that left the store */
	return r == -ENOENT ? separate_find(fs, view->number, name, out) : r;
}

/* For one that may not. Until it has NAME, nothing here depends on the store. */
static void lookup_apart(struct weightfs *fs, fuse_req_t request, const struct view *view,
			 const struct policy_decision *decision, const struct digest_name *name)
{
	struct store_info info;
	int r;

	r = ops_find_apart(fs, view, name, &info);
	if (r == 0)
		ops_reply_object(fs, request, view->number, &info);
	else if (r == -ENOENT && may_look(fs, request, view, name) && !decision->cached)
		probe_lookup(fs, view->number, true, name, request);
	else
		reply_error(request, r);
}

/* Is there more to be found out about INFO than the store has, before it can be shown? */
static bool is_uncertain(struct weightfs *fs, const struct view *view, const struct store_info *info)
{
	if (info->lacks_front)
		return !fs->offline && !knowledge_confirms(fs, view->uid, info);
	return knowledge_attests(fs, view->uid, info);
}

/* For a view that may have NAME from others. */
static void lookup_shared(struct weightfs *fs, fuse_req_t request, const struct view *view,
			  const struct policy_decision *by_name, const struct digest_name *name)
{
	struct policy_decision decision = *by_name;
	struct store_info info;
	int r;

	r = store_lookup(fs->store, name, &info);
	if (view_is_apart(view, &decision, knowledge_is_gated(fs, view->uid, name, r == 0 ? &info : NULL))) {
		lookup_apart(fs, request, view, &decision, name);
		return;
	}
	if ((r < 0 || !ops_has(fs, view, &info)) && !may_look(fs, request, view, name)) {
		reply_error(request, -ENOENT);
		return;
	}
	if (r == 0)
		decision = view_decide(fs, view, &info.digests);
	/*
	 * One whose front was lost, and with it the word that its size is right, is asked for like one that is not known;
	 * offline it can be seen, not read. To whom it is denied by another digest hears that at once.
	 */
	if (r == 0 && !decision.cached && view_refusal(&decision) == 0 && is_uncertain(fs, view, &info))
		probe_lookup(fs, view->number, false, &info.name, request);
	else if (r == 0)
		ops_reply_object(fs, request, view->number, &info);
	else if (r == -ENOENT && !decision.cached)
		probe_lookup(fs, view->number, false, name, request);
	else
		reply_error(request, r);
}

void ops_lookup_digest(struct weightfs *fs, fuse_req_t request, const struct view *view,
		       const struct digest_name *name)
{
	struct digest_pair pair = digest_pair_of(name);
	struct policy_decision decision = view_decide(fs, view, &pair);
	int r = view_refusal(&decision);

	if (r < 0) {
		stats_add(STAT_DENIED, 1);
		audit_refused(fs, request, view, &pair, &decision, "lookup");
		if (r == -EACCES)
			asking_lookup(fs, request, view, name, &decision);
		else
			reply_error(request, r);
	} else if (view_is_apart(view, &decision, false)) {
		lookup_apart(fs, request, view, &decision, name);
	} else {
		lookup_shared(fs, request, view, &decision, name);
	}
}

void ops_lookup_object(struct weightfs *fs, fuse_req_t request, uint32_t number, const char *text)
{
	const struct view *view = view_get(fs->views, number);
	struct digest_name name;

	if (!view || digest_name_parse(text, &name) < 0)
		fuse_reply_err(request, ENOENT);
	else
		ops_lookup_digest(fs, request, view, &name);
}
