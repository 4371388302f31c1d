/* SPDX-License-Identifier: Apache-2.0 */
/* Of `explain`: what the user answered, where the policy asks. */
#include "fs/operations/explaining.h"
#include "fs/origins/grants.h"
#include "fs/origins/view.h"

static int say(struct explaining *explaining, const char *answer, const char *text)
{
	return explain_say(explaining->operation, "grants", json_pack("{s:s?}", "answer", answer), "%s",
			   text);
}

int explain_grants(struct explaining *explaining, const struct digest_pair *digests)
{
	struct operation *operation = explaining->operation;
	struct grants_time now = grants_now();
	struct grants_said said = {.answer = GRANTS_NONE};
	struct grants *grants;
	int r;

	r = grants_new(&grants);
	if (r < 0)
		return r;
	/* As the store has it: the same without a daemon. */
	r = grants_load(grants, operation->store, explaining->caller.uid, explaining->origin, now);
	if (r == 0)
		said = grants_ask(grants, operation->policy, digests, now);
	grants_free(grants);
	if (r < 0)
		return operation_fail(operation, r, "what was answered cannot be read");
	if (said.answer == GRANTS_NONE)
		return say(explaining, NULL, "nobody has answered");
	if (said.answer == GRANTS_NO) {
		explaining->decision.wait_ms = VIEW_REFUSED;
		return say(explaining, "deny", "denied, and not to be asked again");
	}
	explaining->decision.verdict = POLICY_ALLOW;
	if (said.seconds == 0)
		return say(explaining, "grant", "granted");
	return explain_say(operation, "grants",
			   json_pack("{s:s, s:I}", "answer", "grant", "seconds", (json_int_t)said.seconds),
			   "granted, for another %lld s", (long long)said.seconds);
}
