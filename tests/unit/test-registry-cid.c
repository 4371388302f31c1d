/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content identifiers. The known ones are of the bytes "weightfs\n", by Python's base64 and integers (base58 and base36 by
 * division), but for those that every IPFS node has: of no bytes, and of an empty folder.
 */
#include "tests/unit/registry-testing.h"
#include "registry/cid.h"

#define KNOWN "e0c7f9beae64d2d27724a9571f5e7612066a68b0ab4375d211c30e0b8cdbb627"
#define RAW   "bafkreihay7435lte2ljhojfjk4pv45qsazvgrmflin25eeodbyfyzw5we4"
#define PB    "bafybeihay7435lte2ljhojfjk4pv45qsazvgrmflin25eeodbyfyzw5we4"

static void test_known(void **state)
{
	static const struct {
		const char *text, *hex, *canonical;
	} known[] = {
		{RAW, KNOWN, RAW},
		{"BAFKREIHAY7435LTE2LJHOJFJK4PV45QSAZVGRMFLIN25EEODBYFYZW5WE4", KNOWN, RAW},
		{"zb2rhmmjNpKpz91H1jYhJhSqQYqyVPGHvxEa1nkm3bdcdgFE6", KNOWN, RAW},
		{"k2cwuee93asbb4ofie3ng6pz1y22lllr74lx82k76o8184t8pn7dzmlj", KNOWN, RAW},
		{"K2CWUEE93ASBB4OFIE3NG6PZ1Y22LLLR74LX82K76O8184T8PN7DZMLJ", KNOWN, RAW},
		{PB, KNOWN, PB},
		{"QmdU6tm7b8szKpsziCwA9WAPDDfmaSdVfEzgTNi3rMi52N", KNOWN, PB},
		{"zdj7WkZMGCBScMbCYBvSwtn1szwqRsDHz3dXZQD8B6ifoGyCJ", KNOWN, PB},
		{"k2jmtxwysq5hfp912tmfv7fzphb7s0nh6qxctjngpz7xu1pns0ebqfxj", KNOWN, PB},
		{"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
		 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		 "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},
		{"QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
		 "59948439065f29619ef41280cbb932be52c56d99c5966b65e0111239f098bbef",
		 "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		char problem[REGISTRY_PROBLEM_SIZE], text[REGISTRY_CID_TEXT_SIZE];
		struct registry_cid cid;

		assert_int_equal(
			registry_cid_parse(known[i].text, strlen(known[i].text), &cid, problem), 0);
		expect_hex(&cid.digest, known[i].hex);
		registry_cid_format(&cid, text);
		assert_string_equal(text, known[i].canonical);
		assert_int_equal(cid.codec,
				 known[i].canonical[3] == 'k' ? REGISTRY_CID_RAW : REGISTRY_CID_DAG_PB);
	}
}

static void refused(const char *text, const char *what)
{
	char problem[REGISTRY_PROBLEM_SIZE];
	struct registry_cid cid;

	assert_int_equal(registry_cid_parse(text, strlen(text), &cid, problem), -EINVAL);
	expect_problem(problem, what);
}

static void test_refused(void **state)
{
	static const char *const none[] = {
		/* varints that are longer than they need be: version, codec; one that never ends */
		"bqeafkera4dd7tpvomtjne5zevflr6xtwcidgu2fqvnbxluqrymhaxdg3wytq",
		"bahkqaera4dd7tpvomtjne5zevflr6xtwcidgu2fqvnbxluqrymhaxdg3wytq",
		"bagaibaeaqcaibaeaaejcbygh7g7k4zgs2j3sjkkxd5phmeqgnjulbk2doxjbdqyobognxnrh",
		/* version 2; version 0 in a base */
		"bajkreihay7435lte2ljhojfjk4pv45qsazvgrmflin25eeodbyfyzw5we4",
		"bciqobr7zx2xgjuwso4sksvy7lz3bebtkncykwq3v2ii4gdqlrtn3mjy",
		"zQmdU6tm7b8szKpsziCwA9WAPDDfmaSdVfEzgTNi3rMi52N",
		/* 31 bytes, of which it says so, and not; a byte behind */
		"bafkreh7ay7435lte2ljhojfjk4pv45qsazvgrmflin25eeodbyfyzw5w",
		"bafkreihay7435lte2ljhojfjk4pv45qsazvgrmflin25eeodbyfyzw5w",
		"bafkreihay7435lte2ljhojfjk4pv45qsazvgrmflin25eeodbyfyzw5we54a",
		/* bits, and a digit, behind the last byte; padding; cases mixed; a digit of no base; a base that is not read */
		"bafkreihay7435lte2ljhojfjk4pv45qsazvgrmflin25eeodbyfyzw5we5", RAW "a", RAW "======",
		"bafkreihay7435lte2ljhojfjk4pv45qsazvgrmflin25eeodbyfyzw5wE4",
		"QmdU6tm7b8szKpsziCwA9WAPDDfmaSdVfEzgTNi3rMi520",
		"f01551220e0c7f9beae64d2d27724a9571f5e7612066a68b0ab4375d211c30e0b8cdbb627",
		"z1111111111", "b" "aaaaaaaaaaaaaaaa", "hello", "bafk\xc3\xa4"};

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		refused(none[i], "is no CID");
	refused("", "its length");
	refused("b", "its length");
	/* dag-cbor, dag-json, BLAKE3, the identity */
	refused("bafyreihay7435lte2ljhojfjk4pv45qsazvgrmflin25eeodbyfyzw5we4", "neither raw nor dag-pb");
	refused("baguqeera4dd7tpvomtjne5zevflr6xtwcidgu2fqvnbxluqrymhaxdg3wytq", "neither raw");
	refused("bafkr4ihay7435lte2ljhojfjk4pv45qsazvgrmflin25eeodbyfyzw5we4", "SHA-256");
	refused("bafkqabdbmjrwi", "SHA-256");
}

static void test_long(void **state)
{
	char text[REGISTRY_CID_TEXT_MAX + 2];

	for (size_t digit = 0; digit < 4; digit++) {
		memset(text, "1aZz"[digit], sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		for (const char *base = "bBkKz"; *base; base++) {
			text[0] = *base;
			refused(text, "its length");
			refused(text + 1, "CID");
			text[REGISTRY_CID_TEXT_MAX] = '\0';
			refused(text, " CID of ");
			text[REGISTRY_CID_TEXT_MAX] = text[1];
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
