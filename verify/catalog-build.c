/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries into memory, then what they are found by. Sorted arrays, not hash tables: a publisher chooses the digests, and could
 * choose some that all hash alike.
 */
#include "verify/catalog-internal.h"

#include <endian.h>
#include <string.h>

/* Bytes that may be read behind a string. */
#define WORD sizeof(uint64_t)

int catalog_reserve(void *array, size_t *capacity, size_t needed, size_t size)
{
	size_t wanted = *capacity ? *capacity : 64;
	void **items = array, *grown;

	if (needed <= *capacity)
		return 0;
	while (wanted < needed)
		wanted *= 2;
	/* Large ones are moved by remapping pages, and what is not used yet takes none. */
	grown = reallocarray(*items, wanted, size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*capacity = wanted;
	return 0;
}

static void put_names(struct verify_catalog *catalog, const struct catalog_draft *draft,
		      uint32_t entry)
{
	for (unsigned int i = 0; i < draft->n_names; i++) {
		const struct catalog_text *name = &draft->names[i];

		catalog->names[catalog->info.n_names++] =
			(struct catalog_name){(uint32_t)catalog->strings_used, entry};
		memcpy(catalog->strings + catalog->strings_used, name->text, name->len + 1);
		catalog->strings_used += name->len + 1;
	}
}

static void put_url(struct verify_catalog *catalog, const struct catalog_draft *draft,
		    const struct catalog_text *url)
{
	char *to = catalog->strings + catalog->strings_used;

	catalog->strings_used += catalog_url_pack(draft, url, to) + 1;
}

/* Room for all of DRAFT. */
static int reserve(struct verify_catalog *catalog, const struct catalog_draft *draft)
{
	size_t bytes = draft->has_tree ? draft->tree.len + 1 : 0;
	int r;

	for (unsigned int i = 0; i < draft->n_names; i++)
		bytes += draft->names[i].len + 1;
	for (unsigned int i = 0; i < draft->n_urls; i++)
		bytes += draft->urls[i].len + 1;
	if (catalog->strings_used + bytes > UINT32_MAX)
		return -EFBIG;
	/* What is behind the last string is read, too: see same_words(), and entries without a string. */
	r = catalog_reserve(&catalog->strings, &catalog->strings_capacity,
			    catalog->strings_used + bytes + WORD, 1);
	if (r == 0)
		r = catalog_reserve(&catalog->names, &catalog->names_capacity,
				    catalog->info.n_names + draft->n_names,
				    sizeof(*catalog->names));
	if (r == 0)
		r = catalog_reserve(&catalog->entries, &catalog->entries_capacity,
				    catalog->info.n_objects + 1, sizeof(*catalog->entries));
	return r;
}

int catalog_add(struct verify_catalog *catalog, const struct catalog_draft *draft,
		struct verify_problem *problem)
{
	size_t index = catalog->info.n_objects;
	struct catalog_entry *entry;
	int r;

	if (index == VERIFY_CATALOG_OBJECTS)
		return verify_refuse(problem, -EINVAL, catalog_line_of(index),
				     "more than %d objects", VERIFY_CATALOG_OBJECTS);
	if (draft->n_names > VERIFY_CATALOG_NAMES - catalog->info.n_names)
		return verify_refuse(problem, -EINVAL, catalog_line_of(index), "more than %d names",
				     VERIFY_CATALOG_NAMES);
	r = reserve(catalog, draft);
	if (r < 0)
		return verify_refuse_errno(problem, r, "the catalog");
	entry = &catalog->entries[index];
	*entry = (struct catalog_entry){
		.sha256 = draft->digests.sha256,
		.fsverity = draft->digests.fsverity,
		.size = draft->size,
		.strings = (uint32_t)catalog->strings_used,
		.n_names = (uint16_t)draft->n_names,
		.n_urls = (uint8_t)draft->n_urls,
		.has_sha256 = draft->digests.has_sha256,
		.has_fsverity = draft->digests.has_fsverity,
		.has_tree = draft->has_tree,
	};
	put_names(catalog, draft, (uint32_t)index);
	for (unsigned int i = 0; i < draft->n_urls; i++)
		put_url(catalog, draft, &draft->urls[i]);
	if (draft->has_tree)
		put_url(catalog, draft, &draft->tree);
	memset(catalog->strings + catalog->strings_used, 0, WORD);
	catalog->info.n_objects++;
	return 0;
}

/* ---- by digest ---- */

/* The first bytes beside the index: most comparisons need no more, and stay in the cache. */
struct sorting {
	uint64_t first;
	uint32_t entry;
};

static const struct digest *digest_of(const struct catalog_entry *entry, enum digest_kind kind)
{
	return kind == DIGEST_SHA256 ? &entry->sha256 : &entry->fsverity;
}

struct by_digest {
	const struct verify_catalog *catalog;
	enum digest_kind kind;
};

static int compare_digests(const void *a, const void *b, void *arg)
{
	const struct sorting *x = a, *y = b;
	const struct by_digest *by = arg;
	int r;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	r = memcmp(digest_of(&by->catalog->entries[x->entry], by->kind),
		   digest_of(&by->catalog->entries[y->entry], by->kind), DIGEST_SIZE);
	return r ? r : (x->entry > y->entry) - (x->entry < y->entry);
}

static size_t collect(const struct by_digest *by, struct sorting *out)
{
	size_t n = 0;

	for (size_t i = 0; i < by->catalog->info.n_objects; i++) {
		const struct catalog_entry *entry = &by->catalog->entries[i];
		uint64_t first;

		if (!(by->kind == DIGEST_SHA256 ? entry->has_sha256 : entry->has_fsverity))
			continue;
		memcpy(&first, digest_of(entry, by->kind), sizeof(first));
		out[n++] = (struct sorting){be64toh(first), (uint32_t)i};
	}
	return n;
}

/* Two entries with the same digest stand side by side, the earlier one first. */
static int refuse_twin(const struct by_digest *by, const struct sorting *sorted, size_t n,
		       struct verify_problem *problem)
{
	for (size_t i = 1; i < n; i++)
		if (digest_equal(digest_of(&by->catalog->entries[sorted[i - 1].entry], by->kind),
				 digest_of(&by->catalog->entries[sorted[i].entry], by->kind)))
			return verify_refuse(problem, -EINVAL, catalog_line_of(sorted[i].entry),
					     "the %s digest is that of line %u, too",
					     by->kind == DIGEST_SHA256 ? "SHA-256" : "fs-verity",
					     catalog_line_of(sorted[i - 1].entry));
	return 0;
}

static int sort_digests(struct verify_catalog *catalog, enum digest_kind kind, uint32_t **out,
			size_t *n_out, struct verify_problem *problem)
{
	struct by_digest by = {catalog, kind};
	_cleanup_free_ struct sorting *sorted =
		reallocarray(NULL, catalog->info.n_objects + 1, sizeof(*sorted));
	uint32_t *index;
	size_t n;
	int r;

	if (!sorted)
		return verify_refuse_errno(problem, -ENOMEM, "the catalog");
	n = collect(&by, sorted);
	qsort_r(sorted, n, sizeof(*sorted), compare_digests, &by);
	r = refuse_twin(&by, sorted, n, problem);
	if (r < 0)
		return r;
	index = reallocarray(NULL, n + 1, sizeof(*index));
	if (!index)
		return verify_refuse_errno(problem, -ENOMEM, "the catalog");
	for (size_t i = 0; i < n; i++)
		index[i] = sorted[i].entry;
	*out = index;
	*n_out = n;
	return 0;
}

/* ---- by name ---- */

/* Names begin alike, mostly: step over that a word at a time. */
static size_t same_words(const char *a, const char *b)
{
	const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;

	for (size_t n = 0;; n += WORD) {
		uint64_t x, y;

		memcpy(&x, a + n, WORD);
		memcpy(&y, b + n, WORD);
		/* Different, or (the usual trick) a byte of it may be the NUL. */
		if (x != y || ((x - ones) & ~x & tops))
			return n;
	}
}

static int compare_names(const void *a, const void *b, void *arg)
{
	const struct catalog_name *x = a, *y = b;
	const char *first = (const char *)arg + x->text, *second = (const char *)arg + y->text;
	size_t same = same_words(first, second);
	int r = catalog_path_compare(first + same, second + same);

	return r ? r : (x->text > y->text) - (x->text < y->text);
}

/* A name, and what is in a folder of that name, stand side by side. */
static int refuse_name(const struct verify_catalog *catalog, const struct catalog_name *before,
		       const struct catalog_name *name, struct verify_problem *problem)
{
	const char *a = catalog->strings + before->text, *b = catalog->strings + name->text;
	size_t len = strlen(a);
	char shown[VERIFY_SHOWN_SIZE];

	if (strncmp(a, b, len) != 0 || (b[len] != '\0' && b[len] != '/'))
		return 0;
	verify_shown(a, len, shown);
	if (b[len] == '\0')
		return verify_refuse(problem, -EINVAL, catalog_line_of(name->entry),
				     "the name \"%s\" is one of line %u, too", shown,
				     catalog_line_of(before->entry));
	return verify_refuse(problem, -EINVAL, catalog_line_of(name->entry),
			     "\"%s\" is a folder here, and a file in line %u", shown,
			     catalog_line_of(before->entry));
}

static int sort_names(struct verify_catalog *catalog, struct verify_problem *problem)
{
	/* Publishers write them in order, more or less. */
	qsort_r(catalog->names, catalog->info.n_names, sizeof(*catalog->names), compare_names,
		catalog->strings);
	for (size_t i = 1; i < catalog->info.n_names; i++) {
		int r = refuse_name(catalog, &catalog->names[i - 1], &catalog->names[i], problem);

		if (r < 0)
			return r;
	}
	return 0;
}

int catalog_finish(struct verify_catalog *catalog, struct verify_problem *problem)
{
	int r = sort_digests(catalog, DIGEST_SHA256, &catalog->by_sha256, &catalog->n_sha256,
			     problem);

	if (r == 0)
		r = sort_digests(catalog, DIGEST_FSVERITY, &catalog->by_fsverity,
				 &catalog->n_fsverity, problem);
	/* Nothing to sort may be no array. */
	if (r == 0 && catalog->info.n_names > 0)
		r = sort_names(catalog, problem);
	return r;
}
