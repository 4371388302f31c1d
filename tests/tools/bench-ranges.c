/* SPDX-License-Identifier: Apache-2.0 */
/* `bench-reader ranges`: threads that read scattered parts of one file, each part timed. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "common/io.h"
#include "common/log.h"
#include "tests/tools/bench-reader.h"

struct range {
	uint64_t offset, len;
};

struct job {
	const char *path;
	bool map;
	size_t threads;
	struct range *ranges;
	double *seconds; /* how long each took; of its thread until that has ended */
	size_t count;
	pthread_barrier_t gate;
};

struct worker {
	struct job *job;
	size_t index;
	pthread_t thread;
	uint64_t sum;
	int result;
};

/* A file as one thread has it: mapped, or to be read into a buffer. */
struct access {
	int fd;
	uint64_t size;
	char *map, *buffer;
};

static int access_open(struct access *access, const struct job *job)
{
	uint64_t longest = 1;

	access->fd = open_file(job->path, &access->size);
	if (access->fd < 0)
		return access->fd;
	for (size_t i = 0; i < job->count; i++) {
		const struct range *range = &job->ranges[i];

		if (range->offset > access->size || range->len > access->size - range->offset)
			return log_error_errno(-ERANGE, "line %zu", i + 1);
		longest = range->len > longest ? range->len : longest;
	}
	if (job->map) {
		access->map = mmap(NULL, access->size, PROT_READ, MAP_SHARED, access->fd, 0);
		return access->map == MAP_FAILED ? log_error_errno(-errno, "mmap") : 0;
	}
	access->buffer = malloc(longest);
	if (!access->buffer)
		return -ENOMEM;
	memset(access->buffer, 1, longest);
	return 0;
}

static void access_close(struct access *access)
{
	if (access->fd >= 0)
		close(access->fd);
	if (access->map && access->map != MAP_FAILED)
		munmap(access->map, access->size);
	free(access->buffer);
}

static int read_range(struct worker *worker, const struct access *access, size_t index)
{
	const struct range *range = &worker->job->ranges[index];
	double begin = now();
	int r;

	if (access->map) {
		worker->sum += sample(access->map + range->offset, range->len, range->offset);
	} else {
		r = io_pread(access->fd, access->buffer, range->len, range->offset);
		if (r < 0)
			return log_error_errno(r, "%s at %" PRIu64, worker->job->path,
					       range->offset);
		worker->sum += sample(access->buffer, range->len, range->offset);
	}
	worker->job->seconds[index] = now() - begin;
	return 0;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct job *job = worker->job;
	struct access access = {.fd = -1};
	int r;

	r = access_open(&access, job);
	pthread_barrier_wait(&job->gate); /* everybody is ready; the clock starts */
	for (size_t i = worker->index; r == 0 && i < job->count; i += job->threads)
		r = read_range(worker, &access, i);
	access_close(&access);
	worker->result = r;
	return NULL;
}

static int ranges_from_stdin(struct job *job)
{
	size_t room = 0;
	uint64_t offset, len;

	while (scanf("%" SCNu64 " %" SCNu64, &offset, &len) == 2) {
		if (job->count == room) {
			struct range *more;

			room = room ? room * 2 : 256;
			more = realloc(job->ranges, room * sizeof(*more));
			if (!more)
				return -ENOMEM;
			job->ranges = more;
		}
		job->ranges[job->count++] = (struct range){.offset = offset, .len = len};
	}
	job->seconds = calloc(job->count + 1, sizeof(*job->seconds));
	if (!job->seconds)
		return -ENOMEM;
	return job->count && feof(stdin) ? 0 : log_error_errno(-EINVAL, "stdin: OFFSET LENGTH");
}

static int run_workers(struct job *job, struct worker *workers, uint64_t *sum)
{
	int r = 0;

	for (size_t i = 0; i < job->threads; i++) {
		workers[i] = (struct worker){.job = job, .index = i};
		/* The others wait at the gate for ever: this ends the process. */
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			abort();
	}
	pthread_barrier_wait(&job->gate);
	for (size_t i = 0; i < job->threads; i++) {
		pthread_join(workers[i].thread, NULL);
		r = r < 0 ? r : workers[i].result;
		*sum += workers[i].sum;
	}
	return r;
}

int do_ranges(bool gate, char **args)
{
	_cleanup_free_ struct worker *workers = NULL;
	struct job job = {.path = args[0]};
	uint64_t bytes = 0, sum = 0;
	double begin, end;
	int r;

	job.threads = args[1] && args[2] ? strtoul(args[2], NULL, 10) : 0;
	if (job.threads == 0 || (strcmp(args[1], "pread") != 0 && strcmp(args[1], "mmap") != 0))
		return -EINVAL;
	job.map = strcmp(args[1], "mmap") == 0;
	workers = calloc(job.threads, sizeof(*workers));
	r = workers ? ranges_from_stdin(&job) : -ENOMEM;
	if (r == 0) {
		pthread_barrier_init(&job.gate, NULL, (unsigned)job.threads + 1);
		begin = now();
		r = run_workers(&job, workers, &sum);
		end = now();
		pthread_barrier_destroy(&job.gate);
	}
	if (r == 0) {
		for (size_t i = 0; i < job.count; i++)
			bytes += job.ranges[i].len;
		print_figure(begin, end, bytes, sum);
		print_times(job.seconds, job.count);
	}
	free(job.ranges);
	free(job.seconds);
	return r;
}
