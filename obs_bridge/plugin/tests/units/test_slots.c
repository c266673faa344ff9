/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "slots.h"
#include "units.h"

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

const struct test slots_tests[] = {
	TEST(slots_change_hands_only_rightly),
	{0},
};
