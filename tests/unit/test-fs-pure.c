/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of fs/ that are arithmetic: node ids and readahead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/chunk.h"
#include "common/cleanup.h"
#include "fs/fs.h"
#include "fs/node.h"
#include "fs/readahead.h"

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
		seen += node_id((struct node){NODE_OBJECT, (uint32_t)1 << bit, 0, 0}) ^
			node_id((struct node){NODE_OBJECT, 0, 0, 0});
	for (unsigned int bit = 0; bit < 40; bit++)
		seen += node_id((struct node){NODE_OBJECT, 0, (uint64_t)1 << bit, 0}) ^
			node_id((struct node){NODE_OBJECT, 0, 0, 0});
	seen += node_id((struct node){NODE_OBJECT, 0, 0, 1}) ^
		node_id((struct node){NODE_OBJECT, 0, 0, 0});
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
		assert_true(node_id((struct node){(enum node_kind)kind, 0, 0, 0}) >= FIXED_END);
}

/* ---- readahead ---- */

#define KIB ((uint64_t)1024)

/* The chunks behind the read, as the header counts them. */
static uint64_t behind(uint64_t offset, uint64_t length)
{
	return chunk_count(offset + length);
}

static void expect(struct readahead *readahead, uint64_t chunk, uint64_t size, uint64_t max,
		   uint64_t first, uint64_t count)
{
	struct chunk_run run =
		readahead_advance(readahead, chunk * CHUNK_SIZE, CHUNK_SIZE, size, max);

	if (run.count != count || (count && run.first != first))
		fail_msg("chunk %u: %u+%u instead of %u+%u", (unsigned int)chunk,
			 (unsigned int)run.first, (unsigned int)run.count, (unsigned int)first,
			 (unsigned int)count);
}

static void test_doubling(void **state)
{
	const uint64_t size = 100 * CHUNK_SIZE;
	struct readahead readahead = {0};

	expect(&readahead, 0, size, 8, 0, 0); /* may want the header only */
	expect(&readahead, 1, size, 8, 2, 2);
	expect(&readahead, 2, size, 8, 4, 3);
	expect(&readahead, 3, size, 8, 0, 0);
	expect(&readahead, 4, size, 8, 7, 6);
	for (uint64_t chunk = 5; chunk < 8; chunk++)
		expect(&readahead, chunk, size, 8, 0, 0);
	/* The bound: from here on it is half a window each time. */
	for (uint64_t chunk = 8; chunk < 80; chunk += 4) {
		expect(&readahead, chunk, size, 8, chunk + 5, 4);
		for (uint64_t i = 1; i < 4; i++)
			expect(&readahead, chunk + i, size, 8, 0, 0);
	}
}

static void test_jump(void **state)
{
	const uint64_t size = 1000 * CHUNK_SIZE;
	struct readahead readahead = {0};

	for (uint64_t chunk = 0; chunk < 50; chunk++)
		readahead_advance(&readahead, chunk * CHUNK_SIZE, CHUNK_SIZE, size, 16);
	expect(&readahead, 500, size, 16, 0, 0);
	/* It starts again, small. */
	expect(&readahead, 501, size, 16, 502, 1);
	expect(&readahead, 502, size, 16, 503, 2);
	expect(&readahead, 503, size, 16, 505, 3);
	expect(&readahead, 100, size, 16, 0, 0);
	expect(&readahead, 101, size, 16, 102, 1);
	expect(&readahead, 0, size, 16, 0, 0);
	/* Back at the start, what was said of the first read holds again. */
	expect(&readahead, 1, size, 16, 2, 1);
}

/* Small reads are what the kernel makes of a sequential reader: from the start to the end of the
 * file. */
static void read_through(uint64_t size, uint64_t step, uint64_t max)
{
	struct readahead readahead = {0};
	uint64_t end = 0, most = 0;
	bool covered = false;

	for (uint64_t offset = 0; offset < size; offset += step) {
		uint64_t length = size - offset < step ? size - offset : step;
		uint64_t read = behind(offset, length);
		struct chunk_run run =
			readahead_advance(&readahead, offset, (size_t)length, size, max);

		if (run.count == 0)
			continue;
		/* Goes on where the last one ended, so that no chunk is asked for twice or left
		 * out. */
		assert_true(run.first == (end > read ? end : read));
		end = run.first + run.count;
		assert_true(end <= chunk_count(size));
		assert_true(end <= read + max);
		if (end - read > most)
			most = end - read;
		covered = covered || end == chunk_count(size);
	}
	/* It reached the bound, or the end of the file. */
	assert_true(most <= max);
	if (chunk_count(size) > 4 * max && max > 0)
		assert_true(most == max);
	if (chunk_count(size) > 4 && max * CHUNK_SIZE >= step)
		assert_true(covered);
	else if (max == 0)
		assert_true(end == 0);
}

