/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 100,000 digests and 10,000 rules: the right line decides, nothing is allocated, and what a decision and a
 * load take is printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "policy/policy.h"
#include "tests/unit/policy-testing.h"

#define DIGESTS	  100000
#define SETS	  100 /* digest D is in set D % SETS, and in the last one */
#define RULES	  10000
#define QUESTIONS 200000

/* ---- who allocates: these stand in front of the C library's own, for libpsl too ---- */

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTED true
static _Thread_local unsigned long allocations;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	allocations++;
	return __libc_realloc(old, size);
}
#else
#define COUNTED false
static unsigned long allocations;
#endif

/* Of this thread alone: others may need the machine, too. */
static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct digest digest_of(uint32_t number)
{
	struct digest digest;

	/* Spread as real ones are. */
	for (size_t i = 0; i < sizeof(digest.bytes); i++) {
		number = number * 1664525 + 1013904223 + (i == 0);
		digest.bytes[i] = (uint8_t)(number >> 24);
	}
	return digest;
}

/* Rule R, from line 1 on, is about an origin of its own, a site of its own, or all below a domain of its own, and two
 * sets; the last rule is about everybody and the last set. */
static char *write_policy(void)
{
	size_t size = (size_t)DIGESTS * 2 * 70 + (size_t)RULES * 100 + SETS * 20, len = 0;
	char *text = malloc(size);

	assert_non_null(text);
	for (unsigned int r = 0; r + 1 < RULES; r++) {
		char pattern[64];

		switch (r % 3) {
		case 0:
			snprintf(pattern, sizeof(pattern), "https://o%u.example.org", r);
			break;
		case 1:
			snprintf(pattern, sizeof(pattern), "site:https://s%u.com", r);
			break;
		default:
			snprintf(pattern, sizeof(pattern), "https://*.w%u.example.net", r);
		}
		len += (size_t)snprintf(text + len, size - len, "%s %s to s%u,s%u%s\n",
					r % 7 ? "allow" : "ask", pattern, r % SETS,
					(r + 1) % (SETS - 1), r % 2 ? " with list,quota=1G" : "");
	}
	len += (size_t)snprintf(text + len, size - len, "deny any to s%u", SETS - 1);
	for (unsigned int s = 0; s < SETS; s++) {
		len += (size_t)snprintf(text + len, size - len, "\nset s%u", s);
		for (uint32_t d = 0; d < DIGESTS; d++) {
			struct digest digest = digest_of(d);

			if (d % SETS != s && s != SETS - 1)
				continue;
			text[len++] = ' ';
			digest_to_hex(&digest, text + len);
			len += 64;
		}
	}
	text[len] = '\0';
	assert_true(len < size);
	return text;
}

/* One that rule R matches. */
static void format_origin(char origin[64], unsigned int r)
{
	if (r % 3 == 0)
		snprintf(origin, 64, "https://o%u.example.org", r);
	else if (r % 3 == 1)
		snprintf(origin, 64, "https://a.b.c.s%u.com:8443", r);
	else
		snprintf(origin, 64, "https://a.b.w%u.example.net", r);
}

static void ask(const struct policy *policy, unsigned int r, uint32_t d)
{
	struct digest_pair digests = {.has_sha256 = true, .sha256 = digest_of(d)};
	bool named = r % SETS == SETS - 1 || d % SETS == r % SETS || d % SETS == (r + 1) % (SETS - 1);
	unsigned int expected = d >= DIGESTS ? 0 : named ? r + 1 : RULES;
	struct policy_decision decision;
	unsigned long before;
	char origin[64];

	format_origin(origin, r);
	before = allocations;
	decision = policy_decide(policy, origin, &digests);
	assert_int_equal(allocations, before);
	if (decision.where.line != expected)
		fail_msg("%s, %u: line %u, expected %u", origin, d, decision.where.line, expected);
}

static void test_large(void **state)
{
	_cleanup_free_ char *text = write_policy();
	static struct digest_pair objects[1024];
	static char origins[999][64];
	struct policy *policy;
	unsigned int allowed = 0;
	double begin = now();

	policy = policy_of(text);
	print_message("# loaded in %.2f s\n", now() - begin);
	for (unsigned int i = 0; i < 20000; i++)
		ask(policy, random_below(RULES - 1), random_below(DIGESTS + 1000));
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
		objects[i] = (struct digest_pair){true, false, digest_of(random_below(DIGESTS)), {{0}}};
	for (unsigned int i = 0; i < ARRAY_SIZE(origins); i++)
		format_origin(origins[i], i * 10);
	begin = now();
	for (unsigned int i = 0; i < QUESTIONS; i++)
		allowed += policy_decide(policy, origins[i % ARRAY_SIZE(origins)],
					 &objects[i % ARRAY_SIZE(objects)])
				   .verdict == POLICY_ALLOW;
	print_message("# a decision takes %.2f us\n", (now() - begin) * 1e6 / QUESTIONS);
	assert_true(allowed > 0);
	policy_unref(policy);
}

/*
 * Where everything is in many sets that many lines name. Set S holds digest D if bit D of its number is set, and lines of
 * each kind of pattern name the sets in a mixed order: the first that holds the digest decides.
 */
