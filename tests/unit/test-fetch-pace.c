/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch/pace.c against sources that are simulated: a link with a rate and a round trip, and a server with a
 * rate for each connection and a number of them. Steps of a millisecond, no real clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "fetch/internal.h"

#define MB	  1e6
#define SLOTS_MAX 32

struct slot {
	bool busy, warm; /* warm: its connection is open */
	int64_t flows_at;
	double left; /* bytes of its run */
};

struct world {
	/* The source. */
	double each, link; /* bytes a second: of one connection, of all */
	int64_t rtt;	   /* us */
	unsigned int most; /* connections; more are refused */
	double noise;	   /* each 100 ms the link is that much better or worse */
	/* The reader: how many runs it wants at once; 0: as many as can be had. */
	unsigned int wants;
	bool starved;

	struct pace pace;
	struct slot slots[SLOTS_MAX];
	int64_t now;
	double bytes, factor;
	unsigned int refusals, changes, highest;
	uint32_t seed;
};

static void world_init(struct world *world, double each, double link, int64_t rtt_ms)
{
	memset(world, 0, sizeof(*world));
	world->each = each;
	world->link = link;
	world->rtt = rtt_ms * 1000;
	world->most = SLOTS_MAX;
	world->factor = 1;
	world->now = 1000000;
	world->seed = 1;
	pace_init(&world->pace, 16);
}

static unsigned int active(const struct world *world)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < SLOTS_MAX; i++)
		n += world->slots[i].busy;
	return n;
}

static bool flows(const struct world *world, const struct slot *slot)
{
	return slot->busy && slot->flows_at <= world->now;
}

static unsigned int flowing(const struct world *world)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < SLOTS_MAX; i++)
		n += flows(world, &world->slots[i]);
	return n;
}

static void start_runs(struct world *world)
{
	unsigned int limit = pace_limit(&world->pace, false);

	if (world->wants > 0 && world->wants < limit)
		limit = world->wants;
	for (unsigned int i = 0; i < SLOTS_MAX && active(world) < limit; i++) {
		struct slot *slot = &world->slots[i];

		if (slot->busy)
			continue;
		if (active(world) >= world->most) {
			world->refusals++;
			pace_refused(&world->pace, world->now, active(world));
			return;
		}
		slot->busy = true;
		slot->flows_at = world->now + (slot->warm ? 1 : 2) * world->rtt;
		slot->warm = true;
		slot->left = pace_run(&world->pace) * (double)CHUNK_SIZE;
		pace_round_trip(&world->pace, world->rtt);
	}
}

static void move_bytes(struct world *world, double seconds)
{
	unsigned int n = flowing(world);
	double rate;

	if (n == 0)
		return;
	rate = world->link * world->factor / n;
	if (rate > world->each)
		rate = world->each;
	for (unsigned int i = 0; i < SLOTS_MAX; i++) {
		struct slot *slot = &world->slots[i];
		double got = rate * seconds;

		if (!flows(world, slot))
			continue;
		got = got < slot->left ? got : slot->left;
		slot->left -= got;
		world->bytes += got;
		slot->busy = slot->left > 0;
	}
}

static void advance(struct world *world, double seconds)
{
	for (int64_t end = world->now + (int64_t)(seconds * 1e6); world->now < end;) {
		unsigned int limit = world->pace.limit;

		if (world->now % 100000 == 0) {
			world->seed = world->seed * 1664525 + 1013904223;
			world->factor =
				1 + world->noise * ((world->seed >> 8 & 0xffff) / 32768.0 - 1);
		}
		start_runs(world);
		world->now += 1000;
		move_bytes(world, 0.001);
		pace_sample(&world->pace, &(struct pace_sample){
						  .now = world->now,
						  .bytes = (uint64_t)world->bytes,
						  .active = active(world),
						  .flowing = flowing(world),
						  .starved = world->starved,
					  });
		world->changes += world->pace.limit != limit;
		if (world->pace.limit > world->highest)
			world->highest = world->pace.limit;
	}
}

/* Bytes a second over the next so many seconds. */
static double rate_over(struct world *world, double seconds)
{
	double before = world->bytes;

	advance(world, seconds);
	return (world->bytes - before) / seconds;
}

