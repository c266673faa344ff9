/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "stats.h"
#include "units.h"

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

const struct test stats_tests[] = {
	TEST(stats_percentiles_are_near),
	{0},
};
