/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "playout.h"
#include "units.h"

#define SLOTS 16

struct shown {
	int frames, repeats, passed;
	uint64_t longest_gap_ns, last_ns;
};

/* One OBS frame: at most one painted frame is taken, and time never runs backwards. */
static void show(struct playout *p, uint64_t now_ns, struct shown *shown)
{
	struct frame_ref due, passed[RING_CAPACITY];
	uint32_t passed_count;
	const uint64_t last_pts_ns = p->last_shown_pts_ns;
	if (!playout_pop(p, now_ns, &due, passed, &passed_count)) {
		shown->repeats++;
		return;
	}
	CHECK(due.pts_ns > last_pts_ns);
	for (uint32_t i = 0; i < passed_count; i++)
		CHECK(passed[i].pts_ns < due.pts_ns);
	shown->passed += (int)passed_count;
	shown->frames++;
	if (shown->last_ns && now_ns - shown->last_ns > shown->longest_gap_ns)
		shown->longest_gap_ns = now_ns - shown->last_ns;
	shown->last_ns = now_ns;
}

static bool push(struct playout *p, uint64_t frame, uint64_t arrival_ns)
{
	return playout_push(p, &(struct frame_ref){.slot = (uint32_t)(frame % SLOTS),
				       .pts_ns = frame * FRAME_NS,
				       .arrival_ns = arrival_ns});
}

/* A chunk of four arrives at once, some time after its last frame was taken. */
static void play_chunks(
	struct playout *p, uint64_t first, uint64_t last, uint64_t engine_ns, struct shown *shown)
{
	for (uint64_t frame = first; frame < last; frame++) {
		const uint64_t now_ns = frame * FRAME_NS;
		const uint64_t behind = engine_ns / FRAME_NS + 1;
		const uint64_t ended = frame - behind;
		if (frame > first + behind + 4 && ended % 4 == 3)
			for (uint64_t i = ended - 3; i <= ended; i++)
				push(p, i, now_ns - FRAME_NS / 2);
		show(p, now_ns, shown);
	}
}

static void playout_is_even_with_chunks(void)
{
	struct playout p;
	struct shown warm = {0}, shown = {0};
	playout_reset(&p, SLOTS);
	play_chunks(&p, 100, 200, 5 * FRAME_NS, &warm);
	play_chunks(&p, 200, 800, 5 * FRAME_NS, &shown);
	/* The second run's first chunks are withheld; from then on every OBS frame has a new painted one. */
	CHECK(shown.frames >= 575);
	CHECK(shown.repeats <= 25);
	CHECK(p.delay_ns > 5 * FRAME_NS && p.delay_ns < 11 * FRAME_NS);
}

static void playout_shows_all_of_a_late_chunk(void)
{
	struct playout p;
	struct shown warm = {0}, shown = {0};
	playout_reset(&p, SLOTS);
	play_chunks(&p, 100, 400, 5 * FRAME_NS, &warm);
	const uint64_t before_ns = p.delay_ns;
	/* Everything takes ten frames longer from now on. */
	play_chunks(&p, 400, 600, 15 * FRAME_NS, &shown);
	CHECK(shown.passed == 0);
	CHECK(p.delay_ns >= before_ns + 9 * FRAME_NS && p.delay_ns <= before_ns + 12 * FRAME_NS);
	/* And frames that OBS itself was too slow for are passed over, without more delay. */
	struct frame_ref due, passed[RING_CAPACITY];
	uint32_t passed_count;
	const uint64_t delay_ns = p.delay_ns;
	const uint64_t next = p.last_shown_pts_ns / FRAME_NS + 1;
	p.queued = 0;
	for (uint64_t i = 0; i < 4; i++)
		push(&p, next + i, (next + i) * FRAME_NS + delay_ns / 2);
	CHECK(playout_pop(&p, (next + 4) * FRAME_NS + delay_ns, &due, passed, &passed_count));
	CHECK(passed_count == 3 && p.delay_ns <= delay_ns);
}

