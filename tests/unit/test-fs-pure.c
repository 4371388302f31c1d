/* SPDX-License-Identifier: Apache-2.0 */
/* Node ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/cleanup.h"
#include "fs/fs.h"
#include "fs/requests/node-cipher.h"
#include "fs/requests/node.h"

/* ---- node ids ---- */

static void round_trip(struct node node)
{
	struct node again = node_from_id(node_id(node));

	assert_int_equal(again.kind, node.kind);
	assert_int_equal(again.view, node.view);
	assert_true(again.object == node.object);
	assert_int_equal(again.slot, node.slot);
}

static void test_node_ids(void **state)
{
	static const uint32_t views[] = {0, 1, 2, 0x55555, NODE_VIEW_MAX - 1, NODE_VIEW_MAX};
	static const uint64_t objects[] = {0,
					   1,
					   UINT32_MAX,
					   (uint64_t)1 << 32,
					   0x5555555555,
					   NODE_OBJECT_MAX - 1,
					   NODE_OBJECT_MAX};

	for (int kind = NODE_FIXED + 1; kind < NODE_KINDS; kind++)
		for (size_t v = 0; v < ARRAY_SIZE(views); v++)
			for (size_t o = 0; o < ARRAY_SIZE(objects); o++)
				for (unsigned int slot = 0; slot < 2; slot++)
					round_trip((struct node){(enum node_kind)kind, views[v],
								 objects[o], slot});
	for (int which = FIXED_ROOT; which < FIXED_END; which++)
		round_trip(node_fixed((enum node_fixed)which));
}

/* Every part has bits of its own: two nodes that differ in one of them differ in their number. */
static void test_node_bits(void **state)
{
	uint64_t seen = 0;

	for (unsigned int bit = 0; bit < 20; bit++)
		seen += node_pack((struct node){NODE_OBJECT, (uint32_t)1 << bit, 0, 0}) ^
			node_pack((struct node){NODE_OBJECT, 0, 0, 0});
	for (unsigned int bit = 0; bit < 40; bit++)
		seen += node_pack((struct node){NODE_OBJECT, 0, (uint64_t)1 << bit, 0}) ^
			node_pack((struct node){NODE_OBJECT, 0, 0, 0});
	seen += node_pack((struct node){NODE_OBJECT, 0, 0, 1}) ^
		node_pack((struct node){NODE_OBJECT, 0, 0, 0});
	assert_true(seen == ((uint64_t)1 << 61) - 1);
	/* uids are 32 bits. */
	round_trip((struct node){NODE_USER, 0, UINT32_MAX, 0});
}

static void test_fixed_nodes(void **state)
{
	assert_true(node_id(node_fixed(FIXED_ROOT)) == FUSE_ROOT_ID);
	assert_true(node_is_fixed(node_from_id(FUSE_ROOT_ID), FIXED_ROOT));
	assert_false(node_is_fixed(node_from_id(FUSE_ROOT_ID), FIXED_ORIGINS));
	assert_false(node_is_fixed((struct node){NODE_OBJECT, 0, FIXED_ROOT, 0}, FIXED_ROOT));
	/* No other node has the number of a fixed one. */
	for (int kind = NODE_FIXED + 1; kind < NODE_KINDS; kind++)
		assert_true(node_pack((struct node){(enum node_kind)kind, 0, 0, 0}) >= FIXED_END);
}

/* The vector of the paper, appendix C. */
static void test_cipher(void **state)
{
	static const uint32_t key[] = {0x03020100, 0x0b0a0908, 0x13121110, 0x1b1a1918};
	static const uint64_t plain = 0x3b7265747475432d, enciphered = 0x8c6fa548454e028b;
	uint32_t round_keys[NODE_CIPHER_ROUNDS];

	node_cipher_expand(key, round_keys);
	assert_true(node_encipher(round_keys, plain) == enciphered);
	assert_true(node_decipher(round_keys, enciphered) == plain);
}

/* With a key of the process's own: other ids, the same nodes, and the root stays. */
static void test_key(void **state)
{
	struct node node = {NODE_OBJECT, 3, 77, 1};
	uint64_t before = node_id(node);

	assert_int_equal(node_make_key(), 0);
	assert_true(node_id(node) != before);
	test_node_ids(state);
	test_fixed_nodes(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_node_ids),
		cmocka_unit_test(test_node_bits),
		cmocka_unit_test(test_fixed_nodes),
		cmocka_unit_test(test_cipher),
		cmocka_unit_test(test_key),
	};

	return cmocka_run_group_tests_name("fs-pure", tests, NULL, NULL);
}
