/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/audit.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/stats.h"

#define QUEUE_SIZE 64
#define LOG_MAX    900 /* bytes of JSON that one line of the log takes */
#define SHARES	   64 /* users that are told apart */

struct queued {
	struct audit_record record;
	struct timespec when;
	uint64_t count; /* refusals that it stands for */
};

/* Lines that there may be, in thousandths: a second's at most, more come as time passes. */
struct bucket {
	int64_t tokens;
	int64_t filled; /* clock_ms() of that; 0: never */
};

struct audit {
	struct audit_options options; /* file is ours */
	int fd;                       /* the writer's, like broken and failing; -1: the log */
	bool broken;                  /* the last line did not get there whole */
	bool failing;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Protected by lock. */
	struct queued queue[QUEUE_SIZE];
	size_t first, used;
	struct bucket all;
	struct {
		uid_t uid;
		struct bucket bucket;
	} shares[SHARES]; /* what is for one user, whatever others do */
	uint64_t missed; /* refusals since the last line */
	bool reopen, stop;
};

/* ---- JSON ---- */

/* RFC 3339. */
static void format_time(const struct timespec *when, char out[40])
{
	struct tm tm;
	char seconds[24];

	gmtime_r(&when->tv_sec, &tm);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, 40, "%s.%03ldZ", seconds, when->tv_nsec / 1000000);
}

/* TEXT may be any bytes, and JSON is UTF-8: what is not is written as "\xNN". */
static json_t *string(const char *text)
{
	json_t *value = json_string(text);
	char escaped[4 * (NAME_MAX + 16) + 1];
	size_t used = 0;

	if (value)
		return value;
	for (const unsigned char *c = (const unsigned char *)text; *c && used + 5 < sizeof(escaped); c++)
		used += (size_t)snprintf(escaped + used, sizeof(escaped) - used,
					 *c < 0x80 ? "%c" : "\\x%02x", *c);
	return json_string(escaped);
}

/* Web origins stay unnamed unless that was asked for: who reads the log learns nothing of what somebody browses. */
static json_t *record_value(const struct audit *audit, const struct queued *queued)
{
	const struct audit_record *record = &queued->record;
	bool hidden = record->web && !audit->options.web_origins;
	bool hides = (record->web || record->web_directory) && !audit->options.web_origins;
	char when[40];
	json_t *line;

	format_time(&queued->when, when);
	line = json_pack("{s:s, s:s, s:s, s:I, s:I}", "time", when, "event", "refused", "operation",
			 record->operation, "uid", (json_int_t)record->uid, "pid",
			 (json_int_t)record->pid);
	if (!line)
		return NULL;
	json_object_set_new(line, "origin", hidden ? json_string("web") :
				  record->origin[0] ? json_string(record->origin) : json_null());
	if (record->digest[0] && !hidden)
		json_object_set_new(line, "digest", json_string(record->digest));
	if (record->directory[0] && !hides)
		json_object_set_new(line, "directory", string(record->directory));
	json_object_set_new(line, "decision", json_string(record->decision));
	if (record->file[0]) {
		json_object_set_new(line, "file", string(record->file));
		json_object_set_new(line, "line", json_integer(record->line));
	}
	json_object_set_new(line, "count", json_integer((json_int_t)queued->count));
	return line;
}

/* To be freed; NULL: no memory. LIMIT: what is longer does without some members. */
static char *format(const struct audit *audit, const struct queued *queued, size_t limit)
{
	static const char *const dispensable[] = { "directory", "file", "line" };
	json_t *line = record_value(audit, queued);
	char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);

	for (size_t i = 0; text && strlen(text) > limit && i < ARRAY_SIZE(dispensable); i++) {
		free(text);
		json_object_del(line, dispensable[i]);
		text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);
	}
	json_decref(line);
	return text;
}

/* ---- the file ---- */

static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);

	return fd < 0 ? log_error_errno(-errno, "audit: %s", path) : fd;
}

static void write_text(struct audit *audit, const char *text)
{
	_cleanup_free_ char *line = NULL;
	int r = -ENOMEM;

	/* In one piece, so that two daemons may share a file. */
	if (asprintf(&line, "%s%s\n", audit->broken ? "\n" : "", text) >= 0)
		r = io_write(audit->fd, line, strlen(line));
	else
		line = NULL;
	if (r < 0 && !audit->failing)
		log_error_errno(r, "audit: %s: refusals are lost", audit->options.file);
	audit->failing = audit->broken = r < 0;
	stats_add(r < 0 ? STAT_AUDIT_LOST : STAT_AUDIT_WRITTEN, 1);
}

static void write_record(struct audit *audit, const struct queued *queued)
{
	_cleanup_free_ char *text = format(audit, queued, audit->fd < 0 ? LOG_MAX : SIZE_MAX);

	if (!text) {
		stats_add(STAT_AUDIT_LOST, 1);
	} else if (audit->fd < 0) {
		log_write(LOG_NOTICE, "audit: %s", text);
		stats_add(STAT_AUDIT_WRITTEN, 1);
	} else {
		write_text(audit, text);
	}
}

/* If it cannot be opened the old one is gone on with. */
static void open_again(struct audit *audit)
{
	int fd = audit->options.file ? open_file(audit->options.file) : -1;

	if (fd < 0)
		return;
	close(audit->fd);
	audit->fd = fd;
	audit->broken = false;
}

