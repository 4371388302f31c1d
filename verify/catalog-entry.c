/* SPDX-License-Identifier: Apache-2.0 */
/* One line of a catalog: JSON, and whether it says what it must and nothing that it must not. */
#include "verify/catalog-internal.h"

#include <string.h>
#include "verify/json.h"
#include "verify/verify.h"

#define UNKNOWN_KEYS 32

struct parse {
	struct verify_json json;
	char *begin;
	unsigned int line;
	struct verify_problem *problem;
	const struct verify_catalog_rules *rules;
	struct verify_catalog_info *info; /* of the header */
	struct catalog_draft *draft;	  /* of an entry */
	unsigned int seen;		  /* of the known keys, a bit each */
	struct catalog_text unknown[UNKNOWN_KEYS];
	unsigned int n_unknown;
};

struct key {
	const char *name;
	bool needed;
	int (*take)(struct parse *parse, const char *key); /* the value */
};

static struct parse begin(char *line, size_t len, unsigned int number,
			  const struct verify_catalog_rules *rules, struct verify_problem *problem)
{
	return (struct parse){.json = verify_json_of(line, len),
			      .begin = line,
			      .line = number,
			      .problem = problem,
			      .rules = rules};
}

static int bad_json(struct parse *parse)
{
	return verify_refuse(parse->problem, -EINVAL, parse->line, "byte %zu: %s",
			     (size_t)(parse->json.at - parse->begin) + 1, parse->json.what);
}

static int bad_value(struct parse *parse, const char *key, const char *text, size_t len,
		     const char *what)
{
	char shown[VERIFY_SHOWN_SIZE];

	return verify_refuse(parse->problem, -EINVAL, parse->line, "%s: \"%s\" %s", key,
			     verify_shown(text, len, shown), what);
}

static int take_string(struct parse *parse, struct catalog_text *out)
{
	return verify_json_string(&parse->json, &out->text, &out->len) < 0 ? bad_json(parse) : 0;
}

static int take_integer(struct parse *parse, uint64_t max, uint64_t *out)
{
	return verify_json_integer(&parse->json, max, out) < 0 ? bad_json(parse) : 0;
}

/* ---- any object ---- */

static bool is_key(const struct catalog_text *key, const char *name)
{
	return key->len == strlen(name) && !memcmp(key->text, name, key->len);
}

static int twice(struct parse *parse, const struct catalog_text *key)
{
	return bad_value(parse, "key", key->text, key->len, "is there twice");
}

static int skip_unknown(struct parse *parse, const struct catalog_text *key)
{
	static const char critical[] = "critical-";

	if (key->len >= strlen(critical) && !memcmp(key->text, critical, strlen(critical)))
		return bad_value(parse, "key", key->text, key->len,
				 "has to be understood, and is not known to this version");
	for (unsigned int i = 0; i < parse->n_unknown; i++)
		if (key->len == parse->unknown[i].len &&
		    !memcmp(key->text, parse->unknown[i].text, key->len))
			return twice(parse, key);
	if (parse->n_unknown == UNKNOWN_KEYS)
		return verify_refuse(parse->problem, -EINVAL, parse->line,
				     "more than %d unknown keys", UNKNOWN_KEYS);
	parse->unknown[parse->n_unknown++] = *key;
	return verify_json_skip(&parse->json) < 0 ? bad_json(parse) : 0;
}

static int take_member(struct parse *parse, const struct key *keys, const struct catalog_text *key)
{
	for (unsigned int i = 0; keys[i].name; i++) {
		if (!is_key(key, keys[i].name))
			continue;
		if (parse->seen & 1U << i)
			return twice(parse, key);
		parse->seen |= 1U << i;
		return keys[i].take(parse, keys[i].name);
	}
	return skip_unknown(parse, key);
}

/* KEYS end with one without name. */
static int take_object(struct parse *parse, const struct key *keys)
{
	struct catalog_text key;
	int r;

	if (verify_json_object(&parse->json) < 0)
		return bad_json(parse);
	while ((r = verify_json_key(&parse->json, &key.text, &key.len)) > 0) {
		r = take_member(parse, keys, &key);
		if (r < 0)
			return r;
	}
	if (r < 0 || verify_json_end(&parse->json) < 0)
		return bad_json(parse);
	for (unsigned int i = 0; keys[i].name; i++)
		if (keys[i].needed && !(parse->seen & 1U << i))
			return verify_refuse(parse->problem, -EINVAL, parse->line,
					     "the key \"%s\" is missing", keys[i].name);
	return 0;
}

/* ---- the header ---- */

static int take_version(struct parse *parse, const char *key)
{
	uint64_t version;

	if (take_integer(parse, UINT64_MAX, &version) < 0)
		return -EINVAL;
	if (version != 1)
		return verify_refuse(parse->problem, -EINVAL, parse->line,
				     "a catalog of version %llu, this program knows 1",
				     (unsigned long long)version);
	return 0;
}

static int take_label(struct parse *parse, const char *key)
{
	struct catalog_text name;
	const char *refused;

	if (take_string(parse, &name) < 0)
		return -EINVAL;
	refused = catalog_label_refused(name.text, name.len);
	if (refused)
		return bad_value(parse, key, name.text, name.len, refused);
	if (parse->rules->name && strcmp(parse->rules->name, name.text) != 0)
		return bad_value(parse, key, name.text, name.len, "is another catalog");
	memcpy(parse->info->name, name.text, name.len + 1);
	return 0;
}

