/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fade.h"
#include "units.h"

static double after(
	struct fade *fade, const struct fade_rules *rules, uint64_t *now_ns, uint64_t ms, bool frames)
{
	double shown = fade->shown;
	for (uint64_t i = 0; i < ms; i += 10) {
		*now_ns += 10 * NS_PER_MS;
		shown = fade_advance(fade, rules, *now_ns, frames);
	}
	return shown;
}

static void fade_holds_then_shows_the_source(void)
{
	const struct fade_rules rules = {STALL_HOLD_THEN_SOURCE, 1000 * NS_PER_MS, true};
	struct fade fade = {0};
	uint64_t now_ns = NS_PER_S;
	CHECK(after(&fade, &rules, &now_ns, 500, false) == 0);
	const double half = after(&fade, &rules, &now_ns, 160, true);
	CHECK(half > 0.3 && half < 0.7);
	CHECK(after(&fade, &rules, &now_ns, 300, true) == 1);
	CHECK(after(&fade, &rules, &now_ns, 1000, false) == 1);
	const double fading = after(&fade, &rules, &now_ns, 150, false);
	CHECK(fading > 0.3 && fading < 0.7);
	CHECK(after(&fade, &rules, &now_ns, 200, false) == 0);
	CHECK(after(&fade, &rules, &now_ns, 350, true) == 1);
}

static void fade_does_not_take_lost_daemons_for_a_slow_engine(void)
{
	const struct fade_rules rules = {STALL_HOLD_THEN_SOURCE, 1000 * NS_PER_MS, true};
	struct fade fade = {0};
	uint64_t now_ns = 5 * NS_PER_S;
	for (int kill = 0; kill < 3; kill++) {
		after(&fade, &rules, &now_ns, 500, true);
		fade_forget_pauses(&fade);
		CHECK(after(&fade, &rules, &now_ns, 1500, false) == 0);
		after(&fade, &rules, &now_ns, 3500, false);
	}
}

static void fade_follows_the_other_rules(void)
{
	struct fade_rules rules = {STALL_HOLD, 0, true};
	struct fade fade = {0};
	uint64_t now_ns = NS_PER_S;
	after(&fade, &rules, &now_ns, 500, true);
	CHECK(after(&fade, &rules, &now_ns, 60000, false) == 1);
	rules.on_stall = STALL_SOURCE_AT_ONCE;
	after(&fade, &rules, &now_ns, 500, true);
	CHECK(after(&fade, &rules, &now_ns, 200, false) == 1);
	CHECK(after(&fade, &rules, &now_ns, 100, false) == 0);
	after(&fade, &rules, &now_ns, 500, true);
	rules.wanted = false; /* bypass fades even so */
	rules.on_stall = STALL_HOLD;
	const double fading = after(&fade, &rules, &now_ns, 150, true);
	CHECK(fading > 0.3 && fading < 0.7);
	CHECK(after(&fade, &rules, &now_ns, 200, true) == 0);
}

static void fade_after_being_hidden_begins_with_the_source(void)
{
	const struct fade_rules rules = {STALL_HOLD_THEN_SOURCE, 1000 * NS_PER_MS, true};
	struct fade fade = {0};
	uint64_t now_ns = NS_PER_S;
	after(&fade, &rules, &now_ns, 500, true);
	now_ns += 30 * NS_PER_S;
	CHECK(fade_advance(&fade, &rules, now_ns, false) == 0);
}

static void fade_does_not_bring_back_what_was_painted_before_a_bypass(void)
{
	struct fade_rules rules = {STALL_HOLD, 0, true};
	struct fade fade = {0};
	uint64_t now_ns = NS_PER_S;
	CHECK(after(&fade, &rules, &now_ns, 500, true) == 1);
	rules.wanted = false;
	CHECK(after(&fade, &rules, &now_ns, 500, false) == 0);
	rules.wanted = true;
	CHECK(after(&fade, &rules, &now_ns, 500, false) == 0);
	CHECK(after(&fade, &rules, &now_ns, 500, true) == 1);
}

/* A frame every `pause_ms`, so many times; the lowest share that shows after the first few. */
static double lowest_share(
	struct fade *fade, const struct fade_rules *rules, uint64_t *now_ns, uint64_t pause_ms, int frames)
{
	double lowest = 1;
	for (int i = 0; i < frames; i++) {
		fade_advance(fade, rules, *now_ns, true);
		const double share = after(fade, rules, now_ns, pause_ms, false);
		lowest = i > 3 && share < lowest ? share : lowest;
	}
	return lowest;
}

static void fade_cuts_away_at_once(void)
{
	struct fade fade = {0};
	struct fade_rules rules = {.hold_ns = NS_PER_S, .wanted = true};
	for (uint64_t now_ns = NS_PER_S; now_ns < 2 * NS_PER_S; now_ns += FRAME_NS)
		fade_advance(&fade, &rules, now_ns, true);
	CHECK(fade.shown == 1);
	rules.wanted = false;
	fade_cut_away(&fade);
	CHECK(fade_advance(&fade, &rules, 2 * NS_PER_S, true) == 0);
}

static void fade_is_patient_with_a_slow_engine(void)
{
	static const enum on_stall both[] = {STALL_HOLD_THEN_SOURCE, STALL_SOURCE_AT_ONCE};
	for (int i = 0; i < 2; i++) {
		const struct fade_rules rules = {both[i], 500 * NS_PER_MS, true};
		struct fade fade = {0};
		uint64_t now_ns = NS_PER_S;
		CHECK(lowest_share(&fade, &rules, &now_ns, 1500, 10) == 1);
		/* Longer than twice as long is a stall even so. */
		CHECK(after(&fade, &rules, &now_ns, 2500, false) == 0);
		/* A single stall does not make it patient once painting is quick again. */
		after(&fade, &rules, &now_ns, 60000, false);
		after(&fade, &rules, &now_ns, 7000, true);
		after(&fade, &rules, &now_ns, 900, false);
		CHECK(fade.shown == 0);
	}
}

const struct test fade_tests[] = {
	TEST(fade_holds_then_shows_the_source),
	TEST(fade_follows_the_other_rules),
	TEST(fade_after_being_hidden_begins_with_the_source),
	TEST(fade_does_not_bring_back_what_was_painted_before_a_bypass),
	TEST(fade_cuts_away_at_once),
	TEST(fade_is_patient_with_a_slow_engine),
	TEST(fade_does_not_take_lost_daemons_for_a_slow_engine),
	{0},
};
