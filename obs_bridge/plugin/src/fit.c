/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fit.h"

#include <math.h>
#include <stddef.h>

struct fit_rect fit_source(
	enum fit fit, uint32_t source_width, uint32_t source_height, uint32_t width, uint32_t height)
{
	struct fit_rect rect = {0, 0, 1, 1};
	const double source_aspect = (double)source_width / source_height;
	const double ratio = ((double)width / height) / source_aspect; /* above 1: the engine's is wider */
	if (fabs(ratio - 1) <= FIT_TOLERANCE)
		return rect;
	/* Crop keeps the whole of the side that is relatively shorter; letterbox the other one. */
	if ((ratio > 1) == (fit == FIT_CROP))
		rect.height = (float)(1 / ratio);
	else
		rect.width = (float)ratio;
	rect.left = (1 - rect.width) / 2;
	rect.top = (1 - rect.height) / 2;
	return rect;
}

void fit_within(uint32_t *width, uint32_t *height, uint32_t max_side)
{
	const uint32_t longer = *width > *height ? *width : *height;
	if (longer <= max_side)
		return;
	const double share = (double)max_side / longer;
	const uint32_t new_width = (uint32_t)lround(*width * share);
	const uint32_t new_height = (uint32_t)lround(*height * share);
	*width = new_width > 0 ? new_width : 1;
	*height = new_height > 0 ? new_height : 1;
}

void fit_remember(struct fit_memory *memory, uint64_t sequence, const struct fit_rect *rect)
{
	const uint64_t at = sequence % FIT_MEMORY;
	memory->frames[at].sequence = sequence;
	memory->frames[at].used = true;
	memory->frames[at].rect = *rect;
}

const struct fit_rect *fit_recall(const struct fit_memory *memory, uint64_t sequence)
{
	const uint64_t at = sequence % FIT_MEMORY;
	const bool known = memory->frames[at].used && memory->frames[at].sequence == sequence;
	return known ? &memory->frames[at].rect : NULL;
}
