/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timed loops of tests/bench: what a loader does with a file, with nothing around it.
 *
 *	bench-reader [-g] read FILE [LENGTH]	from the front, 1 MiB a read
 *	bench-reader [-g] scan FILE		through mmap, every word of it
 *	bench-reader ranges FILE pread|mmap THREADS
 *						the ranges on stdin, `OFFSET LENGTH` a line; thread N
 *						of T takes the lines N, N + T, N + 2T, …
 *	bench-reader open FILE COUNT path|at	open, read one byte, close; by path, or by name in its
 *						directory, which is open already
 *	bench-reader same FILE REFERENCE	no figure: exit 1 and the offset where they differ
 *	bench-reader cached FILE		no figure: its bytes in the page cache, cachestat(2)
 *	bench-reader touch BYTES		no figure: memory that the machine has really got now
 *
 * Prints one JSON object. `begin` and `end` are CLOCK_MONOTONIC, so that several readers can be put
 * on one time line; -g begins when stdin ends. `sum` is taken over the bytes that were read, in
 * any order of the parts: two readings of the same parts of equal files have the same one. Of reads it
 * covers a word of every 4 KiB, which is enough to notice a page that is missing or misplaced and
 * costs nothing beside the copy; `scan` covers every word, as reading memory is what it measures.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "tests/tools/bench-reader.h"

#define BLOCK	    4096
#define READ_BUFFER (1 << 20)

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

