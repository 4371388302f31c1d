/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random policies over a small universe, as tables: written out as text they are what the index is
 * asked, read line by line they are what it must say. Nothing here is from policy/ but its header.
 */
#ifndef TESTS_POLICY_MODEL_H
#define TESTS_POLICY_MODEL_H

#include <stdio.h>
#include "policy/policy.h"
#include "tests/unit/policy-testing.h"

static inline struct digest digest_of(unsigned int number)
{
	struct digest digest = {{0}};

	/* Alike in front and at the end, so that the comparison must look at all of it. */
	digest.bytes[15] = (uint8_t)number;
	return digest;
}

/* ---- the universe ---- */

#define OBJECTS 6
#define SETS	4
#define LINES	12

/* An origin and its site, by hand from https://publicsuffix.org. */
static const struct {
	const char *origin, *site;
} origins[] = {
	{"local", NULL},
	{"translator", NULL},
	{"https://example.com", "https://example.com"},
	{"https://a.example.com", "https://example.com"},
	{"https://x.a.example.com", "https://example.com"},
	{"https://badexample.com", "https://badexample.com"},
	{"https://a.badexample.com", "https://badexample.com"},
	{"http://a.example.com", "http://example.com"},
	{"https://a.example.com:8443", "https://example.com"},
	{"https://a.example.com:84", "https://example.com"},
	{"https://com", NULL},
	{"https://10.0.0.1", NULL},
	{"https://[2001:db8::1]", NULL},
	{"https://amazonaws.com", "https://amazonaws.com"},
	{"https://www.amazonaws.com", "https://amazonaws.com"},
	{"https://b.s3.amazonaws.com", "https://b.s3.amazonaws.com"},
	{"https://x.b.s3.amazonaws.com:444", "https://b.s3.amazonaws.com"},
	{"https://a.example.co.uk", "https://example.co.uk"},
	{"https://x.host.internal", "https://host.internal"},
};

static const char *const sites[] = {
	"https://example.com",	       "http://example.com",	"https://badexample.com",
	"https://amazonaws.com",       "https://example.co.uk", "https://host.internal",
	"https://b.s3.amazonaws.com",
};

/* What a line can say besides `any`, each origin and each site: SCHEME, ".DOMAIN", ":PORT". */
static const struct {
	const char *scheme, *dot_domain, *port;
} wildcards[] = {
	{"https://", ".example.com", ""},   {"https://", ".a.example.com", ""},
	{"http://", ".example.com", ""},    {"https://", ".example.com", ":8443"},
	{"https://", ".amazonaws.com", ""}, {"https://", ".internal", ""},
	{"https://", ".a.example.co", ""},  {"https://", ".badexample.com", ""},
};

#define FIRST_SITE     (1 + ARRAY_SIZE(origins))
#define FIRST_WILDCARD (FIRST_SITE + ARRAY_SIZE(sites))
#define PATTERNS       (FIRST_WILDCARD + ARRAY_SIZE(wildcards))

/* Member M of the universe of digests: the SHA-256 of object M, or the fs-verity digest of M -
 * OBJECTS. */
#define MEMBERS (2 * OBJECTS)

struct line {
	enum policy_verdict verdict;
	bool cached, list, any;
	unsigned int quota;  /* KiB; 0: none */
	unsigned int probes; /* in as many seconds; 0: any number */
	unsigned int wait;   /* seconds */
	size_t pattern;
	bool sets[SETS];       /* which targets it has */
	bool members[MEMBERS]; /* ... digests by themselves */
};

struct model {
	bool sets[SETS][MEMBERS], shared[SETS];
	struct line lines[LINES];
	size_t n_lines;
};

static inline void make_line(struct line *line)
{
	bool targets;

	line->verdict = (enum policy_verdict)random_below(3);
	if (line->verdict != POLICY_DENY) {
		line->cached = one_in(2);
		line->list = one_in(2);
		line->quota = one_in(3) ? 1 + random_below(50) : 0;
		line->probes = one_in(3) ? 1 + random_below(50) : 0;
	}
	line->wait = line->verdict == POLICY_ASK && one_in(2) ? 1 + random_below(100) : 0;
	line->pattern = one_in(5) ? 0 : random_below(PATTERNS);
	line->any = targets = one_in(8);
	for (size_t s = 0; s < SETS; s++)
		targets |= line->sets[s] = one_in(4);
	for (size_t m = 0; m < MEMBERS; m++)
		targets |= line->members[m] = one_in(20);
	line->any |= !targets;
}

