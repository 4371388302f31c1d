/* SPDX-License-Identifier: Apache-2.0 */
/* Who is which origin, and policies that are replaced while others still use them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/policy.h"
#include "tests/unit/policy-testing.h"

/* ---- a table of lines, read one by one ---- */

#define LINES 10

static const char *const cgroups[] = {"/", "/a", "/a/b", "/a/b/c", "/ab", "/a.service"};
static const char *const units[] = {"a.service", "b.scope", "a.scope", "aa.service"};

enum kind {
	ANY,
	UID,
	GID,
	CGROUP,
	UNIT,
};

struct line {
	enum kind kind;
	uint32_t id; /* or which of the above */
	bool broker;
};

static size_t write_line(const struct line *line, size_t number, char *text, size_t size)
{
	static const char *const kinds[] = {"any", "uid", "gid", "cgroup", "unit"};
	char what[32] = "", is[32] = "";

	if (line->kind == CGROUP)
		snprintf(what, sizeof(what), " %s", cgroups[line->id]);
	else if (line->kind == UNIT)
		snprintf(what, sizeof(what), " %s", units[line->id]);
	else if (line->kind != ANY)
		snprintf(what, sizeof(what), " %u", line->id);
	if (!line->broker)
		snprintf(is, sizeof(is), " is origin%zu", number);
	return (size_t)snprintf(text, size, "%s %s%s%s\n", line->broker ? "broker" : "caller",
				kinds[line->kind], what, is);
}

static bool is_within(const char *cgroup, const char *path)
{
	size_t len = strlen(cgroup);

	return len == 1 || (!strncmp(path, cgroup, len) && (!path[len] || path[len] == '/'));
}

static bool line_matches(const struct line *line, const struct policy_caller *caller)
{
	bool in_group = line->id == caller->gid;

	switch (line->kind) {
	case UID:
		return line->id == caller->uid;
	case GID:
		for (size_t g = 0; g < caller->n_groups; g++)
			in_group |= line->id == caller->groups[g];
		return in_group;
	case CGROUP:
		return caller->cgroup && is_within(cgroups[line->id], caller->cgroup);
	case UNIT:
		return caller->unit && strcmp(caller->unit, units[line->id]) == 0;
	default:
		return true;
	}
}

/* The number of the first line of its kind that matches, from 1; 0: none. */
static unsigned int first_line(const struct line *lines, size_t n, bool broker,
			       const struct policy_caller *caller)
{
	for (size_t i = 0; i < n && caller->identified; i++) {
		if (lines[i].broker == broker && line_matches(&lines[i], caller))
			return (unsigned int)i + 1;
	}
	return 0;
}

static void ask(const struct policy *policy, const struct line *lines, size_t n)
{
	static const char *const paths[] = {"/",      "/a",  "/a/b",	  "/a/b/c",
					    "/a/b/d", "/ab", "/a.service", "/x/a/b"};
	gid_t groups[] = {random_below(5), random_below(5)};
	struct policy_caller caller = {
		.identified = !one_in(10),
		.uid = random_below(5),
		.gid = random_below(5),
		.groups = groups,
		.n_groups = random_below(3),
		.cgroup = one_in(4) ? NULL : paths[random_below(ARRAY_SIZE(paths))],
		.unit = one_in(4) ? NULL : units[random_below(ARRAY_SIZE(units))],
	};
	struct policy_where where = {"x", 99};
	const char *origin = policy_origin_of(policy, &caller, &where);
	unsigned int line = first_line(lines, n, false, &caller);

	assert_int_equal(where.line, line);
	assert_int_equal(where.file != NULL, line != 0);
	assert_int_equal(origin != NULL, line != 0);
	if (origin)
		assert_int_equal(atoi(origin + strlen("origin")), line);
	line = first_line(lines, n, true, &caller);
	assert_int_equal(policy_is_broker(policy, &caller, &where), line != 0);
	assert_int_equal(where.line, line);
}

