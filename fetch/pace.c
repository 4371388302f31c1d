/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many transfers at once a source is worth, and how long each should be. Pure.
 *
 * A hill climb on measured throughput. A measurement is taken only while the source is the limit:
 * about as many transfers run as are allowed, and none waits for a buffer. After each change the
 * source gets three round trips to settle (connect, TLS, request); then windows of at least two
 * round trips are filled until two in a row agree, or there are four.
 *
 *	BASE ──► DOUBLE ◄─┐ ──no──► RAISE ◄─┐ ──no──► HALVE ◄─┐ ──no──► HOLD ──► RAISE, LOWER, …
 *	            └─yes─┘            └─yes─┘            └─yes─┘
 *
 * More transfers must bring at least two fifths of what their number promises; fewer must bring nine
 * tenths of the best. What was earned by doubling is not halved again. In HOLD a probe comes now and
 * then, up and down by turns, ever more rarely while nothing comes of it. When each transfer gets
 * quite another rate than it had, everything begins anew.
 *
 * A refusal sets a ceiling: the transfers that go on. It is tried again, a little higher, after ten
 * seconds, and then after twice as long each time it still stands.
 */
#include "fetch/internal.h"

#include <string.h>

#define MS	     ((int64_t)1000)
#define START	     4
#define FLOOR	     2 /* one alone leaves the wire idle between its requests */
#define SPARE	     2 /* above the limit, for those that a reader is blocked on */
#define WINDOW_MIN   (100 * MS)
#define WINDOW_MAX   (1000 * MS)
#define SETTLE_MIN   (50 * MS)
#define SETTLE_MAX   (2000 * MS)
#define GAP_MAX	     (1000 * MS) /* older windows say nothing about now */
#define PROBE_MAX    (4000 * MS) /* a probe that finds not enough work to be judged */
#define HOLD_MIN     (4000 * MS)
#define HOLD_MAX     (64000 * MS)
#define CEILING_MIN  (10000 * MS)
#define CEILING_MAX  (300000 * MS)
#define SERIES	     (1000 * MS) /* refusals so near to each other are one */
#define FLOW_MIN     (100 * MS)
#define RUN_FIRST    8
#define RUN_TIME     (300 * MS)
#define RUN_TIME_MAX (2000 * MS)
#define TRIP_MEMORY  32 /* answers */
#define RUN_TRIPS    7 /* round trips that a run is worth at least */

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
	return value < least ? least : value > most ? most : value;
}

