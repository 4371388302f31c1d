/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions. The index must say what reading the lines one by one says: a random policy over a
 * small universe is written out as text, loaded, and asked; a naive evaluator reads the same lines
 * as a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/policy.h"
#include "tests/unit/policy-testing.h"

static struct digest digest_of(unsigned int number)
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

static const char *const origins[] = {
	"local",
	"translator",
	"https://example.com",
	"https://a.example.com",
	"https://x.a.example.com",
	"https://badexample.com",
	"https://a.badexample.com",
	"http://a.example.com",
	"https://a.example.com:8443",
	"https://a.example.com:84",
	"https://com",
	"https://10.0.0.1",
	"https://[2001:db8::1]",
};

/* What a line can say besides `any` and each origin: SCHEME, ".DOMAIN", ":PORT". */
static const struct {
	const char *scheme, *dot_domain, *port;
} wildcards[] = {
	{"https://", ".example.com", ""},
	{"https://", ".a.example.com", ""},
	{"http://", ".example.com", ""},
	{"https://", ".example.com", ":8443"},
	{"https://", ".a.example.co", ""},
	{"https://", ".example.co", ""},
	{"https://", ".badexample.com", ""},
};

#define PATTERNS (1 + ARRAY_SIZE(origins) + ARRAY_SIZE(wildcards))

/* Member M of the universe of digests: the SHA-256 of object M, or the fs-verity digest of M -
 * OBJECTS. */
#define MEMBERS (2 * OBJECTS)

struct line {
	bool allow, cached, list, any;
	unsigned int quota; /* KiB; 0: none */
	size_t pattern;
	bool sets[SETS];       /* which targets it has */
	bool members[MEMBERS]; /* ... digests by themselves */
};

struct model {
	bool sets[SETS][MEMBERS];
	struct line lines[LINES];
	size_t n_lines;
};

static void make_model(struct model *model)
{
	memset(model, 0, sizeof(*model));
	model->n_lines = random_below(LINES + 1);
	for (size_t s = 0; s < SETS; s++) {
		/* Sets of one kind only matter for the unknown SHA-256. */
		uint32_t kinds = random_below(3);

		for (size_t m = 0; m < MEMBERS; m++)
			model->sets[s][m] = one_in(3) && (kinds == 2 || m / OBJECTS == kinds);
		model->sets[s][kinds == 1 ? OBJECTS : 0] = true;
	}
	for (size_t i = 0; i < model->n_lines; i++) {
		struct line *line = &model->lines[i];

		line->allow = !one_in(2);
		line->cached = line->allow && one_in(2);
		line->quota = line->allow && one_in(3) ? 1 + random_below(50) : 0;
		line->list = line->allow && one_in(2);
		line->pattern = one_in(5) ? 0 : random_below(PATTERNS);
		line->any = one_in(8);
		for (size_t s = 0; s < SETS; s++)
			line->sets[s] = one_in(4);
		for (size_t m = 0; m < MEMBERS; m++)
			line->members[m] = one_in(20);
	}
}

/* ---- written out ---- */

struct text {
	char bytes[16384];
	size_t len;
};

static void add(struct text *text, const char *format, ...) printf_like(2, 3);
static void add(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text->len += (size_t)vsnprintf(text->bytes + text->len, sizeof(text->bytes) - text->len,
				       format, args);
	va_end(args);
	assert_true(text->len < sizeof(text->bytes));
}

static void add_member(struct text *text, size_t member)
{
	struct digest_name name = {member < OBJECTS ? DIGEST_SHA256 : DIGEST_FSVERITY,
				   digest_of((unsigned int)(member % OBJECTS))};
	char spelling[DIGEST_NAME_SIZE];

	digest_name_format(&name, spelling);
	add(text, "%s%s", name.kind == DIGEST_SHA256 && one_in(2) ? "sha256:" : "", spelling);
}

static void add_sets(struct text *text, const struct model *model, size_t from, size_t to)
{
	for (size_t s = from; s < to; s++) {
		add(text, "set s%zu", s);
		for (size_t m = 0; m < MEMBERS; m++) {
			if (!model->sets[s][m])
				continue;
			add(text, " ");
			add_member(text, m);
		}
		add(text, "\n");
	}
}

static void add_line(struct text *text, const struct line *line)
{
	size_t wildcard = line->pattern - 1 - ARRAY_SIZE(origins);
	const char *comma = "";

	add(text, "%s ", line->allow ? "allow" : "deny");
	if (line->pattern == 0)
		add(text, "any to ");
	else if (line->pattern <= ARRAY_SIZE(origins))
		add(text, "%s to ", origins[line->pattern - 1]);
	else
		add(text, "%s*%s%s to ", wildcards[wildcard].scheme, wildcards[wildcard].dot_domain,
		    wildcards[wildcard].port);
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
	comma = " with ";
	if (line->cached)
		add(text, "%scached", comma);
	comma = line->cached ? "," : comma;
	if (line->quota)
		add(text, "%squota=%uK", comma, line->quota);
	comma = line->quota ? "," : comma;
	if (line->list)
		add(text, "%slist", comma);
	add(text, "\n");
}

