/* SPDX-License-Identifier: Apache-2.0 */
/* What comes of a configured catalog is the policy's to know first, and then all others'. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/catalogs-scene.h"

#define ENTRY(digest, name) "{\"sha256\":\"" digest "\",\"size\":7,\"names\":[\"" name "\"]}\n"

/* As a refresh does. */
static void offer(struct catalogs *catalogs, size_t i, const char *text)
{
	struct verify_catalog *entries;
	struct catalog_part *part;

	assert_int_equal(load_text(text, NULL, &entries, NULL), 0);
	assert_int_equal(catalogs_part(&catalogs->configured[i], entries, &part), 0);
	catalogs_offer(catalogs, &catalogs->configured[i], part);
}

static int count(void *arg, const struct digest_name *name)
{
	++*(int *)arg;
	return 0;
}

/* How many digests of CATALOG the policy gets to know; -EAGAIN. */
static int known_to_policy(struct catalogs *catalogs, const char *catalog)
{
	const struct policy_names *names = catalogs_policy_names(catalogs);
	int n = 0, r = names->each(names->arg, catalog, "*", count, &n);

	return r < 0 ? r : n;
}

/* How many objects of CATALOG are in the set; -1: it is not. */
static int in_set(struct catalogs *catalogs, const char *catalog)
{
	struct catalog_set *set = catalogs_get(catalogs);
	const struct catalog *found = catalog_set_named(set, CATALOG_NOBODY, catalog);
	int n = found ? (int)verify_catalog_info(found->entries)->n_objects : -1;

	catalog_set_unref(set);
	return n;
}

static void check(struct catalogs *catalogs, const char *catalog, int known, int used)
{
	assert_int_equal(known_to_policy(catalogs, catalog), known);
	assert_int_equal(in_set(catalogs, catalog), used);
}

static json_int_t kept_back(struct catalogs *catalogs)
{
	json_t *status = catalogs_status(catalogs);
	json_int_t serial = json_integer_value(json_object_get(json_array_get(status, 0), "kept_back"));

	json_decref(status);
	return serial;
}

static void test_offered_and_accepted(void **state)
{
	struct catalogs *catalogs;
	uint64_t first, second;

	configure("hub", 0);
	configure("new", 0);
	keep_text("hub", HEAD("hub", LATER) ENTRY(A, "a"));
	catalogs = load();
	check(catalogs, "hub", 1, 1);
	check(catalogs, "new", -EAGAIN, -1);
	assert_int_equal(kept_back(catalogs), 0);
	/* Nothing was offered. */
	first = catalogs_offered(catalogs);
	catalogs_accept(catalogs, first);
	check(catalogs, "hub", 1, 1);
	offer(catalogs, 0, HEAD("hub", LATER) ENTRY(A, "a") ENTRY(B, "b"));
	check(catalogs, "hub", 2, 1);
	assert_int_equal(kept_back(catalogs), 42);
	/* A load that began before knows nothing of it. */
	catalogs_accept(catalogs, first);
	check(catalogs, "hub", 2, 1);
	second = catalogs_offered(catalogs);
	offer(catalogs, 1, HEAD("new", LATER) ENTRY(C, "c"));
	catalogs_accept(catalogs, second);
	check(catalogs, "hub", 2, 2);
	check(catalogs, "new", 1, -1);
	assert_int_equal(kept_back(catalogs), 0);
	catalogs_accept(catalogs, catalogs_offered(catalogs));
	check(catalogs, "new", 1, 1);
	catalogs_free(catalogs);
}

/* Of two offers the newer one counts, and a load that began between them is none for it. */
static void test_offered_again(void **state)
{
	struct catalogs *catalogs;
	uint64_t first;

	configure("hub", 0);
	keep_text("hub", HEAD("hub", LATER) ENTRY(A, "a"));
	catalogs = load();
	offer(catalogs, 0, HEAD("hub", LATER) ENTRY(A, "a") ENTRY(B, "b"));
	first = catalogs_offered(catalogs);
	offer(catalogs, 0, HEAD("hub", LATER) ENTRY(A, "a") ENTRY(B, "b") ENTRY(C, "c"));
	catalogs_accept(catalogs, first);
	check(catalogs, "hub", 3, 1);
	/* Imports are not the policy's, and do not bring it. */
	imported_by_all = HEAD("hf", LATER) ENTRY(D, "d");
	assert_int_equal(catalogs_import_changed(catalogs, CATALOG_EVERYBODY), 0);
	check(catalogs, "hub", 3, 1);
	assert_int_equal(in_set(catalogs, "hf"), 1);
	catalogs_accept(catalogs, catalogs_offered(catalogs));
	check(catalogs, "hub", 3, 3);
	/* What is never accepted is freed, too. */
	offer(catalogs, 0, HEAD("hub", LATER) ENTRY(A, "a"));
	catalogs_free(catalogs);
}

/* Who follows is asked to accept it; where nobody does, there is no policy to wait for. */
static void told(void *arg, bool is_configured)
{
	*(bool *)arg = is_configured;
}

static void test_changed(void **state)
{
	struct catalogs *catalogs;
	bool asked = false;

	configure("hub", 0);
	catalogs = load();
	offer(catalogs, 0, HEAD("hub", LATER) ENTRY(A, "a"));
	catalogs->changed = told;
	catalogs->arg = &asked;
	catalogs_changed(catalogs, true);
	assert_true(asked);
	assert_int_equal(in_set(catalogs, "hub"), -1);
	catalogs->changed = NULL;
	catalogs_changed(catalogs, true);
	assert_int_equal(in_set(catalogs, "hub"), 1);
	catalogs_free(catalogs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_offered_and_accepted, begin, end),
		cmocka_unit_test_setup_teardown(test_offered_again, begin, end),
		cmocka_unit_test_setup_teardown(test_changed, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