#define MANY_SETS 4096
#define BITS	  12

static void add_many(char **at, const char *pattern, unsigned int step)
{
	for (unsigned int i = 0; i < MANY_SETS; i++)
		*at += sprintf(*at, "allow %s to s%u\n", pattern, i * step % MANY_SETS);
}

static unsigned int first_many(unsigned int step, unsigned int d)
{
	unsigned int i = 0;

	while (i < MANY_SETS && !(i * step % MANY_SETS >> d & 1))
		i++;
	return i;
}

static void test_many_in_many(void **state)
{
	_cleanup_free_ char *text = malloc((size_t)MANY_SETS * (BITS * 65 + 200));
	struct policy *policy;
	unsigned int wrong = 0;
	char *at = text;
	double begin;

	assert_non_null(text);
	/* Not in the order of the sets' names. */
	add_many(&at, "https://a.example.com", 1231);
	add_many(&at, "https://*.example.com", 2017);
	add_many(&at, "any", 1799);
	for (unsigned int s = 0; s < MANY_SETS; s++) {
		at += sprintf(at, "set s%u", s);
		for (unsigned int d = 0; d < BITS; d++) {
			struct digest digest = digest_of(d);

			if (!(s >> d & 1))
				continue;
			*at++ = ' ';
			digest_to_hex(&digest, at);
			at += 64;
		}
		*at++ = '\n';
	}
	*at = '\0';
	policy = policy_of(text);
	for (unsigned int d = 0; d < BITS; d++) {
		struct digest_pair digests = {.has_fsverity = true, .has_sha256 = true};

		digests.sha256 = digests.fsverity = digest_of(d);
		assert_int_equal(
			policy_decide(policy, "https://a.example.com", &digests).where.line,
			1 + first_many(1231, d));
		assert_int_equal(
			policy_decide(policy, "https://b.example.com", &digests).where.line,
			MANY_SETS + 1 + first_many(2017, d));
		assert_int_equal(policy_decide(policy, "local", &digests).where.line,
				 2 * MANY_SETS + 1 + first_many(1799, d));
	}
	begin = now();
	for (unsigned int i = 0; i < QUESTIONS; i++) {
		struct digest_pair digests = {.has_sha256 = true, .sha256 = digest_of(i % BITS)};

		wrong += policy_decide(policy, "https://a.example.com", &digests).verdict !=
			 POLICY_ALLOW;
	}
	print_message("# a decision takes %.2f us\n", (now() - begin) * 1e6 / QUESTIONS);
	assert_int_equal(wrong, 0);
	policy_unref(policy);
}

/* The same at random, near to where many begins: lines of two patterns, each with one of 80 sets of 8 digests. */
#define SOME_SETS  80
#define SOME_LINES 120

struct some {
	bool holds[SOME_SETS][8];
	struct {
		bool any;
		unsigned int set;
	} lines[SOME_LINES];
};

static void make_some(struct some *some, char *text)
{
	uint32_t density = 1 + random_below(4);

	for (unsigned int s = 0; s < SOME_SETS; s++) {
		text += sprintf(text, "set s%u fsverity-", s);
		/* One that nobody asks for, so that no set is empty. */
		memset(text, '0', 64);
		text += 64;
		for (unsigned int d = 0; d < 8; d++) {
			struct digest digest = digest_of(d);

			some->holds[s][d] = d < 4 ? one_in(density) : one_in(2);
			if (!some->holds[s][d])
				continue;
			text += sprintf(text, " fsverity-");
			digest_to_hex(&digest, text);
			text += 64;
		}
		*text++ = '\n';
	}
	for (unsigned int i = 0; i < SOME_LINES; i++) {
		some->lines[i].any = one_in(3);
		some->lines[i].set = random_below(SOME_SETS);
		text += sprintf(text, "allow %s to s%u\n", some->lines[i].any ? "any" : "x",
				some->lines[i].set);
	}
}

static unsigned int first_some(const struct some *some, bool x, unsigned int d)
{
	for (unsigned int i = 0; i < SOME_LINES; i++) {
		if ((x || some->lines[i].any) && some->holds[some->lines[i].set][d])
			return SOME_SETS + 1 + i;
	}
	return 0;
}

static void test_some_in_some(void **state)
{
	static char text[SOME_SETS * 9 * 80 + SOME_LINES * 40];
	static struct some some;

	for (unsigned int round = 0; round < 300; round++) {
		struct policy *policy;

		make_some(&some, text);
		policy = policy_of(text);
		for (unsigned int d = 0; d < 8; d++) {
			struct digest_pair digests = {.has_fsverity = true,
						      .fsverity = digest_of(d)};

			assert_int_equal(policy_decide(policy, "x", &digests).where.line,
					 first_some(&some, true, d));
			assert_int_equal(policy_decide(policy, "y", &digests).where.line,
					 first_some(&some, false, d));
		}
		policy_unref(policy);
	}
}

/* The count does count, or it says little. */
static void test_count(void **state)
{
	unsigned long before = allocations;
	struct policy *policy = policy_of("allow any to any");

	assert_true(allocations > before || !COUNTED);
	policy_unref(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_many_in_many),
		cmocka_unit_test(test_some_in_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