static void assert_between(double value, double least, double most)
{
	if (value < least || value > most)
		fail_msg("%g is not in %g … %g", value, least, most);
}

/* 25 MB/s for each connection, as hubs do: all sixteen, in less than two seconds. */
static void test_each_connection_limited(void **state)
{
	static const int64_t trips[] = {1, 10, 50, 150};

	for (size_t i = 0; i < ARRAY_SIZE(trips); i++) {
		struct world world;

		world_init(&world, 25 * MB, 10000 * MB, trips[i]);
		advance(&world, trips[i] <= 50 ? 1.2 : 3.5);
		assert_int_equal(world.pace.limit, 16);
		advance(&world, 2);
		assert_int_equal(world.pace.base_limit, 16);
		world.changes = 0;
		assert_between(rate_over(&world, 60), 0.78 * 16 * 25 * MB, 16 * 25 * MB);
		/* A probe downwards now and then, and back. */
		assert_between(world.changes, 0, 8);
		assert_int_equal(world.pace.base_limit, 16);
	}
}

/* A link that one or two connections fill: no more than the first four, and few of them soon. */
static void test_link_limited(void **state)
{
	static const struct {
		double link;
		int64_t rtt;
		double noise;
		unsigned int most;
	} cases[] = {
		{1500 * MB, 0, 0, 2},	{1500 * MB, 0, 0.2, 3}, {110 * MB, 1, 0, 2},
		{110 * MB, 1, 0.15, 3}, {50 * MB, 50, 0, 4},	{5 * MB, 200, 0, 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world world;

		world_init(&world, 10000 * MB, cases[i].link, cases[i].rtt);
		world.noise = cases[i].noise;
		advance(&world, 10);
		assert_between(world.pace.base_limit, 1, cases[i].most);
		assert_between(world.highest, 4, 8);
		world.changes = 0;
		assert_between(rate_over(&world, 120), 0.8 * cases[i].link, 1.05 * cases[i].link);
		assert_between(world.changes, 0, 20);
		assert_between(world.pace.base_limit, 1, cases[i].most + 1);
	}
}

/* Both: six connections fill the link. */
static void test_link_and_connections(void **state)
{
	struct world world;

	world_init(&world, 25 * MB, 150 * MB, 50);
	advance(&world, 5);
	assert_between(world.pace.base_limit, 5, 9);
	assert_between(rate_over(&world, 60), 0.85 * 150 * MB, 150 * MB);
	assert_between(world.pace.base_limit, 5, 9);
}

/* More than ten are sent away: ten are used, and the eleventh is tried ever more rarely. */
static void test_refusals(void **state)
{
	struct world world;
	unsigned int early;

	world_init(&world, 25 * MB, 10000 * MB, 50);
	world.most = 10;
	advance(&world, 3);
	early = world.refusals;
	assert_between(early, 1, 6);
	assert_int_equal(world.pace.limit, 10);
	assert_between(rate_over(&world, 5), 0.8 * 250 * MB, 250 * MB);
	assert_int_equal(world.refusals, early); /* remembered */
	advance(&world, 300);
	assert_between(world.refusals - early, 1, 12); /* and tried again */
	/* One day it lets all in. */
	world.most = SLOTS_MAX;
	advance(&world, 400);
	assert_int_equal(world.pace.base_limit, 16);
	/* It changes its mind, and takes one only. */
	world.most = 1;
	advance(&world, 5);
	assert_int_equal(world.pace.limit, 1);
}

static void test_refused_at_once(void **state)
{
	struct world world;

	world_init(&world, 25 * MB, 10000 * MB, 50);
	world.most = 2;
	advance(&world, 1);
	assert_int_equal(world.pace.limit, 2);
	assert_int_equal(pace_limit(&world.pace, true), 2); /* demanded or not */
	assert_between(world.refusals, 1, 2);
}

/* A fat link whose connections get slow, and a thin one that gets fat. */
static void test_speed_changes(void **state)
{
	struct world world;

	world_init(&world, 1000 * MB, 100 * MB, 20);
	advance(&world, 20);
	assert_between(world.pace.base_limit, 1, 3);
	world.each = 5 * MB;
	advance(&world, 6);
	assert_int_equal(world.pace.base_limit, 16);
	world.each = 1000 * MB;
	advance(&world, 120);
	assert_between(world.pace.base_limit, 1, 6);
	assert_between(rate_over(&world, 30), 0.85 * 100 * MB, 100 * MB);
}

/* A reader that wants two runs at a time, or has no buffers, tells nothing about the source. */
static void test_not_the_source(void **state)
{
	struct world world;

	world_init(&world, 25 * MB, 10000 * MB, 50);
	world.wants = 2;
	advance(&world, 30);
	assert_int_equal(world.pace.limit, 4);
	assert_int_equal(world.changes, 0);
	world.wants = 0;
	world.starved = true;
	advance(&world, 30);
	assert_int_equal(world.pace.limit, 4);
	world.starved = false;
	advance(&world, 2);
	assert_int_equal(world.pace.limit, 16);
	/* A reader that goes back to two: what was learned stays, but for probes that find no work. */
	world.wants = 2;
	advance(&world, 60);
	assert_int_equal(world.pace.base_limit, 16);
}

/* A probe for which there is no work is given up. */
static void test_probe_without_work(void **state)
{
	struct world world;

	world_init(&world, 25 * MB, 10000 * MB, 50);
	while (world.pace.step != PACE_DOUBLE)
		advance(&world, 0.001);
	world.wants = 4;
	advance(&world, 8);
	assert_int_equal(world.pace.base_limit, 4);
	world.wants = 0;
	advance(&world, 10);
	assert_int_equal(world.pace.base_limit, 16);
}

static void test_few_connections(void **state)
{
	for (unsigned int max = 1; max <= 3; max++) {
		struct world world;

		world_init(&world, 25 * MB, 10000 * MB, 50);
		pace_init(&world.pace, max);
		advance(&world, 30);
		assert_int_equal(world.pace.base_limit, max);
		assert_int_equal(world.highest, max);
		assert_int_equal(pace_limit(&world.pace, true), max);
	}
}

/* Runs of a quarter of a second and more, that a round trip does not weigh on; within the bounds. */
static void test_runs(void **state)
{
	struct world world;
	double run;

	world_init(&world, 25 * MB, 10000 * MB, 50);
	assert_int_equal(pace_run(&world.pace), 8);
	advance(&world, 3);
	run = pace_run(&world.pace) * (double)CHUNK_SIZE / (25 * MB);
	assert_between(run, 0.25, 0.5);
	assert_between(0.05 / (run + 0.05), 0, 0.15);
	assert_between((double)world.pace.rtt, 49000, 51000);
	assert_between(world.pace.transfer_rate, 22 * MB, 26 * MB);
	assert_between(world.pace.rate, 300 * MB, 410 * MB);

	world_init(&world, 10 * MB, 10000 * MB, 200);
	advance(&world, 5);
	run = pace_run(&world.pace) * (double)CHUNK_SIZE / (10 * MB);
	assert_between(0.2 / (run + 0.2), 0, 0.15);
	/* All sixteen, and half as many runs again that wait. */
	assert_between(pace_window(&world.pace), 16 * 24 * 3 / 2, 16 * 28 * 3 / 2);

	world_init(&world, 10000 * MB, 1500 * MB, 0);
	advance(&world, 3);
	assert_int_equal(pace_run(&world.pace), FETCH_CHUNKS_MAX);
	assert_between(pace_window(&world.pace), 1, 4);
	world_init(&world, 0.1 * MB, 10000 * MB, 50);
	advance(&world, 60);
	assert_int_equal(pace_run(&world.pace), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_connection_limited),
		cmocka_unit_test(test_link_limited),
		cmocka_unit_test(test_link_and_connections),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_refused_at_once),
		cmocka_unit_test(test_speed_changes),
		cmocka_unit_test(test_not_the_source),
		cmocka_unit_test(test_probe_without_work),
		cmocka_unit_test(test_few_connections),
		cmocka_unit_test(test_runs),
	};

	return cmocka_run_group_tests_name("fetch-pace", tests, NULL, NULL);
}