static void playout_delay_grows_when_late_and_shrinks_slowly(void)
{
	struct playout p;
	struct shown shown = {0};
	playout_reset(&p, SLOTS);
	uint64_t frame = 100;
	for (; frame < 200; frame++) {
		push(&p, frame - 2, frame * FRAME_NS);
		show(&p, frame * FRAME_NS, &shown);
	}
	CHECK(p.delay_ns < 3 * FRAME_NS);
	const uint64_t short_ns = p.delay_ns;
	for (; frame < 350; frame++) {
		push(&p, frame - 8, frame * FRAME_NS);
		show(&p, frame * FRAME_NS, &shown);
	}
	CHECK(p.delay_ns >= 8 * FRAME_NS);
	const uint64_t long_ns = p.delay_ns;
	for (; frame < 350 + PLAYOUT_WINDOW + 30; frame++) {
		push(&p, frame - 2, frame * FRAME_NS);
		show(&p, frame * FRAME_NS, &shown);
	}
	CHECK(p.delay_ns < long_ns && p.delay_ns > short_ns);
	for (; frame < 1500; frame++) {
		push(&p, frame - 2, frame * FRAME_NS);
		show(&p, frame * FRAME_NS, &shown);
	}
	CHECK(p.delay_ns < short_ns + 30 * NS_PER_MS);
}

static void playout_delay_is_bounded(void)
{
	struct playout p;
	struct shown shown = {0};
	playout_reset(&p, SLOTS);
	for (uint64_t frame = 1000; frame < 2000; frame++) {
		push(&p, frame - 600, frame * FRAME_NS);
		show(&p, frame * FRAME_NS, &shown);
		CHECK(p.delay_ns <= PLAYOUT_MAX_DELAY_NS);
	}
	CHECK(shown.frames > 900); /* too late for the delay, but it is what there is */
}

/* Four frames every 1.5 s, each 3 s and more behind: slow, but no slide show of whole chunks. */
static void playout_spreads_a_slow_engines_chunks(void)
{
	struct playout p;
	struct shown shown = {0};
	playout_reset(&p, SLOTS);
	const uint64_t chunk = 45, spacing = 11, latency = 100;
	for (uint64_t frame = 1000; frame < 4000; frame++) {
		if (frame % chunk == 0)
			for (uint64_t i = 0; i < 4; i++)
				push(&p, frame - latency + i * spacing, frame * FRAME_NS);
		if (frame == 2000)
			shown = (struct shown){0};
		show(&p, frame * FRAME_NS, &shown);
	}
	CHECK(shown.passed == 0 && shown.frames >= 4 * (2000 / (int)chunk) - 4);
	CHECK(shown.longest_gap_ns < NS_PER_S / 2);
}

static void playout_leaves_slots_to_the_engine(void)
{
	struct playout p;
	struct shown shown = {0};
	playout_reset(&p, SLOTS);
	uint64_t frame = 1000;
	for (; frame < 1200; frame++) { /* learns a delay of a second */
		push(&p, frame - 30, frame * FRAME_NS);
		show(&p, frame * FRAME_NS, &shown);
	}
	for (; frame < 1400; frame++) { /* suddenly the engine is quick: 30 frames would have to wait */
		push(&p, frame - 2, frame * FRAME_NS);
		show(&p, frame * FRAME_NS, &shown);
		CHECK(p.queued <= p.queue_limit);
	}
}

static void playout_sorts_and_refuses_what_is_late_or_absurd(void)
{
	struct playout p;
	struct frame_ref due, passed[RING_CAPACITY];
	uint32_t count;
	playout_reset(&p, SLOTS);
	CHECK(push(&p, 12, 13 * FRAME_NS) && push(&p, 10, 13 * FRAME_NS) && push(&p, 11, 13 * FRAME_NS));
	CHECK(p.queue[0].pts_ns < p.queue[1].pts_ns && p.queue[1].pts_ns < p.queue[2].pts_ns);
	CHECK(playout_pop(&p, 60 * FRAME_NS, &due, passed, &count));
	CHECK(due.pts_ns == 12 * FRAME_NS && count == 2);
	CHECK(!push(&p, 12, 14 * FRAME_NS) && !push(&p, 3, 14 * FRAME_NS));
	CHECK(!playout_push(&p, &(struct frame_ref){.pts_ns = INT64_MAX, .arrival_ns = 15 * FRAME_NS}));
	CHECK(!playout_pop(&p, 61 * FRAME_NS, &due, passed, &count) && count == 0);
}

const struct test playout_tests[] = {
	TEST(playout_is_even_with_chunks),
	TEST(playout_shows_all_of_a_late_chunk),
	TEST(playout_delay_grows_when_late_and_shrinks_slowly),
	TEST(playout_delay_is_bounded),
	TEST(playout_spreads_a_slow_engines_chunks),
	TEST(playout_leaves_slots_to_the_engine),
	TEST(playout_sorts_and_refuses_what_is_late_or_absurd),
	{0},
};
