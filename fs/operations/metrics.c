/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that is counted: a line for each metric, which the command turns into Prometheus' text. Nothing here says who
 * asked for what; but a counter that moves is somebody's doing, so it is for root and the owner only.
 */
#include <config.h>

#include "catalogs/catalogs.h"
#include "common/stats.h"
#include "fs/objects/parking.h"
#include "fs/operations/operations.h"
#include "fs/requests/passthrough.h"

#define VARIANTS_MAX 5

struct variant {
	const char *value; /* of the label */
	enum stats_what stat;
};

static const struct counter {
	const char *name, *help, *label; /* LABEL NULL: there is one variant only */
	struct variant variants[VARIANTS_MAX];
	size_t n;
} counters[] = {
	{ "weightfs_opens_total", "Files opened, by how they are read: by the kernel from the store, or through the daemon.",
	  "mode", { { "passthrough", STAT_OPENS_THROUGH }, { "cached", STAT_OPENS_CACHED } }, 2 },
	{ "weightfs_complete_opens_total", "Files opened whose object was complete in the store.", NULL,
	  { { NULL, STAT_OPENS_COMPLETE } }, 1 },
	{ "weightfs_reads_total", "Reads answered by the daemon, by where the bytes were: in the store, in memory, or still at a source.",
	  "from", { { "store", STAT_READS_STORE }, { "memory", STAT_READS_MEMORY }, { "source", STAT_READS_FETCHED } }, 3 },
	{ "weightfs_read_bytes_total", "Bytes of these reads.", "from",
	  { { "store", STAT_BYTES_STORE }, { "memory", STAT_BYTES_MEMORY }, { "source", STAT_BYTES_FETCHED } }, 3 },
	{ "weightfs_read_errors_total", "Reads answered with an error.", "errno",
	  { { "EIO", STAT_FAILED_EIO }, { "ENODATA", STAT_FAILED_ENODATA }, { "ETIMEDOUT", STAT_FAILED_ETIMEDOUT },
	    { "EINTR", STAT_FAILED_EINTR }, { "other", STAT_FAILED_OTHER } }, 5 },
	{ "weightfs_lookups_denied_total", "Lookups of digests that the policy denied.", NULL,
	  { { NULL, STAT_DENIED } }, 1 },
	{ "weightfs_chunks_verified_total", "Chunks that came from sources and were right.", NULL,
	  { { NULL, STAT_CHUNKS_GOOD } }, 1 },
	{ "weightfs_chunks_failed_total", "Chunks that came from sources and were wrong.", NULL,
	  { { NULL, STAT_CHUNKS_WRONG } }, 1 },
	{ "weightfs_catalogs_wrong_total", "Times that the digests that a catalog gave turned out not to be those of one file.", NULL,
	  { { NULL, STAT_CATALOGS_WRONG } }, 1 },
	{ "weightfs_store_evictions_total", "Objects that made room for others.", NULL,
	  { { NULL, STAT_EVICTED } }, 1 },
	{ "weightfs_store_evicted_bytes_total", "Bytes of these objects.", NULL,
	  { { NULL, STAT_EVICTED_BYTES } }, 1 },
	{ "weightfs_policy_reloads_total", "Times that the policy was read again.", "result",
	  { { "success", STAT_RELOADS }, { "failure", STAT_RELOADS_FAILED } }, 2 },
	{ "weightfs_audit_refusals_total", "Refusals, by what became of their line in the audit: written, left out because there were too many, or lost.",
	  "result", { { "written", STAT_AUDIT_WRITTEN }, { "suppressed", STAT_AUDIT_SUPPRESSED }, { "lost", STAT_AUDIT_LOST } }, 3 },
};

/* Adds a sample to SAMPLES; VALUE is taken over. LABEL NULL: none. */
static void add(json_t *samples, const char *label, const char *text, json_t *value)
{
	json_t *labels = json_object();

	if (label)
		json_object_set_new(labels, label, json_string(text));
	json_array_append_new(samples, json_pack("{s:o, s:o}", "labels", labels, "value", value));
}

