/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the program counts about itself, for `status` and `metrics`. A count is an addition to memory that few threads
 * share: no lock, no order, good enough for the busiest path. Sums are exact, but not of one moment.
 */
#ifndef COMMON_STATS_H
#define COMMON_STATS_H

#include <stdint.h>

enum stats_what {
	/* Opens that were answered, by how the file is read. */
	STAT_OPENS_THROUGH,
	STAT_OPENS_CACHED,
	/* Of these, those of objects that were complete. */
	STAT_OPENS_COMPLETE,
	/* Reads that the daemon answered with bytes, and these: from stored files, from memory, after waiting for a source. */
	STAT_READS_STORE,
	STAT_READS_MEMORY,
	STAT_READS_FETCHED,
	STAT_BYTES_STORE,
	STAT_BYTES_MEMORY,
	STAT_BYTES_FETCHED,
	/* … and with an error: see stats_read_failed(). */
	STAT_FAILED_EIO,
	STAT_FAILED_ENODATA,
	STAT_FAILED_ETIMEDOUT,
	STAT_FAILED_EINTR,
	STAT_FAILED_OTHER,
	/* LOOKUPs that the policy denied. */
	STAT_DENIED,
	/* Chunks that came and were checked, and those that were wrong. */
	STAT_CHUNKS_GOOD,
	STAT_CHUNKS_WRONG,
	/* Chunks asked for and not here: it goes up and down. */
	STAT_CHUNKS_ASKED,
	/* Times that a catalog turned out to be wrong about an object. */
	STAT_CATALOGS_WRONG,
	/* Objects that made room for others. */
	STAT_EVICTED,
	STAT_EVICTED_BYTES,
	/* Policies put into force, and those that could not be. */
	STAT_RELOADS,
	STAT_RELOADS_FAILED,
	/* Lines of the audit; refusals that were left out because there were too many, and lines that could not be written. */
	STAT_AUDIT_WRITTEN,
	STAT_AUDIT_SUPPRESSED,
	STAT_AUDIT_LOST,

	STAT_COUNT
};

/* Any thread. */
void stats_add(enum stats_what stat, int64_t n);
uint64_t stats_get(enum stats_what stat);

/* A READ was answered with ERROR (an errno). */
void stats_read_failed(int error);

#endif
