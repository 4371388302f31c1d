/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <time.h>
#include "fs/operations/operations.h"

/* ISO 8601 in UTC, or null. */
static json_t *time_value(int64_t seconds)
{
	time_t time = (time_t)seconds;
	char text[32];
	struct tm tm;

	if (seconds == 0 || !gmtime_r(&time, &tm) ||
	    !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return json_null();
	return json_string(text);
}

/* Who opened it: "origin (uid N)". */
static json_t *users_value(struct store *store, uint64_t id)
{
	json_t *users = json_array();
	uint32_t view = 0;
	int64_t last_open;

	while (store_next_user(store, id, view, &view, &last_open) == 0) {
		_cleanup_free_ char *origin = NULL;
		uid_t uid;

		if (store_view_get(store, view, &uid, &origin) == 0)
			json_array_append_new(users, json_sprintf("%s (uid %u)", origin, uid));
	}
	return users;
}

static void set_digest(json_t *line, const char *key, bool known, const struct digest *digest)
{
	char hex[DIGEST_HEX_SIZE];

	if (!known)
		return;
	digest_to_hex(digest, hex);
	json_object_set_new(line, key, json_string(hex));
}

static int each(struct operation *operation, const struct store_info *info)
{
	char text[DIGEST_NAME_SIZE];
	json_t *line;

	operation_object_name(info, text);
	line = json_pack("{s:s, s:I, s:I, s:s, s:b, s:o, s:o}", "name", text, "size",
			 (json_int_t)info->size, "present", (json_int_t)info->present, "state",
			 operation_state(info), "pinned", info->pinned, "origins", users_value(operation->store, info->id),
			 "last_open", time_value(info->last_open));
	if (!line)
		return -ENOMEM;
	set_digest(line, "digest", info->digests.has_sha256, &info->digests.sha256);
	set_digest(line, "fsverity", info->digests.has_fsverity, &info->digests.fsverity);
	return operation->emit(operation, line);
}

int operation_ls(struct operation *operation)
{
	return operation_each_object(operation, each);
}
