/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pure parts. `units` lists the tests' names, `units NAME` runs one: 0, or 1 and what failed. */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "action.h"
#include "change.h"
#include "clock.h"
#include "fade.h"
#include "fit.h"
#include "paths.h"
#include "playout.h"
#include "receipt.h"
#include "ring.h"
#include "slots.h"
#include "stats.h"
#include "sync.h"
#include "text.h"
#include "wire_check.h"

#define CHECK(condition)                                                                                     \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                               \
			exit(1);                                                                             \
		}                                                                                            \
	} while (0)

#define FRAME_NS (NS_PER_S / 30)
#define SLOTS 16

/* ---- ring ---- */

static void ring_keeps_order_and_bounds(void)
{
	static struct ring ring;
	struct frame_ref item = {0};
	CHECK(!ring_take(&ring, &item));
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < RING_CAPACITY; i++)
			CHECK(ring_put(&ring, &(struct frame_ref){.slot = i}));
		CHECK(!ring_put(&ring, &item));
		for (uint32_t i = 0; i < RING_CAPACITY; i++)
			CHECK(ring_take(&ring, &item) && item.slot == i);
		CHECK(ring_is_empty(&ring));
	}
}

#define MANY 200000

static void *put_many(void *data)
{
	for (uint64_t i = 0; i < MANY;)
		if (ring_put(data, &(struct frame_ref){.sequence = i, .pts_ns = ~i}))
			i++;
		else
			sched_yield();
	return NULL;
}

static void ring_passes_between_threads(void)
{
	static struct ring ring;
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, put_many, &ring) == 0);
	for (uint64_t i = 0; i < MANY;) {
		struct frame_ref item;
		if (!ring_take(&ring, &item)) {
			sched_yield();
			continue;
		}
		CHECK(item.sequence == i && item.pts_ns == ~i);
		i++;
	}
	pthread_join(thread, NULL);
}

/* ---- slots ---- */

static void slots_change_hands_only_rightly(void)
{
	struct slots slots;
	slots_reset(&slots, 8, true);
	CHECK(slots_receive(&slots, 3, 3, 0) == SLOT_NOT_THEIRS);
	CHECK(slots_give(&slots, 0) && !slots_give(&slots, 0));
	CHECK(slots_receive(&slots, 3, 2, 0) == SLOT_OLD);
	CHECK(slots_receive(&slots, 3, 4, 0) == SLOT_OLD);
	CHECK(slots_receive(&slots, 3, 3, 8) == SLOT_OUT_OF_RANGE);
	CHECK(slots_receive(&slots, 3, 3, UINT32_MAX) == SLOT_OUT_OF_RANGE);
	CHECK(slots_receive(&slots, 3, 3, 0) == SLOT_TAKEN);
	CHECK(!slots_give(&slots, 8) && !slots_give(&slots, UINT32_MAX));
}

/* ---- playout ---- */

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

/* ---- fade ---- */

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

/* ---- fit ---- */

static bool near(double a, double b)
{
	return fabs(a - b) < 1e-5;
}

static void fit_keeps_shapes(void)
{
	static const uint32_t sizes[][4] = {{640, 480, 832, 480}, {1080, 1920, 320, 176},
		{1920, 800, 512, 512}, {640, 360, 320, 176}, {176, 144, 176, 144}};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		const uint32_t *s = sizes[i];
		const double ratio = ((double)s[2] / s[3]) / ((double)s[0] / s[1]);
		const struct fit_rect crop = fit_source(FIT_CROP, s[0], s[1], s[2], s[3]);
		const struct fit_rect box = fit_source(FIT_LETTERBOX, s[0], s[1], s[2], s[3]);
		CHECK(near(crop.left * 2 + crop.width, 1) && near(crop.top * 2 + crop.height, 1));
		CHECK(near(box.left * 2 + box.width, 1) && near(box.top * 2 + box.height, 1));
		CHECK(crop.width <= 1 && crop.height <= 1 && (near(crop.width, 1) || near(crop.height, 1)));
		CHECK(box.width >= 1 && box.height >= 1 && (near(box.width, 1) || near(box.height, 1)));
		if (fabs(ratio - 1) > FIT_TOLERANCE) {
			CHECK(fabs((double)crop.width / crop.height - ratio) < 1e-3);
			CHECK(fabs((double)box.width / box.height - ratio) < 1e-3);
		} else {
			CHECK(crop.width == 1 && crop.height == 1 && box.width == 1 && box.height == 1);
		}
	}
}

