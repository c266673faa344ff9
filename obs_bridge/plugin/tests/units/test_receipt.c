/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "german.h"
#include "receipt.h"
#include "units.h"

static void receipt_tells_what_became_different(void)
{
	static struct settings before = {.style = "noir", .prompt = "rain", .strength = 0.5, .steps = 1};
	static struct settings after;
	char to[400];
	after = before;
	receipt_changes(to, sizeof(to), &before, &after, in_german);
	CHECK(strcmp(to, "nichts") == 0);
	after.strength = 1;
	after.steps = 4;
	after.motion_aware = true;
	receipt_changes(to, sizeof(to), &before, &after, in_german);
	CHECK(strcmp(to, "Strength: 1.00, Steps: 4, MotionAware: an") == 0);
	/* A style is told by its name, words of one's own by their beginning. */
	snprintf(after.style, sizeof(after.style), "neon");
	snprintf(after.prompt, sizeof(after.prompt), "night");
	receipt_changes(to, sizeof(to), &before, &after, in_german);
	CHECK(strncmp(to, "Style: neon, Strength: 1.00", 27) == 0);
	snprintf(after.style, sizeof(after.style), "custom");
	memset(after.prompt, 'x', 100);
	after.strength = 0.5;
	after.bypass = true;
	receipt_changes(to, sizeof(to), &before, &after, in_german);
	CHECK(strncmp(to, "Quelle, Style: StyleCustom, Prompt: “xxxx", 41) == 0 && strstr(to, "…”, Steps"));
}

static void receipt_goes_from_accepted_to_the_picture(void)
{
	static struct receipt receipt;
	char to[400];
	setenv("TZ", "UTC", 1);
	receipt_sentence(to, sizeof(to), &receipt, in_german);
	CHECK(to[0] == '\0');
	receipt = (struct receipt){.rev = 1, .accepted_s = 3600, .shown_s = 3601, .chunk = 12};
	receipt_sentence(to, sizeof(to), &receipt, in_german);
	CHECK(strcmp(to, "01:00:00 nichts.") == 0);
	receipt.applied = true;
	snprintf(receipt.note, sizeof(receipt.note), "note");
	receipt_sentence(to, sizeof(to), &receipt, in_german);
	CHECK(strcmp(to, "nichts, 01:00:01, 12. (note)") == 0);
	receipt.after.bypass = true;
	receipt_sentence(to, sizeof(to), &receipt, in_german);
	CHECK(strcmp(to, "Quelle! (note)") == 0);
}

const struct test receipt_tests[] = {
	TEST(receipt_tells_what_became_different),
	TEST(receipt_goes_from_accepted_to_the_picture),
	{0},
};