static void test_sequential(void **state)
{
	static const uint64_t sizes[] = {1,
					 4096,
					 CHUNK_SIZE,
					 CHUNK_SIZE + 1,
					 5 * CHUNK_SIZE,
					 40 * CHUNK_SIZE - 1,
					 200 * CHUNK_SIZE + 4096};
	static const uint64_t steps[] = {4096, 100 * KIB, 128 * KIB, 512 * KIB, 1024 * KIB};
	static const uint64_t bounds[] = {0, 1, 2, 3, 7, 32, 128};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (size_t j = 0; j < ARRAY_SIZE(steps); j++)
			for (size_t k = 0; k < ARRAY_SIZE(bounds); k++)
				read_through(sizes[i], steps[j], bounds[k]);
}

/* The kernel's readahead comes in on several threads: neighbours overtake each other. */
static void test_neighbours(void **state)
{
	static const unsigned int orders[][4] = {
		{1, 0, 3, 2}, {3, 2, 1, 0}, {2, 3, 0, 1}, {1, 3, 0, 2}};
	const uint64_t size = 300 * CHUNK_SIZE, step = 128 * KIB;

	for (size_t order = 0; order < ARRAY_SIZE(orders); order++) {
		struct readahead readahead = {0};
		uint64_t ahead = 0, end = 0;

		for (uint64_t group = 0; group * 4 * step < size; group++) {
			for (size_t i = 0; i < 4; i++) {
				uint64_t offset = (group * 4 + orders[order][i]) * step;
				struct chunk_run run =
					readahead_advance(&readahead, offset, step, size, 32);

				/* All the same, nothing twice. */
				assert_true(run.count == 0 || run.first >= end);
				if (run.count)
					end = run.first + run.count;
				ahead += run.count;
			}
		}
		assert_true(end == chunk_count(size));
		assert_true(ahead >= chunk_count(size) - 4);
		assert_int_equal(readahead.window, 32);
	}
}

static uint64_t random_state;

/* xorshift64*: the same numbers everywhere. */
static uint64_t draw(uint64_t below)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1d % below;
}

static void test_random_access(void **state)
{
	const uint64_t size = 4000 * CHUNK_SIZE;
	struct readahead readahead = {0};
	uint64_t last = 0;

	random_state = 1;
	for (unsigned int i = 0; i < 100000; i++) {
		uint64_t offset = draw(size - 1024 * KIB), length = 1 + draw(1024 * KIB);
		uint64_t distance = offset > last ? offset - last : last - offset;

		if (distance < 8 * CHUNK_SIZE)
			continue;
		assert_true(readahead_advance(&readahead, offset, length, size, 128).count == 0);
		last = offset + length;
	}
}

/* One step of any reader: what holds whatever it does. */
static void take_step(struct readahead *readahead, uint64_t offset, size_t length, uint64_t size,
		      uint64_t max)
{
	struct readahead before = *readahead;
	struct chunk_run run = readahead_advance(readahead, offset, length, size, max);
	uint64_t read = behind(offset, length), chunks = chunk_count(size);
	bool jumped = offset > before.next + 8 * CHUNK_SIZE ||
		      offset + length + 8 * CHUNK_SIZE < before.next;

	if (jumped)
		assert_true(run.count == 0 && readahead->window == 0);
	assert_true(readahead->ahead >= read);
	assert_true(readahead->window <= before.window * 2 + 1);
	if (run.count == 0)
		return;
	assert_true(run.first >= read && run.first >= before.ahead);
	assert_true(run.first + run.count <= chunks);
	assert_true(run.first + run.count <= read + max);
	assert_true(readahead->ahead == run.first + run.count);
	assert_true(readahead->window <= max);
}

static void test_any_access(void **state)
{
	random_state = 2;
	for (unsigned int round = 0; round < 2000; round++) {
		uint64_t size = 1 + draw(draw(2) ? 300 * CHUNK_SIZE : 3 * CHUNK_SIZE);
		struct readahead readahead = {0};
		uint64_t offset = draw(3) ? 0 : draw(size), max = draw(40);

		for (unsigned int i = 0; i < 100; i++) {
			uint64_t length = 1 + draw(draw(4) ? 128 * KIB : 4096 * KIB);

			if (length > size - offset)
				length = size - offset;
			take_step(&readahead, offset, (size_t)length, size, max);
			offset += length;
			switch (draw(10)) {
			case 0: /* elsewhere */
				offset = draw(size);
				break;
			case 1: /* a little back, or on */
				offset = offset > 512 * KIB ? offset - draw(512 * KIB) : offset;
				break;
			case 2:
				offset += draw(512 * KIB);
				break;
			case 3: /* buffers are short now */
				max = draw(40);
				break;
			}
			if (offset >= size)
				offset = 0;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_node_ids),    cmocka_unit_test(test_node_bits),
		cmocka_unit_test(test_fixed_nodes), cmocka_unit_test(test_doubling),
		cmocka_unit_test(test_jump),	    cmocka_unit_test(test_sequential),
		cmocka_unit_test(test_neighbours),  cmocka_unit_test(test_random_access),
		cmocka_unit_test(test_any_access),
	};

	return cmocka_run_group_tests_name("fs-pure", tests, NULL, NULL);
}
