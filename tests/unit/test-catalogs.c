/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of catalogs, made of what a store has kept: who says what, who is believed, and where bytes are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/catalogs-scene.h"

static int find(const struct catalog_set *set, uid_t uid, const char *text, struct known *out)
{
	struct digest_name name;

	assert_int_equal(digest_name_parse(text, &name), 0);
	return catalog_set_find(set, uid, &name, out);
}

static const char *places_of(const struct catalog_set *set, uid_t uid, const char *text)
{
	struct digest_name name;
	struct digest_pair pair;
	struct fetch_places *out;

	assert_int_equal(digest_name_parse(text, &name), 0);
	pair = digest_pair_of(&name);
	assert_int_equal(catalog_set_places(set, uid, &pair, &out), 0);
	return (const char *)(void *)out;
}

/* ---- the tests ---- */

static void test_empty(void **state)
{
	struct catalogs *catalogs = load();
	struct catalog_set *set = catalogs_get(catalogs);
	struct known known;

	assert_int_equal(catalog_set_count(set), 0);
	assert_int_equal(find(set, ALICE, A, &known), -ENOENT);
	assert_null(catalog_set_named(set, ALICE, "hub"));
	assert_null(places_of(set, ALICE, A));
	catalog_set_unref(set);
	catalogs_free(catalogs);
}

static void test_find_and_places(void **state)
{
	struct catalogs *catalogs;
	struct catalog_set *set;
	struct known known;

	configure("low", -1);
	configure("high", 5);
	configure("none", 0);
	keep_text("low", HEAD("low", LATER) "{\"sha256\":\"" A "\",\"size\":7,\"urls\":[\"x\",\"https://m.example/y\"],\"names\":[\"a\"]}\n");
	keep_text("high", HEAD("high", LATER) "{\"sha256\":\"" A "\",\"size\":7,\"fsverity\":\"" B
		  "\",\"urls\":[\"u\"],\"tree\":\"t\",\"names\":[\"b\"]}\n");
	catalogs = load();
	set = catalogs_get(catalogs);
	assert_int_equal(catalog_set_count(set), 2);
	assert_string_equal(catalog_set_get(set, 0)->name, "high");
	assert_string_equal(catalog_set_get(set, 1)->name, "low");
	assert_ptr_equal(catalog_set_named(set, CATALOG_NOBODY, "low"), catalog_set_get(set, 1));
	assert_int_equal(find(set, CATALOG_NOBODY, A, &known), 0);
	assert_true(known.digests.has_sha256 && known.digests.has_fsverity && known.has_tree);
	assert_int_equal(known.size, 7);
	assert_false(known.expired || known.gated);
	assert_int_equal(find(set, ALICE, "fsverity-" B, &known), 0);
	assert_true(known.digests.has_sha256);
	assert_int_equal(find(set, ALICE, B, &known), -ENOENT); /* another kind of digest */
	/* By the fs-verity digest alone the other catalog is found, too: the two digests are one object. */
	assert_string_equal(places_of(set, ALICE, "fsverity-" B),
			    "catalog high https://high.example/u https://high.example/t\n"
			    "catalog low https://low.example/x -\n"
			    "catalog low https://m.example/y -\n");
	catalog_set_unref(set);
	catalogs_free(catalogs);
}

static void test_contradictions(void **state)
{
	struct catalogs *catalogs;
	struct catalog_set *set;
	struct verify_object object;
	struct known known;
	json_t *said;

	configure("one", 0);
	configure("two", 0);
	keep_text("one", HEAD("one", LATER) "{\"sha256\":\"" A "\",\"size\":7,\"urls\":[\"u\"],\"names\":[\"a\"]}\n"
		  "{\"sha256\":\"" C "\",\"size\":9,\"names\":[\"c\"]}\n"
		  "{\"fsverity\":\"" D "\",\"size\":9,\"names\":[\"d\"]}\n");
	/* One about its size; one that is two objects of the other, of which only this one knows. */
	keep_text("two", HEAD("two", PAST) "{\"sha256\":\"" A "\",\"size\":8,\"names\":[\"a\"]}\n"
		  "{\"sha256\":\"" B "\",\"fsverity\":\"" D "\",\"size\":10,\"names\":[\"b\"]}\n");
	catalogs = load();
	set = catalogs_get(catalogs);
	assert_int_equal(find(set, ALICE, A, &known), -EBADMSG);
	assert_null(places_of(set, ALICE, A));
	assert_int_equal(find(set, ALICE, B, &known), -EBADMSG);
	assert_int_equal(find(set, ALICE, "fsverity-" D, &known), -EBADMSG);
	assert_int_equal(find(set, ALICE, C, &known), 0);
	for (size_t i = 0; i < 3; i++) {
		verify_catalog_object(catalog_set_get(set, 0)->entries, i, &object);
		assert_int_equal(catalog_set_contradicts(set, catalog_set_get(set, 0), &object), i != 1);
	}
	said = catalogs_disagreements(catalogs);
	assert_int_equal(json_integer_value(json_object_get(said, "count")), 4);
	assert_int_equal(json_array_size(json_object_get(said, "some")), 4);
	json_decref(said);
	catalog_set_unref(set);
	catalogs_free(catalogs);
}

