/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/refused.h"

#include <stdio.h>
#include <string.h>
#include "fs/origins/access.h"
#include "fs/origins/audit.h"
#include "fs/origins/view.h"

static void begin_record(fuse_req_t request, const char *operation, struct audit_record *out)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(request);

	*out = (struct audit_record){ .operation = operation, .uid = ctx->uid, .pid = ctx->pid };
}

/*
 * Decisions do not keep the line that they come from, which lives with a policy that may be gone: it is looked for again,
 * while the policy is held. After a reload in between it may be another line, or none.
 */
static void find_line(struct weightfs *fs, const struct view *view, const struct digest_pair *digests,
		      enum policy_verdict verdict, struct audit_record *record)
{
	struct policy *policy = policy_slot_get(fs->policy);
	struct policy_decision decision = policy_decide(policy, view->origin, digests);

	if (decision.verdict == verdict && decision.where.file) {
		snprintf(record->file, sizeof(record->file), "%s", decision.where.file);
		record->line = decision.where.line;
	}
	policy_unref(policy);
}

void audit_refused(struct weightfs *fs, fuse_req_t request, const struct view *view,
		   const struct digest_pair *digests, const struct policy_decision *decision,
		   const char *operation)
{
	struct digest_name name = digest_pair_name(digests);
	struct audit_record record;

	if ((decision && view_refusal(decision) == 0) ||
	    !audit_admits(fs->audit, fuse_req_ctx(request)->uid))
		return;
	begin_record(request, operation, &record);
	record.decision = !decision			       ? "probes" :
			  decision->verdict == POLICY_ASK      ? "ask" :
								 "deny";
	record.web = view->web;
	snprintf(record.origin, sizeof(record.origin), "%s", view->origin);
	digest_name_format(&name, record.digest);
	if (decision)
		find_line(fs, view, digests, decision->verdict, &record);
	audit_add(fs->audit, &record);
}

void audit_refused_view(struct weightfs *fs, fuse_req_t request, uid_t uid, const char *name)
{
	char origin[POLICY_ORIGIN_SIZE];
	struct audit_record record;
	struct policy *policy;
	const char *own;

	if (!audit_admits(fs->audit, fuse_req_ctx(request)->uid))
		return;
	begin_record(request, "lookup", &record);
	record.decision = "deny";
	snprintf(record.directory, sizeof(record.directory), "%u%s%s", uid, name ? "/" : "",
		 name ? name : "");
	record.web_directory = name && policy_origin_from_dir(name, origin) == 0 && policy_origin_is_web(origin);
	policy = policy_slot_get(fs->policy);
	own = access_origin(policy, request);
	if (own) {
		snprintf(record.origin, sizeof(record.origin), "%s", own);
		record.web = policy_origin_is_web(own);
	}
	policy_unref(policy);
	audit_add(fs->audit, &record);
}