static int take_serial(struct parse *parse, const char *key)
{
	uint64_t serial;

	if (take_integer(parse, INT64_MAX, &serial) < 0)
		return -EINVAL;
	if (serial < parse->rules->min_serial)
		return verify_refuse(parse->problem, -ESTALE, parse->line,
				     "its serial is %llu, but %llu was seen before",
				     (unsigned long long)serial,
				     (unsigned long long)parse->rules->min_serial);
	parse->info->serial = serial;
	return 0;
}

static int take_expires(struct parse *parse, const char *key)
{
	struct catalog_text date;

	if (take_string(parse, &date) < 0)
		return -EINVAL;
	if (verify_date_parse(date.text, date.len, &parse->info->expires) < 0)
		return bad_value(parse, key, date.text, date.len,
				 "is not a time like 2027-01-01T00:00:00Z");
	return 0;
}

int catalog_header_parse(char *line, size_t len, unsigned int number,
			 const struct verify_catalog_rules *rules, struct verify_catalog_info *info,
			 struct verify_problem *problem)
{
	static const struct key keys[] = {
		{"weightfs-catalog", true, take_version},
		{"name", true, take_label},
		{"serial", true, take_serial},
		{"expires", true, take_expires},
		{NULL},
	};
	struct parse parse = begin(line, len, number, rules, problem);

	parse.info = info;
	return take_object(&parse, keys);
}

/* ---- an entry ---- */

static int take_digest(struct parse *parse, const char *key, struct digest *out)
{
	struct catalog_text hex;

	if (take_string(parse, &hex) < 0)
		return -EINVAL;
	if (hex.len != DIGEST_HEX_SIZE - 1 || digest_from_hex(hex.text, out) < 0)
		return bad_value(parse, key, hex.text, hex.len, "is not 64 lowercase hex digits");
	return 0;
}

static int take_sha256(struct parse *parse, const char *key)
{
	parse->draft->digests.has_sha256 = true;
	return take_digest(parse, key, &parse->draft->digests.sha256);
}

static int take_fsverity(struct parse *parse, const char *key)
{
	parse->draft->digests.has_fsverity = true;
	return take_digest(parse, key, &parse->draft->digests.fsverity);
}

static int take_size(struct parse *parse, const char *key)
{
	return take_integer(parse, VERIFY_SIZE_MAX, &parse->draft->size);
}

static int take_url(struct parse *parse, const char *key, struct catalog_text *url)
{
	const char *refused;

	if (take_string(parse, url) < 0)
		return -EINVAL;
	refused = catalog_url_refused(url->text, url->len);
	return refused ? bad_value(parse, key, url->text, url->len, refused) : 0;
}

static int take_tree(struct parse *parse, const char *key)
{
	parse->draft->has_tree = true;
	return take_url(parse, key, &parse->draft->tree);
}

static int take_name(struct parse *parse, const char *key, struct catalog_text *name)
{
	const struct verify_catalog_rules *rules = parse->rules;
	const char *refused;

	if (take_string(parse, name) < 0)
		return -EINVAL;
	refused = verify_name_refused(name->text, name->len);
	if (refused)
		return bad_value(parse, key, name->text, name->len, refused);
	for (size_t i = 0; i < rules->n_prefixes; i++)
		if (!strncmp(name->text, rules->prefixes[i], strlen(rules->prefixes[i])))
			return 0;
	return bad_value(parse, key, name->text, name->len,
			 "does not begin with a prefix of this catalog");
}

/* An array of at most MAX strings. */
static int take_array(struct parse *parse, const char *key, unsigned int max,
		      struct catalog_text *out, unsigned int *n,
		      int (*take)(struct parse *parse, const char *key, struct catalog_text *text))
{
	int r;

	if (verify_json_array(&parse->json) < 0)
		return bad_json(parse);
	while ((r = verify_json_element(&parse->json)) > 0) {
		if (*n == max)
			return verify_refuse(parse->problem, -EINVAL, parse->line,
					     "%s: more than %u", key, max);
		if (take(parse, key, &out[*n]) < 0)
			return -EINVAL;
		(*n)++;
	}
	return r < 0 ? bad_json(parse) : 0;
}

static int take_names(struct parse *parse, const char *key)
{
	return take_array(parse, key, VERIFY_OBJECT_NAMES, parse->draft->names,
			  &parse->draft->n_names, take_name);
}

static int take_urls(struct parse *parse, const char *key)
{
	return take_array(parse, key, VERIFY_OBJECT_URLS, parse->draft->urls, &parse->draft->n_urls,
			  take_url);
}

int catalog_entry_parse(char *line, size_t len, unsigned int number,
			const struct verify_catalog_rules *rules, struct catalog_draft *out,
			struct verify_problem *problem)
{
	static const struct key keys[] = {
		{"sha256", false, take_sha256},
		{"size", true, take_size},
		{"fsverity", false, take_fsverity},
		{"urls", false, take_urls},
		{"tree", false, take_tree},
		{"names", false, take_names},
		{NULL},
	};
	struct parse parse = begin(line, len, number, rules, problem);
	int r;

	parse.draft = out;
	memset(&out->digests, 0, sizeof(out->digests));
	out->has_tree = false;
	out->n_names = out->n_urls = 0;
	r = take_object(&parse, keys);
	if (r < 0)
		return r;
	if (!out->digests.has_sha256 && !out->digests.has_fsverity)
		return verify_refuse(problem, -EINVAL, number,
				     "neither of the keys \"sha256\" and \"fsverity\"");
	/* Nothing could be told by it: the root of the tree is in the digest. */
	if (out->has_tree && !out->digests.has_fsverity)
		return verify_refuse(problem, -EINVAL, number, "\"tree\" without \"fsverity\"");
	return 0;
}