/* No deny line may name an empty set. */
static inline void leave_out_empty(const struct model *model, struct line *line)
{
	bool targets = false;

	for (size_t s = 0; s < SETS; s++) {
		line->sets[s] &= memchr(model->sets[s], true, MEMBERS) != NULL;
		targets |= line->sets[s];
	}
	for (size_t m = 0; m < MEMBERS; m++)
		targets |= line->members[m];
	line->any |= !targets;
}

static inline void make_model(struct model *model)
{
	memset(model, 0, sizeof(*model));
	model->n_lines = random_below(LINES + 1);
	for (size_t s = 0; s < SETS; s++) {
		/* Sets of one kind only matter for the unknown SHA-256. */
		uint32_t kinds = random_below(3);

		for (size_t m = 0; m < MEMBERS && !one_in(8); m++)
			model->sets[s][m] = one_in(3) && (kinds == 2 || m / OBJECTS == kinds);
		model->shared[s] = one_in(3);
	}
	for (size_t i = 0; i < model->n_lines; i++) {
		make_line(&model->lines[i]);
		if (model->lines[i].verdict == POLICY_DENY)
			leave_out_empty(model, &model->lines[i]);
	}
}

/* ---- written out ---- */

struct text {
	char bytes[16384];
	size_t len;
};

static inline void add(struct text *text, const char *format, ...) printf_like(2, 3);
static inline void add(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text->len += (size_t)vsnprintf(text->bytes + text->len, sizeof(text->bytes) - text->len,
				       format, args);
	va_end(args);
	assert_true(text->len < sizeof(text->bytes));
}

static inline struct digest_name member_name(size_t member)
{
	return (struct digest_name){member < OBJECTS ? DIGEST_SHA256 : DIGEST_FSVERITY,
				    digest_of((unsigned int)(member % OBJECTS))};
}

static inline void add_member(struct text *text, size_t member)
{
	struct digest_name name = member_name(member);
	char spelling[DIGEST_NAME_SIZE];

	digest_name_format(&name, spelling);
	add(text, "%s%s", name.kind == DIGEST_SHA256 && one_in(2) ? "sha256:" : "", spelling);
}

/* Some by name: the catalog `c` is the model itself. */
static inline void add_sets(struct text *text, const struct model *model, size_t from, size_t to)
{
	for (size_t s = from; s < to; s++) {
		bool by_name = one_in(3);

		add(text, by_name ? "set s%zu name c:s%zu/*" : "set s%zu", s, s);
		for (size_t m = 0; m < MEMBERS && !by_name; m++) {
			if (!model->sets[s][m])
				continue;
			add(text, " ");
			add_member(text, m);
		}
		add(text, "%s\n", model->shared[s] ? " shared" : "");
	}
}

static inline int model_names(void *arg, const char *catalog, const char *pattern,
			      int (*found)(void *found_arg, const struct digest_name *name),
			      void *found_arg)
{
	const struct model *model = arg;
	int r = strcmp(catalog, "c") ? -ENOENT : 0;

	for (size_t i = 0; i < SETS * MEMBERS && r == 0; i++) {
		struct digest_name name = member_name(i % MEMBERS);
		char path[32];

		snprintf(path, sizeof(path), "s%zu/model/%zu", i / MEMBERS, i % MEMBERS);
		if (model->sets[i / MEMBERS][i % MEMBERS] && policy_name_matches(pattern, path))
			r = found(found_arg, &name);
	}
	return r;
}

static inline void add_pattern(struct text *text, size_t pattern)
{
	if (pattern == 0)
		add(text, "any");
	else if (pattern < FIRST_SITE)
		add(text, "%s", origins[pattern - 1].origin);
	else if (pattern < FIRST_WILDCARD)
		add(text, "site:%s", sites[pattern - FIRST_SITE]);
	else
		add(text, "%s*%s%s", wildcards[pattern - FIRST_WILDCARD].scheme,
		    wildcards[pattern - FIRST_WILDCARD].dot_domain,
		    wildcards[pattern - FIRST_WILDCARD].port);
}

