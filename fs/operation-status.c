/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the daemon is. Everybody may know that it runs, where it is mounted and how it serves. What the store takes, what
 * is open and how the sources did would tell of others' doings (a counter that moves is a fetch that somebody
 * makes), so that is for root and the owner of the store.
 */
#include <config.h>

#include "fs/operations.h"
#include "fs/passthrough.h"
#include "fs/session.h"

static json_t *passthrough_value(const struct weightfs *fs)
{
	const char *reason = passthrough_reason(fs->passthrough);

	return json_pack("{s:b, s:s?}", "active", !reason, "reason", reason);
}

static json_t *store_value(struct store *store)
{
	struct store_usage usage;

	store_usage(store, &usage);
	return json_pack("{s:s, s:I, s:I, s:I}", "path", store_path(store), "used",
			 (json_int_t)usage.used, "limit", (json_int_t)usage.limit, "objects",
			 (json_int_t)usage.objects);
}

static json_t *opens_value(struct weightfs *fs)
{
	struct passthrough_counts counts;

	passthrough_counts(fs->passthrough, &counts);
	return json_pack("{s:I, s:I}", "passthrough", (json_int_t)counts.through, "cached",
			 (json_int_t)counts.cached);
}

static json_t *sources_value(struct weightfs *fs)
{
	json_t *sources = json_array();

	for (unsigned int i = 0; i < fetch_source_count(fs->fetch); i++) {
		struct fetch_source_state state;

		fetch_source_state(fs->fetch, i, &state);
		json_array_append_new(sources,
				      json_pack("{s:s, s:I, s:I, s:I, s:I, s:i, s:I, s:I, s:s?}",
						"name", state.name, "requests",
						(json_int_t)state.requests, "bytes",
						(json_int_t)state.bytes, "errors",
						(json_int_t)state.errors, "lies",
						(json_int_t)state.lies, "connections",
						(int)state.limit, "rate", (json_int_t)state.rate,
						"round_trip_us", (json_int_t)state.rtt_us,
						"last_error",
						state.last_error[0] ? state.last_error : NULL));
	}
	return sources;
}

int operation_status(struct operation *operation)
{
	struct weightfs *fs = operation->fs;
	json_t *line;

	if (!fs)
		return operation_fail(operation, -ENOTCONN, "no daemon has the store %s",
				      store_path(operation->store));
	line = json_pack("{s:s, s:i, s:s?, s:o}", "version", PACKAGE_VERSION, "pid", (int)getpid(),
			 "mountpoint", session_mountpoint(), "passthrough", passthrough_value(fs));
	if (line && operation->privileged) {
		json_object_set_new(line, "store", store_value(operation->store));
		json_object_set_new(line, "views", operation_views(fs));
		json_object_set_new(line, "open", opens_value(fs));
		json_object_set_new(line, "sources", sources_value(fs));
	}
	return operation->emit(operation, line);
}
