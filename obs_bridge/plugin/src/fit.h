/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which part of the source the engine's picture covers. The painted picture is drawn back onto exactly that
 * part, so whatever the fit, nothing moves or changes its shape. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum fit { FIT_LETTERBOX, FIT_CROP };

/* In the source's own coordinates, 0..1 across it. Letterbox reaches beyond: those are the bars. */
struct fit_rect {
	float left, top, width, height;
};

/* Which part each of the frames under way was cut from: a painted frame goes back there, even when the fit
 * (or the source's shape) has changed since. As many as may be under way in the longest delay. */
#define FIT_MEMORY 512

struct fit_memory {
	struct {
		uint64_t sequence;
		bool used;
		struct fit_rect rect;
	} frames[FIT_MEMORY];
};

void fit_remember(struct fit_memory *memory, uint64_t sequence, const struct fit_rect *rect);
/* NULL: it is too long ago, or there was no such frame. */
const struct fit_rect *fit_recall(const struct fit_memory *memory, uint64_t sequence);

/* Aspects that differ by less than this are scaled unevenly, by so little, instead of being cut: the engine's
 * sizes are multiples of 16, so they nearly never match exactly. */
#define FIT_TOLERANCE 0.035

/* Make a size small enough to be announced: at most `max_side` a side, nearly the same shape. */
void fit_within(uint32_t *width, uint32_t *height, uint32_t max_side);

struct fit_rect fit_source(
	enum fit fit, uint32_t source_width, uint32_t source_height, uint32_t width, uint32_t height);
