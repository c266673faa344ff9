/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sync.h"
#include "units.h"

/* Show frames of this delay for so long; how often was another offset wanted? */
static int sync_run(
	struct sync *s, uint64_t *now_ns, double seconds, bool painted, uint64_t delay_ms, uint64_t jitter_ms)
{
	int changes = 0;
	const int frames = (int)(seconds * 30);
	for (int i = 0; i < frames; i++, *now_ns += FRAME_NS)
		changes += sync_advance(
			s, painted, painted ? (delay_ms + (i % 3) * jitter_ms) * NS_PER_MS : 0, *now_ns);
	return changes;
}

static uint64_t off_by_ms(const struct sync *s, uint64_t delay_ms)
{
	const uint64_t applied_ms = s->applied_ns / NS_PER_MS;
	return applied_ms > delay_ms ? applied_ms - delay_ms : delay_ms - applied_ms;
}

static void sync_follows_the_delay_and_no_jitter(void)
{
	struct sync s = {0};
	uint64_t now_ns = NS_PER_S;
	CHECK(sync_run(&s, &now_ns, 0.9, true, 300, 0) == 0);
	CHECK(sync_run(&s, &now_ns, 2, true, 300, 0) == 1 && off_by_ms(&s, 300) == 0);
	CHECK(sync_run(&s, &now_ns, 20, true, 290, 10) == 0);
	CHECK(sync_run(&s, &now_ns, 10, true, 450, 0) >= 1 && off_by_ms(&s, 450) <= 20);
	/* A short stall is none. */
	CHECK(sync_run(&s, &now_ns, 1.5, false, 0, 0) == 0);
	CHECK(sync_run(&s, &now_ns, 3, true, 450, 0) == 0);
}

static void sync_lets_go_when_painting_ends(void)
{
	struct sync s = {0};
	uint64_t now_ns = NS_PER_S;
	sync_run(&s, &now_ns, 3, true, 300, 0);
	CHECK(sync_run(&s, &now_ns, 3, false, 0, 0) == 1 && s.applied_ns == 0);
	CHECK(sync_run(&s, &now_ns, 5, false, 0, 0) == 0);
	CHECK(sync_run(&s, &now_ns, 3, true, 200, 0) == 1 && off_by_ms(&s, 200) == 0);
}

const struct test sync_tests[] = {
	TEST(sync_follows_the_delay_and_no_jitter),
	TEST(sync_lets_go_when_painting_ends),
	{0},
};
