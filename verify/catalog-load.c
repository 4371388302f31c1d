/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading: the signature over the whole file first, then what is in it. The file is read twice, as it may be larger than the
 * memory that a catalog may take; the second reading is hashed, too, and must give what was signed.
 */
#include "verify/catalog-internal.h"

#include <string.h>
#include <sys/stat.h>

static int read_header(struct catalog_lines *lines, const struct verify_catalog_rules *rules,
		       struct verify_catalog *catalog)
{
	size_t len;
	char *line;
	int r = catalog_lines_next(lines, &line, &len);

	if (r == 0)
		return verify_refuse(lines->problem, -EINVAL, 1, "the header is missing");
	if (r < 0)
		return r;
	return catalog_header_parse(line, len, lines->line, rules, &catalog->info, lines->problem);
}

static int read_entries(struct catalog_lines *lines, const struct verify_catalog_rules *rules,
			struct verify_catalog *catalog)
{
	_cleanup_free_ struct catalog_draft *draft = malloc(sizeof(*draft));
	size_t len;
	char *line;
	int r;

	if (!draft)
		return verify_refuse_errno(lines->problem, -ENOMEM, "the catalog");
	while ((r = catalog_lines_next(lines, &line, &len)) > 0) {
		r = catalog_entry_parse(line, len, lines->line, rules, draft, lines->problem);
		if (r == 0)
			r = catalog_add(catalog, draft, lines->problem);
		if (r < 0)
			return r;
	}
	return r;
}

/* All of FD into CATALOG, and the hash of what was read. */
static int read_all(int fd, const struct verify_catalog_rules *rules,
		    struct verify_catalog *catalog, struct verify_problem *problem)
{
	struct catalog_lines lines = {.stop = rules->stop};
	uint64_t size;
	int r = catalog_lines_init(&lines, fd, problem);

	if (r == 0)
		r = read_header(&lines, rules, catalog);
	if (r == 0)
		r = read_entries(&lines, rules, catalog);
	if (r == 0)
		r = catalog_lines_end(&lines, catalog->info.hash, &size);
	catalog_lines_release(&lines);
	return r;
}

static void cleanup_catalog(struct verify_catalog **catalog)
{
	verify_catalog_unref(*catalog);
}

static int check_unchanged(const struct verify_catalog *catalog, const struct verify_signed *sign,
			   struct verify_problem *problem)
{
	if (memcmp(catalog->info.hash, sign->hash, sizeof(sign->hash)) == 0)
		return 0;
	return verify_refuse(problem, -EAGAIN, 0, "somebody wrote to it while it was read");
}

/* SIGN: NULL if there is no signature. */
static int load(int fd, const struct verify_signed *sign, const struct verify_key *key,
		const struct verify_catalog_rules *rules, struct verify_catalog **out,
		struct verify_problem *problem)
{
	_cleanup_(cleanup_catalog) struct verify_catalog *catalog = calloc(1, sizeof(*catalog));
	int r;

	if (!catalog)
		return verify_refuse_errno(problem, -ENOMEM, "the catalog");
	atomic_init(&catalog->refs, 1);
	if (sign) {
		catalog->info.key = *key;
		catalog->trusted_comment = strdup(sign->trusted_comment);
		if (!catalog->trusted_comment)
			return verify_refuse_errno(problem, -ENOMEM, "the catalog");
		catalog->info.trusted_comment = catalog->trusted_comment;
	}
	r = read_all(fd, rules, catalog, problem);
	if (r == 0 && sign)
		r = check_unchanged(catalog, sign, problem);
	if (r == 0)
		r = catalog_finish(catalog, problem);
	if (r == 0)
		*out = steal_pointer(catalog);
	return r;
}

int verify_catalog_load(int fd, const char *signature, size_t len, const struct verify_key *keys,
			size_t n_keys, const struct verify_catalog_rules *rules,
			struct verify_catalog **out, struct verify_problem *problem)
{
	struct verify_signed sign;
	int r = verify_minisign_check(fd, signature, len, keys, n_keys, &sign, problem);

	return r < 0 ? r : load(fd, &sign, &keys[sign.key], rules, out, problem);
}

int verify_catalog_load_unsigned(int fd, const struct verify_catalog_rules *rules,
				 struct verify_catalog **out, struct verify_problem *problem)
{
	return load(fd, NULL, NULL, rules, out, problem);
}
