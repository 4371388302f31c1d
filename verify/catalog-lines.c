/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/catalog-internal.h"

#include <string.h>
#include <sys/stat.h>
#include "verify/merkle.h"

/* A line of the largest size, and what is read at once; one byte more for the NUL of a line without newline. */
#define BUFFER ((size_t)VERIFY_CATALOG_LINE + 32768)

int catalog_lines_init(struct catalog_lines *lines, int fd, struct verify_problem *problem)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return verify_refuse_errno(problem, -errno, "the catalog");
	if (!S_ISREG(st.st_mode))
		return verify_refuse(problem, -EINVAL, 0, "not a regular file");
	lines->fd = fd;
	lines->problem = problem;
	/* One byte more than there is, to see the end. What somebody appends now is not read. */
	lines->capacity = (uint64_t)st.st_size < BUFFER ? (size_t)st.st_size + 1 : BUFFER;
	lines->buffer = malloc(lines->capacity + 1);
	r = lines->buffer ? verify_blake2b_new(&lines->md) : -ENOMEM;
	return r < 0 ? verify_refuse_errno(problem, r, "the catalog") : 0;
}

void catalog_lines_release(struct catalog_lines *lines)
{
	free(lines->buffer);
	EVP_MD_CTX_free(lines->md);
}

/* One read behind what is there. */
static int fill(struct catalog_lines *lines)
{
	ssize_t n;
	int r;

	if (lines->stop && atomic_load(lines->stop))
		return verify_refuse(lines->problem, -ECANCELED, 0, "stopped");
	memmove(lines->buffer, lines->buffer + lines->begin, lines->end - lines->begin);
	lines->end -= lines->begin;
	lines->begin = 0;
	do {
		n = pread(lines->fd, lines->buffer + lines->end, lines->capacity - lines->end,
			  (off_t)lines->offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return verify_refuse_errno(lines->problem, -errno, "the catalog");
	lines->ended = n == 0;
	lines->end += (size_t)n;
	lines->offset += (uint64_t)n;
	if (lines->offset > VERIFY_SIGNED_MAX)
		return verify_refuse(lines->problem, -EFBIG, 0, "more than %llu bytes",
				     (unsigned long long)VERIFY_SIGNED_MAX);
	r = verify_hash_add(lines->md, lines->buffer + lines->end - n, (size_t)n);
	return r < 0 ? verify_refuse_errno(lines->problem, r, "the catalog") : 0;
}

int catalog_lines_next(struct catalog_lines *lines, char **line, size_t *len)
{
	size_t looked = 0, n;
	char *newline;
	int r;

	for (;;) {
		char *begin = lines->buffer + lines->begin;

		n = lines->end - lines->begin;
		newline = memchr(begin + looked, '\n', n - looked);
		if (newline)
			n = (size_t)(newline - begin);
		if (n > VERIFY_CATALOG_LINE)
			return verify_refuse(lines->problem, -EINVAL, lines->line + 1,
					     "more than %d bytes in a line", VERIFY_CATALOG_LINE);
		if (newline || lines->ended)
			break;
		looked = n;
		r = fill(lines);
		if (r < 0)
			return r;
	}
	if (n == 0 && !newline)
		return 0;
	*line = lines->buffer + lines->begin;
	*len = n;
	(*line)[n] = '\0';
	lines->begin += n + (newline != NULL);
	lines->line++;
	return 1;
}

int catalog_lines_end(struct catalog_lines *lines, uint8_t hash[VERIFY_SIGNED_HASH_SIZE],
		      uint64_t *size)
{
	int r = verify_blake2b_end(lines->md, hash);

	if (r < 0)
		return verify_refuse_errno(lines->problem, r, "the catalog");
	*size = lines->offset;
	return 0;
}
