/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>

#include "fit.h"
#include "units.h"

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

const struct test fit_tests[] = {
	TEST(fit_keeps_shapes),
	TEST(fit_recalls_where_a_frame_was_cut),
	TEST(fit_announces_no_side_that_is_too_long),
	{0},
};
