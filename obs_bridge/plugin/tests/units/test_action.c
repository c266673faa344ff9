/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <string.h>

#include "action.h"
#include "units.h"

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

const struct test action_tests[] = {
	TEST(action_styles_go_around),
	TEST(action_strength_stays_on_its_steps),
	{0},
};