static json_t *whole(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* Takes over SAMPLES. */
static int say(struct operation *operation, const char *name, const char *type, const char *help,
	       json_t *samples)
{
	return operation->emit(operation, json_pack("{s:s, s:s, s:s, s:o}", "name", name, "type",
						    type, "help", help, "samples", samples));
}

static int gauge(struct operation *operation, const char *name, const char *help, uint64_t value)
{
	json_t *samples = json_array();

	add(samples, NULL, NULL, whole(value));
	return say(operation, name, "gauge", help, samples);
}

static int say_counters(struct operation *operation)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(counters) && r == 0; i++) {
		const struct counter *counter = &counters[i];
		json_t *samples = json_array();

		for (size_t j = 0; j < counter->n; j++)
			add(samples, counter->label, counter->variants[j].value,
			    whole(stats_get(counter->variants[j].stat)));
		r = say(operation, counter->name, "counter", counter->help, samples);
	}
	return r;
}

static int say_process(struct operation *operation)
{
	const struct weightfs *fs = operation->fs;
	json_t *samples = json_array();
	int r;

	add(samples, "version", PACKAGE_VERSION, whole(1));
	r = say(operation, "weightfs_build_info", "gauge", "The program that runs; always 1.", samples);
	if (r == 0)
		r = gauge(operation, "weightfs_start_time_seconds",
			  "When the daemon started, in seconds since 1970.", (uint64_t)fs->started);
	if (r == 0)
		r = gauge(operation, "weightfs_resident_memory_bytes", "Resident memory of the daemon.",
			  operation_resident_memory());
	return r;
}

static int say_store(struct operation *operation)
{
	struct store_usage usage;
	int r;

	store_usage(operation->store, &usage);
	r = gauge(operation, "weightfs_store_used_bytes", "What objects take in the store.", usage.used);
	if (r == 0)
		r = gauge(operation, "weightfs_store_limit_bytes", "What they may take.", usage.limit);
	if (r == 0)
		r = gauge(operation, "weightfs_store_objects", "Objects that take room in the store.",
			  usage.objects);
	if (r == 0)
		r = gauge(operation, "weightfs_store_complete_objects", "Objects that are complete.",
			  usage.complete);
	if (r == 0)
		r = gauge(operation, "weightfs_store_pinned_bytes", "What pinned objects take.",
			  usage.pinned);
	return r;
}

/* What is on its way now. */
static int say_flights(struct operation *operation)
{
	struct weightfs *fs = operation->fs;
	struct passthrough_counts counts;
	json_t *samples = json_array();
	int r;

	passthrough_counts(fs->passthrough, &counts);
	add(samples, "mode", "passthrough", whole(counts.through));
	add(samples, "mode", "cached", whole(counts.cached));
	r = say(operation, "weightfs_open_files", "gauge", "Files that are open now.", samples);
	if (r == 0)
		r = gauge(operation, "weightfs_waiting_requests",
			  "Requests that wait for a source now.", parking_count(fs->parking));
	if (r == 0)
		r = gauge(operation, "weightfs_in_flight_chunks",
			  "Chunks of attested objects that were asked for and are not here yet.",
			  stats_get(STAT_CHUNKS_ASKED));
	if (r == 0)
		r = gauge(operation, "weightfs_buffer_used_bytes",
			  "Memory for chunks in use, those that are only kept as long as there is room included.",
			  operation_buffers_used(fs));
	if (r == 0)
		r = gauge(operation, "weightfs_buffer_limit_bytes", "Memory for chunks that there is.",
			  pool_count(fs->pool) * CHUNK_SIZE);
	return r;
}

/* ---- sources ---- */

enum of_source { REQUESTS, BYTES, ERRORS, LIES, CONNECTIONS, RATE, ROUND_TRIP };

static json_t *of_source(const struct fetch_source_state *state, enum of_source what)
{
	switch (what) {
	case REQUESTS:
		return whole(state->requests);
	case BYTES:
		return whole(state->bytes);
	case ERRORS:
		return whole(state->errors);
	case LIES:
		return whole(state->lies);
	case CONNECTIONS:
		return whole(state->limit);
	case RATE:
		return whole(state->rate);
	case ROUND_TRIP:
		return json_real((double)state->rtt_us / 1e6);
	}
	return NULL;
}

