/* SPDX-License-Identifier: Apache-2.0 */
/* Who uses how much, of what quota: a part of `status` that is for the privileged. */
#include "fs/operations/operations.h"
#include "fs/origins/view.h"

static json_t *view_value(struct weightfs *fs, const struct store_account *account)
{
	const struct view *view = view_get(fs->views, account->view);
	uint64_t quota = view ? view_quota(fs, view) : 0;

	if (!view)
		return NULL;
	return json_pack("{s:I, s:s, s:I, s:I, s:o}", "uid", (json_int_t)view->uid, "origin",
			 view->origin, "used", (json_int_t)account->used, "objects",
			 (json_int_t)account->objects, "quota",
			 quota ? json_integer((json_int_t)quota) : json_null());
}

json_t *operation_views(struct weightfs *fs)
{
	_cleanup_free_ struct store_account *accounts = NULL;
	json_t *views = json_array();
	size_t n = 0;

	if (store_accounts(fs->store, &accounts, &n) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(views, view_value(fs, &accounts[i]));
	return views;
}
