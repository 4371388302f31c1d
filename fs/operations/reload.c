/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/operations/operations.h"
#include "fs/origins/audit.h"

/* The policy, and the file of the audit, as on SIGHUP. */
int operation_reload(struct operation *operation)
{
	struct weightfs *fs = operation->fs;
	char reason[POLICY_REASON_SIZE] = "";
	struct policy *policy;
	json_t *line, *warnings;
	int r;

	if (!fs)
		return operation_fail(operation, -ENOTCONN,
				      "no daemon has the store %s: there is nothing to reload",
				      store_path(operation->store));
	audit_reopen(fs->audit);
	r = policy_slot_reload(fs->policy, reason);
	if (r < 0)
		return operation_fail(operation, r, "%s; the old policy stays in force", reason);
	policy = policy_slot_get(fs->policy);
	line = json_pack("{s:s?}", "policy", policy_slot_file(fs->policy));
	warnings = policy_slot_warnings(policy);
	policy_unref(policy);
	if (json_array_size(warnings) > 0)
		json_object_set(line, "warnings", warnings);
	json_decref(warnings);
	return operation->emit(operation, line);
}