static void fit_recalls_where_a_frame_was_cut(void)
{
	static struct fit_memory memory;
	const struct fit_rect box = {-0.1f, 0, 1.2f, 1}, crop = {0, 0.1f, 1, 0.8f};
	CHECK(!fit_recall(&memory, 0));
	for (uint64_t i = 0; i < 2 * FIT_MEMORY; i++)
		fit_remember(&memory, i, i % 3 ? &box : &crop);
	CHECK(!fit_recall(&memory, FIT_MEMORY - 1) && !fit_recall(&memory, 2 * FIT_MEMORY));
	CHECK(!fit_recall(&memory, UINT64_MAX));
	for (uint64_t i = FIT_MEMORY; i < 2 * FIT_MEMORY; i++)
		CHECK(fit_recall(&memory, i)->width == (i % 3 ? box : crop).width);
}

static void fit_announces_no_side_that_is_too_long(void)
{
	static const uint32_t sizes[][4] = {{1920, 1080, 1920, 1080}, {8192, 8192, 8192, 8192},
		{16384, 8192, 8192, 4096}, {9000, 12000, 6144, 8192}, {4294967295u, 1, 8192, 1}};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint32_t width = sizes[i][0], height = sizes[i][1];
		fit_within(&width, &height, 8192);
		CHECK(width == sizes[i][2] && height == sizes[i][3]);
	}
}

/* ---- change ---- */

static void change_tells_differences(void)
{
	static struct change wish, difference;
	static struct settings now;
	snprintf(wish.style, sizeof(wish.style), "noir");
	wish.has_style = wish.has_strength = true;
	wish.strength = 0.5;
	change_to_settings(&wish, &now);
	CHECK(!change_from(&wish, &now, &difference) && !change_matches(&wish, &now));
	wish.has_prompt = wish.has_mode = wish.has_steps = wish.has_seed = wish.has_transition_ms = true;
	wish.has_motion_aware = wish.has_motion_low = wish.has_motion_high = wish.has_steadiness = true;
	CHECK(change_matches(&wish, &now));
	snprintf(now.style, sizeof(now.style), "neon");
	/* The strength is said again, for the style has one of its own. */
	CHECK(change_from(&wish, &now, &difference) && difference.has_style && difference.has_strength);
	CHECK(!difference.has_mode && !change_matches(&wish, &now));
	/* Another style was chosen while the daemon was away: its own prompt and strength are wanted. */
	snprintf(now.prompt, sizeof(now.prompt), "neon lights");
	snprintf(wish.prompt, sizeof(wish.prompt), "neon lights");
	now.strength = 0.9;
	change_drop_stale(&wish, &now);
	CHECK(wish.has_style && !wish.has_prompt && wish.has_strength);
	/* By a hotkey it was cleared: a strength that is there was meant, though it is the same. */
	now.strength = wish.strength;
	change_drop_stale(&wish, &now);
	CHECK(wish.has_strength);
	/* What goes with another style stays; what the user has not touched does not. */
	wish.has_mode = wish.has_strength = true;
	change_drop_untouched(&wish, &now);
	CHECK(wish.has_style && wish.has_strength && !wish.has_mode);
	change_note_said(&wish, &now);
	change_drop_untouched(&wish, &now);
	CHECK(!wish.has_style && !wish.has_strength);
}

/* ---- text, wire, stats ---- */