static void test_callers(void **state)
{
	for (unsigned int round = 0; round < 5000; round++) {
		struct line lines[LINES];
		size_t n = random_below(LINES + 1), len = 0;
		bool gids = false, in_cgroups = false;
		char text[2048] = "";
		struct policy *policy;

		for (size_t i = 0; i < n; i++) {
			struct line *line = &lines[i];

			line->broker = one_in(3);
			line->kind = (enum kind)(line->broker ? 1 + random_below(4) : random_below(5));
			line->id = line->kind == CGROUP ? random_below(ARRAY_SIZE(cgroups))
							: random_below(4);
			gids |= line->kind == GID;
			in_cgroups |= line->kind >= CGROUP;
			len += write_line(line, i + 1, text + len, sizeof(text) - len);
		}
		policy = policy_of(text);
		assert_int_equal(policy_needs_groups(policy), gids);
		assert_int_equal(policy_needs_cgroup(policy), in_cgroups);
		for (unsigned int j = 0; j < 25; j++)
			ask(policy, lines, n);
		policy_unref(policy);
	}
}

/* What a cgroup namespace shows of those outside of it, and what is no path. */
static void test_odd_cgroups(void **state)
{
	static const char *const paths[] = {"/../a", "/..", "/a/..", "/a/../b", "", "a", "..", NULL};
	struct policy *policy = policy_of("caller cgroup / is all\nbroker cgroup /a\n");
	struct policy_caller caller = {.identified = true};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		caller.cgroup = paths[i];
		assert_null(policy_origin_of(policy, &caller, NULL));
		assert_false(policy_is_broker(policy, &caller, NULL));
	}
	caller.cgroup = "/a/..b/...";
	assert_string_equal(policy_origin_of(policy, &caller, NULL), "all");
	assert_true(policy_is_broker(policy, &caller, NULL));
	/* The kernel says so of one that was removed: it is not `/a`. */
	caller.cgroup = "/a (deleted)";
	assert_string_equal(policy_origin_of(policy, &caller, NULL), "all");
	assert_false(policy_is_broker(policy, &caller, NULL));
	policy_unref(policy);
}

static void test_groups_may_be_missing(void **state)
{
	struct policy *policy =
		policy_of("caller uid 0 is root\ncaller any is HTTPS://A.example:443\n");
	struct policy_caller caller = {.identified = true, .uid = 7, .n_groups = 3};

	assert_false(policy_needs_groups(policy));
	assert_string_equal(policy_origin_of(policy, &caller, NULL), "https://a.example");
	caller.identified = false;
	assert_null(policy_origin_of(policy, &caller, NULL));
	policy_unref(policy);
}

/* ---- references ---- */

struct shared {
	pthread_mutex_t mutex;
	struct policy *current; /* protected by mutex */
	bool stop;		/* protected by mutex */
};

static struct policy *take(struct shared *shared)
{
	struct policy *policy;

	pthread_mutex_lock(&shared->mutex);
	policy = shared->stop ? NULL : policy_ref(shared->current);
	pthread_mutex_unlock(&shared->mutex);
	return policy;
}

static void *reader(void *arg)
{
	struct digest_pair digests = {0};
	struct shared *shared = arg;
	struct policy *policy;
	uintptr_t wrong = 0;

	while ((policy = take(shared))) {
		wrong += policy_decide(policy, "local", &digests).verdict != POLICY_ALLOW;
		policy_unref(policy);
	}
	return (void *)wrong;
}

/* A reload while others decide: the last user frees, whoever that is. */
static void test_references(void **state)
{
	static const char text[] = "caller any is local\nallow local to any\n";
	struct shared shared = {.mutex = PTHREAD_MUTEX_INITIALIZER, .current = policy_of(text)};
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, &shared), 0);
	for (int i = 0; i < 500; i++) {
		struct policy *old, *new = policy_of(text);

		pthread_mutex_lock(&shared.mutex);
		old = shared.current;
		shared.current = new;
		pthread_mutex_unlock(&shared.mutex);
		policy_unref(old);
	}
	pthread_mutex_lock(&shared.mutex);
	shared.stop = true;
	pthread_mutex_unlock(&shared.mutex);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		void *wrong;

		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	policy_unref(shared.current);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_callers),
		cmocka_unit_test(test_odd_cgroups),
		cmocka_unit_test(test_groups_may_be_missing),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