/* ---- read naively ---- */

static bool pattern_matches(size_t pattern, const char *origin)
{
	size_t w = pattern - 1 - ARRAY_SIZE(origins);
	char tail[64];

	if (pattern == 0)
		return true;
	if (pattern <= ARRAY_SIZE(origins))
		return strcmp(origins[pattern - 1], origin) == 0;
	if (strncmp(origin, wildcards[w].scheme, strlen(wildcards[w].scheme)) != 0)
		return false;
	origin += strlen(wildcards[w].scheme);
	snprintf(tail, sizeof(tail), "%s%s", wildcards[w].dot_domain, wildcards[w].port);
	return strlen(origin) > strlen(tail) &&
	       strcmp(origin + strlen(origin) - strlen(tail), tail) == 0;
}

static bool member_matches(size_t member, bool deny, const struct digest_pair *digests)
{
	struct digest digest = digest_of((unsigned int)(member % OBJECTS));

	if (member >= OBJECTS)
		return digests->has_fsverity && digest_equal(&digest, &digests->fsverity);
	if (!digests->has_sha256)
		return deny;
	return digest_equal(&digest, &digests->sha256);
}

static bool line_matches(const struct model *model, const struct line *line, const char *origin,
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
		if (named && member_matches(m, !line->allow, digests))
			return true;
	}
	return false;
}

static bool has_target(const struct line *line)
{
	bool has = line->any;

	for (size_t s = 0; s < SETS; s++)
		has |= line->sets[s];
	for (size_t m = 0; m < MEMBERS; m++)
		has |= line->members[m];
	return has;
}

static unsigned int counted[2][2];

static void ask(const struct policy *policy, const struct model *model, unsigned int first,
		const struct text *text)
{
	const char *origin = origins[random_below(ARRAY_SIZE(origins))];
	struct digest_pair digests = {.has_sha256 = !one_in(3), .has_fsverity = !one_in(3)};
	struct policy_decision expected = {0}, got;
	uint64_t quota = 0;

	if (digests.has_sha256)
		digests.sha256 = digest_of(random_below(OBJECTS + 1));
	if (digests.has_fsverity)
		digests.fsverity = digest_of(random_below(OBJECTS + 1));
	for (size_t i = 0; i < model->n_lines; i++) {
		const struct line *line = &model->lines[i];

		if (!line_matches(model, line, origin, &digests))
			continue;
		expected = (struct policy_decision){
			.verdict = line->allow ? POLICY_ALLOW : POLICY_DENY,
			.cached = line->cached,
			.list = line->list,
			.quota = (uint64_t)line->quota << 10,
			.where = {"test", first + (unsigned int)i},
		};
		break;
	}
	for (size_t i = 0; i < model->n_lines && !quota; i++)
		quota = pattern_matches(model->lines[i].pattern, origin) ? model->lines[i].quota : 0;
	if (policy_quota(policy, origin) != quota << 10)
		fail_msg("%s: another quota than %lluK\n%s", origin, (unsigned long long)quota,
			 text->bytes);
	got = policy_decide(policy, origin, &digests);
	counted[got.verdict][got.where.file != NULL]++;
	if (got.verdict != expected.verdict || got.cached != expected.cached ||
	    got.list != expected.list || got.quota != expected.quota || got.where.line != expected.where.line ||
	    !got.where.file != !expected.where.file)
		fail_msg("%s%s: line %u, expected line %u (from %u)\n%s", origin,
			 digests.has_sha256 ? "" : " (SHA-256 not known)", got.where.line,
			 expected.where.line, first, text->bytes);
}

static void test_first_match_wins(void **state)
{
	static struct model model;
	static struct text text;

	for (unsigned int i = 0; i < 4000; i++) {
		struct policy *policy;
		size_t before = random_below(SETS + 1);

		make_model(&model);
		for (size_t j = 0; j < model.n_lines; j++)
			model.lines[j].any |= !has_target(&model.lines[j]);
		text.len = 0;
		text.bytes[0] = '\0';
		/* Sets may come before or after their use. */
		add_sets(&text, &model, 0, before);
		for (size_t j = 0; j < model.n_lines; j++)
			add_line(&text, &model.lines[j]);
		add_sets(&text, &model, before, SETS);
		policy = policy_of(text.bytes);
		for (unsigned int j = 0; j < 50; j++)
			ask(policy, &model, (unsigned int)before + 1, &text);
		policy_unref(policy);
	}
	/* All outcomes did happen, or the comparison says little. */
	assert_true(counted[0][0] > 10000 && counted[0][1] > 10000 && counted[1][1] > 10000);
	assert_int_equal(counted[1][0], 0);
}