static void text_is_cut_at_characters(void)
{
	char small[6];
	size_t chars;
	text_copy(small, sizeof(small), "äöü", strlen("äöü"));
	CHECK(strcmp(small, "äö") == 0);
	char chosen[4 * 3 + 1];
	text_copy_chars(chosen, "😀😀😀😀", 3);
	CHECK(strcmp(chosen, "😀😀😀") == 0);
	text_copy_chars(chosen, "äb", 3);
	CHECK(strcmp(chosen, "äb") == 0);
	text_copy_chars(chosen, "b\xc3", 3);
	CHECK(chosen[0] == '\0');
	text_copy_chars(chosen, "\xf0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 3);
	CHECK(chosen[0] == '\0');
	char torn[] = "aä\xc3\xff€\xf0\x9f";
	text_make_utf8(torn);
	CHECK(strcmp(torn, "aä??€??") == 0);
	CHECK(text_check_utf8("aäö€😀", strlen("aäö€😀"), &chars) && chars == 5);
	static const char *const bad[] = {"\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\xff", "\xc3", "\xe2\x82", "a\xf0\x9f\x98"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(!text_check_utf8(bad[i], strlen(bad[i]), &chars));
	char json[32];
	text_to_json(json, sizeof(json), "a\"b\\c\n");
	CHECK(strcmp(json, "a\\\"b\\\\c\\u000a") == 0);
}

static void wire_refuses_lies(void)
{
	static const uint8_t array32[] = {0xdd, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t map32[] = {0xdf, 0x7f, 0xff, 0xff, 0xff, 0x01, 0x02};
	static const uint8_t str32[] = {0xdb, 0xff, 0xff, 0xff, 0xff, 'a'};
	static const uint8_t deep[] = {0x91, 0x91, 0x91, 0x91, 0x91, 0x01};
	static const uint8_t two[] = {0x01, 0x02};
	CHECK(!wire_is_one_value(array32, sizeof(array32), 8));
	CHECK(!wire_is_one_value(map32, sizeof(map32), 8));
	CHECK(!wire_is_one_value(str32, sizeof(str32), 8));
	CHECK(wire_is_one_value(deep, sizeof(deep), 6) && !wire_is_one_value(deep, sizeof(deep), 5));
	CHECK(!wire_is_one_value(two, sizeof(two), 8) && !wire_is_one_value(two, 0, 8));
}

static void stats_percentiles_are_near(void)
{
	static struct stats stats;
	char json[4096], path[] = "/tmp/limner-units-XXXXXX";
	CHECK(histogram_percentile_us(&stats.work, 99) == 0);
	for (uint64_t us = 1; us <= 1000; us++)
		histogram_add_ns(&stats.work, us * NS_PER_US);
	CHECK(fabs(histogram_percentile_us(&stats.work, 50) - 500) < 50);
	CHECK(fabs(histogram_percentile_us(&stats.work, 99) - 990) < 90);
	histogram_add_ns(&stats.work, UINT64_MAX);
	CHECK(stats_to_json(&stats, json, sizeof(json)) < sizeof(json));
	const int fd = mkstemp(path);
	CHECK(fd >= 0);
	close(fd);
	CHECK(stats_write_file(path, json) == 0);
	unlink(path);
	CHECK(stats_write_file("/nowhere/at/all", json) != 0);
}

/* ---- paths ---- */

static void paths_follow_the_environment(void)
{
	char to[2000], folder[] = "/tmp/limner-units-XXXXXX", long_path[200];
	struct path_error error;
	setenv("LIMNER_RUNTIME_DIR", "/somewhere/of mine", 1);
	CHECK(paths_daemon_endpoint(to, sizeof(to), &error));
	CHECK(strcmp(to, "ipc:///somewhere/of mine/daemon.sock") == 0);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	setenv("LIMNER_RUNTIME_DIR", long_path, 1);
	CHECK(!paths_daemon_endpoint(to, sizeof(to), &error) && strstr(error.text, "too long"));
	unsetenv("LIMNER_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", "/run/me", 1);
	CHECK(paths_runtime_dir(to, sizeof(to), &error) && strcmp(to, "/run/me/limner") == 0);
	CHECK(mkdtemp(folder) && paths_check_private(folder, &error));
	CHECK(chmod(folder, 0755) == 0 && !paths_check_private(folder, &error));
	CHECK(strstr(error.text, "chmod 700") && strstr(error.text, folder));
	rmdir(folder);
	CHECK(paths_check_private(folder, &error)); /* not there yet: fine */
	CHECK(!paths_check_private("/dev/null", &error));
}

/* ---- sync ---- */

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

/* ---- actions ---- */

static void action_styles_go_around(void)
{
	static struct link_status status = {.style_count = 3, .styles = {"oil", "neon", "noir"}};
	static const struct link_status none;
	CHECK(strcmp(action_style_after(&status, "oil", 1), "neon") == 0);
	CHECK(strcmp(action_style_after(&status, "noir", 1), "oil") == 0);
	CHECK(strcmp(action_style_after(&status, "oil", -1), "noir") == 0);
	CHECK(strcmp(action_style_after(&status, "custom", 1), "oil") == 0);
	CHECK(strcmp(action_style_after(&status, "custom", -1), "noir") == 0);
	CHECK(!action_style_after(&none, "oil", 1));
	CHECK(strcmp(action_style_at(&status, 3), "noir") == 0);
	CHECK(!action_style_at(&status, 0) && !action_style_at(&status, 4));
}

static void action_strength_stays_on_its_steps(void)
{
	CHECK(fabs(action_strength_after(0.5, 1) - 0.55) < 1e-12);
	CHECK(fabs(action_strength_after(0.52, -1) - 0.45) < 1e-12);
	CHECK(action_strength_after(0.98, 1) == 1 && action_strength_after(1, 3) == 1);
	CHECK(action_strength_after(0.02, -1) == 0);
	double strength = 0;
	for (int i = 0; i < 20; i++)
		strength = action_strength_after(strength, 1);
	CHECK(strength == 1);
}

/* ---- words ---- */

static const char *lookup(const char *key)
{
	static const char *const known[][2] = {{"Say_live", "Live: {fps} Bilder, {model}"},
		{"Say_none", "{} {"}, {"LastAccepted", "{accepted} {what}."},
		{"LastApplied", "{what}, {shown}, {chunk}."}, {"LastShown", "{what}!"},
		{"ShowsSource", "Quelle"}, {"Change", "{name}: {value}"}, {"NothingDiffers", "nichts"},
		{"On", "an"}};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(key, known[i][0]) == 0)
			return known[i][1];
	return key;
}

#define TEXT(string)                                                                                         \
	{                                                                                                    \
		string, sizeof(string) - 1                                                                   \
	}

static void words_fill_places(void)
{
	char to[16], all[100];
	words_say(all, sizeof(all), "{a}{b} {c} {a", "a", "1", "b", "{a}", NULL);
	CHECK(strcmp(all, "1{a} {c} {a") == 0);
	words_say(to, sizeof(to), "0123456789 {a}", "a", "1234é", NULL);
	CHECK(strcmp(to, "0123456789 1234") == 0); /* not half an é */
	words_say(to, 1, "{a}", "a", "1", NULL);
	CHECK(to[0] == '\0');
}

static void words_translate_what_is_known(void)
{
	static const struct sayings said = {.count = 4,
		.list = {{.code = TEXT("live"),
				 .text = TEXT("Live: 28"),
				 .values = {{TEXT("model"), TEXT("pocket")}, {TEXT("fps"), TEXT("28")}},
				 .value_count = 2},
			{.code = TEXT("newer"), .text = TEXT("newer words")}, {.text = TEXT("free")},
			{.code = TEXT("none"), .text = TEXT("x")}}};
	char to[200];
	words_join(to, sizeof(to), &said, lookup);
	CHECK(strcmp(to, "Live: 28 Bilder, pocket; newer words; free; {} {") == 0);
	words_join(to, sizeof(to), &said, NULL);
	CHECK(strcmp(to, "Live: 28; newer words; free; x") == 0);
	words_join(to, 9, &said, NULL);
	CHECK(strcmp(to, "Live: 28") == 0);
}

static void receipt_tells_what_became_different(void)
{
	static struct settings before = {.style = "noir", .prompt = "rain", .strength = 0.5, .steps = 1};
	static struct settings after;
	char to[400];
	after = before;
	receipt_changes(to, sizeof(to), &before, &after, lookup);
	CHECK(strcmp(to, "nichts") == 0);
	after.strength = 1;
	after.steps = 4;
	after.motion_aware = true;
	receipt_changes(to, sizeof(to), &before, &after, lookup);
	CHECK(strcmp(to, "Strength: 1.00, Steps: 4, MotionAware: an") == 0);
	/* A style is told by its name, words of one's own by their beginning. */
	snprintf(after.style, sizeof(after.style), "neon");
	snprintf(after.prompt, sizeof(after.prompt), "night");
	receipt_changes(to, sizeof(to), &before, &after, lookup);
	CHECK(strncmp(to, "Style: neon, Strength: 1.00", 27) == 0);
	snprintf(after.style, sizeof(after.style), "custom");
	memset(after.prompt, 'x', 100);
	after.strength = 0.5;
	after.bypass = true;
	receipt_changes(to, sizeof(to), &before, &after, lookup);
	CHECK(strncmp(to, "Quelle, Style: StyleCustom, Prompt: “xxxx", 41) == 0 && strstr(to, "…”, Steps"));
}

static void receipt_goes_from_accepted_to_the_picture(void)
{
	static struct receipt receipt;
	char to[400];
	setenv("TZ", "UTC", 1);
	receipt_sentence(to, sizeof(to), &receipt, lookup);
	CHECK(to[0] == '\0');
	receipt = (struct receipt){.rev = 1, .accepted_s = 3600, .shown_s = 3601, .chunk = 12};
	receipt_sentence(to, sizeof(to), &receipt, lookup);
	CHECK(strcmp(to, "01:00:00 nichts.") == 0);
	receipt.applied = true;
	snprintf(receipt.note, sizeof(receipt.note), "note");
	receipt_sentence(to, sizeof(to), &receipt, lookup);
	CHECK(strcmp(to, "nichts, 01:00:01, 12. (note)") == 0);
	receipt.after.bypass = true;
	receipt_sentence(to, sizeof(to), &receipt, lookup);
	CHECK(strcmp(to, "Quelle! (note)") == 0);
}

#define TEST(name)                                                                                           \
	{                                                                                                    \
#name, name                                                                                  \
	}

static const struct test {
	const char *name;
	void (*run)(void);
} tests[] = {
	TEST(ring_keeps_order_and_bounds),
	TEST(ring_passes_between_threads),
	TEST(slots_change_hands_only_rightly),
	TEST(playout_is_even_with_chunks),
	TEST(playout_shows_all_of_a_late_chunk),
	TEST(playout_delay_grows_when_late_and_shrinks_slowly),
	TEST(playout_delay_is_bounded),
	TEST(playout_spreads_a_slow_engines_chunks),
	TEST(playout_leaves_slots_to_the_engine),
	TEST(playout_sorts_and_refuses_what_is_late_or_absurd),
	TEST(fade_holds_then_shows_the_source),
	TEST(fade_follows_the_other_rules),
	TEST(fade_after_being_hidden_begins_with_the_source),
	TEST(fade_does_not_bring_back_what_was_painted_before_a_bypass),
	TEST(fade_cuts_away_at_once),
	TEST(fade_is_patient_with_a_slow_engine),
	TEST(fade_does_not_take_lost_daemons_for_a_slow_engine),
	TEST(fit_keeps_shapes),
	TEST(fit_recalls_where_a_frame_was_cut),
	TEST(fit_announces_no_side_that_is_too_long),
	TEST(change_tells_differences),
	TEST(text_is_cut_at_characters),
	TEST(wire_refuses_lies),
	TEST(stats_percentiles_are_near),
	TEST(paths_follow_the_environment),
	TEST(sync_follows_the_delay_and_no_jitter),
	TEST(sync_lets_go_when_painting_ends),
	TEST(action_styles_go_around),
	TEST(action_strength_stays_on_its_steps),
	TEST(words_fill_places),
	TEST(words_translate_what_is_known),
	TEST(receipt_tells_what_became_different),
	TEST(receipt_goes_from_accepted_to_the_picture),
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
		if (argc < 2) {
			printf("%s\n", tests[i].name);
		} else if (strcmp(argv[1], tests[i].name) == 0) {
			tests[i].run();
			return 0;
		}
	}
	return argc < 2 ? 0 : 2;
}