static void *write_all(void *arg)
{
	struct audit *audit = arg;
	struct queued queued;
	bool reopen, have;

	pthread_setname_np(pthread_self(), "audit");
	pthread_mutex_lock(&audit->lock);
	for (;;) {
		while (audit->used == 0 && !audit->reopen && !audit->stop)
			pthread_cond_wait(&audit->changed, &audit->lock);
		have = audit->used > 0;
		if (!have && !audit->reopen)
			break;
		reopen = audit->reopen;
		audit->reopen = false;
		if (have) {
			queued = audit->queue[audit->first];
			audit->first = (audit->first + 1) % QUEUE_SIZE;
			audit->used--;
		}
		pthread_mutex_unlock(&audit->lock);
		if (reopen)
			open_again(audit);
		if (have)
			write_record(audit, &queued);
		pthread_mutex_lock(&audit->lock);
	}
	pthread_mutex_unlock(&audit->lock);
	return NULL;
}

/* ---- from outside ---- */

static void destroy(struct audit *audit)
{
	pthread_cond_destroy(&audit->changed);
	pthread_mutex_destroy(&audit->lock);
	cleanup_close(&audit->fd);
	free((void *)audit->options.file);
	free(audit);
}

int audit_new(const struct audit_options *options, struct audit **out)
{
	struct audit *audit = calloc(1, sizeof(*audit));
	int r = 0;

	if (!audit)
		return -ENOMEM;
	audit->options = *options;
	audit->options.file = NULL;
	audit->fd = -1;
	pthread_mutex_init(&audit->lock, NULL);
	pthread_cond_init(&audit->changed, NULL);
	if (options->file && !(audit->options.file = strdup(options->file)))
		r = -ENOMEM;
	else if (options->file && (audit->fd = open_file(options->file)) < 0)
		r = audit->fd;
	if (r == 0)
		r = -pthread_create(&audit->thread, NULL, write_all, audit);
	if (r < 0) {
		destroy(audit);
		return r;
	}
	*out = audit;
	return 0;
}

void audit_free(struct audit *audit)
{
	if (!audit)
		return;
	pthread_mutex_lock(&audit->lock);
	audit->stop = true;
	pthread_cond_signal(&audit->changed);
	pthread_mutex_unlock(&audit->lock);
	pthread_join(audit->thread, NULL);
	if (audit->missed > 0)
		log_info("audit: %llu more refusals", (unsigned long long)audit->missed);
	destroy(audit);
}

/* RATE: lines a second. A thousandth of a line each ms for each of them. */
static void fill(struct bucket *bucket, int64_t rate, int64_t now)
{
	int64_t most = rate * 1000;

	if (bucket->filled == 0 || now - bucket->filled >= 1000)
		bucket->tokens = most;
	else
		bucket->tokens += (now - bucket->filled) * rate;
	if (bucket->tokens > most)
		bucket->tokens = most;
	bucket->filled = now;
}

/* That of UID, in the place of whoever was refused something longest ago. With the lock held. */
static struct bucket *share_of(struct audit *audit, uid_t uid)
{
	size_t at = 0;

	for (size_t i = 0; i < SHARES; i++) {
		if (audit->shares[i].bucket.filled != 0 && audit->shares[i].uid == uid)
			return &audit->shares[i].bucket;
		if (audit->shares[i].bucket.filled < audit->shares[at].bucket.filled)
			at = i;
	}
	audit->shares[at].uid = uid;
	audit->shares[at].bucket.filled = 0;
	return &audit->shares[at].bucket;
}

/*
 * One user's flood must not hide what another does: the last quarter of all is kept for those who have not used up a
 * share of as much. With the lock held.
 */
static bool take(struct audit *audit, uid_t uid, int64_t now)
{
	int64_t share_rate = ((int64_t)audit->options.rate + 3) / 4;
	struct bucket *share = share_of(audit, uid);

	fill(&audit->all, audit->options.rate, now);
	fill(share, share_rate, now);
	if (audit->all.tokens < 1000)
		return false;
	if (audit->all.tokens - 1000 < share_rate * 1000) {
		if (share->tokens < 1000)
			return false;
		share->tokens -= 1000;
	}
	audit->all.tokens -= 1000;
	return true;
}

bool audit_admits(struct audit *audit, uid_t uid)
{
	bool admitted;

	if (!audit)
		return false;
	pthread_mutex_lock(&audit->lock);
	admitted = take(audit, uid, clock_ms());
	if (!admitted)
		audit->missed++;
	pthread_mutex_unlock(&audit->lock);
	if (!admitted)
		stats_add(STAT_AUDIT_SUPPRESSED, 1);
	return admitted;
}

void audit_add(struct audit *audit, const struct audit_record *record)
{
	struct queued *queued;
	bool full;

	pthread_mutex_lock(&audit->lock);
	full = audit->used == QUEUE_SIZE;
	if (full) {
		audit->missed++;
	} else {
		queued = &audit->queue[(audit->first + audit->used++) % QUEUE_SIZE];
		queued->record = *record;
		clock_gettime(CLOCK_REALTIME, &queued->when);
		queued->count = 1 + audit->missed;
		audit->missed = 0;
		pthread_cond_signal(&audit->changed);
	}
	pthread_mutex_unlock(&audit->lock);
	if (full)
		stats_add(STAT_AUDIT_LOST, 1);
}

void audit_reopen(struct audit *audit)
{
	if (!audit)
		return;
	pthread_mutex_lock(&audit->lock);
	audit->reopen = true;
	pthread_cond_signal(&audit->changed);
	pthread_mutex_unlock(&audit->lock);
}