/* ---- by hand ---- */

#define HEX(c)                                                                                     \
	c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c  \
		c c c c c c c c c c c c c c c c c c c

static void test_unknown_sha256(void **state)
{
	struct policy *policy = policy_of("set both " HEX("a") " fsverity-" HEX(
		"1") "\n"
		     "set tree fsverity-" HEX("2") "\n"
						   "allow x to both\n"
						   "deny  x to tree\n"
						   "deny  x to sha256:" HEX(
							   "b") "\n"
								"allow x to any\n"
								"deny  y to tree\n"
								"allow y to any\n");
	struct digest_pair unknown = pair_of("fsverity-" HEX("3"));
	struct digest_pair in_both = pair_of("fsverity-" HEX("1"));
	struct digest_pair known = pair_of(HEX("c"));

	/* An allow line does match through the fs-verity digest in the same set. */
	assert_int_equal(policy_decide(policy, "x", &in_both).where.line, 3);
	/* Not through the SHA-256 it may or may not have; the deny line that names one does. */
	assert_int_equal(policy_decide(policy, "x", &unknown).where.line, 5);
	assert_int_equal(policy_decide(policy, "x", &unknown).verdict, POLICY_DENY);
	assert_int_equal(policy_decide(policy, "x", &known).where.line, 6);
	/* A deny line that names fs-verity digests alone is not about SHA-256. */
	assert_int_equal(policy_decide(policy, "y", &unknown).verdict, POLICY_ALLOW);
	policy_unref(policy);
}

static void test_edges(void **state)
{
	struct policy *policy = policy_of("");
	struct digest_pair known = pair_of(HEX("c")), nothing = {0};
	struct policy_decision decision = policy_decide(policy, "local", &known);

	assert_false(decision.verdict == POLICY_ALLOW || decision.cached || decision.list);
	assert_null(decision.where.file);
	policy_unref(policy);
	policy_unref(NULL);

	policy = policy_of("allow any to any with list,cached");
	assert_int_equal(policy_decide(policy, "local", &nothing).verdict, POLICY_ALLOW);
	decision = policy_decide(policy, "https://a.example", &known);
	assert_true(decision.verdict == POLICY_ALLOW && decision.cached && decision.list);
	assert_string_equal(decision.where.file, "test");
	assert_int_equal(decision.where.line, 1);
	/* Without an origin not even `any` matches. */
	assert_int_equal(policy_decide(policy, NULL, &known).verdict, POLICY_DENY);
	policy_unref(policy);

	policy = policy_of("allow https://*.example.com to " HEX("c") " with quota=20G,list\n"
			   "allow https://a.example.com to any with quota=1K\n"
			   "allow any to any");
	decision = policy_decide(policy, "https://a.example.com", &known);
	assert_true(decision.verdict == POLICY_ALLOW && decision.list && decision.quota == (uint64_t)20 << 30);
	assert_int_equal(policy_decide(policy, "https://a.example.com", &nothing).quota, 1024);
	assert_int_equal(policy_decide(policy, "https://b.example.com", &nothing).quota, 0);
	assert_int_equal(policy_quota(policy, "https://a.example.com"), (uint64_t)20 << 30);
	assert_int_equal(policy_quota(policy, "https://example.com"), 0);
	assert_int_equal(policy_quota(policy, "local"), 0);
	assert_int_equal(policy_quota(policy, NULL), 0);
	policy_unref(policy);
}

/* A digest in many sets, each for an origin of its own; and one pattern with many sets. */
static void test_many_sets(void **state)
{
	struct digest_pair shared = pair_of(HEX("a")), last = pair_of(HEX("b"));
	_cleanup_free_ char *text = malloc(1 << 20);
	struct policy *policy;
	size_t len = 0;

	assert_non_null(text);
	for (int i = 0; i < 1000; i++)
		len += (size_t)sprintf(text + len,
				       "set s%d " HEX("a") "\nallow https://o%d.example to s%d\n",
				       i, i, i);
	len += (size_t)sprintf(text + len, "set last " HEX("b") "\n");
	for (int i = 0; i < 1000; i++)
		len += (size_t)sprintf(text + len, "deny any to s%d\n", i);
	sprintf(text + len, "allow any to last,s999\n");
	policy = policy_of(text);
	assert_int_equal(policy_decide(policy, "https://o700.example", &shared).where.line, 1402);
	assert_int_equal(policy_decide(policy, "https://o1000.example", &shared).where.line, 2002);
	assert_int_equal(policy_decide(policy, "https://o700.example", &last).where.line, 3002);
	policy_unref(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_match_wins),
		cmocka_unit_test(test_unknown_sha256),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_many_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