/* linux/mman.h of 6.5 and later. */
struct cachestat_area {
	uint64_t offset, len;
};
struct cachestat_counts {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

uint64_t word_at(const char *p, size_t left)
{
	uint64_t word = 0;

	memcpy(&word, p, left < sizeof(word) ? left : sizeof(word));
	return word;
}

uint64_t sample(const char *data, size_t len, uint64_t offset)
{
	uint64_t sum = len ? (unsigned char)data[0] : 0;
	uint64_t first = (offset + BLOCK - 1) / BLOCK * BLOCK;

	for (uint64_t at = first; at < offset + len; at += BLOCK)
		sum += word_at(data + (at - offset), offset + len - at) * (at / BLOCK * 2 + 1);
	return sum;
}

int open_file(const char *path, uint64_t *size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return log_error_errno(-errno, "%s", path);
	*size = (uint64_t)st.st_size;
	return steal_fd(&fd);
}

int print_figure(double begin, double end, uint64_t bytes, uint64_t sum)
{
	printf("{\"begin\":%.9f,\"end\":%.9f,\"seconds\":%.9f,\"bytes\":%" PRIu64
	       ",\"sum\":\"%016" PRIx64 "\"",
	       begin, end, end - begin, bytes, sum);
	return 0;
}

static int by_length(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void print_times(double *seconds, size_t count)
{
	qsort(seconds, count, sizeof(*seconds), by_length);
	printf(",\"median_us\":%.3f,\"p99_us\":%.3f,\"slowest_us\":%.3f", seconds[count / 2] * 1e6,
	       seconds[count * 99 / 100] * 1e6, seconds[count - 1] * 1e6);
}

static void wait_for_gate(bool gate)
{
	char c;

	while (gate && read(STDIN_FILENO, &c, 1) > 0)
		;
}

/* ---- one reader, in order ------------------------------------------------------------------- */

static int do_read(bool gate, char **args)
{
	uint64_t limit = args[1] ? strtoull(args[1], NULL, 10) : UINT64_MAX;
	_cleanup_free_ char *buffer = NULL;
	_cleanup_close_ int fd = -1;
	uint64_t size, offset = 0, sum = 0;
	double begin;

	buffer = aligned_alloc(BLOCK, READ_BUFFER);
	if (!buffer)
		return -ENOMEM;
	memset(buffer, 1, READ_BUFFER);
	wait_for_gate(gate);
	begin = now();
	fd = open_file(args[0], &size);
	if (fd < 0)
		return fd;
	while (offset < limit) {
		size_t want = limit - offset < READ_BUFFER ? limit - offset : READ_BUFFER;
		ssize_t n = read(fd, buffer, want);

		if (n < 0)
			return log_error_errno(-errno, "%s at %" PRIu64, args[0], offset);
		if (n == 0)
			break;
		sum += sample(buffer, (size_t)n, offset);
		offset += (size_t)n;
	}
	return print_figure(begin, now(), offset, sum);
}

static int do_scan(bool gate, char **args)
{
	_cleanup_close_ int fd = -1;
	uint64_t size, sum = 0;
	double begin;
	char *data;

	wait_for_gate(gate);
	begin = now();
	fd = open_file(args[0], &size);
	if (fd < 0)
		return fd;
	data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return log_error_errno(-errno, "%s: mmap", args[0]);
	/* The size of a page is a multiple of a word's: only the last word can be a short one. */
	for (uint64_t at = 0; at + sizeof(uint64_t) <= size; at += sizeof(uint64_t))
		sum += *(const uint64_t *)(const void *)(data + at);
	sum += word_at(data + size / sizeof(uint64_t) * sizeof(uint64_t), size % sizeof(uint64_t));
	print_figure(begin, now(), size, sum);
	munmap(data, size);
	return 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

static int open_once(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char byte;
	int r = 0;

	if (fd < 0 || pread(fd, &byte, 1, 0) != 1)
		r = log_error_errno(errno ? -errno : -ENODATA, "%s", name);
	if (fd >= 0)
		close(fd);
	return r;
}

static int do_open(bool gate, char **args)
{
	size_t count = args[1] ? strtoul(args[1], NULL, 10) : 0;
	_cleanup_free_ double *seconds = NULL;
	_cleanup_free_ char *copy = strdup(args[0]), *other = strdup(args[0]);
	_cleanup_close_ int dir = -1;
	const char *name = args[0];
	int r = 0;

	seconds = calloc(count ? count : 1, sizeof(*seconds));
	if (count == 0 || !args[2] || !seconds || !copy || !other)
		return -EINVAL;
	if (strcmp(args[2], "at") == 0) {
		dir = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return log_error_errno(-errno, "the directory of %s", args[0]);
		name = basename(other);
	}
	for (size_t i = 0; i < count && r == 0; i++) {
		double begin = now();

		r = open_once(dir >= 0 ? dir : AT_FDCWD, name);
		seconds[i] = now() - begin;
	}
	if (r < 0)
		return r;
	printf("{\"opens\":%zu", count);
	print_times(seconds, count);
	return 0;
}

/* ---- without a clock ------------------------------------------------------------------------ */

static int do_same(bool gate, char **args)
{
	_cleanup_free_ char *a = malloc(READ_BUFFER), *b = malloc(READ_BUFFER);
	_cleanup_close_ int fd = -1, reference = -1;
	uint64_t size, expected;

	fd = open_file(args[0], &size);
	reference = args[1] ? open_file(args[1], &expected) : -EINVAL;
	if (!a || !b || fd < 0 || reference < 0)
		return -EINVAL;
	if (size != expected)
		return log_error_errno(-EBADMSG, "%s: %" PRIu64 " bytes, not %" PRIu64, args[0],
				       size, expected);
	for (uint64_t at = 0; at < size;) {
		size_t len = size - at < READ_BUFFER ? size - at : READ_BUFFER;
		int r = io_pread(fd, a, len, at);

		if (r == 0)
			r = io_pread(reference, b, len, at);
		if (r == 0 && memcmp(a, b, len) != 0)
			r = -EBADMSG;
		if (r < 0)
			return log_error_errno(r, "%s differs, or ends, at %" PRIu64, args[0], at);
		at += len;
	}
	printf("{\"bytes\":%" PRIu64, size);
	return 0;
}

static int do_cached(bool gate, char **args)
{
	struct cachestat_area all = {0, 0}; /* a length of 0: to the end */
	struct cachestat_counts counts;
	_cleanup_close_ int fd = -1;
	uint64_t size;

	fd = open_file(args[0], &size);
	if (fd < 0)
		return fd;
	if (syscall(SYS_cachestat, fd, &all, &counts, 0) < 0)
		return log_error_errno(-errno, "%s: cachestat", args[0]);
	printf("{\"bytes\":%" PRIu64 ",\"cached\":%" PRIu64, size,
	       counts.cached * (uint64_t)sysconf(_SC_PAGESIZE));
	return 0;
}

static int do_touch(bool gate, char **args)
{
	size_t len = strtoull(args[0], NULL, 10);
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return log_error_errno(-errno, "%zu bytes", len);
	for (size_t at = 0; at < len; at += BLOCK)
		*(volatile char *)(p + at) = 1;
	munmap(p, len);
	printf("{\"bytes\":%zu", len);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(bool gate, char **args); /* args[0] is there; NULL after the last */
} commands[] = {
	{"read", do_read}, {"scan", do_scan},	  {"ranges", do_ranges}, {"open", do_open},
	{"same", do_same}, {"cached", do_cached}, {"touch", do_touch},
};

int main(int argc, char **argv)
{
	bool gate = argc > 1 && strcmp(argv[1], "-g") == 0;
	char **words = argv + 1 + gate;
	int r = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(commands) && argc - gate >= 3; i++)
		if (strcmp(words[0], commands[i].name) == 0)
			r = commands[i].run(gate, words + 1);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", argv[0], strerror(-r));
		return r == -EINVAL ? 2 : 1;
	}
	puts("}");
	return fflush(stdout) == 0 ? 0 : 1;
}
