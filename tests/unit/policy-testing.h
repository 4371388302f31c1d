/* SPDX-License-Identifier: Apache-2.0 */
/* What several tests of policy/ need: random numbers that repeat, policies that are good, and decisions by spelled-out names. */
#ifndef TESTS_POLICY_TESTING_H
#define TESTS_POLICY_TESTING_H

#include "policy/policy.h"

/* It must be a good one. */
static inline struct policy *policy_of(const char *text)
{
	struct policy_error error;
	struct policy *policy;
	char message[1024];

	if (policy_parse("test", text, strlen(text), NULL, &policy, &error) < 0) {
		policy_error_format(&error, message, sizeof(message));
		fail_msg("%s", message);
	}
	return policy;
}

/* Xorshift: the same sequence in every run. */
static inline uint32_t random_below(uint32_t n)
{
	static uint32_t state = 20240501;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % n;
}

static inline bool one_in(uint32_t n)
{
	return random_below(n) == 0;
}

static inline struct digest_pair pair_of(const char *name)
{
	struct digest_name parsed;

	assert_int_equal(digest_name_parse(name, &parsed), 0);
	return digest_pair_of(&parsed);
}

static inline unsigned int line_for(const struct policy *policy, const char *origin,
				    const char *digest)
{
	struct digest_pair digests = pair_of(digest);

	return policy_decide(policy, origin, &digests).where.line;
}

#endif