static unsigned int min(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* A quarter, and one at least. */
static unsigned int quarter(unsigned int n)
{
	return n >= 8 ? n / 4 : 1;
}

/* What refusals leave of the maximum. */
static unsigned int cap(const struct pace *pace, int64_t now)
{
	if (pace->ceiling == 0)
		return pace->max;
	if (now < pace->ceiling_until)
		return pace->ceiling;
	return min(pace->max, pace->ceiling + quarter(pace->ceiling));
}

void pace_init(struct pace *pace, unsigned int max)
{
	memset(pace, 0, sizeof(*pace));
	pace->max = max;
	pace->limit = pace->base_limit = min(START, max);
	pace->hold = HOLD_MIN;
	pace->undoubled = true;
}

/* --- measuring --- */

static void measure_anew(struct pace *pace)
{
	memset(&pace->window, 0, sizeof(pace->window));
	pace->n_windows = 0;
}

static void settle(struct pace *pace, int64_t now)
{
	pace->settled_at = now + clamp(3 * pace->rtt, SETTLE_MIN, SETTLE_MAX);
	measure_anew(pace);
}

/* Was the source the limit while SAMPLE held? */
static bool telling(const struct pace *pace, const struct pace_sample *sample)
{
	return pace->rtt > 0 && sample->bytes > 0 && !sample->starved &&
	       sample->now >= pace->settled_at && 4 * sample->active >= 3 * pace->limit &&
	       sample->active <= pace->limit + SPARE;
}

static struct pace_measure mean(const struct pace_measure *windows, unsigned int n)
{
	struct pace_measure sum = {0};

	for (unsigned int i = 0; i < n; i++) {
		sum.rate += windows[i].rate / n;
		sum.active += windows[i].active / n;
	}
	return sum;
}

static bool agree(const struct pace_measure *a, const struct pace_measure *b)
{
	return a->rate >= 0.85 * b->rate && b->rate >= 0.85 * a->rate;
}

/* --- the climb --- */

/* Goes to the limit that STEP leads to. False: there is no such. */
static bool go(struct pace *pace, enum pace_step step, int64_t now)
{
	unsigned int from = pace->base_limit, most = cap(pace, now), to = from;

	if (step == PACE_DOUBLE)
		to = 2 * from;
	else if (step == PACE_RAISE)
		to = from + quarter(from);
	else if (step == PACE_HALVE)
		to = from / 2;
	else if (step == PACE_LOWER)
		to = from - quarter(from);
	if (to < FLOOR)
		to = FLOOR;
	to = min(to, most);
	if (to == from || (to < from) != (step == PACE_HALVE || step == PACE_LOWER))
		return false;
	pace->step = step;
	pace->limit = to;
	pace->due = now + PROBE_MAX;
	settle(pace, now);
	return true;
}

static void hold(struct pace *pace, int64_t now)
{
	pace->step = PACE_HOLD;
	pace->due = now + pace->hold;
	pace->strange = 0;
	if (pace->limit == pace->base_limit)
		measure_anew(pace);
	else
		settle(pace, now);
	pace->limit = pace->base_limit;
}

/* The probe brought nothing: as it was, and the next one later. */
static void hold_longer(struct pace *pace, int64_t now)
{
	pace->hold = clamp(2 * pace->hold, HOLD_MIN, HOLD_MAX);
	hold(pace, now);
}

static void start_over(struct pace *pace, int64_t now)
{
	pace->step = PACE_BASE;
	pace->earned = false;
	pace->undoubled = true;
	pace->hold = HOLD_MIN;
	pace->base_limit = pace->limit;
	settle(pace, now);
}

static bool grew_well(const struct pace *pace, const struct pace_measure *now)
{
	double promised = now->active / pace->base.active - 1;

	return promised > 0.02 && now->rate >= pace->base.rate * (1 + 0.4 * promised);
}

static bool shrank_well(const struct pace *pace, const struct pace_measure *now)
{
	return now->active < 0.95 * pace->base.active && now->rate >= 0.9 * pace->base.rate;
}

static void judge_growth(struct pace *pace, const struct pace_measure *measure, int64_t now)
{
	enum pace_step step = pace->step;

	/* Nobody refused it: the ceiling is higher than was thought. */
	if (pace->ceiling > 0 && pace->limit > pace->ceiling) {
		pace->ceiling = pace->limit;
		pace->ceiling_wait = 0;
	}
	if (grew_well(pace, measure)) {
		pace->base = *measure;
		pace->base_limit = pace->limit;
		pace->earned |= step == PACE_DOUBLE;
		pace->hold = HOLD_MIN;
		if (!go(pace, step, now))
			hold_longer(pace, now);
		return;
	}
	pace->undoubled = false;
	if (step == PACE_DOUBLE && go(pace, PACE_RAISE, now))
		return;
	if (!pace->earned && go(pace, PACE_HALVE, now))
		return;
	hold_longer(pace, now);
}

static void judge_shrinking(struct pace *pace, const struct pace_measure *measure, int64_t now)
{
	if (!shrank_well(pace, measure)) {
		hold_longer(pace, now);
		return;
	}
	/* The best rate stays the measure, or many small losses would add up. */
	if (measure->rate > pace->base.rate)
		pace->base.rate = measure->rate;
	pace->base.active = measure->active;
	pace->base_limit = pace->limit;
	pace->hold = HOLD_MIN;
	if (!go(pace, pace->step, now))
		hold(pace, now);
}

/* Is each transfer about as fast as when the base was measured? Twice not: it is another world. */
static void judge_hold(struct pace *pace, const struct pace_measure *measure, int64_t now)
{
	double was = pace->base.rate / pace->base.active, is = measure->rate / measure->active;

	if (is < 1.6 * was && was < 1.6 * is)
		pace->strange = 0;
	else if (++pace->strange == 2)
		start_over(pace, now);
}

static void judge(struct pace *pace, const struct pace_measure *measure, int64_t now)
{
	if (measure->rate <= 0)
		return;
	switch (pace->step) {
	case PACE_BASE:
		pace->base = *measure;
		if (!go(pace, PACE_DOUBLE, now) && !go(pace, PACE_HALVE, now))
			hold_longer(pace, now);
		break;
	case PACE_DOUBLE:
	case PACE_RAISE:
		judge_growth(pace, measure, now);
		break;
	case PACE_HALVE:
	case PACE_LOWER:
		judge_shrinking(pace, measure, now);
		break;
	case PACE_HOLD:
		judge_hold(pace, measure, now);
		break;
	}
}

static void look_at_the_clock(struct pace *pace, int64_t now)
{
	enum pace_step raise = pace->undoubled ? PACE_DOUBLE : PACE_RAISE;
	enum pace_step first = pace->lower_next ? PACE_LOWER : raise;
	enum pace_step second = pace->lower_next ? raise : PACE_LOWER;

	if (pace->step == PACE_BASE || now < pace->due)
		return;
	if (pace->step != PACE_HOLD) {
		hold(pace, now); /* there was not enough work to judge it */
		return;
	}
	pace->lower_next = !pace->lower_next;
	if (!go(pace, first, now) && !go(pace, second, now))
		hold_longer(pace, now);
}

/* --- what is noted --- */

/* How fast one transfer is while it flows, and all together while any runs. */
static void note_flow(struct pace *pace, int64_t elapsed, uint64_t bytes)
{
	struct pace_flow *flow = &pace->flow;
	double rate;

	flow->time += elapsed;
	flow->transfer_time += elapsed * (int64_t)pace->last.flowing;
	flow->bytes += bytes;
	if (flow->time < FLOW_MIN || flow->transfer_time < FLOW_MIN / 5)
		return;
	rate = (double)flow->bytes * 1e6 / (double)flow->transfer_time;
	pace->transfer_rate = pace->transfer_rate > 0 ? (pace->transfer_rate + rate) / 2 : rate;
	pace->rate = (double)flow->bytes * 1e6 / (double)flow->time;
	memset(flow, 0, sizeof(*flow));
}

static void note_window(struct pace *pace, const struct pace_sample *sample, int64_t elapsed,
			uint64_t bytes)
{
	struct pace_window *window = &pace->window;
	struct pace_measure measure;
	unsigned int n = pace->n_windows;

	if (sample->now - pace->told_at > GAP_MAX)
		measure_anew(pace);
	pace->told_at = sample->now;
	window->time += elapsed;
	window->area += elapsed * (int64_t)pace->last.active;
	window->bytes += bytes;
	if (window->time < clamp(2 * pace->rtt, WINDOW_MIN, WINDOW_MAX))
		return;
	pace->windows[n].rate = (double)window->bytes * 1e6 / (double)window->time;
	pace->windows[n].active = (double)window->area / (double)window->time;
	memset(window, 0, sizeof(*window));
	pace->n_windows = ++n;
	if (n >= 2 && agree(&pace->windows[n - 2], &pace->windows[n - 1]))
		measure = mean(&pace->windows[n - 2], 2);
	else if (n == PACE_WINDOWS)
		measure = mean(pace->windows, n);
	else
		return;
	pace->n_windows = 0;
	judge(pace, &measure, sample->now);
}

void pace_sample(struct pace *pace, const struct pace_sample *sample)
{
	const struct pace_sample *last = &pace->last;
	int64_t elapsed = sample->now - last->now;
	uint64_t bytes = sample->bytes - last->bytes;

	if (elapsed <= 0)
		return;
	if (last->active > 0) {
		note_flow(pace, elapsed, bytes);
		if (telling(pace, last))
			note_window(pace, sample, elapsed, bytes);
		look_at_the_clock(pace, sample->now);
	}
	pace->last = *sample;
}

void pace_round_trip(struct pace *pace, int64_t us)
{
	if (us < 1)
		us = 1;
	/* The shortest: what a busy server or we ourselves add is no distance. If that has grown, it is believed slowly. */
	if (pace->rtt == 0 || us < pace->rtt)
		pace->rtt = us;
	else
		pace->rtt += (us - pace->rtt) / TRIP_MEMORY;
	if (pace->rtt < 1)
		pace->rtt = 1;
}

void pace_refused(struct pace *pace, int64_t now, unsigned int others)
{
	bool series = pace->refused_at > 0 && now - pace->refused_at < SERIES;
	unsigned int left = others > 0 ? others : 1;

	if (!series)
		pace->ceiling_wait = pace->ceiling_wait > 0
					     ? clamp(2 * pace->ceiling_wait, 0, CEILING_MAX)
					     : CEILING_MIN;
	pace->refused_at = now;
	pace->ceiling =
		series && pace->ceiling > 0 ? min(pace->ceiling, left) : min(left, pace->max);
	pace->ceiling_until = now + pace->ceiling_wait;
	if (pace->base_limit > pace->ceiling || pace->step == PACE_BASE) {
		pace->limit = min(pace->limit, pace->ceiling);
		start_over(pace, now);
	} else if (pace->limit <= pace->base_limit || !go(pace, PACE_RAISE, now)) {
		hold(pace, now);
	}
}

/* --- what follows --- */

unsigned int pace_limit(const struct pace *pace, bool demanded)
{
	if (!demanded)
		return pace->limit;
	return min(pace->limit + SPARE, cap(pace, pace->last.now));
}

/* What one transfer brings in TIME, as far as one request may. */
static unsigned int chunks_in(const struct pace *pace, int64_t time)
{
	double chunks = pace->transfer_rate * (double)time / 1e6 / (double)CHUNK_SIZE;

	if (chunks >= (double)FETCH_CHUNKS_MAX)
		return (unsigned int)FETCH_CHUNKS_MAX;
	return chunks < 1 ? 1 : (unsigned int)chunks;
}

unsigned int pace_run(const struct pace *pace)
{
	if (pace->transfer_rate <= 0)
		return RUN_FIRST;
	return chunks_in(pace, clamp(RUN_TRIPS * pace->rtt, RUN_TIME, RUN_TIME_MAX));
}

unsigned int pace_window(const struct pace *pace)
{
	/* By the rate of all together: what each brings while it runs adds up to more than the link has. */
	double chunks = pace->rate * (double)(RUN_TRIPS * pace->rtt) / 1e6 / (double)CHUNK_SIZE;
	unsigned int most = pace->limit * (unsigned int)FETCH_CHUNKS_MAX;
	unsigned int busy = chunks < (double)most ? (unsigned int)chunks : most;

	if (busy < pace->limit)
		busy = pace->limit;
	return busy + busy / 2;
}