static void test_expired(void **state)
{
	struct catalogs *catalogs;
	struct catalog_set *set;
	struct known known;

	configure("old", 0);
	configure("new", 0);
	keep_text("old", HEAD("old", PAST) "{\"sha256\":\"" A "\",\"fsverity\":\"" B "\",\"size\":7,\"urls\":[\"u\"],\"tree\":\"t\"}\n"
		  "{\"sha256\":\"" C "\",\"fsverity\":\"" D "\",\"size\":7}\n");
	keep_text("new", HEAD("new", LATER) "{\"sha256\":\"" A "\",\"size\":7,\"urls\":[\"u\"]}\n");
	catalogs = load();
	set = catalogs_get(catalogs);
	assert_true(catalog_has_expired(catalog_set_named(set, ALICE, "old")));
	assert_false(catalog_has_expired(catalog_set_named(set, ALICE, "new")));
	/* What only the expired one says of it is not said any more. */
	assert_int_equal(find(set, ALICE, A, &known), 0);
	assert_false(known.expired || known.has_tree || known.digests.has_fsverity);
	assert_int_equal(find(set, ALICE, C, &known), 0);
	assert_true(known.expired && known.digests.has_fsverity);
	assert_string_equal(places_of(set, ALICE, C) ? places_of(set, ALICE, C) : "none", "none");
	catalog_set_unref(set);
	catalogs_free(catalogs);
}

static void test_imports(void **state)
{
	struct catalogs *catalogs;
	struct catalog_set *set;
	struct known known;

	configure("hub", 0);
	keep_text("hub", HEAD("hub", LATER) "{\"sha256\":\"" A "\",\"size\":7,\"urls\":[\"u\"]}\n");
	imported_by_alice = HEAD("hf", LATER) "{\"sha256\":\"" A "\",\"size\":8,\"urls\":[\"https://liar.example/\"],\"names\":[\"a\"]}\n"
			    "{\"sha256\":\"" B "\",\"fsverity\":\"" C
			    "\",\"size\":9,\"urls\":[\"https://hf.example/b\"],\"names\":[\"gated/b\"]}\n";
	imported_by_all = HEAD("hf", LATER) "{\"sha256\":\"" D "\",\"size\":9,\"names\":[\"d\"]}\n";
	catalogs = load();
	set = catalogs_get(catalogs);
	assert_int_equal(catalog_set_count(set), 3);
	assert_int_equal(catalog_set_get(set, 0)->kind, CATALOG_SIGNED);
	/* What is signed is not contradicted by her, and she asks nobody else for it. */
	assert_int_equal(find(set, ALICE, A, &known), 0);
	assert_int_equal(known.size, 7);
	assert_string_equal(places_of(set, ALICE, A), "catalog hub https://hub.example/u -\n");
	/* Hers alone, and not attested by her word. */
	assert_int_equal(find(set, BOB, B, &known), -ENOENT);
	assert_int_equal(find(set, CATALOG_NOBODY, B, &known), -ENOENT);
	assert_int_equal(find(set, ALICE, B, &known), 0);
	assert_true(known.gated && known.digests.has_sha256 && !known.digests.has_fsverity);
	assert_null(places_of(set, BOB, B));
	assert_string_equal(places_of(set, ALICE, B), "import hf https://hf.example/b -\n");
	assert_int_equal(find(set, BOB, D, &known), 0);
	assert_false(known.gated);
	assert_int_equal(catalog_set_named(set, ALICE, "hf")->owner, ALICE);
	assert_int_equal(catalog_set_named(set, BOB, "hf")->owner, CATALOG_EVERYBODY);
	/* Another set, when they are others; the one that is held stays as it is. */
	imported_by_alice = NULL;
	assert_int_equal(catalogs_import_changed(catalogs, ALICE), 0);
	assert_int_equal(find(set, ALICE, B, &known), 0);
	{
		struct catalog_set *next = catalogs_get(catalogs);

		assert_true(catalog_set_generation(next) > catalog_set_generation(set));
		assert_int_equal(find(next, ALICE, B, &known), -ENOENT);
		catalog_set_unref(next);
	}
	catalog_set_unref(set);
	catalogs_free(catalogs);
}

