/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/operations.h"
#include "fs/session.h"

/* The policy, as on SIGHUP. */
int operation_reload(struct operation *operation)
{
	struct weightfs *fs = operation->fs;
	char reason[ACCESS_REASON_SIZE] = "";
	int r;

	if (!fs)
		return operation_fail(operation, -ENOTCONN,
				      "no daemon has the store %s: there is nothing to reload",
				      store_path(operation->store));
	r = policy_slot_reload(fs->policy, reason);
	if (r < 0)
		return operation_fail(operation, r, "%s; the old policy stays in force", reason);
	session_forget_names(fs);
	return operation->emit(operation,
			       json_pack("{s:s?}", "policy", policy_slot_file(fs->policy)));
}