static int say_sources(struct operation *operation)
{
	static const struct {
		enum of_source what;
		const char *name, *type, *help;
	} metrics[] = {
		{ REQUESTS, "weightfs_source_requests_total", "counter", "HTTP requests sent." },
		{ BYTES, "weightfs_source_received_bytes_total", "counter", "Bytes of bodies received." },
		{ ERRORS, "weightfs_source_errors_total", "counter", "Requests that failed." },
		{ LIES, "weightfs_source_lies_total", "counter", "Times that bytes did not verify." },
		{ CONNECTIONS, "weightfs_source_connections_limit", "gauge",
		  "Transfers at once that the source is worth now." },
		{ RATE, "weightfs_source_throughput_bytes_per_second", "gauge",
		  "Throughput when the source was in use last; 0 before that." },
		{ ROUND_TRIP, "weightfs_source_round_trip_seconds", "gauge",
		  "From a request to its answer, about the shortest; 0 before the first." },
	};
	struct fetch *fetch = operation->fs->fetch;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(metrics) && r == 0; i++) {
		json_t *samples = json_array();

		for (unsigned int j = 0; j < fetch_source_count(fetch); j++) {
			struct fetch_source_state state;

			fetch_source_state(fetch, j, &state);
			add(samples, "source", state.name, of_source(&state, metrics[i].what));
		}
		r = say(operation, metrics[i].name, metrics[i].type, metrics[i].help, samples);
	}
	return r;
}

/* ---- catalogs ---- */

/* OF: a member of catalogs_status(); what is missing of those that are not here is 0. */
static int say_catalogs(struct operation *operation)
{
	static const struct {
		const char *of, *name, *type, *help;
	} metrics[] = {
		{ "here", "weightfs_catalog_loaded", "gauge", "Whether the catalog is here: 1 or 0." },
		{ "serial", "weightfs_catalog_serial", "gauge", "Its serial." },
		{ "expires", "weightfs_catalog_expires_seconds", "gauge",
		  "When it expires, in seconds since 1970." },
		{ "expired", "weightfs_catalog_expired", "gauge", "Whether it has expired: 1 or 0." },
		{ "objects", "weightfs_catalog_objects", "gauge", "Objects in it." },
		{ "asked", "weightfs_catalog_refresh_time_seconds", "gauge",
		  "When it was last known to be what is served, in seconds since 1970; 0: never." },
		{ "failures", "weightfs_catalog_refresh_failures_total", "counter",
		  "Times that it could not be had, or was refused." },
	};
	json_t *list, *disagreements, *catalog;
	size_t index;
	int r = 0;

	list = catalogs_status(operation->fs->catalogs);
	for (size_t i = 0; i < ARRAY_SIZE(metrics) && json_array_size(list) > 0 && r == 0; i++) {
		json_t *samples = json_array();

		json_array_foreach(list, index, catalog) {
			json_t *value = json_object_get(catalog, metrics[i].of);

			if (!value)
				value = json_false();
			add(samples, "catalog", json_string_value(json_object_get(catalog, "name")),
			    json_is_boolean(value) ? whole(json_is_true(value)) : json_incref(value));
		}
		r = say(operation, metrics[i].name, metrics[i].type, metrics[i].help, samples);
	}
	json_decref(list);
	disagreements = catalogs_disagreements(operation->fs->catalogs);
	if (r == 0)
		r = gauge(operation, "weightfs_catalog_disagreements",
			  "Objects that catalogs disagree about, so that none is believed.",
			  (uint64_t)json_integer_value(json_object_get(disagreements, "count")));
	json_decref(disagreements);
	return r;
}

int operation_metrics(struct operation *operation)
{
	static int (*const parts[])(struct operation *operation) = {
		say_process, say_store, say_counters, say_flights, say_sources, say_catalogs,
	};
	int r = 0;

	if (!operation->fs)
		return operation_fail(operation, -ENOTCONN, "no daemon has the store %s",
				      store_path(operation->store));
	for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++)
		r = parts[i](operation);
	return r;
}
