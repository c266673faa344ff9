/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "change.h"
#include "units.h"

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

const struct test change_tests[] = {
	TEST(change_tells_differences),
	{0},
};