static void test_places_of_several(void **state)
{
	const uid_t both[] = {BOB, ALICE}, one[] = {CATALOG_EVERYBODY, ALICE};
	char many[4096] = HEAD("hf", LATER) "{\"sha256\":\"" A "\",\"size\":8,\"urls\":[", *at = strchr(many, 0);
	struct digest_name name;
	struct digest_pair pair;
	struct catalogs *catalogs;
	struct catalog_set *set;
	struct fetch_places *out;
	size_t n = 0;

	/* They contradict each other, and Alice has more than a third of what there is room for. */
	for (unsigned int i = 0; i < VERIFY_OBJECT_URLS; i++)
		at += sprintf(at, "%s\"https://%u.example/\"", i ? "," : "", i);
	strcpy(at, "],\"names\":[\"a\"]}\n");
	imported_by_alice = many;
	imported_by_bob = HEAD("hf", LATER) "{\"sha256\":\"" A "\",\"size\":9,\"urls\":[\"https://bob.example/\"],\"names\":[\"a\"]}\n";
	catalogs = load();
	set = catalogs_get(catalogs);
	assert_int_equal(digest_name_parse(A, &name), 0);
	pair = digest_pair_of(&name);
	assert_true(catalog_set_has_own(set, ALICE, &pair) && catalog_set_has_own(set, BOB, &pair));
	assert_false(catalog_set_has_own(set, CATALOG_NOBODY, &pair));
	assert_false(catalog_set_has_own(set, CATALOG_EVERYBODY, &pair));
	assert_int_equal(catalog_set_open_places(set, both, 2, &pair, &out), 0);
	assert_non_null(strstr(places, "https://bob.example/"));
	assert_non_null(strstr(places, "https://0.example/"));
	assert_int_equal(catalog_set_open_places(set, (const uid_t[]){ALICE, BOB, CATALOG_EVERYBODY}, 3, &pair, &out), 0);
	assert_non_null(strstr(places, "https://bob.example/"));
	for (const char *line = places; (line = strchr(line, '\n')); line++)
		n++;
	assert_int_equal(n, FETCH_PLACES_MAX / 3 + 1);
	assert_int_equal(catalog_set_open_places(set, one, 2, &pair, &out), 0);
	assert_null(strstr(places, "https://bob.example/"));
	assert_int_equal(catalog_set_open_places(set, one, 1, &pair, &out), 0);
	assert_null(out);
	assert_int_equal(catalog_set_open_places(set, NULL, 0, &pair, &out), 0);
	assert_null(out);
	catalog_set_unref(set);
	catalogs_free(catalogs);
}

/* Each of these is left out, and said. */
static void test_kept_badly(void **state)
{
	static const char good[] = HEAD("hub", LATER) "{\"sha256\":\"" A "\",\"size\":7}\n";
	struct catalogs *catalogs;
	json_t *status;

	configure("hub", 0);
	for (unsigned int i = 0; i < 5; i++) {
		keep_text("hub", good);
		if (i == 1)
			write_file("hub", "@42.jsonl", HEAD("hub", LATER) "{\"sha256\":\"" B "\",\"size\":7}\n");
		if (i == 2)
			write_file("hub", "@42.minisig", "untrusted comment: x\n");
		if (i == 3)
			write_file("hub", ".state", "{\"serial\":\"42\"}");
		if (i == 4)
			write_file("hub", ".state", "{\"serial\":\"43\",\"hash\":\"" A A "\",\"asked\":1,\"changed\":1}");
		catalogs = load();
		assert_int_equal(catalogs->configured[0].part != NULL, i == 0);
		status = catalogs_status(catalogs);
		/* A state that cannot be read is none. */
		assert_int_equal(json_is_string(json_object_get(json_array_get(status, 0), "problem")), i != 0 && i != 3);
		json_decref(status);
		catalogs_free(catalogs);
	}
}

static int count(void *arg, const struct digest_name *name)
{
	++*(int *)arg;
	return 0;
}

static void test_policy_names(void **state)
{
	const struct policy_names *names;
	struct catalogs *catalogs;
	int n = 0;

	configure("hub", 0);
	configure("later", 0);
	keep_text("hub", HEAD("hub", LATER) "{\"sha256\":\"" A "\",\"fsverity\":\"" B "\",\"size\":7,\"names\":[\"q/a\"]}\n"
		  "{\"sha256\":\"" C "\",\"size\":7,\"names\":[\"r/a\"]}\n");
	imported_by_alice = HEAD("hf", LATER) "{\"sha256\":\"" D "\",\"size\":7,\"names\":[\"q/d\"]}\n";
	catalogs = load();
	names = catalogs_policy_names(catalogs);
	assert_int_equal(names->each(names->arg, "hub", "q/*", count, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(names->each(names->arg, "later", "*", count, &n), -EAGAIN);
	assert_int_equal(names->each(names->arg, "hf", "*", count, &n), -ENOENT);
	assert_int_equal(names->each(names->arg, "attic", "*", count, &n), -ENOENT);
	assert_int_equal(n, 2);
	catalogs_free(catalogs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_empty, begin, end),
		cmocka_unit_test_setup_teardown(test_find_and_places, begin, end),
		cmocka_unit_test_setup_teardown(test_contradictions, begin, end),
		cmocka_unit_test_setup_teardown(test_expired, begin, end),
		cmocka_unit_test_setup_teardown(test_imports, begin, end),
		cmocka_unit_test_setup_teardown(test_places_of_several, begin, end),
		cmocka_unit_test_setup_teardown(test_kept_badly, begin, end),
		cmocka_unit_test_setup_teardown(test_policy_names, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