static inline void add_options(struct text *text, const struct line *line)
{
	const char *before = " with ";

#define OPTION(condition, ...)                                                                     \
	if (condition) {                                                                           \
		add(text, "%s", before);                                                           \
		add(text, __VA_ARGS__);                                                            \
		before = ",";                                                                      \
	}
	OPTION(line->cached, "cached")
	OPTION(line->quota, "quota=%uK", line->quota)
	OPTION(line->wait, "wait=%us", line->wait)
	OPTION(line->list, "list")
	OPTION(line->probes, "probes=%u/%us", line->probes, line->probes)
#undef OPTION
}

static inline void add_line(struct text *text, const struct line *line)
{
	static const char *const verdicts[] = {"deny", "allow", "ask"};
	const char *comma = "";

	add(text, "%s ", verdicts[line->verdict]);
	add_pattern(text, line->pattern);
	add(text, " to ");
	for (size_t s = 0; s < SETS; s++) {
		if (!line->sets[s])
			continue;
		add(text, "%ss%zu", comma, s);
		comma = ",";
	}
	for (size_t m = 0; m < MEMBERS; m++) {
		if (!line->members[m])
			continue;
		add(text, "%s", comma);
		add_member(text, m);
		comma = ",";
	}
	if (line->any)
		add(text, "%sany", comma);
	add_options(text, line);
	add(text, "\n");
}

/* Sets may come before or after their use: BEFORE of them do. So line I of the model is line BEFORE + 1 + I. */
static inline struct policy *write_model(struct model *model, struct text *text, size_t before)
{
	struct policy_names names = {model_names, model};
	struct policy_error error;
	struct policy *policy;

	text->len = 0;
	text->bytes[0] = '\0';
	add_sets(text, model, 0, before);
	for (size_t j = 0; j < model->n_lines; j++)
		add_line(text, &model->lines[j]);
	add_sets(text, model, before, SETS);
	if (policy_parse("test", text->bytes, text->len, &names, &policy, &error) < 0)
		fail_msg("%u:%u: %s\n%s", error.line, error.column, error.message, text->bytes);
	assert_null(policy_warning(policy, 0));
	return policy;
}

/* ---- read naively ---- */

/* O is the number of the origin. */
static inline bool pattern_matches(size_t pattern, size_t o)
{
	const char *origin = origins[o].origin, *site = origins[o].site;
	size_t w = pattern - FIRST_WILDCARD;
	char tail[64];

	if (pattern == 0)
		return true;
	if (pattern < FIRST_SITE)
		return pattern - 1 == o;
	if (pattern < FIRST_WILDCARD)
		return site && strcmp(sites[pattern - FIRST_SITE], site) == 0;
	if (strncmp(origin, wildcards[w].scheme, strlen(wildcards[w].scheme)) != 0)
		return false;
	origin += strlen(wildcards[w].scheme);
	snprintf(tail, sizeof(tail), "%s%s", wildcards[w].dot_domain, wildcards[w].port);
	return strlen(origin) > strlen(tail) &&
	       strcmp(origin + strlen(origin) - strlen(tail), tail) == 0;
}

static inline bool member_matches(size_t member, bool deny, const struct digest_pair *digests)
{
	struct digest digest = digest_of((unsigned int)(member % OBJECTS));

	if (member >= OBJECTS)
		return digests->has_fsverity && digest_equal(&digest, &digests->fsverity);
	if (!digests->has_sha256)
		return deny;
	return digest_equal(&digest, &digests->sha256);
}

static inline bool line_matches(const struct model *model, const struct line *line, size_t origin,
				const struct digest_pair *digests)
{
	if (!pattern_matches(line->pattern, origin))
		return false;
	if (line->any)
		return true;
	for (size_t m = 0; m < MEMBERS; m++) {
		bool named = line->members[m];

		for (size_t s = 0; s < SETS; s++)
			named |= line->sets[s] && model->sets[s][m];
		if (named && member_matches(m, line->verdict == POLICY_DENY, digests))
			return true;
	}
	return false;
}

static inline bool set_holds(const struct model *model, size_t set,
			     const struct digest_pair *digests)
{
	for (size_t m = 0; m < MEMBERS; m++) {
		if (model->sets[set][m] && member_matches(m, false, digests))
			return true;
	}
	return false;
}

static inline struct digest_pair random_object(void)
{
	struct digest_pair digests = {.has_sha256 = !one_in(3), .has_fsverity = !one_in(3)};

	if (digests.has_sha256)
		digests.sha256 = digest_of(random_below(OBJECTS + 1));
	if (digests.has_fsverity)
		digests.fsverity = digest_of(random_below(OBJECTS + 1));
	return digests;
}

#endif
