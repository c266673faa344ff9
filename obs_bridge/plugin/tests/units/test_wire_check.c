/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "units.h"
#include "wire_check.h"

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

const struct test wire_check_tests[] = {
	TEST(wire_refuses_lies),
	{0},
};
