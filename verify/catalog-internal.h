/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside verify/catalog*.c: a catalog in memory, and how it gets there.
 *
 * A line goes through catalog-lines.c (bytes), catalog-entry.c (JSON and rules: a draft) and catalog-build.c (memory).
 */
#ifndef VERIFY_CATALOG_INTERNAL_H
#define VERIFY_CATALOG_INTERNAL_H

#include <openssl/evp.h>
#include <stdatomic.h>
#include "verify/catalog.h"
#include "verify/signing.h"

/* Two digests and 16 bytes: there are a million of these. */
struct catalog_entry {
	struct digest sha256, fsverity;
	uint64_t size;
	/*
	 * Where its strings begin: its names, then its URLs, then that of the tree (packed, see catalog-strings.c), each
	 * with a NUL behind it.
	 */
	uint32_t strings;
	uint16_t n_names;
	uint8_t n_urls;
	bool has_sha256 : 1, has_fsverity : 1, has_tree : 1;
};

_Static_assert(sizeof(struct catalog_entry) == 80, "no padding");

struct catalog_name {
	uint32_t text; /* in strings */
	uint32_t entry;
};

struct verify_catalog {
	atomic_uint refs;
	struct verify_catalog_info info;
	char *trusted_comment;

	struct catalog_entry *entries; /* in the order of the file */
	size_t entries_capacity;
	char *strings; /* less than 4 GiB: they were in the file, which is smaller */
	size_t strings_used, strings_capacity;
	struct catalog_name *names; /* by catalog_path_compare() once it is finished */
	size_t names_capacity;
	uint32_t *by_sha256, *by_fsverity; /* entries that have one, by its bytes */
	size_t n_sha256, n_fsverity;
};

/* ---- catalog-lines.c: the lines of a file, hashed as they are read ---- */

struct catalog_lines {
	int fd;
	const atomic_bool *stop; /* may be NULL */
	uint64_t offset;	 /* of what is read next */
	EVP_MD_CTX *md;
	char *buffer;
	size_t capacity;   /* of the buffer, and a byte for a NUL */
	size_t begin, end; /* what of the buffer was read and not taken */
	bool ended;
	unsigned int line; /* the one that was taken last */
	struct verify_problem *problem;
};

/* LINES is all zero before, but for `stop`; released in any case. */
int must_check catalog_lines_init(struct catalog_lines *lines, int fd,
				  struct verify_problem *problem);
void catalog_lines_release(struct catalog_lines *lines);
/* 1: the next line, NUL-terminated in place of its newline, valid until the next call. 0: there is none. */
int must_check catalog_lines_next(struct catalog_lines *lines, char **line, size_t *len);
/* Behind the last line: the hash of the file, and its size. */
int must_check catalog_lines_end(struct catalog_lines *lines, uint8_t hash[VERIFY_SIGNED_HASH_SIZE],
				 uint64_t *size);

/* ---- catalog-entry.c ---- */

struct catalog_text {
	const char *text; /* NUL-terminated */
	size_t len;
};

/* An entry as its line has it; texts are in the line's buffer. */
struct catalog_draft {
	struct digest_pair digests;
	uint64_t size;
	bool has_tree;
	unsigned int n_names, n_urls;
	struct catalog_text names[VERIFY_OBJECT_NAMES], urls[VERIFY_OBJECT_URLS], tree;
};

/* LINE has NUMBER and is changed. -EINVAL, -ESTALE. */
int must_check catalog_header_parse(char *line, size_t len, unsigned int number,
				    const struct verify_catalog_rules *rules,
				    struct verify_catalog_info *info,
				    struct verify_problem *problem);
int must_check catalog_entry_parse(char *line, size_t len, unsigned int number,
				   const struct verify_catalog_rules *rules,
				   struct catalog_draft *out, struct verify_problem *problem);

/* ---- catalog-rules.c: what is wrong, or NULL ---- */

const char *catalog_url_refused(const char *url, size_t len);
const char *catalog_label_refused(const char *name, size_t len);

/* ---- catalog-build.c ---- */

int must_check catalog_add(struct verify_catalog *catalog, const struct catalog_draft *draft,
			   struct verify_problem *problem);
/* All entries are there: sorts, and refuses what is there twice. */
int must_check catalog_finish(struct verify_catalog *catalog, struct verify_problem *problem);
/* ARRAY, of items of SIZE bytes, has room for NEEDED of them. */
int must_check catalog_reserve(void *array, size_t *capacity, size_t needed, size_t size);
static inline unsigned int catalog_line_of(size_t entry)
{
	return (unsigned int)entry + 2;
}

/* ---- catalog-strings.c ---- */

/* Writes URL, shorter if it has in it what the draft has elsewhere; no more than its length and a NUL. */
size_t catalog_url_pack(const struct catalog_draft *draft, const struct catalog_text *url,
			char *out);
const char *catalog_url_unpack(const struct verify_catalog *catalog,
			       const struct catalog_entry *entry, unsigned int i,
			       char out[VERIFY_URL_MAX + 1]);
/* The I-th of an entry's strings. */
const char *catalog_string(const struct verify_catalog *catalog, const struct catalog_entry *entry,
			   unsigned int i);

/* ---- catalog-names.c ---- */

/* By components, each by its bytes: "/" comes before everything. */
int catalog_path_compare(const char *a, const char *b);

#endif
