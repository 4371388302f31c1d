/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was done: a line for each file, appended when its object is on the disk. A line that a crash cut or spoilt counts
 * for nothing, and nothing else does any harm: the worst is that a file is hashed again.
 */
#include "commands/publish/publish.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"

#define FIRST_LINE "weightfs-publish 1\n"
#define STATE_MAX  ((size_t)1 << 30)
#define LINE_MAX_  (VERIFY_NAME_MAX + 256)
#define SYNC_MS	   1000

struct record {
	const char *path; /* in text */
	struct publish_stamp stamp;
	struct digest_pair digests;
};

struct publish_state {
	char *path;
	char *text; /* of the file as it was found */
	struct record *records; /* by path; of two with the same, the later is what counts */
	size_t n;
	int fd;
	atomic_llong next_sync_ms;
};

static int format(const struct publish_file *file, char out[LINE_MAX_])
{
	char sha256[DIGEST_HEX_SIZE], fsverity[DIGEST_HEX_SIZE];
	const struct publish_stamp *stamp = &file->stamp;

	digest_to_hex(&file->digests.sha256, sha256);
	digest_to_hex(&file->digests.fsverity, fsverity);
	return snprintf(out, LINE_MAX_, "%s %s %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %s\n",
			sha256, fsverity, stamp->size, stamp->inode, stamp->mtime_ns, stamp->ctime_ns,
			file->path);
}

static bool parse(const char *line, struct record *out)
{
	char sha256[DIGEST_HEX_SIZE], fsverity[DIGEST_HEX_SIZE];
	struct record record = { .digests = { .has_sha256 = true, .has_fsverity = true } };
	int path = 0;

	if (sscanf(line, "%64[0-9a-f] %64[0-9a-f] %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64 "%n",
		   sha256, fsverity, &record.stamp.size, &record.stamp.inode,
		   &record.stamp.mtime_ns, &record.stamp.ctime_ns, &path) != 6)
		return false;
	if (strlen(sha256) != 64 || strlen(fsverity) != 64 || line[path] != ' ' ||
	    digest_from_hex(sha256, &record.digests.sha256) < 0 ||
	    digest_from_hex(fsverity, &record.digests.fsverity) < 0)
		return false;
	record.path = line + path + 1;
	*out = record;
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct record *x = a, *y = b;
	int r = strcmp(x->path, y->path);

	return r ? r : (x->path > y->path) - (x->path < y->path);
}

/* The last line counts only with its newline. */
static int read_records(struct publish_state *state)
{
	size_t len, capacity = 0;
	char *line, *end;
	int r = io_read_file(state->path, STATE_MAX, &state->text, &len);

	if (r == -ENOENT || r == -EFBIG)
		return 0;
	if (r < 0)
		return log_error_errno(r, "%s", state->path);
	if (strncmp(state->text, FIRST_LINE, strlen(FIRST_LINE)) != 0)
		return 0;
	for (line = state->text; (line = memchr(line, '\n', (size_t)(state->text + len - line))); line++)
		capacity++;
	state->records = calloc(capacity, sizeof(*state->records));
	if (!state->records)
		return log_error_errno(-ENOMEM, "%s", state->path);
	for (line = state->text + strlen(FIRST_LINE);
	     (end = memchr(line, '\n', (size_t)(state->text + len - line))); line = end + 1) {
		*end = '\0';
		if (parse(line, &state->records[state->n]))
			state->n++;
	}
	qsort(state->records, state->n, sizeof(*state->records), compare);
	return 0;
}

void publish_state_free(struct publish_state *state)
{
	if (!state)
		return;
	if (state->fd >= 0)
		close(state->fd);
	free(state->records);
	free(state->text);
	free(state->path);
	free(state);
}

int publish_state_open(struct publish *publish)
{
	struct publish_state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return log_error_errno(-ENOMEM, "%s", publish->out);
	state->fd = -1;
	publish->state = state;
	if (asprintf(&state->path, "%s/%s.state", publish->work_dir, publish->name) < 0) {
		state->path = NULL;
		return log_error_errno(-ENOMEM, "%s", publish->out);
	}
	r = read_records(state);
	return r;
}

bool publish_state_find(const struct publish_state *state, const struct publish_file *file,
			struct digest_pair *out)
{
	size_t low = 0, high = state->n;

	/* The first behind those of this path. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(state->records[middle].path, file->path) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || strcmp(state->records[low - 1].path, file->path) != 0 ||
	    !publish_stamp_equal(&state->records[low - 1].stamp, &file->stamp))
		return false;
	*out = state->records[low - 1].digests;
	return true;
}

int publish_state_add(struct publish_state *state, const struct publish_file *file)
{
	long long due = atomic_load(&state->next_sync_ms), now = clock_ms();
	char line[LINE_MAX_];
	int len = format(file, line);
	/* One write(2) with O_APPEND, so that lines of two threads do not mix. */
	ssize_t n = write(state->fd, line, (size_t)len);

	if (n != len)
		return log_error_errno(n < 0 ? -errno : -ENOSPC, "%s", state->path);
	if (now < due || !atomic_compare_exchange_strong(&state->next_sync_ms, &due, now + SYNC_MS))
		return 0;
	return fdatasync(state->fd) < 0 ? log_error_errno(-errno, "%s", state->path) : 0;
}

static int write_done(FILE *out, const struct publish *publish)
{
	char line[LINE_MAX_];

	fputs(FIRST_LINE, out);
	for (size_t i = 0; i < publish->n_files; i++) {
		if (!publish->files[i].done)
			continue;
		format(&publish->files[i], line);
		fputs(line, out);
	}
	return fflush(out) == EOF || fsync(fileno(out)) < 0 ? -errno : 0;
}

/* Written beside and renamed; from then on it is what lines are appended to. */
int publish_state_write(struct publish *publish)
{
	struct publish_state *state = publish->state;
	_cleanup_free_ char *temporary = NULL;
	FILE *out;
	int r;

	if (asprintf(&temporary, "%s.new", state->path) < 0) {
		temporary = NULL;
		return log_error_errno(-ENOMEM, "%s", state->path);
	}
	out = fopen(temporary, "we");
	if (!out)
		return log_error_errno(-errno, "%s", temporary);
	r = write_done(out, publish);
	if (fclose(out) == EOF && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, state->path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(temporary);
		return log_error_errno(r, "%s", state->path);
	}
	if (state->fd >= 0)
		close(state->fd);
	state->fd = open(state->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	return state->fd < 0 ? log_error_errno(-errno, "%s", state->path) : 0;
}
