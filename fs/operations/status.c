/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the daemon is. Everybody may know that it runs, where it is mounted and how it serves. What the store takes, what
 * is open and how the sources did would tell of others' doings (a counter that moves is a fetch that somebody
 * makes), so that is for root and the owner of the store.
 */
#include <config.h>

#include "catalogs/catalogs.h"
#include "common/clock.h"
#include "common/stats.h"
#include "fs/objects/parking.h"
#include "fs/operations/operations.h"
#include "fs/requests/passthrough.h"
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
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "path", store_path(store), "used",
			 (json_int_t)usage.used, "limit", (json_int_t)usage.limit, "objects",
			 (json_int_t)usage.objects, "complete", (json_int_t)usage.complete,
			 "pinned", (json_int_t)usage.pinned, "evicted",
			 (json_int_t)stats_get(STAT_EVICTED));
}

/* PART of ALL, 0 … 1; null where there was nothing yet. */
static json_t *share(uint64_t part, uint64_t all)
{
	return all ? json_real((double)part / (double)all) : json_null();
}

/*
 * How often the store had it already: of the files that were opened, those that were complete; of the bytes that the daemon
 * handed out, those that no source had to be asked for. (What the kernel reads by itself is not counted.)
 */
static json_t *hits_value(void)
{
	uint64_t opens = stats_get(STAT_OPENS_THROUGH) + stats_get(STAT_OPENS_CACHED);
	uint64_t here = stats_get(STAT_BYTES_STORE) + stats_get(STAT_BYTES_MEMORY);

	return json_pack("{s:o, s:o}", "opens", share(stats_get(STAT_OPENS_COMPLETE), opens),
			 "bytes", share(here, here + stats_get(STAT_BYTES_FETCHED)));
}

static json_t *in_flight_value(const struct weightfs *fs)
{
	return json_pack("{s:I, s:I}", "chunks", (json_int_t)stats_get(STAT_CHUNKS_ASKED),
			 "requests", (json_int_t)parking_count(fs->parking));
}

static json_t *memory_value(const struct weightfs *fs)
{
	return json_pack("{s:I, s:I, s:I}", "resident", (json_int_t)operation_resident_memory(),
			 "buffers", (json_int_t)operation_buffers_used(fs), "buffers_limit",
			 (json_int_t)(pool_count(fs->pool) * CHUNK_SIZE));
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
				      json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:i, s:I, s:I, s:s?}",
						"name", state.name, "requests",
						(json_int_t)state.requests, "bytes",
						(json_int_t)state.bytes, "errors",
						(json_int_t)state.errors, "lies",
						(json_int_t)state.lies, "alone",
						(json_int_t)state.alone_ms / 1000, "connections",
						(int)state.limit, "rate", (json_int_t)state.rate,
						"round_trip_us", (json_int_t)state.rtt_us,
						"last_error",
						state.last_error[0] ? state.last_error : NULL));
	}
	return sources;
}

/* What is in force, and what is wrong with the file: that of the last load, if it failed. */
static json_t *policy_value(struct weightfs *fs)
{
	struct policy *policy = policy_slot_get(fs->policy);
	char reason[POLICY_REASON_SIZE];
	bool failed = policy_slot_failed(fs->policy, reason);
	json_t *value = json_pack("{s:s?, s:s?, s:o}", "file", policy_slot_file(fs->policy), "failed",
				  failed ? reason : NULL, "warnings", policy_slot_warnings(policy));

	policy_unref(policy);
	return value;
}

int operation_status(struct operation *operation)
{
	struct weightfs *fs = operation->fs;
	json_t *line;

	if (!fs)
		return operation_fail(operation, -ENOTCONN, "no daemon has the store %s",
				      store_path(operation->store));
	line = json_pack("{s:s, s:i, s:I, s:s?, s:b, s:o}", "version", PACKAGE_VERSION, "pid",
			 (int)getpid(), "uptime", (json_int_t)((clock_ms() - fs->started_ms) / 1000),
			 "mountpoint", session_mountpoint(), "offline", fs->offline, "passthrough",
			 passthrough_value(fs));
	if (line && operation->privileged) {
		json_object_set_new(line, "store", store_value(operation->store));
		json_object_set_new(line, "policy", policy_value(fs));
		json_object_set_new(line, "views", operation_views(fs));
		json_object_set_new(line, "open", opens_value(fs));
		json_object_set_new(line, "hits", hits_value());
		json_object_set_new(line, "in_flight", in_flight_value(fs));
		json_object_set_new(line, "memory", memory_value(fs));
		json_object_set_new(line, "sources", sources_value(fs));
		json_object_set_new(line, "catalogs_wrong",
				    json_integer((json_int_t)stats_get(STAT_CATALOGS_WRONG)));
		json_object_set_new(line, "catalogs", catalogs_status(fs->catalogs));
		json_object_set_new(line, "disagreements", catalogs_disagreements(fs->catalogs));
	}
	return operation->emit(operation, line);
}
